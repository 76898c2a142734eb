"""Items become the messages that a chat has for them."""

from typing import Any

import pytest

from proxy.dialects.bodies import VALUES_MAX
from proxy.dialects.responses.history import History
from proxy.dialects.responses.items import OPENAI
from proxy.dialects.responses.recall import Recall
from proxy.dialects.responses.sealing import sealed
from proxy.errors import GatewayError
from proxy.providers import known
from proxy.wire.slices import at_once
from tests.order import Json


def recall(*items: Any) -> list[Json]:
    found = Recall()
    at_once(found.read(list(items)))
    assert len(found.places) == len(found.messages)
    return found.messages


def user(*parts: Any) -> Json:
    return {"role": "user", "content": list(parts)}


def said(*parts: Any, **more: Any) -> Json:
    return {"type": "message", "role": "assistant", "content": list(parts)} | more


def text(words: str) -> Json:
    return {"type": "output_text", "text": words, "annotations": []}


def test_a_string() -> None:
    found = Recall()
    at_once(found.read("hi"))
    assert (found.messages, found.places) == ([{"role": "user", "content": "hi"}], [0])


@pytest.mark.parametrize("role", ["user", "system", "developer"])
def test_messages(role: str) -> None:
    assert recall({"role": role, "content": "a"}) == [{"role": role, "content": "a"}]
    long = {"type": "message", "id": "x", "role": role, "status": "completed", "content": None}
    assert recall(long) == [{"role": role, "content": []}]


@pytest.mark.parametrize(
    ("part", "same"),
    [
        ({"type": "input_text", "text": "a"}, {"type": "text", "text": "a"}),
        (
            {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
        ),
        (
            {"type": "input_image", "image_url": "https://a.test/b.png", "detail": "low"},
            {
                "type": "image_url",
                "image_url": {"url": "https://a.test/b.png", "detail": "low"},
            },
        ),
        (
            {"type": "input_image", "image_url": "https://a.test/b.png"},
            {"type": "image_url", "image_url": {"url": "https://a.test/b.png"}},
        ),
        (
            {"type": "input_image", "image_url": None, "file_id": "f"},
            {"type": "file", "file": {"file_id": "f"}},
        ),
        (
            {"type": "input_file", "file_url": "https://a.test/b.pdf"},
            {"type": "file", "file": {"file_data": "https://a.test/b.pdf"}},
        ),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf,x"},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf,x"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
        ),
        (
            {"type": "input_video", "video_url": "https://a.test/b.mp4"},
            {"type": "video_url", "video_url": {"url": "https://a.test/b.mp4"}},
        ),
    ],
)
def test_parts(part: Json, same: Json) -> None:
    assert recall(user(part)) == [{"role": "user", "content": [same]}]


def test_all_that_the_model_did_is_one_message() -> None:
    messages = recall(
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
         "encrypted_content": "gAAAA"},
        said(text("a")),
        said(text("b")),
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": 'x"'},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "d",
         "output": [{"type": "input_text", "text": "2"}]},
        said({"type": "refusal", "refusal": "No"}),
    )  # fmt: skip
    assert messages[1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        "reasoning": "hm",
        "reasoning_details": [
            {"type": "reasoning.summary", "summary": "hm", "format": OPENAI, "index": 0},
            {
                "type": "reasoning.encrypted",
                "data": "gAAAA",
                "format": OPENAI,
                "id": "rs_1",
                "index": 1,
            },
        ],
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {
                "id": "d",
                "type": "function",
                "function": {"name": "g", "arguments": '{"input":"x\\""}'},
            },
        ],
    }
    assert messages[2:] == [
        {"role": "tool", "tool_call_id": "c", "content": "1"},
        {"role": "tool", "tool_call_id": "d", "content": [{"type": "text", "text": "2"}]},
        {"role": "assistant", "content": None, "refusal": "No"},
    ]


def test_a_call_of_a_tool_in_a_namespace() -> None:
    (message,) = recall(CALL | {"namespace": "mcp"})
    assert message["tool_calls"][0]["function"]["name"] == "mcp__f"


def test_an_easy_message_of_the_model() -> None:
    easy = {"role": "assistant", "content": "a"}
    assert recall(easy) == [{"role": "assistant", "content": "a"}]
    assert recall({"role": "assistant", "content": None}) == []
    assert recall({"role": "assistant", "content": ""}) == []


def test_thoughts_that_led_to_nothing_are_forgotten() -> None:
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    assert recall({"role": "user", "content": "a"}, thought) == [{"role": "user", "content": "a"}]


def test_what_the_providers_own_tools_did_goes_back_to_it() -> None:
    items = [
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "a"}},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AAAA"},
        {"type": "message", "role": "assistant", "content": [text("a")]},
    ]
    messages = recall(*items)
    url = "data:image/png;base64,AAAA"
    assert messages[0]["images"] == [{"type": "image_url", "image_url": {"url": url}}]
    again = at_once(History(known()["openai"], OPENAI).encode(messages))
    assert again == [*items[:2], {"role": "assistant", "content": "a"}]


@pytest.mark.parametrize(
    ("call", "output", "arguments", "content"),
    [
        (
            {"type": "local_shell_call", "id": "x", "action": {"command": ["ls"]}},
            {"type": "local_shell_call_output", "id": "c", "output": "a"},
            '{"action":{"command":["ls"]}}',
            "a",
        ),
        (
            {"type": "shell_call", "action": {"commands": ["ls"]}},
            {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "a"}]},
            '{"action":{"commands":["ls"]}}',
            '[{"stdout":"a"}]',
        ),
        (
            {"type": "computer_call", "action": {"type": "screenshot"}},
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": "https://a.test/"},
            },
            '{"action":{"type":"screenshot"}}',
            [{"type": "image_url", "image_url": {"url": "https://a.test/"}}],
        ),
        (
            {"type": "apply_patch_call", "operation": {}},
            {"type": "apply_patch_call_output", "call_id": "c", "status": "failed"},
            '{"operation":{}}',
            "null",
        ),
    ],
)
def test_what_a_caller_carries_out_himself(
    call: Json, output: Json, arguments: str, content: Any
) -> None:
    answer, result = recall(call | {"call_id": "c"}, output)
    name = call["type"].removesuffix("_call")
    assert answer["tool_calls"][0]["function"] == {"name": name, "arguments": arguments}
    assert result == {"role": "tool", "tool_call_id": "c", "content": content}


@pytest.mark.parametrize("type_", ["mcp_approval_request", "agent_message", "openrouter:datetime"])
def test_what_a_chat_has_no_place_for(type_: str) -> None:
    assert recall({"type": type_}) == []


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": ""}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (5, "input[0]: expected an object"),
        ({}, "input[0].type: required"),
        ({"type": "other"}, "input[0].type: not supported"),
        ({"type": []}, "input[0].type: required"),
        ({"type": ["other"]}, "input[0].type: expected a string"),
        ({"type": "mcp_call", "output": 2**70}, "input[0]: can not be written as JSON"),
        (
            {"type": "item_reference", "id": "x"},
            "input[0]: nothing is stored here that an item_reference could mean",
        ),
        ({"type": "message"}, "input[0].role: must be one of user, system, developer, assistant"),
        ({"role": "user", "content": 5}, "input[0].content: expected a string or a list"),
        (user(5), "input[0].content[0]: expected an object"),
        (user({"text": "a"}), "input[0].content[0].type: required"),
        (user({"type": "image"}), "input[0].content[0].type: not supported"),
        (user({"type": "input_text"}), "input[0].content[0]: an input_text without what it is"),
        (user({"type": "input_image"}), "input[0].content[0]: an input_image without what it is"),
        (
            user({"type": "input_file"}),
            "input[0].content[0]: an input_file needs file_data, file_url or file_id",
        ),
        (said(5), "input[0].content[0]: expected an output_text or a refusal"),
        (CALL | {"call_id": ""}, "input[0].call_id: required"),
        (CALL | {"name": None}, "input[0].name: required"),
        (CALL | {"arguments": {}}, "input[0].arguments: expected a string"),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "f"},
            "input[0].input: expected a string",
        ),
        (OUTPUT | {"call_id": None}, "input[0].call_id: required"),
        (OUTPUT | {"output": {}}, "input[0].output: expected a string or a list"),
        (OUTPUT | {"output": [5]}, "input[0].output[0]: expected an object"),
        (
            {"type": "reasoning", "encrypted_content": "weir.v1.!"},
            "input[0].encrypted_content: the sealed reasoning is broken",
        ),
    ],
)
def test_what_is_refused(item: Any, reason: str) -> None:
    with pytest.raises(GatewayError) as caught:
        recall(item)
    assert (caught.value.kind, caught.value.message) == ("invalid_request", reason)


def test_seals_have_no_more_in_them_than_a_body_may_have() -> None:
    """They are one string each to whoever counts the body's values."""
    half = sealed([{"a": list(range(VALUES_MAX * 2 // 3))}])
    thoughts = [{"type": "reasoning", "encrypted_content": half} for _ in range(2)]
    assert recall(thoughts[0], said(text("a")))[0]["content"] == "a"
    with pytest.raises(GatewayError, match="input: too many values"):
        recall(*thoughts, said(text("a")))


def test_many_refusals_are_one() -> None:
    parts = [{"type": "refusal", "refusal": word} for word in ("No", ", ", "never")]
    assert recall(said(*parts))[0]["refusal"] == "No, never"
