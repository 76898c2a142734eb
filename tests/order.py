"""What a client of Responses hears: events in a legal order, and what they add up to.

Written from OpenAI's reference and recorded traffic, not from the code of `proxy`. Whatever is
told in pieces must be the same when it is told whole, in its item and in the response at the end.
"""

import json
from functools import cache
from typing import Any, get_args

from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, ValidationError

from proxy.dialects.forms import Bill
from proxy.money import Cost
from proxy.wire.events import Usage
from proxy.wire.request import Head

Json = dict[str, Any]

HEAD = Head(id="gen-1700000000-abcdefghij0123456789", created=1700000000, model="a/b", provider="P")
BILL = Bill(
    Usage(prompt_tokens=5, completion_tokens=7, cached_tokens=2, reasoning_tokens=3),
    Cost(total_nano=3000, charge_nano=4000, prompt_nano=1000, completion_nano=2000),
)
USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 12,
    "cost": 4e-6,
    "is_byok": False,
    "cost_details": {
        "upstream_inference_cost": 3e-6,
        "upstream_inference_input_cost": 1e-6,
        "upstream_inference_output_cost": 2e-6,
    },
}
"""What `BILL` is to a caller."""

PARTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
    "summary_text": ("text", "response.reasoning_summary_text"),
}
CALLS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
DONE_MARK = b"data: [DONE]\n\n"
LAST = ("response.completed", "response.incomplete", "response.failed")


@cache
def _models() -> dict[str, type[BaseModel]]:
    """OpenAI's own types of events, by their names."""
    models = get_args(get_args(ResponseStreamEvent)[0])
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in models}


def fits(event: Json) -> None:
    """AssertionError where OpenAI's type for it does not take an event."""
    try:
        _models()[event["type"]].model_validate(event)
    except ValidationError as error:
        kind = str((event.get("item") or {}).get("type")).replace("_", "")
        near = [one for one in error.errors() if kind in str(one["loc"]).lower()]
        raise AssertionError(f"{(near or error.errors())[:3]}") from None


def events_of(stream: bytes, *, named: bool = False) -> list[Json]:
    """The events of a stream in OpenRouter's form, or with `event` lines, as OpenAI's are."""
    assert stream.endswith(DONE_MARK)
    events = []
    for frame in stream.removesuffix(DONE_MARK).split(b"\n\n")[:-1]:
        lines = frame.split(b"\n")
        if lines[0].startswith(b":"):
            continue
        event = json.loads(lines[-1].removeprefix(b"data: "))
        names = [f"event: {event['type']}".encode()] if named else []
        assert lines[:-1] == names, lines
        events.append(event)
    return events


class Listener:
    """Hears events one by one; AssertionError for one that may not come then."""

    def __init__(self) -> None:
        self.items: dict[int, Json] = {}
        self.open: dict[int, Json] = {}  # items that are not done, as far as they were told
        self.parts: dict[tuple[int, str], Json] = {}  # parts that are open
        self.ended: set[tuple[int, str]] = set()
        self.last: Json | None = None
        self.count = 0

    def hear(self, event: Json) -> None:
        assert event["sequence_number"] == self.count, "the numbers have no gap"
        assert self.last is None, "nothing comes after the end"
        self.count += 1
        type_ = event["type"]
        if self.count <= 2:
            assert type_ == ("response.created", "response.in_progress")[self.count - 1]
        elif type_ in LAST:
            self._end(event)
        elif type_ == "response.output_item.added":
            assert event["output_index"] == len(self.items)
            self.items[event["output_index"]] = {}
            self.open[event["output_index"]] = json.loads(json.dumps(event["item"]))
        else:
            self._hear_item(type_, event)

    def _hear_item(self, type_: str, event: Json) -> None:
        place = event["output_index"]
        item = self.open[place]
        if type_ == "response.output_item.done":
            assert not any(index == place for index, _ in self.parts), "a part is open"
            if item["type"] in CALLS:
                assert (place, "") in self.ended, "its text is not ended"
            told = event["item"]
            assert told.get("status", "completed") in ("completed", "incomplete")
            more = {"status", "encrypted_content", "signature", "format", "result"}
            assert {k: v for k, v in told.items() if k not in more} == {
                k: v for k, v in item.items() if k not in more
            }
            self.items[place] = told
            del self.open[place]
            return
        assert event["item_id"] == item["id"]
        if type_.startswith("response.image_generation_call."):
            assert item["type"] == "image_generation_call"
            return
        if item["type"] in CALLS:
            self._hear_call(type_, event, item)
            return
        list_ = "summary" if "summary" in type_ else "content"
        index, key = event[f"{list_}_index"], (place, list_)
        if type_.endswith("part.added"):
            assert key not in self.parts, "another part of it is open"
            assert index == len(item.get(list_, []))
            self.parts[key] = json.loads(json.dumps(event["part"]))
            return
        part = self.parts[key]
        assert index == len(item.get(list_, []))
        field, name = PARTS[part["type"]]
        if type_ == f"{name}.delta":
            assert key not in self.ended
            assert event["delta"] != "" or event["logprobs"]
            part[field] += event["delta"]
            if "logprobs" in part:
                part["logprobs"] += event["logprobs"]
        elif type_ == f"{name}.done":
            assert key not in self.ended
            assert event[field] == part[field]
            assert event.get("logprobs") == part.get("logprobs")
            self.ended.add(key)
        elif type_ == "response.output_text.annotation.added":
            assert part["type"] == "output_text"
            assert event["annotation_index"] == len(part["annotations"])
            part["annotations"].append(event["annotation"])
        else:
            assert type_.endswith("part.done"), type_
            assert key in self.ended
            assert event["part"] == part
            self.ended.discard(key)
            del self.parts[key]
            item.setdefault(list_, []).append(part)

    def _hear_call(self, type_: str, event: Json, item: Json) -> None:
        key = (event["output_index"], "")
        field, name = CALLS[item["type"]]
        assert key not in self.ended
        if type_ == f"{name}.delta":
            item[field] += event["delta"]
        else:
            assert type_ == f"{name}.done", type_
            assert event[field] == item[field]
            self.ended.add(key)

    def _end(self, event: Json) -> None:
        self.last = event["response"]
        assert event["type"] == f"response.{self.last['status']}"
        if event["type"] != "response.failed":
            done = [self.items[place] for place in sorted(self.items) if place not in self.open]
            assert self.last["output"] == done


def listen(stream: bytes) -> Json:
    """The response at the end of a stream, all of whose events are in order."""
    listener = Listener()
    for event in events_of(stream):
        listener.hear(event)
    assert listener.last is not None
    return listener.last
