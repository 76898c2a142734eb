"""Callers of three formats who hold the same conversation, each as a client of its own format does.

They write requests and read answers by each format's own reference, and share nothing with `proxy`.
What they were told goes back as they got it: signatures, ids and all.
"""

import json
from abc import ABC, abstractmethod
from decimal import Decimal
from typing import Any, ClassVar, Final, NamedTuple

from tests.heard import heard_answer, heard_stream, merged
from tests.order import Listener, events_of

Json = dict[str, Any]

PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
URL: Final = f"data:image/png;base64,{PNG}"
MARK: Final = {"cache_control": {"type": "ephemeral"}}
QUESTION: Final = "Call both tools: what are the weather and the time here?"
THANKS: Final = "Thanks. And what does a weir do?"
RESULTS: Final = {"get_weather": "4 degrees", "get_time": "noon"}
ARGUMENTS: Final = {"get_weather": "city", "get_time": "zone"}
MAX_TOKENS: Final = 4000
THOUGHT_TOKENS: Final = 2000


def schema(field: str) -> Json:
    """That of a function's arguments."""
    return {"type": "object", "properties": {field: {"type": "string"}}, "required": [field]}


class Counts(NamedTuple):
    """Usage in one counting for all: parts are within their whole."""

    prompt: int
    completion: int
    cached: int = 0
    written: int = 0
    reasoning: int = 0


class Call(NamedTuple):
    """A call as its caller was told it; `arguments` are JSON with sorted keys."""

    id: str
    name: str
    arguments: str


class Said(NamedTuple):
    """One answer. `turns` are what its caller sends back of it, `names` is who is said to have
    answered.
    """

    text: str
    reasoning: str
    signed: bool
    calls: list[Call]
    finish: str
    counts: Counts
    cost_nano: int
    names: list[str]
    turns: list[Json]


def nano(usd: float) -> int:
    """Nano-dollars of an amount in dollars, which is exact in them."""
    amount = Decimal(repr(usd)) * 10**9
    assert amount == int(amount)
    return int(amount)


class Caller(ABC):
    """A caller of one format. `turns` is the name of the list that the conversation is in,
    `called` and `stopped` are why an answer ended.
    """

    path: ClassVar[str]
    turns: ClassVar[str]
    called: ClassVar[str]
    stopped: ClassVar[str]

    @abstractmethod
    def opening(self, system: str) -> tuple[Json, list[Json]]:
        """The request without the conversation, and its first turns, a picture among them."""

    @abstractmethod
    def results(self, calls: list[Call]) -> list[Json]:
        """What the tools gave, the first of them a picture too."""

    @abstractmethod
    def says(self, text: str) -> Json:
        """A turn of the user."""

    @abstractmethod
    def streamed(self, raw: bytes) -> Said:
        """What it hears in a stream, whose events must come in order."""

    @abstractmethod
    def whole(self, raw: bytes) -> Said:
        """What it hears in a whole answer."""

    def heard(self, raw: bytes, *, stream: bool) -> Said:
        """What it hears in either."""
        return self.streamed(raw) if stream else self.whole(raw)


class Chat(Caller):
    """One of OpenRouter's chat."""

    path, turns = "chat/completions", "messages"
    called, stopped = "tool_calls", "stop"

    def opening(self, system: str) -> tuple[Json, list[Json]]:
        tools = [
            {"type": "function", "function": {"name": name, "parameters": schema(field)}}
            for name, field in ARGUMENTS.items()
        ]
        told = {"reasoning": {"max_tokens": THOUGHT_TOKENS}, "max_tokens": MAX_TOKENS}
        question = [
            {"type": "text", "text": QUESTION},
            {"type": "image_url", "image_url": {"url": URL}},
        ]
        return told | {"tools": tools}, [
            {"role": "system", "content": [{"type": "text", "text": system, **MARK}]},
            {"role": "user", "content": question},
        ]

    def results(self, calls: list[Call]) -> list[Json]:
        picture = {"type": "image_url", "image_url": {"url": URL}}
        return [
            {
                "role": "tool",
                "tool_call_id": call.id,
                "content": [{"type": "text", "text": RESULTS[call.name]}, picture][: 2 - number],
            }
            for number, call in enumerate(calls)
        ]

    def says(self, text: str) -> Json:
        return {"role": "user", "content": text}

    def streamed(self, raw: bytes) -> Said:
        events = [json.loads(one[6:]) for one in raw.split(b"\n\n") if one.startswith(b"data: {")]
        voice = heard_stream(raw).voices[0]
        calls = [
            {"id": id_, "type": type_, "function": {"name": name, "arguments": arguments}}
            for id_, type_, name, arguments in voice.calls
        ]
        message: Json = {"role": "assistant", "content": voice.text}
        if calls:
            message["tool_calls"] = calls
        if voice.details:
            message["reasoning_details"] = merged(voice.details)
        return self._said(events[-1], message, voice.reasoning, str(voice.finish))

    def whole(self, raw: bytes) -> Said:
        voice = heard_answer(raw).voices[0]
        answer = json.loads(raw)
        message = answer["choices"][0]["message"]
        return self._said(answer, message, voice.reasoning, str(voice.finish))

    def _said(self, answer: Json, message: Json, reasoning: str, finish: str) -> Said:
        details = message.get("reasoning_details") or ()
        return Said(
            text=message["content"] or "",
            reasoning=reasoning,
            signed=any(one.get("signature") or one.get("data") for one in details),
            calls=[
                call_of(one["id"], one["function"]["name"], one["function"]["arguments"])
                for one in message.get("tool_calls") or ()
            ],
            finish=finish,
            counts=counts_of(answer["usage"]),
            cost_nano=nano(answer["usage"]["cost"]),
            names=[answer["model"], answer["provider"]],
            turns=[message],
        )


def counts_of(usage: Json) -> Counts:
    """The counts in OpenAI's usage object."""
    prompt, completion = usage["prompt_tokens_details"], usage["completion_tokens_details"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    return Counts(
        usage["prompt_tokens"],
        usage["completion_tokens"],
        prompt["cached_tokens"],
        prompt["cache_write_tokens"],
        completion["reasoning_tokens"],
    )


def text_streamed(raw: bytes) -> Said:
    """What a caller of text completions hears in a stream, which must have OpenRouter's shape."""
    *frames, last, nothing = raw.split(b"\n\n")
    assert (last, nothing) == (b"data: [DONE]", b"")
    *pieces, end, again = [json.loads(one.removeprefix(b"data: ")) for one in frames]
    for one in (*pieces, end, again):
        assert one["object"] == "text_completion"
        assert all(one[name] == again[name] for name in ("id", "created", "model", "provider"))
    assert "usage" not in end
    assert end["choices"] == again["choices"]
    told = [one["choices"][0] for one in pieces]
    assert all(one["finish_reason"] is None for one in told)
    whole = again["choices"][0] | {
        "text": "".join(one["text"] for one in told),
        "reasoning": "".join(one.get("reasoning") or "" for one in told),
    }
    return _completed(again, whole)


def text_whole(raw: bytes) -> Said:
    """What it hears in a whole answer."""
    answer = json.loads(raw)
    assert answer["object"] == "text_completion"
    (choice,) = answer["choices"]
    return _completed(answer, choice)


def _completed(answer: Json, choice: Json) -> Said:
    return Said(
        text=choice["text"],
        reasoning=choice.get("reasoning") or "",
        signed=False,
        calls=[],
        finish=choice["finish_reason"],
        counts=counts_of(answer["usage"]),
        cost_nano=nano(answer["usage"]["cost"]),
        names=[answer["model"], answer["provider"]],
        turns=[],
    )


class Messages(Caller):
    """One of Anthropic's Messages."""

    path, turns = "messages", "messages"
    called, stopped = "tool_use", "end_turn"

    def opening(self, system: str) -> tuple[Json, list[Json]]:
        tools = [{"name": name, "input_schema": schema(field)} for name, field in ARGUMENTS.items()]
        told = {
            "system": [{"type": "text", "text": system, **MARK}],
            "tools": tools,
            "thinking": {"type": "enabled", "budget_tokens": THOUGHT_TOKENS},
            "max_tokens": MAX_TOKENS,
        }
        content = [{"type": "text", "text": QUESTION}, self._picture()]
        return told, [{"role": "user", "content": content}]

    def _picture(self) -> Json:
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        return {"type": "image", "source": source}

    def results(self, calls: list[Call]) -> list[Json]:
        blocks = [
            {
                "type": "tool_result",
                "tool_use_id": call.id,
                "content": [{"type": "text", "text": RESULTS[call.name]}, self._picture()][
                    : 2 - number
                ],
            }
            for number, call in enumerate(calls)
        ]
        return [{"role": "user", "content": blocks}]

    def says(self, text: str) -> Json:
        return {"role": "user", "content": text}

    def streamed(self, raw: bytes) -> Said:
        return self._said(told_in_order(raw))

    def whole(self, raw: bytes) -> Said:
        return self._said(json.loads(raw))

    def _said(self, message: Json) -> Said:
        assert (message["type"], message["role"]) == ("message", "assistant")
        blocks, usage = message["content"], message["usage"]
        assert {one["type"] for one in blocks} <= {
            "text", "thinking", "redacted_thinking", "tool_use",
        }  # fmt: skip
        cached, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
        return Said(
            text="".join(one["text"] for one in blocks if one["type"] == "text"),
            reasoning="".join(one["thinking"] for one in blocks if one["type"] == "thinking"),
            signed=any(one.get("signature") or one.get("data") for one in blocks),
            calls=[
                call_of(one["id"], one["name"], json.dumps(one["input"]))
                for one in blocks
                if one["type"] == "tool_use"
            ],
            finish=message["stop_reason"],
            counts=Counts(
                usage["input_tokens"] + cached + written, usage["output_tokens"], cached, written
            ),
            cost_nano=nano(usage["cost"]),
            names=[message["model"], message["provider"]],
            turns=[{"role": "assistant", "content": blocks}],
        )


def call_of(id_: str, name: str, arguments: str) -> Call:
    """A call whose arguments are an object."""
    told = json.loads(arguments)
    assert isinstance(told, dict)
    return Call(id_, name, json.dumps(told, sort_keys=True))


DELTAS: Final = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use", "partial_json"),
}


def told_in_order(raw: bytes) -> Json:
    """The message that a stream of Anthropic's events adds up to; AssertionError for an event that
    may not come then.
    """
    message: Json = {}
    open_: Json | None = None
    given, ended = "", False
    for one in anthropic_events(raw):
        type_ = one["type"]
        assert "stopped" not in message, "nothing comes after the end"
        assert bool(message) == (type_ != "message_start")
        if type_ == "message_start":
            message = one["message"]
            assert (message["content"], message["stop_reason"]) == ([], None)
        elif type_ == "content_block_start":
            assert open_ is None
            assert not ended
            assert one["index"] == len(message["content"])
            open_, given = one["content_block"], ""
        elif type_ == "content_block_delta":
            assert open_ is not None
            assert one["index"] == len(message["content"])
            kind, name = DELTAS[one["delta"]["type"]]
            assert open_["type"] == kind
            if name == "partial_json":
                given += one["delta"][name]
            else:
                open_[name] += one["delta"][name]
        elif type_ == "content_block_stop":
            assert open_ is not None
            assert one["index"] == len(message["content"])
            message["content"].append(open_ | ({"input": json.loads(given)} if given else {}))
            open_ = None
        elif type_ == "message_delta":
            assert open_ is None
            ended = True
            message |= one["delta"] | {"usage": message["usage"] | one["usage"]}
        else:
            assert (type_, ended) == ("message_stop", True)
            message["stopped"] = True
    assert message.pop("stopped")
    return message


def anthropic_events(raw: bytes) -> list[Json]:
    """The events of a stream but its pings, each with its name before it."""
    found = []
    for frame in raw.removesuffix(b"\n\n").split(b"\n\n"):
        lines = frame.split(b"\n")
        if all(line.startswith(b":") for line in lines):
            continue
        name, data = lines
        event = json.loads(data.removeprefix(b"data: "))
        assert name == f"event: {event['type']}".encode()
        if event["type"] != "ping":
            found.append(event)
    return found


class Responses(Caller):
    """One of OpenAI's Responses."""

    path, turns = "responses", "input"
    called = stopped = "completed"

    def opening(self, system: str) -> tuple[Json, list[Json]]:
        tools = [
            {"type": "function", "name": name, "parameters": schema(field), "strict": False}
            for name, field in ARGUMENTS.items()
        ]
        told = {
            "tools": tools,
            "reasoning": {"effort": "medium", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
            "max_output_tokens": MAX_TOKENS,
            "store": False,
        }
        content = [
            {"type": "input_text", "text": QUESTION},
            {"type": "input_image", "image_url": URL, "detail": "auto"},
        ]
        return told, [
            {"role": "developer", "content": [{"type": "input_text", "text": system, **MARK}]},
            {"role": "user", "content": content},
        ]

    def results(self, calls: list[Call]) -> list[Json]:
        picture = {"type": "input_image", "image_url": URL, "detail": "auto"}
        return [
            {
                "type": "function_call_output",
                "call_id": call.id,
                "output": RESULTS[call.name]
                if number
                else [{"type": "input_text", "text": RESULTS[call.name]}, picture],
            }
            for number, call in enumerate(calls)
        ]

    def says(self, text: str) -> Json:
        return {"role": "user", "content": text}

    def streamed(self, raw: bytes) -> Said:
        named = raw.startswith(b"event: ")  # a provider's own events are passed on with their names
        listener = Listener()
        for event in events_of(raw, named=named):
            listener.hear(event)
        assert listener.last is not None
        return self._said(listener.last)

    def whole(self, raw: bytes) -> Said:
        return self._said(json.loads(raw))

    def _said(self, response: Json) -> Said:
        assert response["object"] == "response"
        assert response["error"] is None
        items, usage = response["output"], response["usage"]
        prompt, completion = usage["input_tokens_details"], usage["output_tokens_details"]
        assert {one["type"] for one in items} <= {"reasoning", "message", "function_call"}
        thoughts = [one for one in items if one["type"] == "reasoning"]
        return Said(
            text=_text(items, "message", "content"),
            reasoning=_text(thoughts, "reasoning", "content") or _text(thoughts, "reasoning"),
            signed=any(one.get("encrypted_content") or one.get("signature") for one in thoughts),
            calls=[
                call_of(one["call_id"], one["name"], one["arguments"])
                for one in items
                if one["type"] == "function_call"
            ],
            finish=response["status"],
            counts=Counts(
                usage["input_tokens"],
                usage["output_tokens"],
                prompt["cached_tokens"],
                prompt.get("cache_write_tokens", 0),
                completion["reasoning_tokens"],
            ),
            cost_nano=nano(usage["cost"]),
            names=[response["model"]],
            turns=items,
        )


def _text(items: list[Json], kind: str, list_: str = "summary") -> str:
    parts = (part for one in items if one["type"] == kind for part in one.get(list_) or ())
    return "".join(part["text"] for part in parts)


CALLERS: Final[dict[str, Caller]] = {
    "chat": Chat(),
    "messages": Messages(),
    "responses": Responses(),
}
