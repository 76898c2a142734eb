"""The request to Gemini's `generateContent`, at AI Studio and at Vertex.

Source: Google's references "Generating content" (Gemini API, v1beta) and "GenerateContent" (Vertex
AI, v1). The two differ in what only one of them knows: ids of calls, labels, the mix of functions
with Google's own tools.
"""

import re
from typing import Any, Final

from proxy.dialects.asking import NO_HEADERS, Encoded, Target, check_choice, check_form, segment
from proxy.dialects.gemini.content import encode_contents
from proxy.dialects.gemini.family import family_of
from proxy.dialects.gemini.settings import generation_config
from proxy.dialects.gemini.tools import encode_tools
from proxy.dialects.writing import json_steps
from proxy.wire.request import Ask
from proxy.wire.slices import Steps, at_once

EXPRESSES: Final = frozenset((
    "tools", "tool_choice", "response_format", "structured_outputs", "temperature", "top_p",
    "top_k", "stop", "seed", "max_tokens", "max_completion_tokens", "frequency_penalty",
    "presence_penalty", "logprobs", "top_logprobs", "n", "reasoning", "reasoning_effort",
    "include_reasoning", "modalities", "image_config", "audio",
))  # fmt: skip
"""The parameters of a chat request that Gemini has words for."""

MODELS_PATH: Final = "/v1beta/models?pageSize=1000"

_VERTEX_TIER: Final = "X-Vertex-AI-LLM-Shared-Request-Type"
_TIERS: Final = {"flex": "flex", "priority": "priority", "ultrafast": "priority"}
"""Google's tiers ("Flex inference", "Priority inference"; "Flex PayGo", "Priority PayGo")."""

_REMOTE = re.compile(r"(?i)https://(?:(?:www|m)\.)?(?:youtube\.com|youtu\.be)/"
                     r"|https://generativelanguage\.googleapis\.com/")  # fmt: skip
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")


def takes_url(url: str) -> bool:
    """Whether Google reads `url` itself, on every model: its own files, and YouTube. Whatever else
    is at https is to be fetched before; its storage only where the provider's row names it.
    """
    return _REMOTE.match(url) is not None


def path(target: Target, stream: bool) -> str:
    """The path at AI Studio."""
    return f"/v1beta/models/{target.path_name}{_method(stream)}"


def vertex_path(target: Target, stream: bool) -> str:
    """The path at Vertex; the provider's options have `project` and `location`."""
    return f"{publisher_path(target, 'google')}{_method(stream)}"


def vertex_claude_path(target: Target, stream: bool) -> str:
    """The path of Anthropic's models at Vertex."""
    method = "streamRawPredict" if stream else "rawPredict"
    return f"{publisher_path(target, 'anthropic')}:{method}"


def _method(stream: bool) -> str:
    return ":streamGenerateContent?alt=sse" if stream else ":generateContent"


def publisher_path(target: Target, publisher: str, version: str = "v1") -> str:
    """The model's own path at Vertex, to which a method is appended."""
    options = target.provider.options
    place = f"projects/{segment(options['project'])}/locations/{segment(options['location'])}"
    return f"/{version}/{place}/publishers/{publisher}/models/{target.path_name}"


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as AI Studio takes it.

    Raises GatewayError `provider_unfit` for an attachment or a form of the answer that it can not
    be sent, and `invalid_request` for what JSON could say to us and not from here.
    """
    return at_once(encode_steps(ask, target))


def encode_steps(ask: Ask, target: Target) -> Steps[Encoded]:
    """The same in steps."""
    body = yield from _body(ask, target, vertex=False)
    if target.tier is not None:
        body["serviceTier"] = _TIERS[target.tier]
    return Encoded((yield from json_steps(body, ask.text_bytes, spent="contents")))


def encode_vertex_request(ask: Ask, target: Target) -> Encoded:
    """The same as Vertex takes it, with the request's metadata as labels."""
    return at_once(vertex_steps(ask, target))


def vertex_steps(ask: Ask, target: Target) -> Steps[Encoded]:
    """The same in steps."""
    body = yield from _body(ask, target, vertex=True)
    if labels := _labels(ask.body.get("metadata")):
        body["labels"] = labels
    headers = NO_HEADERS if target.tier is None else {_VERTEX_TIER: _TIERS[target.tier]}
    return Encoded((yield from json_steps(body, ask.text_bytes, spent="contents")), headers)


def _body(ask: Ask, target: Target, *, vertex: bool) -> Steps[dict[str, Any]]:
    check_form(ask.body, target.provider)
    check_choice(ask.body, target.provider)
    family = family_of(target.model)
    messages = ask.body["messages"]
    system, contents = yield from encode_contents(messages, target, family, vertex=vertex)
    yield
    body: dict[str, Any] = {"contents": contents}
    cached = ask.body.get("cached_content") or ask.body.get("cachedContent")
    if isinstance(cached, str):
        # What a cache has, its user may not send again: it is a 400.
        body["cachedContent"] = cached
    else:
        if system:
            body["systemInstruction"] = {"parts": system}
        body |= encode_tools(ask.body, family, vertex=vertex)
    if config := generation_config(ask, target, family, vertex=vertex):
        body["generationConfig"] = config
    safety = ask.body.get("safety_settings") or ask.body.get("safetySettings")
    if isinstance(safety, list):
        body["safetySettings"] = safety
    return body


def _labels(metadata: object) -> dict[str, str]:
    """The pairs that Google takes as labels: lower-case letters, digits, `_` and `-`."""
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    return {
        key: value
        for key, value in pairs
        if isinstance(value, str) and _LABEL.fullmatch(key) and _LABEL_VALUE.fullmatch(value)
    }
