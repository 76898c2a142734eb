"""Conversations become what Cohere takes, and lose only what is listed here."""

import json
from typing import Any

import pytest

from proxy.dialects.chat.stream import encode_answer
from proxy.dialects.cohere import PLAN, THINKING
from proxy.dialects.cohere.events import decode_answer
from proxy.dialects.cohere.messages import encode_messages
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks
from proxy.wire.request import Head
from proxy.wire.slices import at_once
from tests.accepted.cohere import cohere_accepts
from tests.plain import ASK, BILL
from tests.recordings import load
from tests.truths.chat import chats, kind

Json = dict[str, Any]

PROVIDER = Provider(slug="cohere", name="Cohere", base_url="https://api.cohere.com")
HEAD = Head(id="gen-1", created=1, model="m", provider="Cohere")
PNG = "data:image/png;base64,iVBORw0KGgo="
CALL = {"id": "c1", "type": "function", "function": {"name": "root", "arguments": '{"n": 4.0}'}}
ASKED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
OWN_ASKED = {"role": "assistant", "tool_calls": [CALL]}


def text(value: str) -> Json:
    return {"type": "text", "text": value}


def image(url: str, **more: str) -> Json:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def user(*parts: Json) -> Json:
    return {"role": "user", "content": list(parts)}


def thought(own: str | None, value: str, **more: object) -> Json:
    detail = {"type": "reasoning.text", "text": value, "format": "unknown", "index": 0}
    return detail | ({"id": own} if own else {}) | more


def encoded(*messages: Json) -> list[Json]:
    out = at_once(encode_messages(list(messages), PROVIDER))
    cohere_accepts({"model": "m", "stream": False, "messages": out})
    return out


TABLE: dict[str, tuple[list[Json], list[Json]]] = {
    "system and developer": (
        [{"role": "system", "content": "A"}, {"role": "developer", "content": [text("B")]}],
        [{"role": "system", "content": "A"}, {"role": "system", "content": "B"}],
    ),
    "a user": ([{"role": "user", "content": "Hi"}], [user(text("Hi"))]),
    "nothing said": (
        [
            {"role": "system", "content": ""},
            {"role": "user", "content": ""},
            {"role": "user", "content": [text("")]},
            {"role": "assistant", "content": None},
            {"role": "user", "content": "Hi"},
        ],
        [user(text("Hi"))],
    ),
    "names": (
        [
            {"role": "user", "name": "Ann", "content": "Hi"},
            {"role": "user", "name": "Bo", "content": [image(PNG)]},
            {"role": "assistant", "name": "Cy", "content": "Ho"},
        ],
        [
            user(text("Ann: Hi")),
            user(text("Bo:"), image(PNG)),
            {"role": "assistant", "content": [text("Cy: Ho")]},
        ],
    ),
    "marks for a cache": (
        [user({**text("Hi"), "cache_control": {"type": "ephemeral"}})],
        [user(text("Hi"))],
    ),
    "images": (
        [user(image("https://x.org/a.png"), image(PNG, detail="low"), image(PNG, detail="?"))],
        [user(image("https://x.org/a.png"), image(PNG, detail="low"), image(PNG))],
    ),
    "an answer": (
        [{"role": "assistant", "content": "Ho", "annotations": [], "images": []}],
        [{"role": "assistant", "content": [text("Ho")]}],
    ),
    "a refusal": (
        [{"role": "assistant", "content": None, "refusal": "No."}],
        [{"role": "assistant", "content": [text("No.")]}],
    ),
    "a call and its result": (
        [ASKED, {"role": "tool", "tool_call_id": "c1", "content": "2"}],
        [OWN_ASKED, {"role": "tool", "tool_call_id": "c1", "content": [text("2")]}],
    ),
    "text before a call is its plan": (
        [ASKED | {"content": "Let me see."}],
        [OWN_ASKED | {"tool_plan": "Let me see."}],
    ),
    "its own plan": (
        [ASKED | {"content": "Hm.", "reasoning_details": [thought(PLAN, "I will.")]}],
        [OWN_ASKED | {"tool_plan": "I will.", "content": [text("Hm.")]}],
    ),
    "a plan in the pieces of a stream": (
        [ASKED | {"reasoning_details": [thought(PLAN, "I "), thought(PLAN, "will.")]}],
        [OWN_ASKED | {"tool_plan": "I will."}],
    ),
    "a plan for nothing": (
        [{"role": "assistant", "content": "Ho", "reasoning_details": [thought(PLAN, "I will.")]}],
        [{"role": "assistant", "content": [text("Ho")]}],
    ),
    "thinking goes back into its blocks": (
        [
            {
                "role": "assistant",
                "content": "Ho",
                "reasoning_details": [
                    thought(THINKING, "a"),
                    thought(THINKING, "b", index=None),
                    thought(THINKING, "c", index=1),
                    thought(THINKING, "d"),
                    thought(THINKING, "", index=2),
                    thought(THINKING, "", index=3) | {"text": None},
                ],
            }
        ],
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "ad"},
                    {"type": "thinking", "thinking": "b"},
                    {"type": "thinking", "thinking": "c"},
                    text("Ho"),
                ],
            }
        ],
    ),
    "reasoning of others": (
        [
            {
                "role": "assistant",
                "content": "Ho",
                "reasoning": "abc",
                "reasoning_details": [
                    thought(None, "a"),
                    thought("rs_1", "b", format="openai-responses-v1"),
                    {"type": "reasoning.encrypted", "data": "c", "id": THINKING},
                ],
            }
        ],
        [{"role": "assistant", "content": [text("Ho")]}],
    ),
    "arguments that are none": (
        [
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "a", "function": {"name": "now", "arguments": '{"n":'}},
                    {"index": 1, "function": {"name": "now", "arguments": {"n": 1}}},
                    {"id": 7},
                ],
            }
        ],
        [
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "now", "arguments": "{}"}},
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "now", "arguments": '{"n":1}'},
                    },
                    {"id": "7", "type": "function", "function": {"name": "", "arguments": "{}"}},
                ],
            }
        ],
    ),
    "functions of old": (
        [
            {"role": "assistant", "function_call": {"name": "now", "arguments": "{}"}},
            {"role": "function", "name": "now", "content": "12"},
        ],
        [
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "call_now",
                        "type": "function",
                        "function": {"name": "now", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_now", "content": [text("12")]},
        ],
    ),
    "an empty result": (
        [ASKED, {"role": "tool", "tool_call_id": "c1", "content": ""}],
        [
            OWN_ASKED,
            {
                "role": "tool",
                "tool_call_id": "c1",
                "content": [{"type": "document", "document": {"data": {"output": ""}}}],
            },
        ],
    ),
    "a result of nobody": (
        [
            {"role": "tool", "tool_call_id": "c9", "content": "2"},
            {
                "role": "tool",
                "tool_call_id": "c9",
                "content": [{"type": "document", "document": {"data": {"a": 1}}}],
            },
        ],
        [user(text("2")), user(text('{"data":{"a":1}}'))],
    ),
    "a result as its own documents": (
        [
            ASKED,
            {
                "role": "tool",
                "tool_call_id": "c1",
                "content": [{"type": "document", "document": {"id": "d", "data": {"a": 1}}}],
            },
        ],
        [
            OWN_ASKED,
            {
                "role": "tool",
                "tool_call_id": "c1",
                "content": [{"type": "document", "document": {"id": "d", "data": {"a": 1}}}],
            },
        ],
    ),
    "pictures of results come after the last one": (
        [
            ASKED | {"tool_calls": [CALL, CALL | {"id": "c2"}]},
            {"role": "tool", "tool_call_id": "c1", "content": [text("see"), image(PNG)]},
            {"role": "tool", "tool_call_id": "c2", "content": "2"},
            {"role": "assistant", "content": "Ho"},
        ],
        [
            {"role": "assistant", "tool_calls": [CALL, CALL | {"id": "c2"}]},
            {"role": "tool", "tool_call_id": "c1", "content": [text("see")]},
            {"role": "tool", "tool_call_id": "c2", "content": [text("2")]},
            user(image(PNG)),
            {"role": "assistant", "content": [text("Ho")]},
        ],
    ),
    "a picture of the last result": (
        [ASKED, {"role": "tool", "tool_call_id": "c1", "content": [text("see"), image(PNG)]}],
        [
            OWN_ASKED,
            {"role": "tool", "tool_call_id": "c1", "content": [text("see")]},
            user(image(PNG)),
        ],
    ),
}

LOSSES = {
    "a mark for the cache": "marks for a cache",
    "who called a result": "functions of old",
    "what an assistant cited and drew": "an answer",
    "reasoning of other providers": "reasoning of others",
    "that a text before calls was no plan": "text before a call is its plan",
    "that a picture was a tool's": "a picture of the last result",
    "arguments cut off": "arguments that are none",
    "messages that say nothing": "nothing said",
}
"""What a conversation loses on the way, and the row of TABLE that shows it."""


@pytest.mark.parametrize(("messages", "sent"), TABLE.values(), ids=TABLE)
def test_a_conversation_becomes_its_messages(messages: list[Json], sent: list[Json]) -> None:
    assert encoded(*messages) == sent


def test_every_loss_is_shown() -> None:
    assert set(LOSSES.values()) <= TABLE.keys()


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}}, "kind file"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "attachments of kind file"),
        ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}, "audio"),
        ({"type": "video_url", "video_url": {"url": "https://x.org/a.mp4"}}, "of kind video"),
        ({"type": "thinking", "thinking": "x"}, "such a part"),
    ],
)
def test_what_it_can_not_be_sent_is_for_another_endpoint(part: Json, what: str) -> None:
    with pytest.raises(GatewayError, match=what) as raised:
        encoded(user(part))
    assert raised.value.kind == "provider_unfit"


@pytest.mark.wire
def test_what_it_said_goes_back_as_it_came() -> None:
    """Calls, plans and thinking of every recorded answer return in the caller's next turn."""
    returned = {"calls": 0, "plans": 0, "thinking": 0}
    for row in chats("cohere", "cohere-v2"):
        recording = load(row)
        if kind(recording) != "answer":
            continue
        events = decode_answer(recording.body, Quirks())
        answer = json.loads(encode_answer(events, HEAD, ASK, BILL).body)
        told = json.loads(recording.body)["message"]
        (message,) = encoded(answer["choices"][0]["message"])
        assert message.get("tool_calls", []) == told.get("tool_calls", [])
        assert message.get("tool_plan") == told.get("tool_plan")
        assert message.get("content", []) == told.get("content", [])
        returned["calls"] += len(message.get("tool_calls", []))
        returned["plans"] += "tool_plan" in message
        kinds = [part["type"] for part in message.get("content", [])]
        returned["thinking"] += kinds.count("thinking")
    assert returned == {"calls": 19, "plans": 12, "thinking": 10}
