"""Whatever conversation there was, a reader that knows nothing of `proxy` finds it in the items."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.responses.history import History
from proxy.dialects.responses.items import OPENAI
from proxy.providers import known
from proxy.wire.slices import at_once
from tests.accepted.responses import responses_accepts
from tests.truths.responses import XAI

Json = dict[str, Any]

TEXT = st.text(min_size=1, max_size=6)
IMAGES = st.sampled_from(("https://x.test/a.png", "data:image/png;base64,iVBORw=="))
THOUGHTS = st.lists(st.tuples(st.lists(TEXT, max_size=2), TEXT), max_size=2)
CALLS = st.lists(st.tuples(TEXT, TEXT), max_size=2)


@st.composite
def turns(draw: st.DrawFn) -> list[Any]:
    """What was said: by the user, then by the model, then by the tools that it called."""
    numbers = itertools.count()
    said: list[Any] = []
    for _ in range(draw(st.integers(1, 3))):
        said.append(("user", draw(TEXT), draw(st.none() | IMAGES)))
        thoughts = [(f"rs_{next(numbers)}", *thought) for thought in draw(THOUGHTS)]
        calls = [(f"call_{next(numbers)}", *call) for call in draw(CALLS)]
        text = draw(TEXT if not calls else TEXT | st.just(""))
        said.append(("assistant", thoughts, text, calls))
        said += [("tool", id_, draw(TEXT)) for id_, _, _ in calls]
    return said


def messages_of(said: list[Any], format_: str) -> list[Json]:
    messages: list[Json] = []
    for turn in said:
        match turn:
            case ("user", text, None):
                messages.append({"role": "user", "content": text})
            case ("user", text, url):
                image = {"type": "image_url", "image_url": {"url": url}}
                parts = [{"type": "text", "text": text}, image]
                messages.append({"role": "user", "content": parts})
            case ("tool", id_, text):
                messages.append({"role": "tool", "tool_call_id": id_, "content": text})
            case (_, thoughts, text, calls):
                messages.append(answer(thoughts, text, calls, format_))
    return messages


def answer(thoughts: list[Any], text: str, calls: list[Any], format_: str) -> Json:
    details: list[Json] = []
    for id_, summaries, data in thoughts:
        for summary in summaries:
            details.append({"type": "reasoning.summary", "summary": summary, "format": format_})
            details[-1]["index"] = len(details)
        details.append({"type": "reasoning.encrypted", "data": data, "format": format_})
        details[-1] |= {"id": id_, "index": len(details)}
    message: Json = {"role": "assistant", "content": text or None, "reasoning_details": details}
    if calls:
        message["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id_, name, arguments in calls
        ]
    return message


def read(items: list[Json]) -> list[Any]:
    """The turns in the items of a request."""
    said: list[Any] = []
    for item in items:
        kind = item.get("type", item.get("role"))
        if kind == "user":
            parts = item["content"]
            plain = isinstance(parts, str)
            said.append(("user", *([parts, None] if plain else [_shown(part) for part in parts])))
        elif kind == "function_call_output":
            said.append(("tool", item["call_id"], item["output"]))
        else:
            if not said or said[-1][0] != "assistant":
                said.append(("assistant", [], "", []))
            said[-1] = _with(said[-1], item)
    return said


def _shown(part: Json) -> str:
    told: str = part["text"] if part["type"] == "input_text" else part["image_url"]
    return told


def _with(turn: Any, item: Json) -> Any:
    _, thoughts, text, calls = turn
    if item.get("type") == "reasoning":
        assert not text
        assert not calls
        summaries = [part["text"] for part in item["summary"]]
        thoughts = [*thoughts, (item["id"], summaries, item["encrypted_content"])]
    elif item.get("type") == "function_call":
        calls = [*calls, (item["call_id"], item["name"], item["arguments"])]
    else:
        assert not calls
        text += item["content"]
    return ("assistant", thoughts, text, calls)


@given(said=turns(), format_=st.sampled_from((OPENAI, XAI)))
def test_every_conversation_is_found_in_its_items(said: list[Any], format_: str) -> None:
    items = at_once(History(known()["openai"], format_).encode(messages_of(said, format_)))
    responses_accepts({"model": "m", "input": items})
    assert read(items) == said


@given(said=turns())
def test_in_another_providers_hands_only_reasoning_is_missing(said: list[Any]) -> None:
    items = at_once(History(known()["openai"], OPENAI).encode(messages_of(said, XAI)))
    without = [("assistant", [], *turn[2:]) if turn[0] == "assistant" else turn for turn in said]
    assert read(items) == without
