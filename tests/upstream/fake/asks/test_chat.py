"""Requests in OpenAI's chat form: what is read out of them."""

import json
from typing import Any

import pytest

from proxy.upstream.fake.ask import Ask, Refused
from proxy.upstream.fake.asks.chat import decode_chat


def ask(text: str = "hi", **body: Any) -> Ask:
    user = {"role": "user", "content": text}
    return decode_chat(json.dumps({"model": "m", "messages": [user]} | body).encode())


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


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
    with pytest.raises(Refused, match=message):
        decode_chat(body)


def test_options() -> None:
    asked = ask(stream=True, n=2, max_tokens=5, tools=7, parallel_tool_calls=False, stop="x")
    assert (asked.stream, asked.choices, asked.tokens_max) == (True, 2, 5)
    assert (asked.functions, asked.parallel, asked.stop) == ((), False, ("x",))
    assert ask(max_tokens=5, max_completion_tokens=3).tokens_max == 3
    assert ask(max_tokens="many", n="two", stream=1).tokens_max is None
    assert (ask(n="two").choices, ask(stream=1).stream) == (1, False)
    assert decode_chat(json.dumps({"messages": [{}]}).encode(), "deployed").model == "deployed"


def test_formats() -> None:
    schema = {"type": "json_schema", "json_schema": {"schema": {"type": "string"}}}
    wanted = ask(response_format=schema)
    assert (wanted.structured, wanted.schema) == (True, {"type": "string"})
    free = ask(response_format={"type": "json_object"})
    assert (free.structured, free.schema) == (True, None)
    assert not ask(response_format={"type": "text"}).structured


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
    assert asked.attachments == ("image", "recording")
    assert asked.said == "what is this"
    assert asked.prompt_tokens == 3 + 2 * 85
    assert ask(messages=[{"role": "system", "content": "x"}]).said == ""


def test_the_last_tools_results_are_joined() -> None:
    turns = [
        {"role": "tool", "content": "old"},
        {"role": "assistant"},
        {"role": "tool", "content": "18 degrees"},
        {"role": "tool", "content": "noon"},
    ]
    assert ask(messages=turns).results == "18 degrees; noon"
    assert ask(messages=[*turns, {"role": "user", "content": "x"}]).results is None
    shown = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}
    assert ask(messages=[*turns, shown]).results == "18 degrees; noon"


@pytest.mark.parametrize(
    ("body", "choice"),
    [
        ({}, ("auto", False)),
        ({"tool_choice": "none"}, ("none", False)),
        ({"tool_choice": "required"}, ("required", False)),
        ({"tool_choice": "validated"}, ("auto", False)),
        ({"tool_choice": {"function": {"name": "add"}}}, ("add", True)),
        ({"tool_choice": {"type": "odd"}}, ("auto", False)),
    ],
)
def test_tool_choice(body: dict[str, Any], choice: tuple[str, bool]) -> None:
    asked = ask(tools=[3, {"type": "custom"}, {"function": {}}, tool("add")], **body)
    assert [function.name for function in asked.functions] == ["add"]
    assert (asked.choice, asked.named) == choice
