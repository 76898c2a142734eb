"""A request that is no conversation and is answered whole: what all of them have in common."""

from typing import Any, Final, TypeVar

import msgspec

from proxy.dialects.asking import encode_json
from proxy.dialects.chat.fields import (
    OWN_FIELDS,
    SESSION_CHARS_MAX,
    fitted,
    refuse_unbuilt,
    refuse_unbuilt_headers,
)
from proxy.dialects.chat.request import FAIR_TIERS, decode_object
from proxy.dialects.forms import Headers
from proxy.errors import GatewayError

TOKENS_PER_MEDIUM_MAX: Final = 4096
TOKENS_PER_INPUT_MAX: Final = 16
"""What models add to each input: marks of its beginning and end, words for what it is for."""

_CHATS: Final = ("messages", "tools", "functions")
"""What makes a chat. `messages` hold the attachments in the canonical form: no caller's words."""

BYTES_PER_TOKEN: Final = 4
TOKENS_PER_MEDIUM: Final = 1000
"""What a request is taken to have where nobody counts: as in `pipeline/settle.py`."""


class Common(msgspec.Struct):
    """The fields that each of them has, for their types alone."""

    model: str | None = None
    models: list[str] | None = None
    stream: bool | None = None
    user: str | None = None
    session_id: str | None = None
    provider: dict[str, Any] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The models to try, first wish first. Raises GatewayError where there are none."""
        names = ([self.model] if self.model else []) + (self.models or [])
        if not names:
            raise GatewayError("invalid_request", "No models provided")
        return tuple(dict.fromkeys(names))


Form = TypeVar("Form", bound=Common)


def decode(body: bytes, headers: Headers, form: type[Form]) -> tuple[dict[str, Any], Form]:
    """The fields that travel on to a provider, and the known ones of all.

    Raises GatewayError `invalid_request` or `not_supported`, each naming the field.
    """
    fields = decode_object(body)
    refuse_unbuilt_headers(headers)
    known = fitted(fields, form)
    for name in _CHATS:
        if fields.get(name) is not None:
            raise GatewayError("invalid_request", f"{name}: only /chat/completions has it")
    refuse_unbuilt(fields)
    if known.stream:
        raise GatewayError("invalid_request", "stream: the answer to this comes whole")
    if known.session_id is not None and len(known.session_id) > SESSION_CHARS_MAX:
        raise GatewayError("invalid_request", f"session_id: at most {SESSION_CHARS_MAX} characters")
    travelling = {
        name: value
        for name, value in fields.items()
        if value is not None and name not in OWN_FIELDS
    }
    if fields.get("service_tier") not in FAIR_TIERS:
        travelling.pop("service_tier", None)
    return travelling, known


def unknown_bytes(travelling: dict[str, Any], known: Common) -> int:
    """The size of all that travels on and is no field of `known`: a provider may read it, and count
    it. Raises GatewayError `invalid_request` for what JSON can not say.
    """
    unknown = [
        value
        for name, value in travelling.items()
        if value and name not in known.__struct_fields__ and isinstance(value, str | list | dict)
    ]
    return len(encode_json(unknown)) if unknown else 0


def size_bytes(text: str) -> int:
    """The bytes of `text` in UTF-8: it has no more tokens."""
    return len(text.encode(errors="replace"))


def likely_tokens(text_bytes: int, media: int = 0) -> int:
    """How many tokens so much text and so many media are likely to be."""
    return -(-text_bytes // BYTES_PER_TOKEN) + TOKENS_PER_MEDIUM * media
