"""The fields of a chat request: their types, their ranges, and whose they are.

Types are checked here for every field that OpenRouter's ChatRequest names and the gateway, or any
provider, acts on; what is not named travels on untouched.
"""

from collections.abc import Collection, Iterable
from functools import cache
from typing import Any, Literal, TypeVar

import msgspec

from proxy.errors import GatewayError
from proxy.wire.listing import PARAMETERS
from proxy.wire.misfits import explained
from proxy.wire.preferences import Preferences, decode
from proxy.wire.request import Effort

CHOICES_MAX = 128  # OpenAI's own limit on `n`
TOKENS_LIMIT_MAX = 2**31
TOP_LOGPROBS_MAX = 20
TEMPERATURE_MAX = 2
NUCLEUS_MAX = 1  # of `top_p`
STOP_MAX = 4  # OpenAI's and OpenRouter's limit on stop sequences
SESSION_CHARS_MAX = 256  # OpenRouter's limit on `session_id`
METADATA_MAX = 16  # its limits on `metadata`: pairs, characters of a key and of a value
METADATA_KEY_CHARS_MAX = 64
METADATA_VALUE_CHARS_MAX = 512

# fmt: off
OWN_FIELDS = frozenset({
    "model", "models", "route", "provider", "plugins", "preset", "transforms", "usage",
    "include_reasoning", "reasoning", "session_id", "trace", "debug",
    "max_tool_calls", "stop_server_tools_when", "stream", "stream_options", "prompt", "speed",
    "deferred_tools",
})
# fmt: on
"""What the gateway reads, or writes anew, and never passes on."""

SOFT = frozenset(("tools", "response_format", "structured_outputs", "verbosity"))
"""Parameters for which endpoints that support them are preferred, unasked (contract, 4.7)."""

HARMLESS: dict[str, tuple[object, ...]] = {
    "plugins": ([],),
    "transforms": ([],),
    "deferred_tools": ([],),
    "preset": (),
}
"""Wishes for parts that are not built yet, with the values that ask for nothing."""

UNBUILT_HEADERS: dict[bytes, tuple[str, bytes | None]] = {
    b"x-provider-api-keys": ("X-Provider-API-Keys", None),
    b"x-openrouter-cache": ("X-OpenRouter-Cache", b"true"),
}
"""The same in headers: the name as OpenRouter writes it, and the value that asks for something;
None where any does."""

TELLING_HEADERS = (b"x-openrouter-metadata", b"x-openrouter-experimental-metadata")

_EXACT_MAX = 2**53  # beyond, a float is not the whole number that it was written as


class Part(msgspec.Struct):
    type: str
    text: str | None = None


class Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, Any] | None = None
    tool_call_id: str | None = None


class _Reasoning(msgspec.Struct):
    effort: Effort | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None


class _Typed(msgspec.Struct):
    type: str = "function"  # Mistral's own clients leave it out


class _Debug(msgspec.Struct):
    echo_upstream_body: bool | None = None


class Fields(msgspec.Struct):
    """The known fields, for their types alone."""

    messages: list[Message] | None = None
    prompt: str | None = None
    model: str | None = None
    models: list[str] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    top_a: float | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | int | None = None  # a number at Together
    top_logprobs: int | None = None
    n: int | None = None
    response_format: _Typed | None = None
    tools: list[_Typed] | None = None
    tool_choice: str | _Typed | None = None
    parallel_tool_calls: bool | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    reasoning: _Reasoning | None = None
    reasoning_effort: Effort | None = None
    include_reasoning: bool | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    image_config: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    verbosity: str | None = None
    metadata: dict[str, str | None] | None = None
    trace: dict[str, Any] | None = None
    debug: _Debug | None = None
    max_tool_calls: int | None = None
    stop_server_tools_when: list[dict[str, Any]] | None = None
    cache_control: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    user: str | None = None
    session_id: str | None = None
    provider: dict[str, Any] | None = None
    route: Literal["fallback", "sort"] | None = None
    service_tier: str | None = None
    speed: str | None = None


Form = TypeVar("Form", bound=msgspec.Struct)


@cache
def _integers(form: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(form) if field.type == int | None)


def decode_fields(fields: dict[str, Any]) -> Fields:
    """The known ones of `fields`; in these, a whole number written as `10.0` becomes an integer.

    Raises GatewayError `invalid_request`, which names the field.
    """
    if isinstance(fields.get("reasoning"), dict):
        _make_whole(fields["reasoning"], ("max_tokens",))
    return fitted(fields, Fields)


def fitted(fields: dict[str, Any], form: type[Form]) -> Form:
    """The fields that `form` knows, as `decode_fields` gives those of a chat; for other formats.

    Raises GatewayError `invalid_request`, which names the field.
    """
    _make_whole(fields, _integers(form))
    try:
        return msgspec.convert(fields, form)
    except msgspec.ValidationError as error:
        raise GatewayError("invalid_request", explained(str(error))) from None


def _make_whole(fields: dict[str, Any], names: Collection[str]) -> None:
    for name, value in fields.items():
        if type(value) is float and name in names and value.is_integer():
            fields[name] = int(value) if abs(value) <= _EXACT_MAX else value


def unset(fields: dict[str, Any]) -> set[str]:
    """The known ones of `fields` that are null, which means the same as absent."""
    known = Fields.__struct_fields__
    return {name for name, value in fields.items() if value is None and name in known}


_SYNONYMS = {
    "max_completion_tokens": "max_tokens",
    "include_reasoning": "reasoning",
    "reasoning_effort": "reasoning",
}


def wished(provider: dict[str, Any] | None, route: str | None) -> Preferences:
    """What is said of who is to answer, `route` included: its older word for a partition.

    Raises GatewayError `invalid_request`, which names the field.
    """
    found = decode(provider)
    if route == "sort":
        return msgspec.structs.replace(found, partition="none")
    return found


def used_parameters(fields: dict[str, Any], known: Fields) -> frozenset[str]:
    """The parameters that a request has, in the names by which endpoints say what they support."""
    names = {name for name in PARAMETERS if fields.get(name) not in (None, [])}
    form = known.response_format.type if known.response_format is not None else None
    if form == "json_schema":
        names.add("structured_outputs")
    elif form == "text":  # which is what everybody answers with
        names.discard("response_format")
    return frozenset(_SYNONYMS.get(name, name) for name in names)


def refuse_unbuilt_headers(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises GatewayError `not_supported` for the same wishes in a request's headers."""
    for name, value in headers:
        written, asking = UNBUILT_HEADERS.get(name.lower(), ("", b""))
        if written and asking in (None, value.strip().lower()):
            raise GatewayError("not_supported", f"{written}: not supported yet")


def wants_routing(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the caller asks for `openrouter_metadata`; no other value means that."""
    asked = [value for name, value in headers if name.lower() in TELLING_HEADERS]
    return any(value.strip().lower() == b"enabled" for value in asked)


def refuse_unbuilt(fields: dict[str, Any]) -> None:
    """Raises GatewayError `not_supported` for a wish that would otherwise be met with silence."""
    for name, harmless in HARMLESS.items():
        value = fields.get(name)
        if value is not None and value not in harmless and not _is_off(value):
            raise GatewayError("not_supported", f"{name}: not supported yet")
    for number, tool in enumerate(fields.get("tools") or ()):
        if tool.get("type", "").startswith("openrouter:"):
            raise GatewayError("not_supported", f"tools[{number}].type: not supported yet")


def _is_off(wish: object) -> bool:
    """Whether these are plugins that the caller turns off (contract, 4.17)."""
    return isinstance(wish, list) and all(
        isinstance(one, dict) and one.get("enabled") is False for one in wish
    )


def check_ranges(known: Fields) -> None:
    """The ranges on which all providers agree; what depends on the model is the provider's word."""
    bounds: tuple[tuple[str, float | None, float, float], ...] = (
        ("n", known.n, 1, CHOICES_MAX),
        ("max_tokens", known.max_tokens, 1, TOKENS_LIMIT_MAX),
        ("max_completion_tokens", known.max_completion_tokens, 1, TOKENS_LIMIT_MAX),
        ("top_logprobs", known.top_logprobs, 0, TOP_LOGPROBS_MAX),
        ("temperature", known.temperature, 0, TEMPERATURE_MAX),
        ("top_p", known.top_p, 0, NUCLEUS_MAX),
    )
    for name, value, low, high in bounds:
        if value is not None and not low <= value <= high:
            raise GatewayError("invalid_request", f"{name}: must be between {low} and {high}")
    if isinstance(known.stop, list) and len(known.stop) > STOP_MAX:
        raise GatewayError("invalid_request", f"stop: at most {STOP_MAX} sequences")
    check_session(known.session_id)
    _check_metadata(known.metadata or {})


def check_session(session_id: str | None) -> None:
    """Raises GatewayError `invalid_request` where it is too long."""
    if session_id is not None and len(session_id) > SESSION_CHARS_MAX:
        raise GatewayError("invalid_request", f"session_id: at most {SESSION_CHARS_MAX} characters")


def _check_metadata(metadata: dict[str, str | None]) -> None:
    if len(metadata) > METADATA_MAX:
        raise GatewayError("invalid_request", f"metadata: at most {METADATA_MAX} pairs")
    for what, texts, most in (
        ("keys", metadata.keys(), METADATA_KEY_CHARS_MAX),
        ("values", metadata.values(), METADATA_VALUE_CHARS_MAX),
    ):
        if any(len(text or "") > most for text in texts):
            raise GatewayError("invalid_request", f"metadata: {what} of at most {most} characters")
