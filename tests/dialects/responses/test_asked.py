"""A Responses request becomes a chat, and is kept as it was for who speaks Responses."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import OUTBOUND
from proxy.dialects.asking import Target
from proxy.dialects.chat.request import decode_request as decode_chat
from proxy.dialects.responses.asked import decode_request
from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.wire.request import Ask
from tests.order import Json
from tests.readers import openai
from tests.recordings import index, load
from tests.talk import Talk, as_chat, talks

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def ask(**fields: Any) -> Ask:
    return decode_request(json.dumps({"model": "a/b", "input": "hi"} | fields).encode())


def refused(**fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        ask(**fields)
    return caught.value


def test_the_least() -> None:
    asked = ask()
    assert asked.models == ("a/b",)
    assert asked.body == {"messages": [{"role": "user", "content": "hi"}]}
    assert (asked.words, asked.native, asked.stream) == ("responses", {"input": "hi"}, False)


def test_a_chat_of_all_parameters() -> None:
    schema = {"type": "object", "properties": {}}
    asked = ask(
        instructions="Be brief.",
        models=["c/d"],
        stream=True,
        max_output_tokens=100.0,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        tools=[{"type": "function", "name": "f", "parameters": schema, "strict": True}],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        text={"format": {"type": "json_schema", "name": "n", "schema": schema}, "verbosity": "low"},
        reasoning={"effort": "low", "summary": None, "generate_summary": "auto"},
        include=["message.output_text.logprobs"],
        top_logprobs=2,
        metadata={"a": "b"},
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
        session_id="x",
        truncation="auto",
        store=False,
        modalities=["text", "image"],
        image_config={"aspect_ratio": "1:1"},
        vendor={"a": 1},
        context_management=[{"type": "compaction"}],
        n=3,
    )
    assert asked.models == ("a/b", "c/d")
    assert (asked.stream, asked.max_tokens, asked.choices) == (True, 100, 1)
    assert asked.session_id == "x"
    assert asked.thinking is not None
    assert (asked.thinking.effort, asked.thinking.wish["summary"]) == ("low", "auto")
    function = {"name": "f", "parameters": schema, "strict": True}
    assert asked.body == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
        ],
        "max_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        "verbosity": "low",
        "logprobs": True,
        "top_logprobs": 2,
        "metadata": {"a": "b"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "modalities": ["text", "image"],
        "image_config": {"aspect_ratio": "1:1"},
        "vendor": {"a": 1},
    }
    assert asked.native is not None
    gone = {"model", "models", "stream", "session_id", "store"}
    assert asked.native.keys().isdisjoint(gone)
    assert asked.native["truncation"] == "auto"


@pytest.mark.parametrize(
    "said", [{"type": "text"}, {"type": "json_object"}, {"type": "grammar", "grammar": "x"}]
)
def test_other_forms(said: Json) -> None:
    sent = ask(text={"format": said}).body.get("response_format")
    assert sent == (None if said["type"] == "text" else said)


@pytest.mark.parametrize("sent", [{"input": None}, {"input": ""}, {"input": []}, {"input": 5}])
def test_there_must_be_an_input(sent: Json) -> None:
    assert refused(**sent).message.startswith("input: ")


def test_an_input_that_says_nothing() -> None:
    thought = {"type": "reasoning", "summary": []}
    assert refused(input=[thought]).message == "input: must not be empty"
    assert ask(input=[thought], instructions="x").body["messages"][0]["role"] == "system"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store", True),
        ("background", True),
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("prompt", {"id": "pmpt_1"}),
    ],
)
def test_nothing_is_stored(name: str, value: object) -> None:
    error = refused(**{name: value})
    assert (error.status, error.message.partition(":")[0]) == (400, name)
    assert "nothing is stored" in error.message
    assert ask(**{name: None}).native == ask().native


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"instructions": ["a"]}, "instructions: expected a string"),
        ({"tools": {}}, "tools: expected a list"),
        ({"text": "x"}, "text: expected an object"),
        ({"reasoning": 1}, "reasoning: expected an object"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort: none of the values it can have"),
        ({"include": "x"}, "include: expected a list"),
        ({"store": "no"}, "store: expected true or false"),
        ({"background": 0}, "background: expected true or false"),
        ({"max_output_tokens": 0}, "max_output_tokens: expected a whole number, 1 or more"),
        ({"max_output_tokens": True}, "max_output_tokens: expected a whole number, 1 or more"),
        ({"max_output_tokens": 1.5}, "max_output_tokens: expected a whole number, 1 or more"),
        ({"max_output_tokens": "9"}, "max_output_tokens: expected a whole number, 1 or more"),
        ({"truncation": "some"}, "truncation: must be auto or disabled"),
        ({"modalities": ["audio"]}, "modalities: expected a list of text and image"),
        ({"modalities": 5}, "modalities: expected a list of text and image"),
        ({"text": {"format": {"type": 5}}}, "text.format.type: expected a string, got a number"),
        ({"text": {"verbosity": 5}}, "text.verbosity: expected a string, got a number"),
        ({"temperature": 3}, "temperature: must be between 0 and 2"),
        ({"top_p": "x"}, "top_p: expected a number, got a string"),
        ({"top_logprobs": 99}, "top_logprobs: must be between 0 and 20"),
        ({"model": None}, "No models provided"),
        ({"stream": "yes"}, "stream: expected true or false, got a string"),
        ({"plugins": [{"id": "web"}]}, "plugins: not supported yet"),
        ({"tools": [{"type": "openrouter:web_search"}]}, "tools[0].type: not supported yet"),
        (
            {"tools": [{"type": "web_search"}, {"type": "openrouter:files"}]},
            "tools[1].type: not supported yet",
        ),
        (
            {
                "input": [
                    {"role": "user", "content": "x"},
                    {"type": "additional_tools", "tools": [{"type": "openrouter:bash"}]},
                ]
            },
            "input[1].tools[0].type: not supported yet",
        ),
    ],
)
def test_what_is_refused(fields: Json, said: str) -> None:
    assert refused(**fields).message == said


def test_an_attachment_is_named_as_its_caller_did() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,!!"}
    turns = [{"role": "user", "content": "a"}, {"type": "reasoning", "summary": []}]
    error = refused(instructions="x", input=[*turns, {"role": "user", "content": [image]}])
    assert error.kind == "invalid_image"
    assert error.message.startswith("input[2].content[0].image_url.url: ")


def test_what_a_prompt_is_counted_as() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}
    image = {"type": "input_image", "image_url": PIXEL, "detail": "low"}
    asked = ask(input=[{"role": "user", "content": [audio, image]}])
    assert (asked.media_prompt, asked.audio_prompt) == (1, 1)


def test_what_is_no_json() -> None:
    with pytest.raises(GatewayError, match="not valid JSON"):
        decode_request(b"{")


# Conversations, there and back.

PROVIDER = Provider(slug="p", name="P", base_url="http://p.test", dialect="responses")
CHAT = Provider(slug="p", name="P", base_url="http://p.test", dialect="openai")


@given(talk=talks())
@settings(max_examples=150, deadline=None)
def test_a_conversation_comes_back_the_same(talk: Talk) -> None:
    """What is said in items to a provider, a caller could have said in items to us."""
    chat = decode_chat(json.dumps({"model": "a/b", "messages": as_chat(talk)}).encode())
    items = json.loads(OUTBOUND["responses"].encode_request(chat, Target(PROVIDER, "gpt-9")).body)
    again = ask(input=items["input"])
    body = json.loads(OUTBOUND["openai"].encode_request(again, Target(CHAT, "m")).body)
    assert openai.read(body) == talk


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(("type", "role", "content", "input", "text", "output", "call_id", "tools",
                         "image_url", "arguments", "name", "summary", "encrypted_content")),
        inner | st.sampled_from(("message", "user", "assistant", "reasoning", "function_call",
                                 "input_image", "input_file", "shell_call", "function", "custom")),
        max_size=4,
    )
), max_leaves=12))  # fmt: skip
def test_whatever_is_asked_is_understood_or_refused(value: Any) -> None:
    for fields in ({"input": value}, {"input": [value]}, value if isinstance(value, dict) else {}):
        try:
            ask(**fields)
        except GatewayError as error:
            told = (error.status, bool(error.message))
        else:
            told = (400, True)
        assert told == (400, True)


def test_every_recorded_request_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    """But for those that refer to what OpenAI stored."""
    count = 0
    for row in index():
        body = load(row).request.get("body") if row["api"] == "responses" else None
        if not isinstance(body, dict) or row["status"] != 200 or "input" not in body:
            continue
        stored = ("store", "previous_response_id", "conversation", "background")
        fields = {name: value for name, value in body.items() if name not in stored}
        if any(one.get("type") == "item_reference" for one in fields["input"] if type(one) is dict):
            continue
        asked = ask(**fields)
        assert asked.native is not None
        assert asked.native["input"] == body["input"]
        assert asked.body["messages"]
        count += 1
    with capsys.disabled():
        print(f"\n{count} recorded Responses requests understood")
    assert count > 80
