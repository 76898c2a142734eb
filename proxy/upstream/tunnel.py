"""An HTTP proxy between us and the providers: who it is, and the way through it.

To `https` a tunnel leads, by CONNECT (RFC 9110, section 9.3.6), so that the proxy sees a name and
no more; for `http` it is asked in absolute form: most proxies open tunnels only to port 443.
"""

import asyncio
import logging
import re
import socket
from base64 import b64encode
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

ANSWER_BYTES_MAX: Final = 16 * 1024

_ANSWER: Final = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")

log = logging.getLogger(__name__)


class Proxy(NamedTuple):
    """A proxy, and what it is shown, if anything: the line of a header."""

    host: str
    port: int
    authorization: str

    def __repr__(self) -> str:
        return "Proxy(…)"  # its user has a password


def proxy_of(url: str) -> Proxy | None:
    """The proxy that `http://user:pass@host:port` describes, None for no text at all."""
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("no URL of a proxy")
    line = ""
    if parts.username is not None:
        shown = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        line = f"Proxy-Authorization: Basic {b64encode(shown.encode()).decode()}\r\n"
    return Proxy(parts.hostname, parts.port or 80, line)


async def open_tunnel(sock: socket.socket, host: str, port: int, proxy: Proxy) -> None:
    """Has the proxy at `sock` connect to a host; raises OSError where it does not."""
    loop = asyncio.get_running_loop()
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    asked = f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n{proxy.authorization}\r\n"
    await loop.sock_sendall(sock, asked.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = await loop.sock_recv(sock, 4096)
        answer += data
        if not data or len(answer) > ANSWER_BYTES_MAX:
            raise OSError("the proxy's answer has no end")
    said = _ANSWER.match(answer)
    if said is None or not said[1].startswith(b"2"):
        log.warning("the proxy opens no tunnel", extra={"status": said and int(said[1])})
        raise OSError("the proxy opens no tunnel")
    if not answer.endswith(b"\r\n\r\n"):  # who is asked something speaks second
        raise OSError("something speaks unasked behind the proxy")
