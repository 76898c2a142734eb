"""What callers of older APIs say arrives in today's words, at providers of every dialect."""

from typing import Any

import orjson
import pytest

from proxy.dialects import outbound
from proxy.dialects.asking import Target
from proxy.dialects.chat.request import decode_request
from proxy.providers import known

Json = dict[str, Any]
ADD: Json = {"name": "add", "parameters": {"type": "object"}}
HELLO: Json = {"role": "user", "content": "hi"}


def body(**fields: Any) -> Json:
    asked = decode_request(orjson.dumps({"model": "a/b", "messages": [HELLO]} | fields))
    return asked.body


@pytest.mark.parametrize(
    ("fields", "modern"),
    [
        ({}, {}),
        ({"functions": [ADD]}, {"tools": [{"type": "function", "function": ADD}]}),
        ({"functions": [], "function_call": None}, {}),
        (
            {"functions": [ADD], "function_call": {"name": "add"}},
            {
                "tools": [{"type": "function", "function": ADD}],
                "tool_choice": {"type": "function", "function": {"name": "add"}},
            },
        ),
        ({"function_call": "none"}, {"tool_choice": "none"}),
        (
            {"functions": [ADD], "function_call": "auto", "tools": [{"type": "function"}],
             "tool_choice": "required"},
            {"tools": [{"type": "function"}], "tool_choice": "required"},
        ),
    ],
)  # fmt: skip
def test_functions_are_tools(fields: Json, modern: Json) -> None:
    assert body(**fields) == {"messages": [HELLO]} | modern


def test_calls_and_results_of_functions() -> None:
    call = {"name": "add", "arguments": "{}"}
    messages: list[Json] = [
        HELLO,
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "add", "content": "3"},
        {"role": "assistant", "content": "3", "function_call": None},
    ]
    assert body(messages=messages)["messages"] == [
        HELLO,
        {
            "role": "assistant", "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        {"role": "assistant", "content": "3", "function_call": None},
    ]  # fmt: skip


def test_videos() -> None:
    part = {"type": "input_video", "video_url": {"url": "data:video/mp4;base64,AA=="}}
    raw = orjson.dumps({"model": "a/b", "messages": [{"role": "user", "content": [part]}]})
    asked = decode_request(raw)
    assert asked.body["messages"][0]["content"] == [part | {"type": "video_url"}]
    assert asked.media_prompt == 1


@pytest.mark.parametrize("slug", ["openai", "anthropic", "google-ai-studio", "cohere", "groq"])
def test_every_dialect_is_told_of_functions(slug: str) -> None:
    asked = decode_request(orjson.dumps({"model": "a/b", "messages": [HELLO], "functions": [ADD]}))
    row = known()[slug]
    sent = outbound(row, "m", asked).encode_request(asked, Target(row, "m")).body
    assert b'"functionDeclarations"' in sent or b'"tools"' in sent
    assert b'"add"' in sent
