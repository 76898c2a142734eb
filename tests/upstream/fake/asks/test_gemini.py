"""Requests to Gemini: what is read out of them, and what is refused as the real one would."""

import json
from typing import Any

import pytest

from proxy.upstream.fake.ask import Ask, Refused, Request
from proxy.upstream.fake.asks.gemini import UNSIGNED, decode_contents
from tests.upstream.fake.speaking import CITY, OPEN_CITY, SEAL, Wish, whole

USER = {"role": "user", "parts": [{"text": "hi there"}]}
CALL = {"functionCall": {"name": "add", "args": {}}}
ANSWER = {"functionResponse": {"name": "add", "response": {"result": "18 degrees"}}}


def asked(*, model: str = "m", verb: str = "generateContent", **body: Any) -> Ask:
    data = json.dumps({"contents": [USER]} | body).encode()
    return decode_contents(Request("POST", f"/v1beta/models/{model}:{verb}", {}, data), SEAL)


def turns(*parts: dict[str, Any], answers: Any = (ANSWER,)) -> list[dict[str, Any]]:
    return [USER, {"role": "model", "parts": list(parts)}, {"role": "user", "parts": list(answers)}]


def declared(**function: Any) -> dict[str, Any]:
    return {"tools": [{"functionDeclarations": [{"name": "add"} | function]}]}


def test_what_is_read() -> None:
    media = [{"inlineData": {"mimeType": kind}} for kind in ("image/png", "audio/wav")]
    files = [{"fileData": {"mimeType": kind}} for kind in ("application/pdf", "video/mp4")]
    ask = asked(
        model="weir/lorem",
        verb="streamGenerateContent",
        systemInstruction={"parts": [{"text": "be brief"}]},
        contents=[
            {"role": "user", "parts": [{"text": "look"}, *media, *files]},
            {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "yes"}]},
            {"parts": [{"text": "and "}, {"text": "now"}]},
        ],
        generationConfig={"maxOutputTokens": 9, "stopSequences": ["x"], "temperature": 2},
        **declared(parameters={"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}),
    )
    assert (ask.model, ask.stream) == ("weir/lorem", True)
    assert (ask.texts, ask.said) == (("be brief", "look", "yes", "and now"), "and now")
    assert ask.attachments == ("image", "recording", "file", "video")
    (function,) = ask.functions
    assert function.schema == {"type": "object", "properties": {"a": {"type": "string"}}}
    assert (ask.tokens_max, ask.stop, ask.thinks) == (9, ("x",), False)


def test_the_results_of_tools() -> None:
    second = {"functionResponse": {"name": "add", "response": {"at": 12, "is": True}}}
    ask = asked(contents=turns(CALL, CALL, answers=[ANSWER, second]))
    assert ask.results == "18 degrees; 12 true"
    assert asked(contents=[*turns(CALL), {"role": "model", "parts": [{"text": "x"}]}, USER]).said


@pytest.mark.parametrize(
    ("calling", "read"),
    [
        ({}, ("auto", False, 1)),
        ({"mode": "NONE"}, ("none", False, 1)),
        ({"mode": "ANY"}, ("required", False, 1)),
        ({"mode": "ANY", "allowedFunctionNames": ["add"]}, ("add", True, 1)),
        ({"mode": "ANY", "allowedFunctionNames": ["add", "sub"]}, ("required", False, 1)),
        ({"mode": "AUTO", "allowedFunctionNames": ["sub"]}, ("auto", False, 0)),
    ],
)
def test_tool_choice(calling: dict[str, Any], read: tuple[str, bool, int]) -> None:
    ask = asked(toolConfig={"functionCallingConfig": calling}, **declared())
    assert (ask.choice, ask.named, len(ask.functions)) == read


def test_thinking_and_structure() -> None:
    def thinks(**config: Any) -> bool:
        return asked(model="reason", generationConfig={"thinkingConfig": config}).thinks

    assert thinks()
    assert thinks(thinkingBudget=-1)
    assert not thinks(thinkingBudget=0)
    mime = {"responseMimeType": "application/json"}
    for key, schema in (("responseSchema", OPEN_CITY), ("responseJsonSchema", CITY)):
        wanted = asked(generationConfig=mime | {key: schema})
        assert (wanted.structured, wanted.schema) == (True, schema)
    assert asked(generationConfig=mime).structured
    assert not asked(generationConfig={"responseSchema": OPEN_CITY}).structured


def schema(**parameters: Any) -> dict[str, Any]:
    return declared(parameters={"type": "object"} | parameters)


def part(**data: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [data]}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"contents": []}, "contents is not specified"),
        ({"messages": []}, 'Unknown name "messages": Cannot find field'),
        ({"generationConfig": {"n": 2}}, "Unknown name \"n\" at 'generation_config'"),
        (
            {"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]},
            "Please use a valid role",
        ),
        ({"contents": [{"role": "user", "parts": []}]}, "contents[0].parts: contents.parts must"),
        (part(type="text", text="x"), "Unknown name \"type\" at 'contents[0].parts[0]'"),
        (part(thought=True), "required oneof field 'data'"),
        (part(functionCall={"name": "a", "args": "{}"}), "function_call.args"),
        (part(functionResponse={"name": "a", "response": "x"}), "google.protobuf.Struct"),
        ({"contents": turns(CALL)[:2]}, "the number of function response parts is equal"),
        ({"contents": turns(CALL, CALL)}, "the number of function response parts is equal"),
        ({"contents": turns({"text": "x"})}, "function response turn comes immediately after"),
        ({"contents": [turns(CALL)[1]]}, "function call turn comes immediately after a user turn"),
        (schema(additionalProperties=False), 'Unknown name "additionalProperties" at'),
        (
            schema(properties={"a": {"type": "string", "const": 1}}),
            "'tools[0].function_declarations[0].parameters.properties[0].value'",
        ),
        (schema(properties={"a": {"items": {"$ref": "x"}}}), 'Unknown name "$ref" at'),
        (schema(anyOf=[{"oneOf": []}]), "parameters.any_of[0]'"),
        (schema(properties={"a": {"type": ["string"]}}), "Proto field is not repeating"),
        (schema(properties={"a": {"type": "string", "format": "uri"}}), "only 'enum' and 'date"),
        (schema(required=["b"]), "parameters.required[0]: property is not defined"),
        (declared(strict=True), "Unknown name \"strict\" at 'tools[0].function_declarations[0]'"),
        ({"generationConfig": {"responseSchema": CITY}}, "at 'generation_config.response_schema'"),
    ],
)
def test_refusals(body: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        asked(**body)
    assert message in str(refused.value)


def test_keys_may_be_in_snake_case_but_for_those_of_the_caller() -> None:
    declared = {"name": "add", "parameters_json_schema": {"properties": {"a_b": {}}}}
    call = {"function_call": {"name": "add", "args": {"a_b": 1}}}
    answer = {"function_response": {"name": "add", "response": {"a_b": "18"}}}
    ask = asked(
        contents=turns(call, answers=[answer]),
        tools=[{"function_declarations": [declared]}],
        generation_config={"max_output_tokens": 9},
    )
    assert (ask.results, ask.tokens_max) == ("18", 9)
    assert ask.functions[0].schema == {"properties": {"a_b": {}}}


def test_any_json_schema_may_stand_where_it_is_meant_to() -> None:
    (function,) = asked(**declared(parametersJsonSchema=CITY)).functions
    assert function.schema == CITY


def signed(*tools: str) -> list[dict[str, Any]]:
    wish = Wish(text="call both tools", tools=tools, model="reason")
    parts: list[dict[str, Any]] = whole("gemini", wish)["candidates"][0]["content"]["parts"]
    return parts


def test_signatures_have_to_come_back_where_they_were() -> None:
    thought, first, second = signed("add", "sub")
    assert list(first) == ["functionCall", "thoughtSignature"]
    assert list(second) == ["functionCall"]
    two = (ANSWER, ANSWER)

    def ask(*parts: dict[str, Any], model: str = "reason") -> Ask:
        return asked(model=model, contents=turns(*parts, answers=two))

    assert ask(first, second).results
    assert ask(thought, first, second).results
    bare = {"functionCall": first["functionCall"]}
    with pytest.raises(Refused, match=r"missing a thought_signature .* `default_api:add` , posi"):
        ask(bare, second)
    with pytest.raises(Refused, match="missing a thought_signature"):
        ask(second, first)
    assert ask(bare, second, model="lorem").results
    for broken in (
        first | {"thoughtSignature": "x"},
        first | {"functionCall": first["functionCall"] | {"args": {"city": "fire"}}},
        second | {"thoughtSignature": first["thoughtSignature"]},
    ):
        for model in ("reason", "lorem"):
            with pytest.raises(Refused, match="Corrupted thought signature"):
                ask(broken, broken, model=model)
    for unsigned in UNSIGNED:
        assert ask(bare | {"thoughtSignature": unsigned}, second).results


def test_only_the_turn_that_goes_on_has_to_be_signed() -> None:
    over = turns(CALL)
    later = {"role": "user", "parts": [{"text": "and now?"}]}
    said = {"role": "model", "parts": [{"text": "18"}]}
    assert asked(model="reason", contents=[*over, said, later]).said == "and now?"
    with pytest.raises(Refused, match="position 2"):
        asked(model="reason", contents=over)


def test_a_signed_text_may_come_back_in_one_part_or_two() -> None:
    wish = Wish(text="hi", model="reason")
    _, text = whole("gemini", wish)["candidates"][0]["content"]["parts"]
    signature = {"thoughtSignature": text["thoughtSignature"]}

    def ask(*parts: dict[str, Any]) -> Ask:
        return asked(model="reason", contents=[*turns(*parts)[:2], USER])

    assert ask(text).said
    assert ask({"text": text["text"]}, {"text": "", **signature}).said
    assert ask({"text": text["text"]}, signature).said
    with pytest.raises(Refused, match="Corrupted"):
        ask({"text": "something else", **signature})
