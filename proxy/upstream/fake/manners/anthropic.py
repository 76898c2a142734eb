"""Anthropic's Messages API, and the same on Vertex, which knows fewer keys."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final

import orjson

from proxy.upstream.fake.ask import Ask, JSONObject, Request
from proxy.upstream.fake.asks.anthropic import decode_messages
from proxy.upstream.fake.kinds import listed
from proxy.upstream.fake.manner import (
    STATUS,
    Event,
    Failure,
    Headers,
    Manner,
    Refusal,
    bearer,
    retry_after,
)
from proxy.upstream.fake.reply import Reply, Token, blocks
from proxy.upstream.fake.seals import Seal

_REASONS: Final = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}
_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_WORDS: Final = {
    "invalid": "Invalid request",
    "bad-key": "invalid x-api-key",
    "unknown-model": "model: {model}",
    "too-long": "prompt is too long: 208310 tokens > 200000 maximum",
    "rate-limit": "This request would exceed your account's rate limit. Please try again later.",
    "overloaded": "Overloaded",
    "status": "Internal server error",
}


class Anthropic(Manner):
    """Anthropic's own."""

    name = "anthropic"
    headers: ClassVar[Headers] = ((b"request-id", b"req_5f0c3a"),)
    keep_alive = b'event: ping\ndata: {"type": "ping"}\n\n'
    contents: ClassVar[tuple[str, ...]] = ("content", "content_block", "delta")
    vertex: ClassVar[bool] = False

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_messages(request, seal)

    def credential(self, request: Request, wanted: str | None) -> tuple[str, bool]:
        """See `Manner.credential`: either header does, but one there has to be."""
        sent = request.headers.get("x-api-key") or bearer(request)
        return sent, wanted is None or sent == wanted

    def events(self, reply: Reply) -> Iterator[Event]:
        """See `Manner.events`."""
        opening = self._message(reply, [], None, self._usage(reply, ended=False))
        yield _event("opening", "message_start", message=opening)
        for index, (kind, run) in enumerate(blocks(reply.spoken[0])):
            yield from _numbered(index, self._block(kind, run, reply))
            if index == 0:
                yield Event("frame", {"type": "ping"}, "ping")
            yield from _numbered(index, _deltas(kind, run, reply))
            yield _event("frame", "content_block_stop", index=index)
        delta = self._ending(reply)
        usage: JSONObject = {"output_tokens": reply.count.completion}
        if not self.vertex:
            usage = self._input(reply) | usage | self._details(reply)
        yield _event("finish", "message_delta", delta=delta, usage=usage)
        yield _event("done", "message_stop")

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        content = [self._whole_block(kind, list(run), reply) for kind, run in _runs(reply)]
        ending = self._ending(reply)
        usage = self._usage(reply, ended=True)
        return self._message(reply, content, ending, usage)

    def refusal(self, failure: Failure) -> Refusal:
        """See `Manner.refusal`; what is overloaded answers 529 here."""
        status = failure.status if failure.kind == "status" else STATUS[failure.kind]
        status = 529 if failure.kind == "overloaded" else status
        message = failure.message or _WORDS[failure.kind].format(model=failure.model)
        return Refusal(
            status,
            {
                "type": "error",
                "error": {"type": _TYPES.get(status, "api_error"), "message": message},
                "request_id": "req_5f0c3a",
            },
            retry_after(failure),
        )

    def error_events(self) -> tuple[Event, ...]:
        """See `Manner.error_events`."""
        error = {"type": "overloaded_error", "message": "Overloaded"}
        return (_event("finish", "error", error=error),)

    def models(self, names: Sequence[str], created: int) -> JSONObject:
        """See `Manner.models`."""
        names = [name for name, _ in listed(names, "chat")]
        rows = [
            {
                "type": "model",
                "id": name,
                "display_name": name,
                "created_at": "2025-06-15T00:00:00Z",
                "max_input_tokens": 131_072,
                "max_tokens": 32_768,
                "capabilities": {"structured_outputs": {"supported": True}},
            }
            for name in names
        ]
        ends = (names[0], names[-1]) if names else (None, None)
        return {"data": rows, "has_more": False, "first_id": ends[0], "last_id": ends[1]}

    def unfinished(self, data: JSONObject) -> JSONObject | None:
        """See `Manner.unfinished`."""
        if "stop_reason" in data:
            return data | {"stop_reason": None}
        delta = data.get("delta")
        if isinstance(delta, dict) and "stop_reason" in delta:
            return data | {"delta": delta | {"stop_reason": None}}
        return data

    def uncounted(self, data: JSONObject) -> JSONObject:
        """See `Manner.uncounted`; the first event has its usage one level down."""
        if isinstance(message := data.get("message"), dict):
            return data | {"message": super().uncounted(message)}
        return super().uncounted(data)

    def emptied(self, body: JSONObject) -> JSONObject:
        """See `Manner.emptied`."""
        return body | {"content": []}

    def frame(self, name: str, data: bytes) -> bytes:
        """See `Manner.frame`; many objects have blanks behind them."""
        blanks = b"" if name == "ping" else b" " * (len(data) % 11)
        return super().frame(name, data + blanks)

    def payload(self, event: Event) -> bytes:
        """See `Manner.payload`."""
        return b'{"type": "ping"}' if event.name == "ping" else orjson.dumps(event.data)

    def _message(
        self, reply: Reply, content: list[JSONObject], ending: JSONObject | None, usage: JSONObject
    ) -> JSONObject:
        reasons: JSONObject = {"stop_reason": None, "stop_sequence": None}
        if not self.vertex:
            reasons["stop_details"] = None
        return {
            "model": reply.ask.model,
            "id": f"msg_01{reply.letters[:22]}",
            "type": "message",
            "role": "assistant",
            "content": content,
            **(ending or reasons),
            "usage": usage,
        }

    def _ending(self, reply: Reply) -> JSONObject:
        reason = _REASONS[reply.spoken[0].finish_reason]
        if reply.stopped_by is not None:
            reason = "stop_sequence"
        ending: JSONObject = {"stop_reason": reason, "stop_sequence": reply.stopped_by}
        return ending if self.vertex else ending | {"stop_details": None}

    def _input(self, reply: Reply) -> JSONObject:
        """The input's tokens, of which those in the cache are no part."""
        count = reply.count
        return {
            "input_tokens": count.prompt - count.cache_read - count.cache_written,
            "cache_creation_input_tokens": count.cache_written,
            "cache_read_input_tokens": count.cache_read,
        }

    def _details(self, reply: Reply) -> JSONObject:
        return {"output_tokens_details": {"thinking_tokens": reply.count.reasoning}}

    def _usage(self, reply: Reply, *, ended: bool) -> JSONObject:
        usage, count = self._input(reply), reply.count
        output = {"output_tokens": count.completion if ended else 1}
        if self.vertex:
            return usage | output
        an_hour = count.cache_written and b'"ttl":"1h"' in orjson.dumps(reply.ask.body)
        usage["cache_creation"] = {
            "ephemeral_5m_input_tokens": 0 if an_hour else count.cache_written,
            "ephemeral_1h_input_tokens": count.cache_written if an_hour else 0,
        }
        usage |= output
        if ended:
            usage |= self._details(reply)
        return usage | {"service_tier": "standard", "inference_geo": "global"}

    def _call(self, token: Token, arguments: Any) -> JSONObject:
        call: JSONObject = {"type": "tool_use", "id": f"toolu_01{token.text[:22]}"}
        call |= {"name": token.name, "input": arguments}
        return call if self.vertex else call | {"caller": {"type": "direct"}}

    def _block(self, kind: str, run: Iterator[Token], reply: Reply) -> Iterator[Event]:
        """The start of a block; a call's takes its first token."""
        match kind:
            case "call":
                block, told = self._call(next(run), {}), "token"
            case "reasoning":
                block, told = {"type": "thinking", "thinking": "", "signature": ""}, "frame"
            case _:
                block, told = {"type": "text", "text": ""}, "frame"
        yield _event(told, "content_block_start", content_block=block)

    def _whole_block(self, kind: str, run: list[Token], reply: Reply) -> JSONObject:
        if kind == "call":
            return self._call(run[0], arguments_of(run[1:]))
        text = "".join(token.text for token in run)
        if kind == "reasoning":
            return {"type": "thinking", "thinking": text, "signature": reply.seal.sign(text)}
        return {"type": "text", "text": text}


class Vertex(Anthropic):
    """Claude on Vertex, as it was recorded."""

    name = "vertex-anthropic"
    vertex = True


def _runs(reply: Reply) -> Iterable[tuple[str, Iterator[Token]]]:
    return blocks(reply.spoken[0])


def _event(kind: Any, name: str, **data: Any) -> Event:
    return Event(kind, {"type": name, **data}, name)


def _numbered(index: int, events: Iterable[Event]) -> Iterator[Event]:
    for event in events:
        data = event.data or {}
        rest = {key: value for key, value in data.items() if key != "type"}
        yield event._replace(data={"type": event.name, "index": index, **rest})


def _deltas(kind: str, run: Iterator[Token], reply: Reply) -> Iterator[Event]:
    name = "content_block_delta"
    if kind == "call":
        yield _event("frame", name, delta={"type": "input_json_delta", "partial_json": ""})
    said = ""
    for token in run:
        said += token.text
        match kind:
            case "call":
                delta = {"type": "input_json_delta", "partial_json": token.text}
            case "reasoning":
                delta = {"type": "thinking_delta", "thinking": token.text}
            case _:
                delta = {"type": "text_delta", "text": token.text}
        yield _event("token", name, delta=delta)
    if kind == "reasoning":
        signature = {"type": "signature_delta", "signature": reply.seal.sign(said)}
        yield _event("frame", name, delta=signature)


def arguments_of(tokens: Iterable[Token]) -> Any:
    """The arguments of a call as an object; empty where the answer was cut inside them."""
    try:
        return json.loads("".join(token.text for token in tokens))
    except json.JSONDecodeError:
        return {}
