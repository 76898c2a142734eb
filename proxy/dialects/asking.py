"""A request on its way to a provider: whom it is for, and what it becomes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
import orjson

from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.wire.request import Tier

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Target(msgspec.Struct, frozen=True, gc=False):
    """An endpoint as dialects see it. `model` is the provider's own name, `completion_max` how many
    tokens it can answer with, where that is known; `tier` the service tier that it is, None where
    it is the ordinary one.
    """

    provider: Provider
    model: str
    completion_max: int | None = None
    tier: Tier | None = None

    @property
    def path_name(self) -> str:
        """The model's name as one segment of a path."""
        return segment(self.model)


def segment(text: str) -> str:
    """`text` as one segment of a path. Raises GatewayError `provider_unfit` for dots alone, which
    lead elsewhere however they are escaped.
    """
    if text in (".", ".."):
        raise GatewayError("provider_unfit", "A model's name can not be a path.")
    return quote(text, safe="@")  # Vertex has it in the names of versions


class Encoded(NamedTuple):
    """A request in a provider's words: its body, and the headers that belong to the dialect. `path`
    is another than its row's, where what is asked for has one of its own.
    """

    body: bytes
    headers: Mapping[str, str] = NO_HEADERS
    path: str | None = None


def encode_json(body: Any) -> bytes:
    """The bytes of `body`.

    Raises GatewayError `invalid_request` for what JSON could say to us and not from here.
    """
    try:
        # A copy: what orjson gives keeps the buffer it was written in, 8 kB or more for as long as
        # the provider answers.
        return b"%b" % orjson.dumps(body)
    except TypeError:
        pass  # an integer beyond 64 bits, or what is nested deeply
    try:
        return msgspec.json.encode(body)
    except RecursionError:
        # Decoding was less deep in the stack.
        raise GatewayError("invalid_request", "The body is nested too deeply.") from None
    except (ValueError, TypeError, OverflowError):
        raise GatewayError("invalid_request", "The body can not be sent as JSON.") from None


_FORMS: Final = ("text", "json_object", "json_schema")


def check_form(said: Mapping[str, Any], provider: Provider) -> None:
    """Raises GatewayError `provider_unfit` where an answer is wanted in a form, such as that of a
    grammar, that only OpenAI's chat carries to providers.
    """
    wish = said.get("response_format")
    if isinstance(wish, dict) and wish.get("type", "text") not in _FORMS:
        raise inexpressible(provider, "this response_format")


_CHOICES: Final = ("none", "auto", "required", "any")


def check_choice(said: Mapping[str, Any], provider: Provider) -> None:
    """Raises GatewayError `provider_unfit` where `tool_choice` is none that is known: to leave it
    out would let the model choose.
    """
    choice = said.get("tool_choice")
    if isinstance(choice, dict):
        if named_tool(choice) is not None:
            return
        allowed = choice.get("allowed_tools")
        choice = allowed.get("mode") if isinstance(allowed, dict) else choice.get("type", "")
    if choice is not None and choice not in _CHOICES:
        raise inexpressible(provider, "this tool_choice")


def named_tool(choice: Mapping[str, Any]) -> str | None:
    """The tool that a `tool_choice` names, in OpenAI's form or in Anthropic's; None where it names
    none.
    """
    one = choice if choice.get("type") == "tool" else choice.get("function")
    name = one.get("name") if isinstance(one, dict) else None
    return name if isinstance(name, str) and name else None


def inexpressible(provider: Provider, what: str) -> GatewayError:
    """What to raise where a dialect has no words for something that can not be left out; another
    endpoint may have them.
    """
    return GatewayError("provider_unfit", f"{provider.name} can not be sent {what}.")
