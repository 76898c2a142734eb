"""Requests to Bedrock: what is read out of them, and what is refused as the real one would."""

import json
from typing import Any

import pytest

from proxy.upstream.fake.ask import Ask, Refused, Request
from proxy.upstream.fake.asks.bedrock import decode_converse
from tests.upstream.fake.speaking import CITY, SEAL, Wish, whole

USER = {"role": "user", "content": [{"text": "hi there"}]}
CALL = {"toolUse": {"toolUseId": "t1", "name": "add", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t1", "content": [{"text": "18 degrees"}]}}
FAILED = {"toolResult": {"toolUseId": "t1", "status": "error"}}
TOOLS = {"tools": [{"toolSpec": {"name": "add", "inputSchema": {"json": CITY}}}]}
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
MARK = {"cachePoint": {"type": "default"}}


def asked(*, path: str = "/model/weir/reason/converse", **body: Any) -> Ask:
    data = json.dumps({"messages": [USER]} | body).encode()
    return decode_converse(Request("POST", path, {}, data), SEAL)


def turns(*blocks: dict[str, Any], results: Any = (RESULT,)) -> list[dict[str, Any]]:
    answered = [{"role": "user", "content": list(results)}] if results else []
    return [USER, {"role": "assistant", "content": list(blocks)}, *answered]


def test_what_is_read() -> None:
    image = {"image": {"format": "png", "source": {"bytes": "AA=="}}}
    ask = asked(
        path="/base/model/arn:aws:x/weir/lorem/converse-stream",
        system=[{"text": "be brief"}, MARK],
        messages=[
            {"role": "user", "content": [{"text": "look"}, image]},
            {"role": "assistant", "content": [{"text": "yes"}]},
            {"role": "user", "content": [{"document": {}}, {"text": "and now"}, MARK]},
        ],
        inferenceConfig={"maxTokens": 9, "stopSequences": ["x"], "temperature": 0.5},
        toolConfig=TOOLS,
    )
    assert ask.model == "arn:aws:x/weir/lorem"
    assert ask.texts == ("be brief", "look", "yes", "and now")
    assert ask.marks == (1, 4)
    assert (ask.said, ask.results, ask.attachments) == ("and now", None, ("image", "file"))
    assert [function.name for function in ask.functions] == ["add"]
    assert (ask.stream, ask.stop, ask.tokens_max, ask.thinks) == (True, ("x",), 9, False)


def test_the_results_of_tools() -> None:
    second = {"toolResult": {"toolUseId": "t2", "content": [{"json": {"at": 12}}]}}
    calls = [CALL, {"toolUse": CALL["toolUse"] | {"toolUseId": "t2"}}]
    ask = asked(messages=turns(*calls, results=[RESULT, second, MARK]), toolConfig=TOOLS)
    assert ask.results == '18 degrees; {"at":12}'
    assert ask.marks == (2,)


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ({"auto": {}}, ("auto", False)),
        ({"any": {}}, ("required", False)),
        ({"tool": {"name": "add"}}, ("add", True)),
    ],
)
def test_tool_choice(choice: dict[str, Any], read: tuple[str, bool]) -> None:
    tools = [*TOOLS["tools"], {"systemTool": {"name": "search"}}]
    ask = asked(toolConfig={"tools": tools, "toolChoice": choice})
    assert len(ask.functions) == 1
    assert (ask.choice, ask.named) == read


def test_a_model_that_reasons_does_unless_told_not_to() -> None:
    assert asked().thinks
    assert asked(additionalModelRequestFields=THINKING).thinks
    off = {"reasoning_config": {"type": "disabled"}}
    assert not asked(additionalModelRequestFields=off).thinks


def structured(schema: str) -> dict[str, Any]:
    structure = {"jsonSchema": {"schema": schema}}
    return {"outputConfig": {"textFormat": {"type": "json_schema", "structure": structure}}}


def test_structured_answers() -> None:
    assert asked(**structured(json.dumps(CITY))).schema == CITY
    assert not asked(outputConfig={}).structured


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": []}, "A conversation must start with a user message"),
        ({"messages": turns(CALL)[1:]}, "A conversation must start with a user message"),
        ({"messages": [USER, USER]}, "A conversation must alternate"),
        ({"messages": [USER, {"role": "system", "content": [{"text": "x"}]}]}, "must alternate"),
        ({"messages": [USER | {"content": []}]}, "The content field in the Message object at"),
        ({"messages": [USER | {"content": [{"text": " "}]}]}, "messages.0.content.0 is blank"),
        ({"messages": [USER | {"content": [{"text": "x"}, {"text": ""}]}]}, "content.1 is blank"),
        ({"messages": [USER | {"content": [{"type": "text", "text": "x"}]}]}, "exactly one known"),
        ({"messages": turns(CALL)}, "The toolConfig field must be defined"),
        (
            {"messages": turns({"text": "x"}), "toolConfig": TOOLS},
            "The number of toolResult blocks at messages.2.content exceeds",
        ),
        (
            {"messages": turns(CALL, results=[{"text": "x"}]), "toolConfig": TOOLS},
            "Expected toolResult blocks at messages.2.content for the following Ids: t1",
        ),
        (
            {
                "messages": turns(
                    CALL, results=[{"toolResult": {"toolUseId": "t1", "status": "error"}}]
                ),
                "toolConfig": TOOLS,
            },
            "cannot be empty when status value is error",
        ),
        (
            {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 9}}},
            "greater than or equal to 1024",
        ),
        (
            {"additionalModelRequestFields": THINKING, "inferenceConfig": {"maxTokens": 2000}},
            "`max_tokens` must be greater than `thinking.budget_tokens`",
        ),
        (
            {"additionalModelRequestFields": THINKING, "inferenceConfig": {"temperature": 0}},
            "`temperature` may only be set to 1",
        ),
        (structured("{"), "is not valid JSON"),
    ],
)
def test_refusals(body: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        asked(**body)
    assert message in str(refused.value)


def test_what_was_recorded_as_accepted_is() -> None:
    between = [{"text": "x"}, {"document": {}}, {"text": "\n"}, MARK]
    assert asked(messages=[{"role": "user", "content": between}]).texts == ("x", "\n")
    own = {"toolUse": CALL["toolUse"] | {"type": "nova_code_interpreter"}}
    said = {"role": "assistant", "content": [own, RESULT, {"text": "18"}]}
    assert asked(messages=[USER, said, USER], toolConfig=TOOLS).said == "hi there"


def test_thoughts_have_to_come_back_as_they_were() -> None:
    wish = Wish(text="call a tool", tools=("add",), model="weir/reason")
    thought, call = whole("bedrock", wish)["output"]["message"]["content"]
    result = {"toolResult": RESULT["toolResult"] | {"toolUseId": call["toolUse"]["toolUseId"]}}

    def ask(*blocks: dict[str, Any], **body: Any) -> Ask:
        return asked(messages=turns(*blocks, results=[result]), toolConfig=TOOLS, **body)

    on = {"additionalModelRequestFields": THINKING}
    assert ask(thought, call, **on).results == "18 degrees"
    altered = {"reasoningText": {"text": "x", "signature": "y"}}
    with pytest.raises(Refused, match=r"errors: messages.1.content.0: Invalid `signature`"):
        ask({"reasoningContent": altered}, call)
    with pytest.raises(Refused, match="but found `tool_use`"):
        ask(call, **on)
    with pytest.raises(Refused, match="but found `text`"):
        ask({"text": "x"}, thought, call, **on)
    assert ask(call).results
