"""The text of HTTP/1.1: what is wrong with a request's head, and the head of an answer.

llhttp, strict, keeps malformed requests out: bare LF, folded lines, odd lengths, both lengths, bad
chunks. What it lets through, and a gateway must not, is found here: other versions, targets that
are no path, a `Host` that is none, codings other than `chunked`, methods nobody serves.
"""

import http
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from proxy.errors import GatewayError

HEAD_BYTES_MAX: Final = 32 * 1024
HEADERS_MAX: Final = 100
TARGET_BYTES_MAX: Final = 8 * 1024

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
CHUNKED: Final = -1
NO_BODY: Final = -2
UNTIL_CLOSE: Final = -3
"""How an answer is framed that has no `content-length`; where it has one, that stands for these."""

_SLASH: Final = ord("/")
_HOST: Final = re.compile(rb"[A-Za-z0-9.\-_:\[\]%]+")
_STATUS: Final = {
    int(status): f"HTTP/1.1 {status} {status.phrase}\r\n".encode()
    for status in http.HTTPStatus
    if status >= 200  # less is no answer yet
}
_BODILESS: Final = frozenset({204, 304})
_FRAMING: Final = frozenset({b"content-length", b"connection", b"transfer-encoding"})

Pairs = Iterable[tuple[bytes, bytes]]


@lru_cache(maxsize=64)
def is_host(value: bytes) -> bool:
    """Whether that can be a `Host` header; two of them, joined by a comma, can not."""
    return _HOST.fullmatch(value) is not None


def joined(headers: Pairs) -> dict[bytes, bytes]:
    """Headers by their lower-case names; several of one name are one, with commas between."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = found[name] + b"," + value if name in found else value
    return found


def fault(
    method: str, target: bytes, version: str, noted: Mapping[bytes, bytes], headers: int
) -> GatewayError | None:
    """What is wrong with a head that llhttp took, of so many headers; None for a sound one."""
    if method not in METHODS:
        return GatewayError(
            "method_not_allowed",
            f"Method not allowed: {method}",
            headers={"Allow": ", ".join(sorted(METHODS))},
        )
    reason = ""
    if version not in ("1.1", "1.0"):
        reason = f"HTTP/{version} is not spoken here."
    elif target[0] != _SLASH or b"#" in target:
        reason = "The request target is not a path."
    elif b"host" not in noted:
        reason = "" if version == "1.0" else "There is no Host header."
    elif not is_host(noted[b"host"]):
        reason = "The Host header is not a host."
    if b"http2-settings" in noted or b"h2c" in noted.get(b"upgrade", b"").lower():
        # A proxy in front that let it through would take what follows for another protocol.
        reason = "HTTP/2 is not spoken without TLS: ask in HTTP/1.1, without `Upgrade: h2c`."
    coding = noted.get(b"transfer-encoding")
    if coding is not None:
        if version == "1.0":
            reason = "Transfer-Encoding in HTTP/1.0."
        elif coding.lower() != b"chunked":
            reason = "A Transfer-Encoding other than chunked."
    if reason:
        return GatewayError("invalid_request", reason)
    if headers > HEADERS_MAX:
        return GatewayError("invalid_request", "There are too many headers.", status=431)
    return None


def head_of(
    status: int, headers: Pairs, *, date: bytes, bodiless: bool
) -> tuple[list[bytes], int, bool]:
    """The lines of an answer's head as far as they do not depend on the connection, how its body is
    framed, and whether the headers end the connection. `date` is a whole line.

    Raises ValueError for a header that would be more than one line, or a status that is no answer.
    """
    framing = NO_BODY if bodiless or status in _BODILESS else CHUNKED
    close = False
    lines = [_STATUS.get(status) or _status_line(status), date]
    for name, value in headers:
        name = name.lower()
        if name in _FRAMING:
            if name == b"content-length":
                if not value.isdigit():
                    raise ValueError("a content-length is no number")
                framing = framing if framing == NO_BODY else int(value)
            elif name == b"connection":
                close = close or b"close" in value.lower()
                continue
            else:  # the server's business
                continue
        lines.append(b"%b: %b\r\n" % (name, value))
    text = b"".join(lines)
    if not text.count(b"\n") == text.count(b"\r") == len(lines) or b"\0" in text:
        raise ValueError("a header of the answer is more than one line")
    return [text], framing, close


def _status_line(status: int) -> bytes:
    if not 200 <= status <= 999:
        raise ValueError(f"{status} is not the status of an answer")
    return b"HTTP/1.1 %d \r\n" % status
