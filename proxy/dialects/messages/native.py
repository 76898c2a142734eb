"""A request in Anthropic's words for a provider that speaks them: all that the caller wrote.

Only the fields that are the gateway's, and those that would make the answer dearer than its
endpoint's price says, are taken out; what is not known travels on.
"""

from typing import Any, Final

from proxy.dialects.asking import Encoded, Target, encode_json
from proxy.dialects.messages.blocks import Block
from proxy.dialects.messages.models import claude_of
from proxy.dialects.messages.request import (
    FAST,
    FAST_BETA,
    USER_CHARS_MAX,
    VERSION,
    VERTEX_VERSION,
)
from proxy.wire.request import Ask

_OURS: Final = frozenset((
    "model", "models", "fallbacks", "provider", "plugins", "session_id", "trace", "user", "route",
    "preset", "transforms", "debug", "usage", "stop_server_tools_when", "stream", "speed",
    "service_tier",
))  # fmt: skip
"""What the gateway reads, or writes anew. A fast answer costs up to six times as much: `speed`
is said to an endpoint that is fast, and to no other."""

_TIERS: Final = {"auto": "auto", "standard_only": "standard_only", "default": "standard_only"}


def native_of(fields: dict[str, Any], user: str | None) -> dict[str, Any]:
    """The request as it may travel. Null, which OpenRouter takes for absent, is a 400."""
    native = {
        name: value for name, value in fields.items() if name not in _OURS and value is not None
    }
    if isinstance(output := native.get("output_config"), dict):
        native["output_config"] = {k: one for k, one in output.items() if one is not None}
    if tier := _TIERS.get(str(fields.get("service_tier"))):
        native["service_tier"] = tier
    if user and len(user) <= USER_CHARS_MAX:
        native["metadata"] = native.get("metadata", {}) | {"user_id": user}
    return native


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The caller's request as Anthropic takes it."""
    headers = {"anthropic-version": VERSION}
    betas = (*ask.betas, FAST_BETA) if target.tier in FAST else ask.betas
    if betas:
        headers["anthropic-beta"] = ",".join(dict.fromkeys(betas))
    return Encoded(encode_json({"model": target.model, **_body(ask, target)}), headers)


def encode_vertex(ask: Ask, target: Target) -> Encoded:
    """The same for a Claude on Vertex AI; the path names the model. It places no caching mark by
    itself: that of the whole request stands on its last block.
    """
    version: dict[str, Any] = {"anthropic_version": VERTEX_VERSION}
    if ask.betas:
        version["anthropic_beta"] = list(ask.betas)
    body = _body(ask, target)
    if mark := body.pop("cache_control", None):
        body["messages"] = _marked(body["messages"], mark)
    return Encoded(encode_json({**version, **body}))


def _marked(messages: list[Block], mark: object) -> list[Block]:
    *earlier, last = messages
    content = last["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not blocks:
        return messages
    blocks = [*blocks[:-1], {"cache_control": mark, **blocks[-1]}]
    return [*earlier, {**last, "content": blocks}]


def _body(ask: Ask, target: Target) -> dict[str, Any]:
    assert ask.native is not None
    completion_max = target.completion_max or claude_of(target.model).completion_max
    max_tokens = min(ask.max_tokens or completion_max, target.completion_max or 2**31)
    body = ask.native | {"max_tokens": max_tokens}
    if target.tier in FAST:
        body["speed"] = "fast"
    return body | {"stream": True} if ask.stream else body
