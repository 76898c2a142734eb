"""Requests to Cohere: what is read out of them, and what is refused as the real one would."""

import json
from typing import Any

import pytest

from proxy.upstream.fake.ask import Ask, Refused, Request
from proxy.upstream.fake.asks.cohere import decode_v2
from tests.upstream.fake.speaking import CITY, SEAL
from tests.upstream.fake.tasking import ask_of, post

USER = {"role": "user", "content": "hi there"}
CALL = {"id": "add_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}


def asked(**body: Any) -> Ask:
    data = json.dumps({"model": "weir/reason", "messages": [USER]} | body).encode()
    return decode_v2(Request("POST", "/v2/chat", {}, data), SEAL)


def test_what_is_read() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    ask = asked(
        model="m",
        messages=[
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
        ],
        tools=[{"type": "function", "function": {"name": "add", "parameters": CITY}}],
        tool_choice="REQUIRED",
        max_tokens=9,
        stop_sequences=["x"],
        stream=True,
    )
    assert (ask.texts, ask.said, ask.attachments) == (("be brief", "look"), "look", ("image",))
    assert [function.name for function in ask.functions] == ["add"]
    assert (ask.choice, ask.tokens_max, ask.stop, ask.stream) == ("required", 9, ("x",), True)
    assert not ask.thinks


def test_the_results_of_tools() -> None:
    document = {"type": "document", "document": {"data": {"content": "18 degrees"}}}
    result = {"role": "tool", "tool_call_id": "add_1", "content": [document]}
    text = {"role": "tool", "tool_call_id": "add_1", "content": "noon"}
    called = {"role": "assistant", "tool_calls": [CALL], "tool_plan": "I will add."}
    assert asked(messages=[USER, called, result, text]).results == "18 degrees; noon"
    assert asked(messages=[USER, called, result, USER]).results is None
    shown = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}
    assert asked(messages=[USER, called, result, shown]).results
    thought = {"type": "thinking", "thinking": "hm"}
    assert asked(messages=[USER, called | {"content": [thought]}, result]).results


def test_thinking_and_structure() -> None:
    assert asked().thinks
    assert not asked(thinking={"type": "disabled"}).thinks
    wanted = asked(response_format={"type": "json_object", "json_schema": CITY})
    assert (wanted.structured, wanted.schema) == (True, CITY)
    assert asked(response_format={"type": "json_object", "schema": CITY}).schema == CITY
    assert asked(response_format={"type": "json_object"}).schema is None
    assert not asked(response_format={"type": "text"}).structured


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": None}, "model is required"),
        ({"messages": []}, "list of messages must not be empty"),
        ({"messages": [{"role": "developer", "content": "x"}]}, "message role 'developer'"),
        ({"messages": [{"role": "user", "content": ""}]}, "must be at least 1 token long"),
        ({"messages": [USER, {"role": "tool", "tool_call_id": "x"}]}, "tool message must follow"),
        ({"tools": [{"type": "function", "function": {}}]}, "must have a name"),
    ],
)
def test_refusals(body: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        asked(**body)
    assert message in str(refused.value)
    assert str(refused.value).startswith("invalid request: ")


def test_what_is_to_be_embedded() -> None:
    content = [
        {"type": "text", "text": "a b"},
        {"type": "image_url", "image_url": {"url": "data:"}},
    ]
    body = {"model": "m", "input_type": "classification", "inputs": [{"content": content}]}
    asked = ask_of(post("/v2/embed", body | {"texts": ["c"], "images": ["data:x"]}))
    assert (asked.task, asked.texts, asked.attachments) == (
        "embeddings", ("c", "a b"), ("image", "image")
    )  # fmt: skip
    assert asked.body["inputs"] == ["c", "data:x", "a b{'url': 'data:'}"]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v2/embed", {"texts": ["a"]}, "model is required"),
        ("/v2/embed", {"model": "m", "texts": ["a"]}, "valid input_type"),
        ("/v2/embed", {"model": "m", "input_type": "image"}, "at least one of texts"),
        ("/v2/embed", {"model": "m", "input_type": "image", "texts": ["a"] * 97}, "received 97"),
        (
            "/v2/embed",
            {"model": "m", "input_type": "image", "texts": ["a"], "embedding_types": ["x"]},
            "x is not a valid embedding type",
        ),
        ("/v2/rerank", {"model": "m", "documents": ["a"]}, "query must not be empty"),
        ("/v2/rerank", {"model": "m", "query": "a", "documents": []}, "list of documents"),
        ("/v2/rerank", {"model": "m", "query": "a", "documents": [{}]}, "type object"),
    ],
)
def test_what_is_refused_beside_chat(path: str, body: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        ask_of(post(path, body))
