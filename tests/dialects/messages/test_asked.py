"""What an Anthropic caller asks for, in OpenRouter's form; what is refused, and how."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.messages.asked import decode_count, decode_request
from proxy.errors import GatewayError
from proxy.wire.events import Usage
from proxy.wire.request import Ask, Thinking

Json = dict[str, Any]
HELLO = [{"role": "user", "content": "hello"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FALLBACK = [{"model": "a"}]


def said(content: Any) -> list[Json]:
    return [{"role": "user", "content": content}]


def asked(headers: list[tuple[bytes, bytes]] | None = None, /, **fields: Any) -> Ask:
    body: Json = {"model": "a/b", "messages": HELLO} | fields
    return decode_request(json.dumps(body).encode(), headers or [])


def body(**fields: Any) -> Json:
    """What the chat has besides its messages."""
    said = asked(**fields).body
    return {name: said[name] for name in said if name != "messages"}


def refusal(**fields: Any) -> str:
    with pytest.raises(GatewayError) as caught:
        asked(**fields)
    assert caught.value.status == 400
    return caught.value.message


def test_the_plainest_request() -> None:
    ask = asked(max_tokens=10)
    assert (ask.models, ask.max_tokens, ask.words) == (("a/b",), 10, "messages")
    assert ask.body == {"messages": HELLO, "max_tokens": 10}
    assert ask.native == {"messages": HELLO, "max_tokens": 10}
    assert not ask.stream


def test_a_limit_may_be_left_out() -> None:
    assert asked(stream=True).max_tokens is None
    assert asked(stream=True).stream


@pytest.mark.parametrize(
    ("fields", "chat"),
    [
        (
            {"temperature": 1, "top_p": 0.5, "top_k": 3},
            {"temperature": 1, "top_p": 0.5, "top_k": 3},
        ),
        ({"stop_sequences": list("abcdefg")}, {"stop": list("abcdefg")}),
        ({"metadata": {"user_id": "me"}}, {"user": "me"}),
        ({"metadata": {"user_id": None}}, {}),
        ({"metadata": {"user_id": "me"}, "user": "you"}, {"user": "you"}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "priority"}, {}),
        ({"speed": "fast", "context_management": {"edits": []}, "unknown": 1}, {}),
        ({"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral"}}),
        ({"inference_geo": "eu"}, {"inference_geo": "eu"}),
        ({"tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
        ({"tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        (
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
        (
            {"tool_choice": {"type": "tool", "name": "f"}},
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
    ],
)
def test_fields(fields: Json, chat: Json) -> None:
    assert body(**fields) == chat


@pytest.mark.parametrize("key", ["output_config", "output_format"])
def test_a_schema(key: str) -> None:
    form: Json = {"type": "json_schema", "schema": SCHEMA}
    said = body(**{key: {"format": form, "effort": None} if key == "output_config" else form})
    named = {"name": "answer", "schema": SCHEMA, "strict": True}
    assert said == {"response_format": {"type": "json_schema", "json_schema": named}}


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}}, Thinking(wish={"effort": "none"}, effort="none")),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            Thinking(wish={"max_tokens": 2000}, max_tokens=2000),
        ),
        (
            {"thinking": {"type": "adaptive", "display": "summarized"}},
            Thinking(wish={"enabled": True}, effort="medium"),
        ),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            Thinking(wish={"enabled": True, "exclude": True}, effort="medium", hidden=True),
        ),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            Thinking(wish={"effort": "max"}, effort="max"),
        ),
        ({"output_config": {"effort": "low"}}, Thinking(wish={"effort": "low"}, effort="low")),
    ],
)
def test_thinking(fields: Json, thinking: Thinking | None) -> None:
    assert asked(**fields).thinking == thinking


def test_tools() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    own = {"type": "web_search_20250305", "name": "web_search"}
    tools = [
        {"name": "f", "input_schema": SCHEMA, "description": "F", "cache_control": mark},
        {"type": "custom", "name": "g", "input_schema": SCHEMA, "strict": True},
        own,
    ]
    assert body(tools=tools)["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "parameters": SCHEMA, "description": "F"},
            "cache_control": mark,
        },
        {"type": "function", "function": {"name": "g", "parameters": SCHEMA, "strict": True}},
        own,
    ]
    assert (asked(tools=tools).native or {})["tools"] == tools


def test_a_long_user_is_another_name_for_the_same() -> None:
    long = "user_" + "x" * 100
    (one, two) = (body(user=long)["user"], body(metadata={"user_id": long})["user"])
    assert one == two != body(user=f"{long}y")["user"]
    assert len(one) == 64


def test_models_to_fall_back_to() -> None:
    assert asked(models=["a/c", "a/b"]).models == ("a/b", "a/c")
    assert asked(fallbacks=[{"model": "a/c"}]).models == ("a/b", "a/c")
    assert asked(fallbacks=[], models=["a/c"]).models == ("a/b", "a/c")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"messages": None}, "messages: required"),
        ({"messages": []}, "messages: must not be empty"),
        ({"messages": [{"role": "user"}]}, "messages[0].content: required"),
        ({"messages": [{"role": "tool"}]}, "messages[0].role: NONE"),
        ({"messages": said([{}])}, "messages[0].content[0].type: required"),
        ({"messages": said([1])}, "messages[0].content[0]: expected an object, got a number"),
        ({"model": None}, "No models provided"),
        ({"max_tokens": "9"}, "max_tokens: expected a whole number, got a string"),
        ({"max_tokens": 0}, "max_tokens: must be between 1 and 2147483648"),
        ({"system": [{"type": "image"}]}, "system[0].type: NONE"),
        ({"system": 1}, "system: expected a string or a list, got a number"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema: required"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name: required"),
        ({"tools": [{"type": "openrouter:web_search"}]}, "tools[0].type: not supported yet"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name: required"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type: NONE"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens: required"),
        ({"thinking": {"type": "some"}}, "thinking.type: NONE"),
        ({"output_config": {"effort": "none"}}, "output_config.effort: NONE"),
        ({"stop_sequences": "a"}, "stop_sequences: expected a list, got a string"),
        ({"fallbacks": FALLBACK * 4}, "fallbacks: at most 3 models"),
        ({"fallbacks": FALLBACK, "models": []}, "fallbacks: can not be combined with models"),
        ({"speed": "slow"}, "speed: NONE"),
        ({"session_id": "x" * 257}, "session_id: at most 256 characters"),
    ],
)  # fmt: skip
def test_refusals_name_the_field(fields: Json, message: str) -> None:
    assert refusal(**fields) == message.replace("NONE", "none of the values it can have")


def test_a_fallback_has_only_a_model() -> None:
    assert refusal(fallbacks=[{"model": "a", "max_tokens": 1}]).startswith("fallbacks[0]")


def test_an_attachment_is_called_what_its_caller_calls_it() -> None:
    image = {"type": "base64", "media_type": "image/png", "data": "%%"}
    blocks = [{"type": "text", "text": "x"}, {"type": "image", "source": image}]
    result = {"type": "tool_result", "tool_use_id": "a", "content": blocks}
    said = [*HELLO, {"role": "assistant", "content": "x"}, {"role": "user", "content": [result]}]
    place = "messages[2].content[0].content[1]"
    assert refusal(messages=said, system="s") == f"{place}.source: the data is not base64"


def test_a_block_within_a_document_has_a_type() -> None:
    document = {"type": "document", "source": {"type": "content", "content": [{"text": "x"}]}}
    blocks = [{"type": "text", "text": "x"}, document]
    assert refusal(messages=said(blocks)) == "messages[0].content[1].type: required"


@pytest.mark.parametrize("lacking", ["id", "name"])
def test_a_call_has_a_name_and_an_id(lacking: str) -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}} | {lacking: None}
    message = refusal(messages=[{"role": "assistant", "content": [call]}])
    assert message == f"messages[0].content[0].{lacking}: required"


def test_an_input_may_not_be_deeper_than_can_be_written() -> None:
    deep = json.loads("[" * 400 + "]" * 400)
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": deep}}
    said = [{"role": "assistant", "content": [call]}]
    assert refusal(messages=said) == "The body is nested too deeply."


def test_betas_come_in_either_header() -> None:
    headers = [(b"anthropic-beta", b"one-1,two-2"), (b"x-anthropic-beta", b"three-3")]
    assert asked(headers).betas == ("one-1", "two-2", "three-3")


def test_a_count_uses_nothing() -> None:
    body = json.dumps({"model": "a", "messages": HELLO, "stream": True}).encode()
    ask = decode_count(body)
    assert (ask.task, ask.most, ask.stream) == ("count", Usage(), False)
    assert ask.native == {"messages": HELLO}


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(("type", "text", "source", "content", "data")), inner),
    ),
    max_leaves=8,
)
TYPES = st.sampled_from((
    "text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking",
    "server_tool_use", "web_search_tool_result", "search_result", "compaction", "tool_reference",
))  # fmt: skip
KEYS = st.sampled_from((
    "text", "source", "content", "id", "name", "input", "tool_use_id", "thinking", "signature",
    "data", "title", "tool_name", "cache_control",
))  # fmt: skip
SOURCES = st.fixed_dictionaries(
    {"type": st.sampled_from(("base64", "url", "file", "text", "content"))},
    optional=dict.fromkeys(("data", "url", "media_type", "file_id", "content"), VALUES),
)
BLOCKS = st.builds(
    lambda type_, more, source: {**more, **source, "type": type_},
    TYPES,
    st.dictionaries(KEYS, VALUES, max_size=4),
    st.one_of(st.just({}), st.fixed_dictionaries({"source": SOURCES})),
)


@given(
    role=st.sampled_from(("user", "assistant", "system")),
    blocks=st.lists(BLOCKS, max_size=3),
    more=st.dictionaries(
        st.sampled_from(("system", "tools", "thinking", "output_config", "metadata", "fallbacks")),
        VALUES,
    ),
)
def test_whatever_comes_is_understood_or_refused(role: str, blocks: list[Json], more: Json) -> None:
    with contextlib.suppress(GatewayError):
        ask = asked(messages=[{"role": role, "content": blocks}], **more)
        assert ask.words == "messages"
