"""Cohere's v2 chat, as it was recorded."""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from proxy.upstream.fake.ask import Ask, JSONObject, Request
from proxy.upstream.fake.asks.cohere import decode_v2
from proxy.upstream.fake.kinds import listed
from proxy.upstream.fake.manner import (
    STATUS,
    Event,
    Failure,
    Manner,
    Refusal,
    retry_after,
)
from proxy.upstream.fake.reply import Reply, Token, blocks, words
from proxy.upstream.fake.seals import Seal

_REASONS: Final = {"stop": "COMPLETE", "tool_calls": "TOOL_CALL", "length": "MAX_TOKENS"}
_ENDPOINTS: Final = {"chat": "chat", "embeddings": "embed", "rerank": "rerank"}
_PLAN: Final = tuple(words("I will use the tools that fit."))
_WORDS: Final = {
    "invalid": "invalid request",
    "bad-key": "invalid api token",
    "unknown-model": (
        "model '{model}' not found, make sure the correct model ID was used and that you have"
        " access to the model."
    ),
    "too-long": (
        "too many tokens: total number of tokens in the prompt cannot exceed 8 - received 9. Try"
        " using a shorter prompt."
    ),
    "rate-limit": "You are past the per minute request limit, please wait and try again later.",
    "overloaded": "The service is currently overloaded, please try again later.",
    "status": "internal server error",
}


class Cohere(Manner):
    """Cohere's own; a plan, where there is one, counts like an answer."""

    name = "cohere"
    headers = ((b"x-debug-trace-id", b"5f0c3a"),)
    contents: ClassVar[tuple[str, ...]] = ("delta", "message")

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_v2(request, seal)

    def events(self, reply: Reply) -> Iterator[Event]:
        """See `Manner.events`."""
        empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}
        start = _event("opening", "message-start", {"message": empty | {"citations": []}})
        yield start._replace(data={"id": _id(reply), **(start.data or {})})
        for word in _plan(reply):
            yield _event("token", "tool-plan-delta", {"message": {"tool_plan": word}})
        index = 0
        for kind, run in blocks(reply.spoken[0]):
            if kind == "call":
                yield from _call_events(run)
                continue
            name = "thinking" if kind == "reasoning" else "text"
            opened = {"message": {"content": {"type": name, name: ""}}}
            yield _event("frame", "content-start", opened, index)
            for token in run:
                delta = {"message": {"content": {name: token.text}}}
                yield _event("token", "content-delta", delta, index)
            yield _event("frame", "content-end", None, index)
            index += 1
        ending = {"finish_reason": _reason(reply), "usage": _usage(reply)}
        yield _event("done", "message-end", ending)
        yield Event("done", None)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        content: list[JSONObject] = []
        calls: list[JSONObject] = []
        for kind, run in blocks(reply.spoken[0]):
            tokens = list(run)
            text = "".join(token.text for token in tokens if token.kind != "call")
            if kind == "call":
                calls.append(_call(tokens[0], text))
            else:
                name = "thinking" if kind == "reasoning" else "text"
                content.append({"type": name, name: text})
        message: JSONObject = {"role": "assistant"}
        message |= {"content": content} if content else {}
        message |= {"tool_plan": "".join(_plan(reply))} if _plan(reply) else {}
        message |= {"tool_calls": calls} if calls else {}
        ending = {"finish_reason": _reason(reply), "usage": _usage(reply)}
        return {"id": _id(reply), "message": message} | ending

    def refusal(self, failure: Failure) -> Refusal:
        """See `Manner.refusal`."""
        status = failure.status if failure.kind == "status" else STATUS[failure.kind]
        message = failure.message or _WORDS[failure.kind].format(model=failure.model)
        body = {"id": "00000000-0000-4000-8000-000000000000", "message": message}
        return Refusal(status, body, retry_after(failure))

    def error_events(self) -> tuple[Event, ...]:
        """See `Manner.error_events`."""
        words = "No valid response generated. Try updating messages"
        ending = {"finish_reason": "ERROR", "usage": {}, "error": words}
        return _event("finish", "message-end", ending), Event("done", None)

    def models(self, names: Sequence[str], created: int) -> JSONObject:
        """See `Manner.models`."""
        rows = [
            {
                "name": name,
                "endpoints": [_ENDPOINTS[kind]],
                "finetuned": False,
                "context_length": 131_072,
                "tokenizer_url": None,
                "features": None,
                "default_endpoints": [],
            }
            for name, kind in listed(names, *_ENDPOINTS)
        ]
        return {"models": rows}

    def unfinished(self, data: JSONObject) -> JSONObject | None:
        """See `Manner.unfinished`."""
        data = {key: value for key, value in data.items() if key != "finish_reason"}
        if isinstance(delta := data.get("delta"), dict):
            kept = {key: value for key, value in delta.items() if key != "finish_reason"}
            return data | {"delta": kept}
        return data

    def uncounted(self, data: JSONObject) -> JSONObject:
        """See `Manner.uncounted`; an event has it one level down."""
        if isinstance(delta := data.get("delta"), dict):
            return data | {"delta": super().uncounted(delta)}
        return super().uncounted(data)

    def counted(self, data: JSONObject) -> bool:
        """See `Manner.counted`."""
        return bool((data.get("delta") or {}).get("usage"))

    def emptied(self, body: JSONObject) -> JSONObject:
        """See `Manner.emptied`."""
        return body | {"message": {"role": "assistant", "content": []}}


def _event(kind: Any, name: str, delta: JSONObject | None, index: int | None = None) -> Event:
    data: JSONObject = {"type": name}
    data |= {} if index is None else {"index": index}
    data |= {} if delta is None else {"delta": delta}
    return Event(kind, data, name)


def _id(reply: Reply) -> str:
    return str(uuid.UUID(bytes=reply.letters.encode()[:16], version=4))


def _plan(reply: Reply) -> Sequence[str]:
    """A model that does not think says beforehand what it will call."""
    return _PLAN if reply.calls and not reply.thinks else ()


def _reason(reply: Reply) -> str:
    if reply.stopped_by is not None:
        return "STOP_SEQUENCE"
    return _REASONS[reply.spoken[0].finish_reason]


def _usage(reply: Reply) -> JSONObject:
    count = reply.count
    said = count.completion + len(_plan(reply))
    tokens = {"input_tokens": count.prompt, "output_tokens": said}
    billed = {"input_tokens": count.prompt, "output_tokens": said}
    return {"billed_units": billed, "tokens": tokens, "cached_tokens": 0}


def _call(start: Token, arguments: str) -> JSONObject:
    function = {"name": start.name, "arguments": arguments}
    call_id = f"{start.name}_{start.text[:12].lower()}"
    return {"id": call_id, "type": "function", "function": function}


def _call_events(run: Iterator[Token]) -> Iterator[Event]:
    start = next(run)
    opened = {"message": {"tool_calls": _call(start, "")}}
    yield _event("token", "tool-call-start", opened, start.call)
    for token in run:
        delta = {"message": {"tool_calls": {"function": {"arguments": token.text}}}}
        yield _event("token", "tool-call-delta", delta, start.call)
    yield _event("frame", "tool-call-end", None, start.call)
