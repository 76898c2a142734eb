"""TLS, proxies and names that move, on both transports where both can."""

import asyncio
import contextlib
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from proxy.upstream import resolver
from proxy.upstream.client import Client
from proxy.upstream.dialing import new_tls
from proxy.upstream.resolver import Place, Resolver
from proxy.upstream.session import AiohttpTransport
from tests.running import free_port
from tests.upstream.hostile import OK, Connection, Http, Told, ask, call, server

BOTH = pytest.mark.parametrize("kind", [Client, AiohttpTransport], ids=["ours", "aiohttp"])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def theirs(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def answers(connection: Connection) -> None:
    for _ in range(2):
        await connection.hear()
        connection.say(OK + b"Content-Length: 2\r\n\r\nok")


@contextlib.asynccontextmanager
async def closing(transport: Http) -> AsyncIterator[Http]:
    try:
        yield transport
        assert transport.open_calls == 0
    finally:
        await transport.close()


def at(url: str, host: str) -> str:
    return url.replace("127.0.0.1", host)


async def leads_here(*_: object) -> list[Place]:
    raise AssertionError("nobody may ask")


# TLS.


@BOTH
async def test_tls_to_whom_is_trusted(
    kind: type[Client] | type[AiohttpTransport], authority: trustme.CA, ca_file: str
) -> None:
    said: list[str | None] = []

    async def handler(connection: Connection) -> None:
        said.append(connection.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await answers(connection)

    async with (
        server(handler, theirs(authority, "localhost", "127.0.0.1")) as url,
        closing(kind(ca_file=ca_file)) as transport,
    ):
        for host in ("127.0.0.1", "localhost"):
            for _ in range(2):  # the second on the same connection
                assert (await ask(transport, at(url, host))).body == b"ok"
        assert len(said) == 2
        assert said == (["http/1.1"] * 2 if kind is Client else said)
        await transport.close()


@BOTH
@pytest.mark.parametrize("why", ["another name", "another authority", "no TLS"])
async def test_tls_to_whom_is_not(
    kind: type[Client] | type[AiohttpTransport], authority: trustme.CA, ca_file: str, why: str
) -> None:
    heard: list[bytes] = []

    async def handler(connection: Connection) -> None:
        if why == "no TLS":
            connection.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        else:
            heard.append(await connection.hear())

    name = "other.test" if why == "another name" else "127.0.0.1"
    tls = None if why == "no TLS" else theirs(authority, name)
    trusted = "" if why == "another authority" else ca_file
    async with server(handler, tls) as url, closing(kind(ca_file=trusted)) as transport:
        told = await ask(transport, url.replace("http:", "https:"))
        assert told.error is not None
        assert told.error.kind == "provider_unreachable"
        assert told.calls == ["end"]
        assert heard == []


async def test_the_name_is_shown_to_the_server(authority: trustme.CA, ca_file: str) -> None:
    shown: list[str] = []
    tls = theirs(authority, "acme.test")
    tls.sni_callback = lambda _sock, name, _context: shown.append(name)

    async def here(_host: str, port: int) -> list[Place]:
        return [Place(socket.AF_INET, ("127.0.0.1", port))]

    client = Client(ca_file=ca_file, resolver=Resolver(here))
    async with server(answers, tls) as url, closing(client) as transport:
        assert (await ask(transport, at(url, "acme.test"))).body == b"ok"
        await transport.close()
    assert shown == ["acme.test"]


def test_old_versions_and_strangers_are_not_trusted() -> None:
    context = new_tls()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


# Proxies.


class Middle:
    """An HTTP proxy: tunnels, and requests in absolute form, all to one port of loopback."""

    def __init__(self, to: str) -> None:
        self.port = int(to.split(":")[2].partition("/")[0])
        self.heads: list[bytes] = []

    async def __call__(self, connection: Connection) -> None:
        head = await connection.reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        if head.startswith(b"CONNECT "):
            connection.say(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            writer.write(head)
        await asyncio.gather(pump(connection.reader, writer), pump(reader, connection.writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@BOTH
@pytest.mark.parametrize("secure", [True, False])
async def test_the_way_through_a_proxy(
    kind: type[Client] | type[AiohttpTransport], authority: trustme.CA, ca_file: str, secure: bool
) -> None:
    heard: list[bytes] = []

    async def handler(connection: Connection) -> None:
        for _ in range(2):
            heard.append(await connection.hear())
            connection.say(OK + b"Content-Length: 2\r\n\r\nok")

    async with server(handler, theirs(authority, "acme.test") if secure else None) as url:
        middle, target = Middle(url), at(url, "acme.test")
        async with server(middle) as where:
            proxy = where.removesuffix("/v1/chat/completions").replace("//", "//us%40er:pass@")
            async with closing(kind(ca_file=ca_file, proxy=proxy)) as transport:
                for _ in range(2):
                    assert (await ask(transport, target)).body == b"ok"
                await transport.close()
    head = middle.heads[0]
    line = f"CONNECT acme.test:{middle.port} HTTP/1.1" if secure else f"POST {target} HTTP/1.1"
    assert head.startswith(line.encode())
    shown = b64encode(b"us@er:pass")
    assert b"Proxy-Authorization: Basic " + shown in head
    assert len(middle.heads) == 1
    assert [secure and b"Proxy-" in request for request in heard] == [False] * 2
    assert all(f"Host: acme.test:{middle.port}".encode() in request for request in heard)


@BOTH
async def test_a_proxy_that_is_not_there(kind: type[Client] | type[AiohttpTransport]) -> None:
    async with closing(kind(proxy=f"http://127.0.0.1:{free_port()}")) as transport:
        for url in ("https://acme.test/", "http://acme.test/"):
            told = await ask(transport, url)
            assert told.error is not None
            assert told.error.kind == "provider_unreachable"


async def test_a_proxy_that_opens_no_tunnel(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(connection: Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        connection.say(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        await connection.gone()

    async with server(handler) as url:
        client = Client(proxy=url.removesuffix("/v1/chat/completions"))
        async with closing(client) as transport:
            told = await ask(transport, "https://acme.test/")
    assert told.error is not None
    assert told.error.kind == "provider_unreachable"
    assert "the proxy opens no tunnel" in caplog.text


@BOTH
async def test_what_is_on_this_machine_is_reached_without(
    kind: type[Client] | type[AiohttpTransport],
) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    async with server(answers) as url, closing(kind(proxy=proxy)) as transport:
        assert (await ask(transport, url)).body == b"ok"
        assert (await ask(transport, at(url, "localhost"))).body == b"ok"
        await transport.close()


# Names.


class Moving:
    """A name whose address changes each time it is asked for."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = list(hosts)
        self.asked = 0

    async def __call__(self, _host: str, port: int) -> list[Place]:
        host = self.hosts[min(self.asked, len(self.hosts) - 1)]
        self.asked += 1
        return [Place(socket.AF_INET, (host, port))]


async def test_a_name_is_asked_once_and_again_where_it_does_not_answer() -> None:
    names = Moving("127.0.0.1", "127.0.0.2")
    async with closing(Client(resolver=Resolver(names))) as transport:
        async with server(_once) as url:
            target = at(url, "acme.test")
            for _ in range(2):
                assert (await ask(transport, target)).body == b"ok"
            assert names.asked == 1
        told = await ask(transport, target)
        assert told.error is not None
        assert told.error.kind == "provider_unreachable"
        assert names.asked == 2


async def test_a_name_that_moved_is_followed_at_once() -> None:
    """Both are this machine, but only the second is listened at."""
    names = Moving("127.0.0.1", "127.0.0.2")
    resolver = Resolver(names)
    async with server(_once, host="127.0.0.2") as url:
        target = url.replace("127.0.0.2", "acme.test")
        await resolver.ask("acme.test", int(target.split(":")[2].partition("/")[0]))
        async with closing(Client(resolver=resolver)) as transport:
            assert (await ask(transport, target)).body == b"ok"
        assert names.asked == 2


async def _once(connection: Connection) -> None:
    await connection.hear()
    connection.say(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok")


async def test_a_literal_that_does_not_answer_is_not_asked_for() -> None:
    async with closing(Client(resolver=Resolver(leads_here))) as transport:
        told = await ask(transport, f"http://127.0.0.1:{free_port()}/")
        assert told.error is not None
        assert told.error.kind == "provider_unreachable"


async def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: Any) -> list[Place]:
        raise socket.gaierror("acme.test")

    monkeypatch.setattr(resolver, "_look_up", unknown)
    async with closing(Client()) as transport:
        told = await ask(transport, "http://acme.test/")
        assert told.error is not None
        assert told.error.kind == "provider_unreachable"


async def test_a_name_server_that_is_silent_has_no_longer_than_the_connection() -> None:
    async def silent(*_: Any) -> list[Place]:
        await asyncio.Event().wait()
        return []

    async with closing(Client(resolver=Resolver(silent))) as transport:
        told = Told()
        transport.send(call("http://acme.test/", connect_s=0.05), told)
        await told.end_of_it()
        assert told.error is not None
        assert told.error.kind == "provider_timeout"
