"""How many tokens a prompt has, asked of the providers that count.

A prompt is counted in the words in which it would be sent, without what is not the prompt's.
Sources: Anthropic's "Count tokens in a Message" and its SDK's types (on Vertex AI its client's
paths), Google's `countTokens` of both APIs as recorded, botocore's model of Bedrock's CountTokens.
"""

import re
from typing import Any, Final

import orjson
from msgspec.structs import replace

from proxy.dialects.asking import Encoded, Target, encode_json
from proxy.dialects.bedrock import request as bedrock
from proxy.dialects.counts import usable
from proxy.dialects.gemini import request as gemini
from proxy.dialects.messages import native, request
from proxy.dialects.reading import parse
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Ended, Event, Finished, Produced, Usage, UsageReport
from proxy.wire.request import Ask

_PROMPT: Final = frozenset((
    "messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format",
    "cache_control", "context_management", "mcp_servers",
))  # fmt: skip
"""What Anthropic counts; anything else is a 400."""

_VERTEX_PROMPT: Final = ("contents", "systemInstruction", "tools", "generationConfig")
_CONVERSE: Final = ("messages", "system", "toolConfig", "additionalModelRequestFields")
_PROFILE: Final = re.compile(r"^[a-z]+(?:-[a-z]+)?\.(?=[a-z0-9]+\.)")
"""What an inference profile has before the name of its model, which alone is counted for."""


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """A provider's count, by whichever name. Raises GatewayError `provider_malformed`."""
    said = parse(body)
    names = ("input_tokens", "totalTokens", "inputTokens")
    counted = next((one for name in names if (one := usable(said.get(name))) is not None), None)
    if counted is None:
        raise GatewayError("provider_malformed", "The answer has no count.")
    return [
        Produced(0, {"input_tokens": counted}),
        UsageReport(Usage()),
        Finished(0, "stop", None),
        Ended(),
    ]


def path(target: Target, stream: bool) -> str:
    """Where Anthropic counts."""
    return "/v1/messages/count_tokens"


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The prompt as Anthropic takes it: the caller's own, where it can be."""
    encode = request.encode_request if ask.native is None else native.encode_request
    encoded = encode(ask, target)
    said = orjson.loads(encoded.body)
    prompt = {name: said[name] for name in said if name in _PROMPT}
    return Encoded(encode_json({"model": target.model, **prompt}), encoded.headers)


def vertex_path(target: Target, stream: bool) -> str:
    """Where Vertex counts: for all of Anthropic's models at one place."""
    if _is_claude(target):
        return gemini.vertex_claude_path(replace(target, model="count-tokens"), False)
    return gemini.vertex_path(target, False).removesuffix(_GENERATE) + _COUNT


def encode_vertex(ask: Ask, target: Target) -> Encoded:
    """The prompt as Vertex takes it."""
    if not _is_claude(target):
        said = orjson.loads(gemini.encode_vertex_request(ask, target).body)
        return Encoded(encode_json({name: said[name] for name in _VERTEX_PROMPT if name in said}))
    said = orjson.loads(encode_request(ask, target).body)
    version: dict[str, Any] = {"anthropic_version": request.VERTEX_VERSION}
    if ask.betas:
        version["anthropic_beta"] = list(ask.betas)
    said.pop("cache_control", None)
    return Encoded(encode_json(version | said))


_GENERATE: Final = ":generateContent"
_COUNT: Final = ":countTokens"


def gemini_path(target: Target, stream: bool) -> str:
    """Where AI Studio counts."""
    return gemini.path(target, False).removesuffix(_GENERATE) + _COUNT


def encode_gemini(ask: Ask, target: Target) -> Encoded:
    """The prompt as AI Studio takes it: the whole request, which names its model again."""
    said = orjson.loads(gemini.encode_request(ask, target).body)
    whole = {"model": f"models/{target.model}", **said}
    return Encoded(encode_json({"generateContentRequest": whole}))


def bedrock_path(target: Target, stream: bool) -> str:
    """Where Bedrock counts."""
    plain = replace(target, model=_PROFILE.sub("", target.model))
    return f"/model/{plain.path_name}/count-tokens"


def encode_bedrock(ask: Ask, target: Target) -> Encoded:
    """The prompt as Bedrock takes it."""
    said = orjson.loads(bedrock.encode_request(ask, target).body)
    prompt = {name: said[name] for name in _CONVERSE if name in said}
    return Encoded(encode_json({"input": {"converse": prompt}}))


def _is_claude(target: Target) -> bool:
    return target.model.startswith("claude")
