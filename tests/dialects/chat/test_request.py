"""A chat request: what callers may send, what of it travels on, and how each provider takes it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.asking import Target
from proxy.dialects.bodies import VALUES_MAX
from proxy.dialects.chat.fields import OWN_FIELDS
from proxy.dialects.chat.request import decode_request, encode_request
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks
from proxy.wire.request import Ask, Thinking

Json = dict[str, Any]
HELLO: Json = {"role": "user", "content": "hello"}


def ask(**fields: Any) -> Ask:
    body = {"model": "a/b", "messages": [HELLO], **fields}
    return decode_request(msgspec.json.encode(body))


def refused(body: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as raised:
        decode_request(body)
    assert raised.value.status == 400
    return raised.value


def sent(asked: Ask, **quirks: Any) -> Json:
    body: Json = json.loads(encode_request(asked, target(**quirks)).body)
    return body


def target(**quirks: Any) -> Target:
    provider = Provider(slug="p", name="P", base_url="http://p.test", quirks=Quirks(**quirks))
    return Target(provider, "m")


# What is no request at all.

START = b'{"model":"a/b","messages":[{"role":"user","content":"x"}]'
BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "a word": b"hello",
    "cut": START,
    "a trailing comma": START + b",}",
    "two objects": START + b"}" + START + b"}",
    "single quotes": b"{'model':'a'}",
    "bad UTF-8 in a value": b'{"model":"\xff"}',
    "bad UTF-8 in a key": b'{"\xff":1}',
    "UTF-16": '{"model":"a"}'.encode("utf-16"),
    "a BOM": b"\xef\xbb\xbf" + START + b"}",
    "NaN": START + b',"temperature":NaN}',
    "Infinity": START + b',"temperature":-Infinity}',
    "a number beyond floats": START + b',"x":1e999}',
    "a lone surrogate": START + rb',"x":"\ud800"}',
    "a surrogate the wrong way round": START + rb',"x":"\udc00\ud800"}',
    "a control character": START + b',"x":"\n"}',
    "nested too deeply": START + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects nested too deeply": START + b',"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "a list": b"[]",
    "null": b"null",
    "a string": b'"x"',
    "a number": b"1",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_what_is_no_json_object(body: bytes) -> None:
    error = refused(body)
    assert error.kind == "invalid_request"
    assert any(word in error.message for word in ("JSON", "UTF-8", "nested"))
    assert "truncated" not in error.message or not body.endswith(b"}")


TOLD: list[tuple[bytes, str]] = [
    (b'{"model":"\xff"}', "The body is not valid UTF-8."),
    (b'{"x":"\\ud800"}', "not valid JSON: half a surrogate pair (near character 6)"),
    (b'{"x":"\\ud800y"}', "half a surrogate pair"),
    (b'{"x":"\\udc00\\ud800"}', "half a surrogate pair"),
    (b'{"x":1,}', "The body is not valid JSON: trailing comma in object (byte 7)"),
    (b'{"x":1e999}', "The body is not valid JSON: Number out of range"),
    (b'{"x":1', "The body is not valid JSON: Input data was truncated"),
]


@pytest.mark.parametrize(("body", "told"), TOLD, ids=str)
def test_what_is_wrong_is_told(body: bytes, told: str) -> None:
    message = refused(body).message
    assert told in message
    assert "`" not in message


MANY = VALUES_MAX + 1
WIDE: dict[str, bytes] = {
    "numbers": b"[" + b",".join([b"1"] * MANY) + b"]",
    "lists": b"[" + b",".join([b"[]"] * MANY) + b"]",
    "objects": b"[" + b",".join([b"{}"] * MANY) + b"]",
    "strings": b"[" + b",".join([b'"a,"'] * MANY) + b"]",
    "deep": b"[" + b",".join([b"[" * 100 + b"]" * 100] * (MANY // 100)) + b"]",
    "no JSON": b'"["' * MANY,
}


@pytest.mark.parametrize("wide", WIDE.values(), ids=WIDE)
def test_too_many_values_are_not_decoded(wide: bytes) -> None:
    assert refused(START + b',"x":' + wide + b"}").message == "The body has too many values."


@pytest.mark.parametrize("text", [",", "[", "{", '\\",'])
def test_a_text_of_tables_is_one_value(text: str) -> None:
    assert ask(messages=[{"role": "user", "content": text * MANY}]).models == ("a/b",)
    cut = START + b',"x":"' + b"," * MANY
    assert "truncated" in refused(cut).message


@given(st.binary(max_size=200))
def test_bytes_of_chance_are_refused(body: bytes) -> None:
    with pytest.raises(GatewayError):
        decode_request(body)


@pytest.mark.parametrize("depth", range(700, 1100, 3))
def test_what_is_decoded_can_be_encoded(depth: int) -> None:
    """Or is the caller's fault, however near to the limit of the stack, and from deeper in it."""
    body = START + b',"x":' + b"[" * depth + b"]" * depth + b"}"

    def deeper(asked: Ask, steps: int) -> bytes:
        if steps:
            return deeper(asked, steps - 1)
        return encode_request(asked, target()).body

    told, encoded = "", b""
    try:
        encoded = deeper(decode_request(body), 50)
    except GatewayError as error:
        told = error.message
    assert told == "The body is nested too deeply." or b"[" * depth in encoded


@pytest.mark.parametrize("value", ["\ud800", object(), {(): 1}], ids=["half", "object", "key"])
def test_what_can_not_be_encoded_is_refused(value: object) -> None:
    asked = Ask(models=("a/b",), body={"messages": [HELLO], "x": value})
    with pytest.raises(GatewayError, match="can not be sent") as raised:
        encode_request(asked, target())
    assert raised.value.kind == "invalid_request"


# Types of known fields.

WRONG: list[tuple[str, Any, str]] = [
    ("messages", "hello", "messages"),
    ("messages", [], "messages"),
    ("messages", [1], "messages[0]"),
    ("messages", [{}], "messages[0].role"),
    ("messages", [{"role": "wizard"}], "messages[0].role"),
    ("messages", [{"role": 1}], "messages[0].role"),
    ("messages", [{"role": "user", "content": 5}], "messages[0].content"),
    ("messages", [{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
    ("messages", [{"role": "user", "content": [{}]}], "messages[0].content[0].type"),
    ("messages", [{"role": "user", "content": [{"type": 1}]}], "messages[0].content[0].type"),
    (
        "messages",
        [{"role": "user", "content": [{"type": "text", "text": 1}]}],
        "messages[0].content[0].text",
    ),
    ("messages", [{"role": "user", "name": 1}], "messages[0].name"),
    ("messages", [{"role": "assistant", "tool_calls": {}}], "messages[0].tool_calls"),
    ("messages", [{"role": "assistant", "tool_calls": [1]}], "messages[0].tool_calls[0]"),
    ("messages", [{"role": "tool", "tool_call_id": 1}], "messages[0].tool_call_id"),
    ("model", 1, "model"),
    ("models", "a/b", "models"),
    ("models", [1], "models[0]"),
    ("stream", "yes", "stream"),
    ("stream", 1, "stream"),
    ("stream_options", True, "stream_options"),
    ("max_tokens", "5", "max_tokens"),
    ("max_tokens", 1.5, "max_tokens"),
    ("max_tokens", True, "max_tokens"),
    ("max_tokens", 1e300, "max_tokens"),
    ("seed", 2.0**54, "seed"),
    ("max_tokens", 0, "max_tokens"),
    ("max_completion_tokens", [], "max_completion_tokens"),
    ("temperature", "hot", "temperature"),
    ("temperature", 3, "temperature"),
    ("top_p", {}, "top_p"),
    ("top_k", 1.5, "top_k"),
    ("top_a", "x", "top_a"),
    ("min_p", "x", "min_p"),
    ("frequency_penalty", "x", "frequency_penalty"),
    ("presence_penalty", "x", "presence_penalty"),
    ("repetition_penalty", "x", "repetition_penalty"),
    ("seed", "x", "seed"),
    ("stop", 1, "stop"),
    ("stop", [1], "stop[0]"),
    ("stop", ["a"] * 5, "stop"),
    ("logit_bias", [], "logit_bias"),
    ("logit_bias", {"1": "x"}, "logit_bias[...]"),
    ("logprobs", "x", "logprobs"),
    ("top_logprobs", "x", "top_logprobs"),
    ("n", "x", "n"),
    ("response_format", "json", "response_format"),
    ("response_format", {"type": 1}, "response_format.type"),
    ("tools", {}, "tools"),
    ("tools", ["x"], "tools[0]"),
    ("tools", [{"type": None}], "tools[0].type"),
    ("tool_choice", 1, "tool_choice"),
    ("parallel_tool_calls", "x", "parallel_tool_calls"),
    ("reasoning", True, "reasoning"),
    ("reasoning", {"effort": "some"}, "reasoning.effort"),
    ("reasoning", {"max_tokens": "x"}, "reasoning.max_tokens"),
    ("reasoning", {"exclude": "x"}, "reasoning.exclude"),
    ("reasoning", {"enabled": "x"}, "reasoning.enabled"),
    ("reasoning_effort", "some", "reasoning_effort"),
    ("include_reasoning", "x", "include_reasoning"),
    ("modalities", "text", "modalities"),
    ("audio", "x", "audio"),
    ("metadata", "x", "metadata"),
    ("metadata", {"a": 1}, "metadata[...]"),
    ("debug", True, "debug"),
    ("debug", {"echo_upstream_body": 1}, "debug.echo_upstream_body"),
    ("trace", "x", "trace"),
    ("max_tool_calls", "x", "max_tool_calls"),
    ("stop_server_tools_when", {}, "stop_server_tools_when"),
    ("prompt_cache_key", 1, "prompt_cache_key"),
    ("prompt_cache_options", "x", "prompt_cache_options"),
    ("image_config", "x", "image_config"),
    ("prediction", "x", "prediction"),
    ("web_search_options", "x", "web_search_options"),
    ("verbosity", 1, "verbosity"),
    ("functions", {}, "functions"),
    ("function_call", 1, "function_call"),
    ("user", 1, "user"),
    ("session_id", 1, "session_id"),
    ("provider", "openai", "provider"),
]


@pytest.mark.parametrize(("name", "value", "path"), WRONG, ids=str)
def test_a_wrong_type_is_named(name: str, value: Any, path: str) -> None:
    error = refused(msgspec.json.encode({"model": "a/b", "messages": [HELLO]} | {name: value}))
    assert error.kind == "invalid_request"
    assert error.message.startswith(f"{path}: ")
    assert "`" not in error.message


WORDS: list[tuple[Json, str]] = [
    ({"temperature": "hot"}, "temperature: expected a number, got a string"),
    ({"temperature": 10**400}, "temperature: number out of range"),
    ({"top_k": 1.5}, "top_k: expected a whole number, got a decimal number"),
    ({"stop": 1}, "stop: expected a string or a list, got a number"),
    ({"stream": "yes"}, "stream: expected true or false, got a string"),
    ({"n": True}, "n: expected a whole number, got a boolean"),
    ({"tool_choice": []}, "tool_choice: expected a string or an object, got a list"),
    ({"tools": [{"type": None}]}, "tools[0].type: expected a string, got null"),
    ({"messages": [{}]}, "messages[0].role: required"),
    (
        {"messages": [{"role": "a secret - at `$.x`"}]},
        "messages[0].role: none of the values it can have",
    ),
    ({"session_id": "x" * 257}, "session_id: at most 256 characters"),
]


@pytest.mark.parametrize(("fields", "message"), WORDS, ids=lambda value: str(value)[:40])
def test_a_wrong_type_is_told_in_words(fields: Json, message: str) -> None:
    body = {"model": "a/b", "messages": [HELLO]} | fields
    assert refused(json.dumps(body).encode()).message == message


def test_a_whole_number_may_have_a_point() -> None:
    asked = ask(max_tokens=10.0, n=2.0, seed=-3.0, temperature=1.0, x=4.0)
    body = sent(asked)
    assert (asked.max_tokens, asked.choices) == (10, 2)
    told = {name: body[name] for name in ("max_tokens", "n", "seed", "temperature", "x")}
    assert repr(told) == repr({"max_tokens": 10, "n": 2, "seed": -3, "temperature": 1.0, "x": 4.0})
    thought = sent(ask(reasoning={"max_tokens": 5.0}), reasoning_control="object")
    assert repr(thought["reasoning"]) == "{'max_tokens': 5}"


@pytest.mark.parametrize("name", sorted({name for name, _, _ in WRONG} - {"messages", "model"}))
def test_null_is_not_set(name: str) -> None:
    asked = ask(**{name: None})
    assert asked.models == ("a/b",)
    assert asked.thinking is None
    assert sent(asked).keys() == {"model", "messages"}


def test_null_travels_where_it_is_not_known() -> None:
    body = sent(ask(of_tomorrow=None, temperature=None, seed=0, stop=[]))
    assert body == {"model": "m", "messages": [HELLO], "of_tomorrow": None, "seed": 0, "stop": []}


def test_a_request_for_nothing() -> None:
    assert refused(b'{"model":"a/b"}').message == "messages: required"
    assert refused(b'{"model":"a/b","messages":null}').message == "messages: required"
    assert refused(b'{"messages":[{"role":"user"}]}').message == "No models provided"


def test_an_unbuilt_wish_is_refused() -> None:
    error = refused(START + b',"plugins":[{"id":"web"}]}')
    assert (error.kind, error.message) == ("not_supported", "plugins: not supported yet")


def test_a_preference_that_there_is_not_is_refused_by_name() -> None:
    error = refused(START + b',"provider":{"sort":"beauty"}}')
    assert (error.kind, error.message) == (
        "invalid_request",
        "provider.sort: none of the values it can have (price, throughput, latency, exacto)",
    )  # fmt: skip
    error = refused(START + b',"provider":{"experimental":{}}}')
    assert error.message == "provider.experimental: is no preference"


# What travels on.


def test_unknown_fields_travel_untouched() -> None:
    unknown = {
        "safe_prompt": True, "x": {"y": [1, 2.5, None, "é"]}, "chat_template_kwargs": {"a": 1},
        "prediction": {"type": "content"}, "": 0,
    }  # fmt: skip
    body = sent(ask(**unknown, temperature=0.5))
    assert body == {"model": "m", "messages": [HELLO], **unknown, "temperature": 0.5}
    assert list(body) == ["model", "messages", *unknown, "temperature"]


def test_own_fields_do_not_travel() -> None:
    own: Json = {
        "models": ["c/d"], "route": "fallback", "provider": {"allow_fallbacks": True},
        "plugins": [], "transforms": [], "usage": {"include": True}, "include_reasoning": True,
        "reasoning": {"enabled": True}, "session_id": "s",
        "trace": {"trace_id": "t"}, "debug": {"echo_upstream_body": True},
        "max_tool_calls": 3, "stop_server_tools_when": [{"type": "max_cost"}],
        "stream": False, "stream_options": {"include_usage": False}, "prompt": "old",
        "preset": None, "speed": "fast", "deferred_tools": [],
    }  # fmt: skip
    assert own.keys() | {"model"} == OWN_FIELDS
    assert sent(ask(**own)) == {"model": "m", "messages": [HELLO]}


def test_large_integers_travel_exactly() -> None:
    big = 2**80
    assert sent(ask(seed=big, x=-big)) == {
        "model": "m", "messages": [HELLO], "seed": big, "x": -big,
    }  # fmt: skip


def test_of_a_doubled_key_the_last_counts_and_travels() -> None:
    body = START + b',"x":1,"x":{"y":1,"y":2},"stream":false,"stream":true,"model":"c/d"}'
    asked = decode_request(body)
    assert (asked.models, asked.stream) == (("c/d",), True)
    encoded = encode_request(asked, target()).body
    assert json.loads(encoded)["x"] == {"y": 2}
    assert encoded.count(b'"x":') == encoded.count(b'"stream":') == 1


@pytest.mark.parametrize("more", [{}, {"messages": None}])
def test_the_legacy_prompt_is_a_message(more: Json) -> None:
    asked = decode_request(msgspec.json.encode({"model": "a/b", "prompt": "hello", **more}))
    assert sent(asked) == {"model": "m", "messages": [HELLO]}


MODELS: list[tuple[Json, tuple[str, ...]]] = [
    ({"model": "a/b"}, ("a/b",)),
    ({"models": ["a/b", "c/d"]}, ("a/b", "c/d")),
    ({"model": "a/b", "models": ["c/d", "a/b", "c/d"]}, ("a/b", "c/d")),
    ({"model": "", "models": ["c/d"]}, ("c/d",)),
]


@pytest.mark.parametrize(("fields", "models"), MODELS)
def test_models_in_the_order_of_wish(fields: Json, models: tuple[str, ...]) -> None:
    assert decode_request(msgspec.json.encode({"messages": [HELLO], **fields})).models == models


def test_what_the_gateway_acts_on() -> None:
    parts = [
        {"type": kind}
        for kind in ("text", "image_url", "file", "video_url", "input_audio", "input_audio")
    ]
    content = {"role": "user", "content": parts}
    asked = ask(messages=[HELLO, content], stream=True, n=3, max_tokens=7, session_id="s")
    assert (asked.stream, asked.choices, asked.max_tokens, asked.session_id) == (True, 3, 7, "s")
    assert (asked.media_prompt, asked.audio_prompt) == (3, 2)
    assert ask(max_tokens=7, max_completion_tokens=9).max_tokens == 9


# Reasoning.

THINKING: list[tuple[Json, Thinking | None]] = [
    ({}, None),
    ({"include_reasoning": True}, Thinking(wish={})),
    (
        {"reasoning": {"enabled": True}, "reasoning_effort": "low"},
        Thinking(wish={"enabled": True}, effort="low"),
    ),
    ({"include_reasoning": False}, Thinking(wish={"exclude": True}, hidden=True)),
    ({"reasoning": {}}, Thinking(wish={})),
    ({"reasoning": {"effort": "high"}}, Thinking(wish={"effort": "high"}, effort="high")),
    (
        {"reasoning": {"effort": "high"}, "reasoning_effort": "high"},
        Thinking(wish={"effort": "high"}, effort="high"),
    ),
    ({"reasoning": {"enabled": True}}, Thinking(wish={"enabled": True}, effort="medium")),
    ({"reasoning": {"enabled": False}}, Thinking(wish={"enabled": False}, effort="none")),
    (
        {"reasoning": {"enabled": True, "max_tokens": 9}},
        Thinking(wish={"enabled": True, "max_tokens": 9}, max_tokens=9),
    ),
    (
        {"reasoning": {"exclude": True, "summary": "auto"}},
        Thinking(wish={"exclude": True, "summary": "auto"}, hidden=True),
    ),
    (
        {"reasoning": {"effort": "low"}, "include_reasoning": False},
        Thinking(wish={"effort": "low"}, effort="low", hidden=True),
    ),
]


@pytest.mark.parametrize(("fields", "thinking"), THINKING, ids=str)
def test_wishes_for_reasoning(fields: Json, thinking: Thinking | None) -> None:
    assert ask(**fields).thinking == thinking


def test_two_efforts_that_differ() -> None:
    error = refused(START + b',"reasoning":{"effort":"low"},"reasoning_effort":"high"}')
    assert error.message == "reasoning_effort: differs from reasoning.effort"


EFFORTS: list[tuple[Json, str | None]] = [
    ({"reasoning": {"effort": "high"}}, "high"),
    ({"reasoning": {"enabled": False}}, "none"),
    ({"reasoning": {"exclude": True}}, None),
    ({"reasoning": {"max_tokens": 1000}}, "medium"),
    ({"reasoning": {"max_tokens": 900}, "max_tokens": 1000}, "high"),
    ({"reasoning": {"max_tokens": 450}, "max_tokens": 1000}, "medium"),
    ({"reasoning": {"max_tokens": 240}, "max_tokens": 1000}, "low"),
    ({"reasoning": {"max_tokens": 10}, "max_tokens": 1000}, "minimal"),
    ({"reasoning": {"exclude": True}, "reasoning_effort": "low"}, "low"),
]


@pytest.mark.parametrize(("fields", "effort"), EFFORTS, ids=str)
def test_reasoning_by_effort(fields: Json, effort: str | None) -> None:
    body = sent(ask(**fields), reasoning_control="effort")
    assert body.get("reasoning_effort") == effort
    assert "reasoning" not in body


def test_reasoning_by_object_or_not_at_all() -> None:
    wish = {"effort": "high", "summary": "auto"}
    assert sent(ask(reasoning=wish), reasoning_control="object")["reasoning"] == wish
    assert sent(ask(reasoning=wish)).keys() == {"model", "messages"}


# Each provider's words.

LIMITS: list[tuple[str, Json, Json]] = [
    ("as_sent", {"max_tokens": 1, "max_completion_tokens": 2},
     {"max_tokens": 1, "max_completion_tokens": 2}),
    ("max_tokens", {"max_tokens": 1}, {"max_tokens": 1}),
    ("max_tokens", {"max_completion_tokens": 2}, {"max_tokens": 2}),
    ("max_completion_tokens", {"max_tokens": 1}, {"max_completion_tokens": 1}),
    (
        "max_completion_tokens",
        {"max_tokens": 1, "max_completion_tokens": 2},
        {"max_completion_tokens": 2},
    ),
    ("max_completion_tokens", {"max_tokens": None}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("quirk", "fields", "expected"), LIMITS, ids=str)
def test_the_name_of_the_limit(quirk: str, fields: Json, expected: Json) -> None:
    body = sent(ask(**fields), max_tokens=quirk)
    assert {name: value for name, value in body.items() if name.startswith("max")} == expected


STREAMED: list[tuple[Json, Json | None]] = [
    ({}, {"include_usage": True}),
    ({"obfuscation_option": True}, {"include_usage": True, "include_obfuscation": False}),
    ({"usage_option": False}, None),
    ({"usage_option": False, "obfuscation_option": True}, {"include_obfuscation": False}),
]


@pytest.mark.parametrize(("quirks", "options"), STREAMED, ids=str)
def test_options_of_a_stream(quirks: Json, options: Json | None) -> None:
    body = sent(ask(stream=True, stream_options={"include_usage": False}), **quirks)
    assert body["stream"] is True
    assert body.get("stream_options") == options


ANSWER: Json = {
    "role": "assistant",
    "content": None,
    "reasoning": "hm",
    "reasoning_details": [{"type": "reasoning.text", "text": "hm"}],
    "annotations": [],
    "images": [],
    "tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {}}],
    "of_tomorrow": 1,
}
PLAIN: Json = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c", "type": "function", "function": {}}],
    "of_tomorrow": 1,
}


@pytest.mark.parametrize(
    ("replay", "expected"),
    [
        ("none", PLAIN),
        ("reasoning", PLAIN | {"reasoning": "hm"}),
        ("reasoning_content", PLAIN | {"reasoning_content": "hm"}),
        ("details", ANSWER),
    ],
)
def test_an_answer_sent_back(replay: str, expected: Json) -> None:
    assert sent(ask(messages=[HELLO, ANSWER]), reasoning_replay=replay)["messages"][1] == expected


def test_reasoning_sent_back_under_its_other_name() -> None:
    said = {"role": "assistant", "content": "x", "reasoning_content": "hm"}
    body = sent(ask(messages=[said]), reasoning_replay="reasoning")
    assert body["messages"] == [{"role": "assistant", "content": "x", "reasoning": "hm"}]


def test_an_answer_without_reasoning_gets_none() -> None:
    said = {"role": "assistant", "content": "x"}
    assert sent(ask(messages=[said]), reasoning_replay="reasoning")["messages"] == [said]


def test_one_ask_can_be_said_to_many() -> None:
    asked = ask(messages=[HELLO, ANSWER], max_tokens=5, reasoning={"effort": "low"}, stream=True)
    before = msgspec.json.encode(asked)
    quirks = {"max_tokens": "max_completion_tokens", "reasoning_control": "effort"}
    assert sent(asked, **quirks) == sent(asked, **quirks)
    assert msgspec.json.encode(asked) == before


@pytest.mark.parametrize(
    ("tier", "sent_on"),
    [("auto", True), ("default", True), ("flex", True), ("priority", False), ("fast", False),
     ("scale", False), ("ultrafast", False), (None, False)],
)  # fmt: skip
def test_nobody_is_served_at_a_dearer_tier_than_is_charged(tier: object, sent_on: bool) -> None:
    body = sent(ask(service_tier=tier))
    assert ("service_tier" in body) == sent_on
