"""Anthropic's blocks become a chat's messages: the inverse of what `turns.py` makes of them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings

from proxy.dialects import OUTBOUND
from proxy.dialects.asking import Target
from proxy.dialects.chat.request import decode_request as decode_chat
from proxy.dialects.messages.asked import decode_request
from proxy.dialects.messages.blocks import FORMAT
from proxy.errors import GatewayError
from proxy.providers import Provider
from tests.readers import openai
from tests.talk import Talk, as_chat, talks

Json = dict[str, Any]
ANTHROPIC = Provider(slug="a", name="A", base_url="http://a.test", dialect="anthropic")
MARK = {"type": "ephemeral", "ttl": "1h"}


def text(said: str, **more: Any) -> Json:
    return {"type": "text", "text": said, **more}


def encoded(messages: list[Json], **fields: Any) -> Json:
    """A chat in Anthropic's words."""
    chat = decode_chat(json.dumps({"model": "a/b", "messages": messages, **fields}).encode())
    target = Target(ANTHROPIC, "claude-sonnet-4-5")
    body: Json = json.loads(OUTBOUND["anthropic"].encode_request(chat, target).body)
    return body


def decoded(messages: list[Json], **fields: Any) -> list[Json]:
    body = {"model": "a/b", "messages": messages, **fields}
    told: list[Json] = decode_request(json.dumps(body).encode()).body["messages"]
    return told


@given(talk=talks())
@settings(max_examples=150, deadline=None)
def test_a_conversation_comes_back_the_same(talk: Talk) -> None:
    body = encoded(as_chat(talk))
    again = decode_request(json.dumps(body).encode())
    assert openai.read(again.body) == talk


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": [text("x", cache_control=MARK)]}],
        [
            {"role": "system", "content": [text("s", cache_control=MARK)]},
            {"role": "user", "content": [text("x")]},
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://a.test/a.png"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_id": "file_1"}},
                    {"type": "file", "file": {"filename": "image.png", "file_id": "file_2"}},
                    {"type": "file", "file": {"file_data": "https://a.test/a.pdf"}},
                ],
            }
        ],
        [
            {"role": "user", "content": [text("x")]},
            {
                "role": "assistant",
                "content": "said",
                "reasoning": "thoughtmore",
                "reasoning_details": [
                    {
                        "type": "reasoning.text",
                        "text": "thought",
                        "signature": "s",
                        "format": FORMAT,
                        "index": 0,
                    },
                    {"type": "reasoning.encrypted", "data": "d", "format": FORMAT, "index": 1},
                    {
                        "type": "reasoning.server_tool_call",
                        "tool_name": "web_search",
                        "arguments": '{"query":"x"}',
                        "result": '{"type":"web_search_tool_result","tool_use_id":"u"}',
                        "tool_call_id": "u",
                        "format": FORMAT,
                        "index": 2,
                        "caller": {"type": "direct"},
                    },
                    {
                        "type": "reasoning.text",
                        "text": "more",
                        "signature": "t",
                        "format": FORMAT,
                        "index": 3,
                    },
                ],
                "tool_calls": [
                    {
                        "id": "toolu_1",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"a":1}'},
                        "cache_control": MARK,
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "toolu_1", "content": "4", "cache_control": MARK},
            {"role": "user", "content": [text("y")]},
        ],
    ],
)
def test_what_a_chat_can_say_comes_back_unchanged(messages: list[Json]) -> None:
    body = encoded(messages)
    again = decode_request(json.dumps(body).encode()).body["messages"]
    assert again == messages


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 9, "temperature": 0.5, "top_k": 3, "stop": ["a"], "user": "me"},
        {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"service_tier": "default", "cache_control": MARK},
        {"reasoning": {"max_tokens": 2000}, "max_tokens": 3000},
    ],
)
def test_parameters_come_back_unchanged(fields: Json) -> None:
    body = encoded([{"role": "user", "content": "x"}], **fields)
    again = decode_request(json.dumps(body).encode())
    if wish := fields.pop("reasoning", None):
        assert again.thinking is not None
        assert again.thinking.wish == wish
    assert again.body.items() >= fields.items()


# What is lost, or said otherwise, where a provider is not Anthropic's own.

USER: Json = {"role": "user"}
LOSSES: list[tuple[str, list[Json], list[Json]]] = [
    ("an empty text", [text("")], []),
    (
        "what a document is called besides its title, and that it may be cited",
        [
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
                "title": "T",
                "context": "C",
                "citations": {"enabled": True},
                "cache_control": MARK,
            }
        ],
        [
            {
                "type": "file",
                "file": {"filename": "T", "file_data": "data:application/pdf;base64,JVBERi0="},
                "cache_control": MARK,
            }
        ],
    ),
    (
        "that a text was a document",
        [
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "words"},
                "title": 'a"b',
            },
            {"type": "document", "source": {"type": "text", "data": "words"}},
        ],
        [
            {"type": "text", "text": '<file name="a&quot;b">\nwords\n</file>'},
            text("<file>\nwords\n</file>"),
        ],
    ),
    (
        "that blocks were a document's",
        [
            {"type": "document", "source": {"type": "content", "content": "a"}},
            {"type": "document", "source": {"type": "content", "content": [text("b")]}},
        ],
        [text("a"), text("b")],
    ),
    (
        "that a text was found",
        [
            {
                "type": "search_result",
                "source": "http://a.test",
                "title": "A",
                "content": [text("words")],
            }
        ],
        [text("A\nhttp://a.test\nwords")],
    ),
    ("that a tool was meant", [{"type": "tool_reference", "tool_name": "f"}], [text("f")]),
    (
        "nothing of what is not known",
        [{"type": "container_upload", "file_id": "f"}],
        [{"type": "container_upload", "file_id": "f"}],
    ),
]


@pytest.mark.parametrize(
    ("blocks", "parts"), [row[1:] for row in LOSSES], ids=[r[0] for r in LOSSES]
)
def test_what_a_user_says(blocks: list[Json], parts: list[Json]) -> None:
    hello = text("hello")
    said = decoded([USER | {"content": [hello, *blocks]}])
    assert said == [USER | {"content": [hello, *parts]}]


def test_a_message_of_nothing_is_none() -> None:
    assert decoded([USER | {"content": []}, USER | {"content": "x"}]) == [USER | {"content": "x"}]


def test_results_come_first_and_an_error_is_not_told() -> None:
    image = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    inner = [text("a"), {"type": "image", "source": image}]
    blocks = [
        text("and then"),
        {"type": "tool_result", "tool_use_id": "a", "is_error": True},
        {"type": "tool_result", "tool_use_id": "b", "content": "4", "cache_control": MARK},
        {"type": "tool_result", "tool_use_id": "c", "content": inner},
    ]
    url = {"url": "data:image/png;base64,iVBORw0KGgo="}
    assert decoded([USER | {"content": blocks}]) == [
        {"role": "tool", "tool_call_id": "a", "content": ""},
        {"role": "tool", "tool_call_id": "b", "content": "4", "cache_control": MARK},
        {
            "role": "tool",
            "tool_call_id": "c",
            "content": [inner[0], {"type": "image_url", "image_url": url}],
        },
        USER | {"content": [text("and then")]},
    ]


def test_an_answer_is_said_by_kinds() -> None:
    """Where the words stood between calls, and what they cited, is lost."""
    blocks = [
        {"type": "text", "text": "a", "citations": [{"type": "char_location"}]},
        {"type": "tool_use", "id": "t", "name": "f"},
        text(""),
        {"type": "thinking", "thinking": "hm"},
        {"type": "web_search_tool_result", "tool_use_id": "unknown"},
        {"type": "compaction", "content": "earlier"},
        text("b", cache_control=MARK),
    ]
    details = [{"type": "reasoning.text", "text": "hm", "format": "unknown", "index": 0}]
    function = {"name": "f", "arguments": "{}"}
    assert decoded([{"role": "assistant", "content": blocks}]) == [
        {
            "role": "assistant",
            "content": [text("a"), text("earlier"), text("b", cache_control=MARK)],
            "reasoning": "hm",
            "reasoning_details": details,
            "tool_calls": [{"id": "t", "type": "function", "function": function}],
        }
    ]
    assert decoded([{"role": "assistant", "content": "x"}])[0]["content"] == "x"


def test_instructions_amid_the_conversation_stay_there() -> None:
    said = [{"role": "system", "content": [text("s")]}]
    assert decoded([USER | {"content": "x"}, *said])[1] == said[0]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "tool_result"}, "tool_use_id: required"),
        ({"type": "image"}, "source: neither data nor a URL"),
        ({"type": "image", "source": {"type": "base64"}}, "source: neither data nor a URL"),
        ({"type": "document", "source": {"type": "file"}}, "source: neither data nor a URL"),
        ({"type": "document", "source": {"type": "text"}}, "source.data: required"),
        ({"type": "thinking"}, "type: not in a user's message"),
        ({"type": "tool_use"}, "type: not in a user's message"),
    ],
)  # fmt: skip
def test_what_a_user_can_not_say(block: Json, message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decoded([USER | {"content": [block]}])
    assert caught.value.message == f"messages[0].content[0].{message}"
