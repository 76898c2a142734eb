"""One provider's address, what a call to it begins with, and the connections kept to it."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from proxy.upstream.connection import Connection
from proxy.upstream.transport import Call

CONNECTIONS_MAX: Final = 16_384  # to one address there are no more ports than 28,000, usually
IDLE_MAX: Final = 1024

_TARGET: Final = re.compile(r"https?://[^/?#]+([^#]*)", re.IGNORECASE)
_PORTS: Final = {"http": 80, "https": 443}


class Address(NamedTuple):
    """Where a provider is. `host` is a name or a literal address without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """As it stands in a URL and in `Host`: the usual port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def address_of(url: str) -> Address:
    """Where `url` leads; raises ValueError where that is not to be seen."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
        raise ValueError("no URL of a provider")
    return Address(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme])


def target_of(url: str) -> str:
    """Path and query byte for byte, as a signature may cover them; raises ValueError."""
    found = _TARGET.fullmatch(url.partition("#")[0])
    if found is None or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("no URL of a provider")
    target = found[1]
    return target if target.startswith("/") else f"/{target}"


class Opening:
    """What is known of a URL: to whom it leads, its requests' first lines, and the headers that
    went there last, which are mostly those of the next request, too.
    """

    __slots__ = ("_get", "_headers", "_known", "_post", "origin")

    def __init__(self, origin: "Origin", get: str, post: str) -> None:
        self.origin = origin
        self._get = get
        self._post = post
        self._headers: dict[str, str] | None = None
        self._known = b""  # all that a request with these headers begins with

    def head(self, call: Call) -> bytes:
        """A request's head; raises ValueError where a header would become two."""
        if call.body is None:
            return f"{self._get}{_lines(call.headers)}\r\n".encode()
        if call.headers != self._headers:
            self._known = f"{self._post}{_lines(call.headers)}Content-Length: ".encode()
            self._headers = dict(call.headers)
        return b"%b%d\r\n\r\n" % (self._known, len(call.body))


def _lines(headers: Mapping[str, str]) -> str:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    count = len(headers)
    if lines.count("\n") != count or lines.count("\r") != count or "\0" in lines:
        raise ValueError("a header holds a line break")
    return lines


class Origin:
    """The connections to one address. Of those that are `idle` the last was used last: who takes
    it out has it for itself.
    """

    __slots__ = ("address", "idle", "open")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.idle: list[Connection] = []
        self.open: set[Connection] = set()

    @property
    def full(self) -> bool:
        """Whether it has as many connections as it may."""
        return len(self.open) >= CONNECTIONS_MAX

    def keep(self, connection: Connection) -> bool:
        """Takes back a connection for the next call, unless enough wait."""
        if len(self.idle) >= IDLE_MAX:
            return False
        self.idle.append(connection)
        return True

    def lose(self, connection: Connection) -> None:
        """Forgets a connection that is no more."""
        self.open.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)

    def sweep(self, before: float) -> None:
        """Hangs up those that wait since before then."""
        for connection in [one for one in self.idle if one.idle_since < before]:
            connection.drop()
