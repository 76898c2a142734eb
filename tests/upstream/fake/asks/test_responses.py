"""Requests to the Responses API: what is read of them, and what is refused as it would."""

import json
from typing import Any

import pytest

from proxy.upstream.fake.ask import Ask, Refused, Request
from proxy.upstream.fake.asks.responses import decode_responses
from tests.upstream.fake.speaking import CITY, SEAL, Wish, whole

USER = {"role": "user", "content": "hi there"}
CALL = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "18 degrees"}


def asked(**body: Any) -> Ask:
    data = json.dumps({"model": "weir/reason", "input": [USER]} | body).encode()
    return decode_responses(Request("POST", "/v1/responses", {}, data), SEAL)


def test_what_is_read() -> None:
    image = {"type": "input_image", "image_url": "data:,"}
    ask = asked(
        model="m",
        instructions="be brief",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "look"}, image]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "yes"}]},
            {"role": "user", "content": [{"type": "input_file"}, {"type": "input_audio"}]},
        ],
        tools=[{"type": "function", "name": "add", "parameters": CITY}, {"type": "web_search"}],
        max_output_tokens=16,
        parallel_tool_calls=False,
        stream=True,
    )
    assert (ask.texts, ask.said) == (("be brief", "look", "yes", ""), "look")
    assert ask.attachments == ("image", "file", "recording")
    assert [function.name for function in ask.functions] == ["add"]
    assert (ask.tokens_max, ask.parallel, ask.stream, ask.thinks) == (16, False, True, False)
    assert asked(input="just text").said == "just text"


def test_the_results_of_tools() -> None:
    parts = {"output": [{"type": "input_text", "text": "noon"}, {"type": "input_image"}]}
    second = OUTPUT | {"call_id": "c2"} | parts
    ask = asked(input=[USER, CALL, CALL | {"call_id": "c2"}, OUTPUT, second])
    assert (ask.results, ask.attachments) == ("18 degrees; noon", ("image",))
    assert asked(input=[USER, CALL, OUTPUT, USER]).results is None


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ("none", ("none", False)),
        ("required", ("required", False)),
        ("auto", ("auto", False)),
        ({"type": "function", "name": "add"}, ("add", True)),
        ({"type": "allowed_tools"}, ("auto", False)),
    ],
)
def test_tool_choice(choice: Any, read: tuple[str, bool]) -> None:
    ask = asked(tool_choice=choice)
    assert (ask.choice, ask.named) == read


def test_thinking_and_structure() -> None:
    assert asked().thinks
    assert not asked(reasoning={"effort": "none"}).thinks
    wanted = asked(text={"format": {"type": "json_schema", "name": "x", "schema": CITY}})
    assert (wanted.structured, wanted.schema) == (True, CITY)
    assert asked(text={"format": {"type": "json_object"}}).structured
    assert not asked(text={"verbosity": "low"}).structured


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"model": None}, "'model'", "missing_required_parameter"),
        ({"input": []}, "'input'", "missing_required_parameter"),
        ({"stop": ["x"]}, "Unknown parameter: 'stop'.", "unknown_parameter"),
        ({"max_output_tokens": 5}, "Expected a value >= 16, but got 5", "integer_below_min_value"),
        (
            {"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
            "Invalid value: 'text'",
            "invalid_value",
        ),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]},
            "Supported values are: 'output_text' and 'refusal'.",
            "invalid_value",
        ),
        ({"input": [USER, OUTPUT]}, "No tool call found for function call output", None),
        ({"input": [USER, CALL]}, "No tool output found for function call c1.", None),
        ({"tools": [{"type": "function", "function": {}}]}, "'tools[0].name'",
         "missing_required_parameter"),
    ],
)  # fmt: skip
def test_refusals(body: dict[str, Any], message: str, code: str | None) -> None:
    with pytest.raises(Refused) as refused:
        asked(**body)
    assert message in str(refused.value)
    assert refused.value.code == code


def test_what_is_kept_at_the_provider_is_not_looked_for() -> None:
    assert asked(input=[OUTPUT], previous_response_id="resp_1").results == "18 degrees"


@pytest.mark.parametrize("summary", ["auto", None])
def test_thoughts_have_to_come_back_as_they_were(summary: str | None) -> None:
    wish = Wish(
        text="call both tools",
        tools=("add", "sub"),
        model="weir/reason",
        more={"reasoning": {"summary": summary}},
    )
    thought, first, second = whole("responses", wish)["output"]
    outputs = [OUTPUT | {"call_id": call["call_id"]} for call in (first, second)]

    def ask(*items: dict[str, Any]) -> Ask:
        return asked(input=[USER, *items, *outputs])

    assert ask(thought, first, second).results
    unnamed = [{k: v for k, v in call.items() if k != "id"} for call in (first, second)]
    assert ask(*unnamed).results  # who names no item owes none
    with pytest.raises(Refused, match="could not be verified") as refused:
        ask(thought | {"encrypted_content": "x"}, first, second)
    assert refused.value.code == "invalid_encrypted_content"
    with pytest.raises(Refused, match="could not be verified"):
        ask(thought | {"summary": [{"type": "summary_text", "text": "x"}]}, first, second)
    with pytest.raises(Refused, match="Items are not persisted"):
        ask({k: v for k, v in thought.items() if k != "encrypted_content"}, first, second)
    with pytest.raises(Refused, match="without its required 'reasoning' item: 'rs_"):
        ask(first, second)
    with pytest.raises(Refused, match="without its required 'reasoning' item"):
        ask(first, thought, second)
    with pytest.raises(Refused, match="without its required following item"):
        asked(input=[USER, thought])


def test_a_thought_may_stand_before_a_text() -> None:
    thought, message = whole("responses", Wish(model="weir/reason"))["output"]
    assert asked(input=[USER, thought, message, USER]).said == "hi there"
