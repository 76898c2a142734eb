"""Multipart forms (RFC 7578), in which OpenAI's API takes files: read, and written.

Read in one piece: bodies are bounded before they come here.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from proxy.errors import GatewayError

PARTS_MAX: Final = 128
"""Of one form. OpenAI's has some twenty fields and sixteen images."""

_HEAD_BYTES_MAX: Final = 8192
_BOUNDARY = re.compile(r'(?i)multipart/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]+)"|([^\s";]+))')
_NAMED = re.compile(r'(?i)(?<![\w*])(name|filename)="((?:[^"\\]|\\.)*)"')
_TYPED = re.compile(r"(?im)^content-type:[ \t]*([^\r\n;]+)")


class Field(NamedTuple):
    """One part of a form. `filename` is None where it is no file."""

    name: str
    data: bytes
    filename: str | None = None
    mime: str | None = None

    @property
    def text(self) -> str:
        """Raises GatewayError `invalid_request`, which names the field."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise GatewayError("invalid_request", f"{self.name}: not valid UTF-8") from None


def boundary_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """What parts the form of a request with these headers; None where it is none."""
    told = next((value for name, value in headers if name.lower() == b"content-type"), b"")
    found = _BOUNDARY.match(told.decode("latin-1"))
    return (found[1] or found[2]).encode("latin-1") if found else None


def decode_form(body: bytes, boundary: bytes) -> list[Field]:
    """The parts of a form, in their order.

    Raises GatewayError `invalid_request` for what is none.
    """
    mark = b"--" + boundary
    _, *parts = (b"\r\n" + body).split(b"\r\n" + mark, PARTS_MAX + 1)
    if len(parts) > PARTS_MAX:
        raise GatewayError("invalid_request", f"The form has more than {PARTS_MAX} parts.")
    if not parts or not parts[-1].startswith(b"--"):
        raise GatewayError("invalid_request", "The body is not a whole multipart form.")
    return [_field(part) for part in parts[:-1]]


def _field(part: bytes) -> Field:
    head, gap, data = part.partition(b"\r\n\r\n")
    told = head[:_HEAD_BYTES_MAX].decode("utf-8", "replace")
    named = {key.lower(): _plain(value) for key, value in _NAMED.findall(told)}
    if not gap or "name" not in named:
        raise GatewayError("invalid_request", "A part of the form has no name.")
    typed = _TYPED.search(told)
    return Field(named["name"], data, named.get("filename"), typed and typed[1].strip().lower())


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value)


def encode_form(fields: Sequence[Field]) -> tuple[bytes, str]:
    """The bytes of a form, and its `Content-Type`. The boundary is told by what is in it: the same
    form is always the same bytes.
    """
    digest = sha256()
    for field in fields:
        digest.update(field.data)
    boundary = f"weir-{digest.hexdigest()[:32]}"
    pieces: list[bytes] = []
    for field in fields:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(field.name)}"'
        if field.filename is not None:
            head += f'; filename="{_quoted(field.filename)}"'
        if field.mime is not None:
            head += f"\r\nContent-Type: {field.mime}"
        pieces += (head.encode(), b"\r\n\r\n", field.data, b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), f"multipart/form-data; boundary={boundary}"


def _quoted(text: str) -> str:
    return re.sub(r'["\r\n]', lambda found: f"%{ord(found[0]):02X}", text)
