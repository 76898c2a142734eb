"""Multipart forms (RFC 7578), in which OpenAI's API takes files: read, and written.

Read as clients of any language write them, in one piece: bodies are bounded before they come here.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from proxy.errors import GatewayError

PARTS_MAX: Final = 64
"""Of one form; each costs the loop's time. OpenAI's have some twenty fields and sixteen images."""

_HEADERS_MAX: Final = 8
_HEADER_BYTES_MAX: Final = 1024


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
            raise GatewayError("invalid_request", f"{self.name[:80]}: not valid UTF-8") from None


def form_in(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The `Content-Type` of a request with these headers where it brings a form; else None."""
    told = next((value for name, value in headers if name.lower() == b"content-type"), b"")
    kind = told.decode("latin-1")
    return kind if kind.partition(";")[0].strip().lower() == "multipart/form-data" else None


def decode_form(body: bytes, kind: str) -> list[Field]:
    """The parts of a form, in their order; `kind` is its `Content-Type`.

    Raises GatewayError `invalid_request` for what is none.
    """
    from python_multipart import MultipartParser
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import parse_options_header

    boundary = parse_options_header(kind)[1].get(b"boundary")
    if not boundary:
        raise GatewayError("invalid_request", "Content-Type: the form's boundary is missing")
    parts = _Parts()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_part_data": parts.data,
                "on_part_end": parts.end_part,
                "on_header_field": parts.name,
                "on_header_value": parts.value,
                "on_header_end": parts.end_header,
                "on_end": parts.end,
            },
            max_header_count=_HEADERS_MAX,
            max_header_size=_HEADER_BYTES_MAX,
        )
        parser.write(body)
    except FormParserError:
        raise GatewayError("invalid_request", "The body is not a multipart form.") from None
    if not parts.whole:
        raise GatewayError("invalid_request", "The body is not a whole multipart form.")
    return parts.fields


class _Parts:
    """What the parser tells, put together."""

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.whole = False
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._pieces: list[bytes] = []

    def begin(self) -> None:
        if len(self.fields) >= PARTS_MAX:
            raise GatewayError("invalid_request", f"The form has more than {PARTS_MAX} parts.")
        self._headers, self._pieces = {}, []

    def name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def end_part(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in options:
            raise GatewayError("invalid_request", "A part of the form has no name.")
        filename = options.get(b"filename")
        kind, _ = parse_options_header(self._headers.get(b"content-type"))
        self.fields.append(
            Field(
                options[b"name"].decode("utf-8", "replace"),
                b"".join(self._pieces),
                None if filename is None else filename.decode("utf-8", "replace"),
                kind.decode("latin-1").strip().lower() or None,
            )
        )

    def end(self) -> None:
        self.whole = True


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
