"""A request that is no conversation: how all of them are decoded, and what they have in common."""

from collections.abc import Collection
from typing import Any, Final, Literal, TypeVar

import msgspec

from proxy.dialects.asking import encode_json
from proxy.dialects.bodies import decode_object
from proxy.dialects.chat.fields import (
    OWN_FIELDS,
    check_session,
    fitted,
    refuse_unbuilt,
    refuse_unbuilt_headers,
    wished,
)
from proxy.dialects.chat.request import names_of
from proxy.dialects.forms import Headers
from proxy.dialects.options import Options, options_of
from proxy.dialects.tiers import FAIR_TIERS
from proxy.errors import GatewayError
from proxy.wire.preferences import Preferences

TOKENS_PER_INPUT_MAX: Final = 16
"""What models add to each input: marks of its beginning and end, words for what it is for."""

_CHATS: Final = ("messages", "tools", "functions")
"""What makes a chat. `messages` hold the attachments in the canonical form: no caller's words."""


class Common(msgspec.Struct):
    """The fields that each of them has, for their types alone."""

    model: str | None = None
    models: list[str] | None = None
    stream: bool | None = None
    user: str | None = None
    session_id: str | None = None
    provider: dict[str, Any] | None = None
    route: Literal["fallback", "sort"] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The models to try, first wish first. Raises GatewayError where there are none."""
        return names_of(self.model, self.models)

    @property
    def options(self) -> Options:
        """What is for single providers. Raises GatewayError `invalid_request`."""
        return options_of(self.provider)

    @property
    def wishes(self) -> Preferences:
        """What is said of who is to answer. Raises GatewayError `invalid_request`."""
        return wished(self.provider, self.route)


Form = TypeVar("Form", bound=Common)


def decode(body: bytes, headers: Headers, form: type[Form]) -> tuple[dict[str, Any], Form]:
    """What `accept` gives, of what is answered whole.

    Raises GatewayError `invalid_request` or `not_supported`, each naming the field.
    """
    fields = decode_object(body)
    travelling, known = accept(fields, headers, form)
    for name in _CHATS:
        if name in travelling:
            raise GatewayError("invalid_request", f"{name}: only /chat/completions has it")
    if known.stream:
        raise GatewayError("invalid_request", "stream: the answer to this comes whole")
    return travelling, known


def accept(
    fields: dict[str, Any],
    headers: Headers,
    form: type[Form],
    own: Collection[str] = OWN_FIELDS,
) -> tuple[dict[str, Any], Form]:
    """The fields that travel on to a provider, which those of `own` do not, and the known ones of
    all.

    Raises GatewayError `invalid_request` or `not_supported`, each naming the field.
    """
    refuse_unbuilt_headers(headers)
    known = fitted(fields, form)
    _ = known.wishes  # which are checked before anything is read of `provider`
    refuse_unbuilt(fields | {"tools": None})
    check_session(known.session_id)
    ours = {*own, "serviceTier"}
    if fields.get("service_tier") not in FAIR_TIERS:
        ours.add("service_tier")
    travels = ((name, value) for name, value in fields.items() if name not in ours)
    return {name: value for name, value in travels if value is not None}, known


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
