"""Going to an address that a caller named: guarded, so that no inner one can be reached.

A host is resolved once, by us; every address it has must be public, or allowed by the operator, and
the connection goes to one of just those (a name that leads elsewhere a moment later leads nobody
there). Each redirect begins anew. Beyond `allow` only `https` at its usual port is fetched, whose
certificate has to be the named host's. Whoever is refused can not tell an inner host that exists
from one that does not.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import aiohttp
from aiohttp import abc, hdrs
from yarl import URL

from proxy.upstream.addresses import Address, Allowed, plain, public
from proxy.upstream.found import FETCHES_MAX, Budget, Fetched, Resolve, lacks
from proxy.upstream.magic import mime_of

REDIRECTS_MAX: Final = 5
URL_CHARS_MAX: Final = 8192
RESOLVERS: Final = FETCHES_MAX
"""Threads of its own: a name that nobody answers for holds one for longer than its fetch, and must
delay nobody else's."""
LINE_BYTES_MAX: Final = 8190
READ_BYTES: Final = 64 * 1024

_MOVED: Final = (301, 302, 303, 307, 308)
_NO_URL: Final = re.compile(r"[\x00-\x20\x7f\\]")
_USUAL_PORT: Final = 443


class Visitor:
    """Fetches from where `allowed` lets it; a host's addresses come from `resolve`, else from the
    system. `tls` is as aiohttp takes it.
    """

    def __init__(
        self,
        allowed: Allowed,
        *,
        agent: str,
        resolve: Resolve | None,
        tls: ssl.SSLContext | bool,
    ) -> None:
        self._allowed = allowed
        self._headers = {hdrs.ACCEPT: "*/*", hdrs.ACCEPT_ENCODING: "identity"}
        if agent:
            self._headers[hdrs.USER_AGENT] = agent
        self._resolve = resolve or self._look_up
        self._tls = tls
        self._resolvers: ThreadPoolExecutor | None = None

    async def fetch(self, url: str, bytes_max: int, budget: Budget) -> Fetched:
        """What stands at `url`; raises TimeoutError, and what `Egress.fetch` raises."""
        try:
            return await self._follow(url, bytes_max, budget)
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError, ValueError):  # their texts may hold addresses
            raise lacks("its host can not be reached, or breaks off") from None

    async def _follow(self, text: str, bytes_max: int, budget: Budget) -> Fetched:
        url = _url(text)
        for _ in range(REDIRECTS_MAX + 1):
            found = await self._get(url, await self._check(url), bytes_max, budget)
            if isinstance(found, Fetched):
                return found
            url = found
        raise lacks("it is redirected too often")

    async def _check(self, url: URL) -> list[Address]:
        """The addresses of its host, all of which may be connected to."""
        host, port = url.raw_host or "", url.port or 0
        try:
            addresses = [plain(one) for one in await self._resolve(host, port)]
        except (OSError, ValueError):  # unknown, or no name at all
            addresses = []
        inner = [one for one in addresses if not public(one)]
        allowed = bool(addresses) and all(self._allowed.has(host, one) for one in addresses)
        if not allowed and (url.scheme != "https" or port != _USUAL_PORT):
            raise lacks("only https at its usual port is fetched")
        if not addresses or any(not self._allowed.has(host, one) for one in inner):
            raise lacks("it has no public address")
        return addresses

    async def _get(
        self, url: URL, addresses: Sequence[Address], bytes_max: int, budget: Budget
    ) -> Fetched | URL:
        """What stands at `url`, or where it has moved."""
        pinned = _Pinned(addresses)
        connector = aiohttp.TCPConnector(
            resolver=pinned,
            use_dns_cache=False,
            force_close=True,
            ssl=self._tls,
            socket_factory=pinned.socket,
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                auto_decompress=False,
                trust_env=False,
                read_bufsize=READ_BYTES,
                max_line_size=LINE_BYTES_MAX,
                max_field_size=LINE_BYTES_MAX,
                skip_auto_headers=(hdrs.USER_AGENT,),
                timeout=aiohttp.ClientTimeout(total=None),
            ) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status in _MOVED and hdrs.LOCATION in answer.headers:
                return _url(answer.headers[hdrs.LOCATION], base=url)
            data = await _body(answer, bytes_max, budget)
            return Fetched(mime_of(answer.headers.get(hdrs.CONTENT_TYPE), data), data, str(url))

    async def _look_up(self, host: str, port: int) -> list[str]:
        if self._resolvers is None:
            self._resolvers = ThreadPoolExecutor(RESOLVERS, "egress")
        rows = await asyncio.get_running_loop().run_in_executor(
            self._resolvers, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(address[0]) for *_, address in rows))


class _Pinned(abc.AbstractResolver):
    """Answers with the addresses that were looked at, and lets nobody connect to another one,
    however the name was read.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[abc.ResolveResult]:
        return [
            abc.ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        if plain(address[0]) not in self._addresses:
            raise OSError("this address was not looked at")
        return socket.socket(family, kind, protocol)


async def _body(answer: aiohttp.ClientResponse, bytes_max: int, budget: Budget) -> bytes:
    if answer.status != 200:
        raise lacks(f"its host answers with status {answer.status}")
    coding = answer.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if coding not in ("", "identity"):
        raise lacks("it comes compressed, though that was not asked for")
    if (answer.content_length or 0) > bytes_max:
        raise lacks(f"it has more than {bytes_max} bytes")
    data = bytearray()
    async for piece in answer.content.iter_any():
        data += piece
        if len(data) > bytes_max:
            raise lacks(f"it has more than {bytes_max} bytes")
        budget.take(len(piece))
    if not data:
        raise lacks("it is empty")
    return bytes(data)


def _url(text: str, base: URL | None = None) -> URL:
    """The URL as it was written, once for who resolves its host and who connects to it."""
    if len(text) > URL_CHARS_MAX or _NO_URL.search(text):
        raise lacks("it is no URL")
    try:
        text.encode()  # not of a header that is no UTF-8
        url = URL(text, encoded=text.isascii())
        url = url if base is None else base.join(url)
        if url.scheme in ("http", "https") and url.raw_host and url.port:
            if url.user is None and url.password is None:
                return url
            raise lacks("it has a user or a password in it")
    except ValueError:
        pass
    raise lacks("only https URLs are fetched")
