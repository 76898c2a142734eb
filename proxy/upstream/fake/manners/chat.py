"""OpenAI's chat completions, streamed and whole; with `reasoning_content` as DeepSeek has it."""

import uuid
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import ClassVar

from proxy.upstream.fake import shapes
from proxy.upstream.fake.ask import Ask, JSONObject, Request, child
from proxy.upstream.fake.asks.chat import decode_chat
from proxy.upstream.fake.manner import (
    STATUS,
    Event,
    Failure,
    Headers,
    Manner,
    Refusal,
    retry_after,
)
from proxy.upstream.fake.manners import voicing
from proxy.upstream.fake.reply import Reply, Token
from proxy.upstream.fake.seals import Seal
from proxy.upstream.fake.shapes import Style

_TIERS = ("flex", "priority")

ERROR = shapes.error("The server had an error while processing", None, "server_error")
_GROQ_ERROR: JSONObject = {
    "error": {
        "message": "Tool choice is required, but model did not call a tool",
        "type": "invalid_request_error",
        "code": "tool_use_failed",
        "failed_generation": "",
        "status_code": 400,
    }
}
_WORDS = {
    "rate-limit": ("Rate limit reached.", "rate_limit_exceeded", "requests"),
    "overloaded": ("The engine is currently overloaded.", None, "server_error"),
    "bad-key": ("Incorrect API key provided.", "invalid_api_key", "invalid_request_error"),
    "unknown-model": (
        "The model does not exist.",
        "model_not_found",
        "invalid_request_error",
    ),
    "too-long": (
        "This model's maximum context length is 8 tokens.",
        "context_length_exceeded",
        "invalid_request_error",
    ),
    "moderated": (
        "Your request was rejected by the safety system.",
        "moderation_blocked",
        "image_generation_user_error",
    ),
    "invalid": ("The request is not valid.", None, "invalid_request_error"),
}


class Chat(Manner):
    """OpenAI's chat completions."""

    name = "chat"
    headers: ClassVar[Headers] = (
        (b"openai-processing-ms", b"12"),
        (b"openai-version", b"2020-10-01"),
        (b"x-request-id", b"req_5f0c3a"),
    )
    contents: ClassVar[tuple[str, ...]] = ("choices",)

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_chat(request.body)

    def events(self, reply: Reply) -> Iterator[Event]:
        """See `Manner.events`; choices take turns."""
        style = style_of(reply)
        streams = [_choice(style, reply, index) for index in range(len(reply.spoken))]
        for row in zip_longest(*streams):
            yield from (event for event in row if event is not None)
        if style.include_usage and not style.thinks:
            yield Event("usage", style.chunk([], usage=style.usage(reply.count)))
        yield Event("done", None)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        style = style_of(reply)
        choices = [
            _message(style, index, reply, list(spoken)) for index, spoken in enumerate(reply.spoken)
        ]
        return style.whole(choices, reply.count)

    def refusal(self, failure: Failure) -> Refusal:
        """See `Manner.refusal`."""
        if failure.kind == "status":
            return Refusal(failure.status, ERROR, retry_after(failure))
        message, code, kind = _WORDS[failure.kind]
        body = shapes.error(failure.message or message, failure.code or code, kind)
        return Refusal(STATUS[failure.kind], body, retry_after(failure))

    def error_events(self) -> tuple[Event, ...]:
        """See `Manner.error_events`."""
        return Event("finish", ERROR), Event("done", None)

    def error_named(self) -> tuple[Event, ...]:
        """Groq's."""
        return (Event("finish", _GROQ_ERROR, "error"),)

    def models(self, names: Sequence[str], created: int) -> JSONObject:
        """See `Manner.models`."""
        return shapes.model_list(names, created)

    def unfinished(self, data: JSONObject) -> JSONObject | None:
        """See `Manner.unfinished`: the event that has the reason has nothing else."""
        choices = data.get("choices") or []
        if any("message" in choice for choice in choices):
            return data | {"choices": [choice | {"finish_reason": None} for choice in choices]}
        return None if any(choice["finish_reason"] for choice in choices) else data

    def emptied(self, body: JSONObject) -> JSONObject:
        """See `Manner.emptied`."""
        return body | {"choices": []}

    def recounted(self, event: Event) -> Event:
        """See `Manner.recounted`."""
        return Event("usage", (event.data or {}) | {"choices": []})

    def growing(self, event: Event, reply: Reply) -> Event:
        """See `Manner.growing`."""
        if event.data is None:
            return event
        return event._replace(data=event.data | {"usage": style_of(reply).usage(reply.count)})


def style_of(reply: Reply) -> Style:
    """What is the same in all events of `reply`."""
    options = child(reply.ask.body, "stream_options")
    padded = not reply.ask.thinks and options.get("include_obfuscation") is not False
    digits = reply.letters.encode()[:16]
    return Style(
        id=str(uuid.UUID(bytes=digits, version=4))
        if reply.ask.thinks
        else f"chatcmpl-{reply.letters}",
        created=reply.created,
        model=reply.ask.model,
        thinks=reply.ask.thinks,
        include_usage=options.get("include_usage") is True,
        padding=reply.letters[:16] if padded else "",
        logprobs=reply.ask.body.get("logprobs") is True,
        speaks=voicing.speaks(reply.ask),
        draws=voicing.draws(reply),
        tier=tier if (tier := reply.ask.body.get("service_tier")) in _TIERS else "default",
    )


def _choice(style: Style, reply: Reply, choice: int) -> Iterator[Event]:
    calls, spoken = len(reply.calls), reply.spoken[choice]
    lone = calls == 1 and not style.thinks  # OpenAI puts a lone call's start in the opening
    if not lone:
        yield Event("opening", style.opening(choice, calls=calls, first_call=None))
    for token in spoken:
        match token.kind:
            case "text" if style.speaks:
                first, second = voicing.pieces_of(reply, token.text)
                yield Event("frame", style.beside(choice, "audio", first))
                yield Event("token", style.beside(choice, "audio", second))
            case "text":
                yield Event("token", style.text(choice, token.text))
            case "reasoning":
                yield Event("token", style.reasoning(choice, token.text))
            case "call":
                start = shapes.call_start(token.call, f"call_{token.text}", token.name)
                if lone:
                    yield Event("opening", style.opening(choice, calls=1, first_call=start))
                else:
                    yield Event("token", style.call(choice, start, several=calls > 1))
            case _:
                piece = shapes.call_piece(token.call, token.text)
                yield Event("token", style.call(choice, piece, several=calls > 1))
    if style.speaks:
        yield Event("frame", style.beside(choice, "audio", voicing.expiry(reply)))
    if style.draws:
        yield Event("token", style.beside(choice, "images", voicing.drawn(reply)))
    usage = style.usage(reply.count) if style.thinks else None
    yield Event("finish", style.finish(choice, spoken.finish_reason, usage))


def _message(style: Style, choice: int, reply: Reply, tokens: Sequence[Token]) -> JSONObject:
    calls = []
    for start in (token for token in tokens if token.kind == "call"):
        pieces = (t.text for t in tokens if t.kind == "arguments" and t.call == start.call)
        calls.append(shapes.call_whole(f"call_{start.text}", start.name, "".join(pieces)))
    text = [token.text for token in tokens if token.kind == "text"]
    made = style.message(
        choice,
        text=text,
        reasoning="".join(token.text for token in tokens if token.kind == "reasoning"),
        calls=calls,
        finish_reason=reply.spoken[choice].finish_reason,
    )
    if style.speaks:
        made["message"] |= {"content": None, "audio": voicing.spoken(reply, text)}
    if style.draws:
        made["message"]["images"] = voicing.drawn(reply)
    return made
