"""Requests to Anthropic: what is read out of them, and what is refused as the real one would."""

import json
from typing import Any

import pytest

from proxy.upstream.fake.ask import Ask, Refused, Request
from proxy.upstream.fake.asks.anthropic import decode_messages
from tests.upstream.fake.speaking import CITY, SEAL, Wish, whole

USER = {"role": "user", "content": "hi there"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "18 degrees"}
THINKING = {"type": "enabled", "budget_tokens": 2000}
ADD = {"name": "add", "input_schema": {"type": "object"}}


def asked(*, headers: dict[str, str] | None = None, path: str = "/v1/messages", **body: Any) -> Ask:
    plain = {"model": "weir/reason", "max_tokens": 4096, "messages": [USER]} | body
    data = json.dumps({key: value for key, value in plain.items() if value != "gone"}).encode()
    sent = {"anthropic-version": "2023-06-01"} if headers is None else headers
    return decode_messages(Request("POST", path, sent, data), SEAL)


def turns(*blocks: dict[str, Any], results: Any = (RESULT,)) -> list[dict[str, Any]]:
    answered = [{"role": "user", "content": list(results)}] if results else []
    return [USER, {"role": "assistant", "content": list(blocks)}, *answered]


def test_what_is_read() -> None:
    image = {"type": "image", "source": {"type": "base64"}}
    document = {"type": "document", "source": {}}
    mark = {"cache_control": {"type": "ephemeral"}}
    ask = asked(
        model="m",
        system=[{"type": "text", "text": "be brief", **mark}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": [document, {"type": "text", "text": "and now", **mark}]},
        ],
        tools=[ADD, {"type": "web_search_20250305", "name": "web_search"}],
        stop_sequences=["x"],
        stream=True,
    )
    assert ask.texts == ("be brief", "look", "yes", "and now")
    assert ask.marks == (1, 4)
    assert (ask.said, ask.results, ask.attachments) == ("and now", None, ("image", "file"))
    assert [function.name for function in ask.functions] == ["add"]
    assert (ask.stream, ask.stop, ask.tokens_max, ask.thinks) == (True, ("x",), 4096, False)


def test_the_results_of_tools() -> None:
    text = [{"type": "text", "text": "noon"}]
    second = {"type": "tool_result", "tool_use_id": "toolu_2", "content": text}
    calls = [CALL, CALL | {"id": "toolu_2"}]
    ask = asked(messages=turns(*calls, results=[RESULT, second]))
    assert ask.results == "18 degrees; noon"
    ask = asked(messages=turns(CALL, results=[RESULT, {"type": "text", "text": "go on"}]))
    assert (ask.results, ask.said) == (None, "go on")


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ({}, ("auto", False, True)),
        ({"type": "none"}, ("none", False, True)),
        ({"type": "any", "disable_parallel_tool_use": True}, ("required", False, False)),
        ({"type": "tool", "name": "add"}, ("add", True, True)),
    ],
)
def test_tool_choice(body: dict[str, Any], read: tuple[str, bool, bool]) -> None:
    ask = asked(tool_choice=body, tools=[ADD])
    assert (ask.choice, ask.named, ask.parallel) == read


def test_a_model_that_reasons_does_unless_told_not_to() -> None:
    assert asked().thinks
    assert asked(thinking=THINKING).thinks
    assert asked(thinking={"type": "adaptive"}).thinks
    assert not asked(thinking={"type": "disabled"}).thinks
    assert not asked(model="m", thinking=THINKING).thinks


def test_vertex_tells_model_and_stream_in_the_path() -> None:
    path = "/v1/projects/p/locations/l/publishers/anthropic/models/weir/echo@1:streamRawPredict"
    version = {"anthropic_version": "vertex-2023-10-16"}
    ask = asked(path=path, headers={}, model="gone", **version)
    assert (ask.model, ask.stream) == ("weir/echo", True)
    with pytest.raises(Refused, match="anthropic_version: Field required"):
        asked(path=path, headers={}, model="gone")


def test_structured_answers() -> None:
    format_ = {"type": "json_schema", "schema": CITY}
    assert asked(output_config={"format": format_}).schema == CITY
    assert asked(output_format=format_).structured
    assert not asked(output_config={"effort": "low"}).structured


OPEN = {"type": "object", "properties": {}}
HALF = {"type": "object", "additionalProperties": False, "properties": {"a": {"anyOf": [OPEN]}}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"max_tokens": "gone"}, "max_tokens: Field required"),
        ({"model": "gone"}, "model: Field required"),
        ({"messages": "gone"}, "messages: Field required"),
        ({"messages": []}, "at least one message is required"),
        ({"n": 2}, "n: Extra inputs are not permitted"),
        ({"messages": [{"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Input should be"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'must use the "user" role'),
        ({"messages": [{"role": "user", "content": ""}]}, "messages: text content blocks must be"),
        ({"messages": [{"role": "user", "content": "  "}]}, "contain non-whitespace text"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0: all messages must have"),
        ({"messages": [USER, {"role": "assistant", "content": "a "}]}, "trailing whitespace"),
        ({"system": ""}, "system: text content blocks must be non-empty"),
        ({"messages": turns(results=[RESULT])[:1] + turns()[2:]}, "unexpected `tool_use_id`"),
        ({"messages": [*turns(CALL)[:2], USER]}, "without `tool_result` blocks"),
        ({"messages": turns(CALL | {"id": "a.b"})}, "String should match pattern"),
        ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
        ({"thinking": THINKING | {"budget_tokens": 10}}, "greater than or equal to 1024"),
        ({"thinking": THINKING, "max_tokens": 2000}, "`max_tokens` must be greater than"),
        ({"thinking": THINKING, "temperature": 0.5}, "`temperature` may only be set to 1"),
        ({"thinking": THINKING, "top_k": 5}, "`top_k` must be unset"),
        ({"thinking": THINKING, "tool_choice": {"type": "any"}}, "Thinking may not be enabled"),
        ({"temperature": 1.5}, "temperature: range: 0..1"),
        ({"tools": [{"name": "add"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [{"name": "add", "input_schema": {}}]}, "Input should be 'object'"),
        ({"tools": [ADD | {"name": "a b"}]}, "tools.0.custom.name: String should match"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": OPEN}}},
            "'additionalProperties' must be explicitly set to false",
        ),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": HALF}}},
            "'additionalProperties' must be explicitly set to false",
        ),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {"a": 1}}] * 5},
            "A maximum of 4 blocks with cache_control may be provided. Found 5",
        ),
    ],
)
def test_refusals(body: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        asked(**body)
    assert message in str(refused.value)


def test_a_version_is_required() -> None:
    with pytest.raises(Refused, match="anthropic-version: header is required"):
        asked(headers={})
    with pytest.raises(Refused, match="not valid JSON"):
        decode_messages(Request("POST", "/v1/messages", {}, b"{"), SEAL)


def test_results_may_come_in_any_order_but_all_of_them() -> None:
    calls = [CALL, CALL | {"id": "toolu_2"}]
    results = [RESULT | {"tool_use_id": "toolu_2"}, RESULT]
    assert asked(messages=turns(*calls, results=results)).results
    with pytest.raises(Refused, match="immediately after: toolu_2"):
        asked(messages=turns(*calls))


def test_thoughts_have_to_come_back_as_they_were() -> None:
    wish = Wish(text="call a tool", tools=("add",), model="weir/reason")
    thought, call = whole("anthropic", wish)["content"]
    result = RESULT | {"tool_use_id": call["id"]}

    def ask(*blocks: dict[str, Any], **body: Any) -> Ask:
        return asked(messages=turns(*blocks, results=[result]), tools=[ADD], **body)

    assert ask(thought, call, thinking=THINKING).results == "18 degrees"
    with pytest.raises(Refused, match=r"messages.1.content.0: Invalid `signature` in `thinking`"):
        ask(thought | {"thinking": "Something else."}, call)
    with pytest.raises(Refused, match=r"messages.1.content.0: Invalid `signature`"):
        ask(thought | {"signature": "x"}, call)
    with pytest.raises(Refused, match="Invalid `data` in `redacted_thinking` block"):
        ask({"type": "redacted_thinking", "data": "x"}, call)
    with pytest.raises(Refused, match=r"Expected `thinking` or .* but found `tool_use`"):
        ask(call, thinking=THINKING)
    with pytest.raises(Refused, match="but found `text`"):
        ask({"type": "text", "text": "x"}, thought, call, thinking=THINKING)
    assert ask(call).results  # nobody asked for thinking
