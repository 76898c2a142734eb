"""A multipart form as OpenAI's clients send it, in whichever language they are written."""

from typing import Final

from proxy.dialects.images.form import Field
from proxy.errors import GatewayError

PARTS_MAX: Final = 64
"""Of one form; each costs the loop's time. OpenAI's has some fifteen fields."""

_HEADERS_MAX: Final = 8
_HEADER_BYTES_MAX: Final = 1024


def is_form(kind: str) -> bool:
    """Whether a request with this `Content-Type` brings one."""
    return kind.lower().startswith("multipart/form-data")


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
                kind.decode("latin-1") or None,
            )
        )

    def end(self) -> None:
        self.whole = True
