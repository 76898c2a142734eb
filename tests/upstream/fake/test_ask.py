"""What is read out of a request."""

import json
from typing import Any

import pytest

from proxy.upstream.fake.ask import (
    Ask,
    attachments,
    decode_ask,
    last_said,
    prompt_tokens,
    tool_results,
    wanted_calls,
)


def ask(text: str = "hi", **body: Any) -> Ask:
    user = {"role": "user", "content": text}
    return decode_ask(json.dumps({"model": "m", "messages": [user]} | body).encode())


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


TOOLS = [tool("get_weather"), tool("get_time"), tool("add")]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "could not parse"),
        (b"\xff", "could not parse"),
        (b"[]", "could not parse"),
        (b'{"messages":[{}]}', "provide a model"),
        (b'{"model":"m"}', "'messages'"),
        (b'{"model":"m","messages":[]}', "'messages'"),
        (b'{"model":"m","messages":["x"]}', "expected an object"),
    ],
)
def test_a_broken_request_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_ask(body)


def test_options() -> None:
    asked = ask(stream=True, n=2, max_tokens=5, stream_options={"include_usage": True}, tools=7)
    assert asked.stream
    assert asked.choices == 2
    assert asked.tokens_max == 5
    assert asked.option("stream_options") == {"include_usage": True}
    assert asked.option("tools") == {}
    assert ask(max_tokens=5, max_completion_tokens=3).tokens_max == 3
    assert ask(max_tokens="many", n="two", stream=1).tokens_max is None
    assert (ask(n="two").choices, ask(stream=1).stream) == (1, False)


PARTS = [
    {"type": "text", "text": "what is "},
    {"type": "image_url", "image_url": {"url": "data:,"}},
    {"type": "text", "text": "this"},
    {"type": "input_audio"},
    {"type": "text", "text": 3},
    {"type": ["odd"]},
    "odd",
]


def test_parts_are_counted_and_joined() -> None:
    asked = ask(messages=[{"role": "system"}, {"role": "user", "content": PARTS}])
    assert attachments(asked) == ["image", "recording"]
    assert last_said(asked) == "what is this"
    assert prompt_tokens(asked) == 3 + 2 * 85
    assert last_said(ask(messages=[{"role": "system", "content": "x"}])) == ""


def test_the_last_tools_results_are_joined() -> None:
    turns = [
        {"role": "tool", "content": "old"},
        {"role": "assistant"},
        {"role": "tool", "content": "18 degrees"},
        {"role": "tool", "content": "noon"},
    ]
    assert tool_results(ask(messages=turns)) == "18 degrees; noon"
    assert tool_results(ask(messages=[*turns, {"role": "user", "content": "x"}])) is None
    assert wanted_calls(ask(messages=turns, tools=TOOLS, tool_choice="required")) == []


@pytest.mark.parametrize(
    ("text", "body", "names"),
    [
        ("hi", {}, []),
        ("call a tool", {}, []),
        ("hi", {"tools": "x"}, []),
        ("call a tool", {"tools": [3, {"type": "custom"}, {"function": {}}]}, []),
        ("hi", {"tools": TOOLS}, []),
        ("hi", {"tools": TOOLS, "tool_choice": "required"}, ["get_weather"]),
        ("call a tool", {"tools": TOOLS}, ["get_weather"]),
        ("call a tool", {"tools": TOOLS, "tool_choice": "none"}, []),
        ("What's the time?", {"tools": TOOLS}, ["get_time"]),
        ("Weather and time, please", {"tools": TOOLS}, ["get_weather", "get_time"]),
        ("use all tools", {"tools": TOOLS}, ["get_weather", "get_time", "add"]),
        ("the weather in both cities", {"tools": TOOLS}, ["get_weather", "get_weather"]),
        ("use all tools", {"tools": TOOLS[:1]}, ["get_weather", "get_weather"]),
        ("use all tools", {"tools": TOOLS, "parallel_tool_calls": False}, ["get_weather"]),
        ("hi", {"tools": TOOLS, "tool_choice": {"function": {"name": "add"}}}, ["add"]),
        ("hi", {"tools": TOOLS, "tool_choice": {"function": {"name": "sub"}}}, []),
        ("hi", {"tools": TOOLS, "tool_choice": {"type": "odd"}}, []),
    ],
)
def test_wanted_calls(text: str, body: dict[str, Any], names: list[str]) -> None:
    assert [function["name"] for function in wanted_calls(ask(text, **body))] == names
