"""Chat completions, the request: from OpenRouter's callers, and to providers of dialect `openai`.

Decoding checks the types of known fields and takes the gateway's own fields out; what it does not
know travels on untouched. Encoding says it as one provider takes it, by the flags of its row.
Contract: OpenRouter's ChatRequest, "Send a chat completion request" in its API reference.
"""

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from proxy.dialects.asking import Encoded, Target, encode_json
from proxy.dialects.attached import mend_steps
from proxy.dialects.bodies import decode_object
from proxy.dialects.chat.controls import encode_controls
from proxy.dialects.chat.fields import (
    OWN_FIELDS,
    SOFT,
    Fields,
    check_ranges,
    decode_fields,
    refuse_unbuilt,
    refuse_unbuilt_headers,
    unset,
    used_parameters,
    wants_routing,
    wished,
)
from proxy.dialects.chat.legacy import modernize
from proxy.dialects.chat.messages import encode_messages, message_steps
from proxy.dialects.chat.plain import BETAS_HEADER, plain_ask, plain_steps
from proxy.dialects.forms import Headers
from proxy.dialects.hosted import hosted_in
from proxy.dialects.options import options_of
from proxy.dialects.parts import media_of
from proxy.dialects.tiers import FAIR_TIERS, tier_of
from proxy.dialects.writing import json_steps
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.request import Ask, Thinking
from proxy.wire.slices import Steps, at_once

TOKENS_MAX: Final = 2_000_000  # of any context
TOKENS_PER_BYTE: Final = 3

_INPUTS: Final = {"image_url": "image", "video_url": "video", "input_audio": "audio"}
_MEDIA: Final = frozenset((*_INPUTS, "file"))

_BETA = re.compile(r"[\w.-]{1,80}")


def decode_request(body: bytes, headers: Headers = ()) -> Ask:
    """What the caller asks for. `headers` are those of its request, names in lower case.

    Raises GatewayError `invalid_request`, `invalid_image` or `not_supported`, each naming the
    field.
    """
    fields, size_bytes = decode_object(body), len(body)
    plain = plain_ask(fields, size_bytes, headers)
    return plain or at_once(check_steps(fields, size_bytes, headers))


def ask_of(fields: dict[str, Any], size_bytes: int, headers: Headers = ()) -> Ask:
    """The same of a request that was decoded, or that another format's was brought into; its body
    had `size_bytes`.
    """
    plain = plain_ask(fields, size_bytes, headers)
    return plain or at_once(check_steps(fields, size_bytes, headers))


def ask_steps(fields: dict[str, Any], size_bytes: int, headers: Headers = ()) -> Steps[Ask]:
    """The same in steps."""
    plain = yield from plain_steps(fields, size_bytes, headers)
    return plain or (yield from check_steps(fields, size_bytes, headers))


def check_steps(fields: dict[str, Any], size_bytes: int, headers: Headers = ()) -> Steps[Ask]:
    """The same by the whole check, which changes `fields` where they are mended."""
    refuse_unbuilt_headers(headers)
    known = decode_fields(fields)
    messages = _messages(fields, known)
    yield
    modern = modernize(fields, messages)
    if modern is not fields:
        fields, known = modern, decode_fields(modern)
    refuse_unbuilt(fields)
    check_ranges(known)
    own = OWN_FIELDS | {"messages"} | unset(fields)
    if fields.get("service_tier") not in FAIR_TIERS:
        own = own | {"service_tier"}
    travelling: dict[str, Any] = {"messages": messages}
    travelling |= {name: value for name, value in fields.items() if name not in own}
    yield
    media = [
        part
        for message in messages
        if isinstance(message.get("content"), list)
        for part in message["content"]
        if part["type"] in _MEDIA
    ]
    types = [part["type"] for part in media]
    text_bytes = max(0, size_bytes - sum(map(_text_size, media)))
    yield from mend_steps(messages)
    yield
    hosted = hosted_in(fields)
    wishes, used = wished(known.provider, known.route), used_parameters(fields, known)
    return Ask(
        models=names_of(known.model, known.models),
        body=travelling,
        stream=known.stream is True,
        choices=known.n or 1,
        max_tokens=known.max_completion_tokens or known.max_tokens,
        thinking=_thinking(fields, known),
        session_id=known.session_id,
        media_prompt=len(types) - types.count("input_audio"),
        audio_prompt=types.count("input_audio"),
        text_bytes=text_bytes,
        wide_prompt=sum(map(wide_tokens, media)),
        betas=_betas(headers),
        required=used if wishes.require_parameters else frozenset(),
        preferences=wishes,
        soft=used & SOFT,
        tier=tier_of(known.service_tier, known.speed),
        inputs=frozenset(_INPUTS[type_] for type_ in types if type_ in _INPUTS),
        outputs=frozenset(known.modalities or ()) - {"text"},
        options=options_of(known.provider),
        echo=known.debug is not None and known.debug.echo_upstream_body is True,
        told=wants_routing(headers),
        hosted=hosted.tools,
        searches=hosted.searches,
        names=hosted.named,
    )


def wide_tokens(part: dict[str, Any]) -> int:
    """How many tokens a file or a video may be, where a model reads it as it is: a page of a PDF
    can be as small as a kilobyte, and costs up to three thousand tokens. What is not at hand may be
    the whole context.
    """
    media = media_of(part)
    if media is None or media.kind not in ("file", "video"):
        return 0
    return TOKENS_MAX if media.data is None else min(TOKENS_MAX, TOKENS_PER_BYTE * len(media.data))


def _betas(headers: Headers) -> tuple[str, ...]:
    """The marks of `x-anthropic-beta`, which OpenRouter hands on to Anthropic's models."""
    told = [value for name, value in headers if name == BETAS_HEADER]
    marks = (mark.strip() for value in told for mark in value.decode("latin-1").split(","))
    return tuple(dict.fromkeys(mark for mark in marks if _BETA.fullmatch(mark)))


def _text_size(value: Any) -> int:
    """The bytes of all strings in a part: at most what they took in the body."""
    if isinstance(value, str):
        return len(value)
    entries = value.values() if isinstance(value, dict) else value
    return sum(map(_text_size, entries)) if isinstance(entries, Iterable) else 0


def _messages(fields: dict[str, Any], known: Fields) -> list[dict[str, Any]]:
    if known.messages:
        messages: list[dict[str, Any]] = fields["messages"]
        return messages
    if known.messages is None and known.prompt is not None:
        return [{"role": "user", "content": known.prompt}]
    reason = "messages: must not be empty" if known.messages == [] else "messages: required"
    raise GatewayError("invalid_request", reason)


def names_of(model: str | None, models: list[str] | None) -> tuple[str, ...]:
    """The models to try, first wish first. Raises GatewayError `invalid_request` where there are
    none.
    """
    names = ([model] if model else []) + (models or [])
    if not names:
        raise GatewayError("invalid_request", "No models provided")
    return tuple(dict.fromkeys(names))


def _thinking(fields: dict[str, Any], known: Fields) -> Thinking | None:
    wish = known.reasoning
    hidden = known.include_reasoning is False or (wish is not None and wish.exclude is True)
    if wish is None:
        if known.include_reasoning is None:
            return None
        return Thinking(wish={"exclude": True} if hidden else {}, hidden=hidden)
    if known.reasoning_effort and wish.effort and known.reasoning_effort != wish.effort:
        raise GatewayError("invalid_request", "reasoning_effort: differs from reasoning.effort")
    effort = wish.effort
    if effort is None and wish.enabled is False:
        effort = "none"
    elif effort is None and wish.enabled is True and wish.max_tokens is None:
        effort = known.reasoning_effort or "medium"
    return Thinking(
        wish=fields["reasoning"], effort=effort, max_tokens=wish.max_tokens, hidden=hidden
    )


def azure_path(target: Target, stream: bool, of: str = "/chat/completions") -> str:
    """The path at Azure OpenAI, where `target.model` is the name of a deployment; `of` is what it
    is elsewhere.
    """
    version = quote(target.provider.options["api_version"], safe="")
    return f"/openai/deployments/{target.path_name}{of}?api-version={version}"


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as this provider takes it.

    Raises GatewayError `invalid_request` for what JSON could say to us and not from here, and
    `provider_unfit` for an attachment that the provider does not take.
    """
    body = {"model": target.model, **ask.body}
    if not ask.bare or target.provider.quirks.alternates:
        messages = encode_messages(body["messages"], target.provider)
        body["messages"] = _recalled(messages, target.provider.quirks)
    if target.tier is not None:
        body["service_tier"] = target.tier
    encode_controls(body, ask, target.provider.quirks)
    return Encoded(encode_json(body))


def encode_steps(ask: Ask, target: Target) -> Steps[Encoded]:
    """The same in steps, for a request that is large."""
    body = {"model": target.model, **ask.body}
    if not ask.bare or target.provider.quirks.alternates:
        messages = yield from message_steps(body["messages"], target.provider)
        yield
        body["messages"] = _recalled(messages, target.provider.quirks)
    if target.tier is not None:
        body["service_tier"] = target.tier
    encode_controls(body, ask, target.provider.quirks)
    return Encoded((yield from json_steps(body, ask.text_bytes)))


def _recalled(messages: list[dict[str, Any]], quirks: Quirks) -> list[dict[str, Any]]:
    """The conversation with each spoken answer as no more than its id: OpenAI has the sound, and
    refuses whatever else a caller heard of it.
    """
    if quirks.reasoning_replay == "details":
        return messages
    return [
        message | {"audio": {"id": audio.get("id")}}
        if isinstance(audio := message.get("audio"), dict)
        else message
        for message in messages
    ]
