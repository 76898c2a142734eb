"""Conversations as items, reasoning put back, and what of a message gets lost."""

import json
from typing import Any

import pytest

from proxy.dialects.responses.history import CALL_ID_CHARS_MAX, History
from proxy.dialects.responses.items import OPENAI
from proxy.errors import GatewayError
from proxy.providers import known
from proxy.wire.slices import at_once
from tests.accepted.responses import responses_accepts
from tests.truths.responses import XAI

Json = dict[str, Any]

PNG = "data:image/png;base64,iVBORw=="


def items(*messages: Json, format_: str = OPENAI) -> list[Json]:
    made = at_once(History(known()["openai"], format_).encode(list(messages)))
    responses_accepts({"model": "m", "input": made})
    return made


def part(said: Json, role: str = "user") -> Json:
    """The one part of a message with the part `said`."""
    [item] = items({"role": role, "content": [said]})
    [made] = item["content"]
    return made  # type: ignore[no-any-return]


def call(id_: str = "c1", name: str = "f", arguments: str = '{"x":1}') -> Json:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


CALLED = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x":1}'}

B = {"mode": "explicit"}
EMPTY = {"role": "user", "content": ""}
SAID: list[tuple[str, list[Json], list[Json]]] = [
    (
        "who speaks",
        [{"role": role, "content": "x"} for role in ("system", "developer", "user", "assistant")],
        [{"role": role, "content": "x"} for role in ("system", "developer", "user", "assistant")],
    ),
    (
        "nothing",
        [{"role": "user", "content": None}, {"role": "assistant", "content": ""}],
        [{"role": "user", "content": ""}],
    ),
    (
        "a name",
        [{"role": "user", "name": "Ann", "content": "hi"}],
        [{"role": "user", "content": "Ann: hi"}],
    ),
    (
        "a name before parts",
        [{"role": "user", "name": "Ann", "content": [{"type": "text", "text": "hi"}]}],
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Ann: "},
                    {"type": "input_text", "text": "hi"},
                ],
            }
        ],
    ),
    (
        "parts of an answer",
        [
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            }
        ],
        [{"role": "assistant", "content": "ab"}],
    ),
    (
        "what was spoken",
        [{"role": "assistant", "content": None, "audio": {"id": "a", "transcript": "Hey"}}],
        [{"role": "assistant", "content": "Hey"}],
    ),
    ("a silence", [{"role": "assistant", "audio": {"id": "a"}}, {"role": "user"}], [EMPTY]),
    (
        "a mark for the cache, in OpenAI's words",
        [
            {
                "role": "user",
                "content": [{"type": "text", "text": "x", "prompt_cache_breakpoint": B}],
            }
        ],
        [
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "x", "prompt_cache_breakpoint": B}],
            }
        ],
    ),
    (
        "a refusal",
        [{"role": "assistant", "content": "Well,", "refusal": "no."}],
        [
            {
                "type": "message",
                "id": "msg_0",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {"type": "output_text", "text": "Well,", "annotations": []},
                    {"type": "refusal", "refusal": "no."},
                ],
            }
        ],
    ),
    (
        "a refusal among the parts",
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no."}]}],
        [
            {
                "type": "message",
                "id": "msg_0",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "refusal", "refusal": "no."}],
            }
        ],
    ),
    (
        "calls after the text, and their results",
        [
            {"role": "assistant", "content": "I look", "tool_calls": [call(), call("c2", "g", "")]},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]},
        ],
        [
            {"role": "assistant", "content": "I look"},
            CALLED,
            {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
            {
                "type": "function_call_output",
                "call_id": "c2",
                "output": [{"type": "input_text", "text": "2"}],
            },
        ],
    ),
    (
        "an image that a tool gave",
        [
            {"role": "assistant", "tool_calls": [call()]},
            {
                "role": "tool",
                "tool_call_id": "c1",
                "content": [{"type": "image_url", "image_url": {"url": PNG}}],
            },
        ],
        [
            CALLED,
            {
                "type": "function_call_output",
                "call_id": "c1",
                "output": [{"type": "input_image", "image_url": PNG, "detail": "auto"}],
            },
        ],
    ),
    (
        "a custom call",
        [
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "c1", "type": "custom", "custom": {"name": "g", "input": "free"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
        ],
        [
            {"type": "custom_tool_call", "call_id": "c1", "name": "g", "input": "free"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"},
        ],
    ),
    (
        "calls in the older form",
        [
            message
            for number in "12"
            for message in (
                {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": number},
            )
        ],
        [
            item
            for number in "12"
            for item in (
                {**CALLED, "call_id": f"call_{number}", "arguments": "{}"},
                {"type": "function_call_output", "call_id": f"call_{number}", "output": number},
            )
        ],
    ),
]


@pytest.mark.parametrize(("told", "made"), [case[1:] for case in SAID], ids=[c[0] for c in SAID])
def test_messages_become_items(told: list[Json], made: list[Json]) -> None:
    assert items(*told) == made


PARTS: list[tuple[Json, Json]] = [
    ({"type": "text", "text": "a"}, {"type": "input_text", "text": "a"}),
    (
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "high"}},
        {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "high"},
    ),
    (
        {"type": "image_url", "image_url": {"url": PNG, "detail": "huge"}},
        {"type": "input_image", "image_url": PNG, "detail": "auto"},
    ),
    (
        {"type": "image_url", "image_url": PNG},
        {"type": "input_image", "image_url": PNG, "detail": "auto"},
    ),
    (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:;base64,JVBE"}},
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64,JVBE",
        },
    ),
    (
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE"}},
        {
            "type": "input_file",
            "filename": "file.pdf",
            "file_data": "data:application/pdf;base64,JVBE",
        },
    ),
    (
        {"type": "file", "file": {"file_data": "data:;base64,JVBE"}},
        {
            "type": "input_file",
            "filename": "file",
            "file_data": "data:application/octet-stream;base64,JVBE",
        },
    ),
    (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://x.test/a.pdf"}},
        {"type": "input_file", "file_url": "https://x.test/a.pdf"},
    ),
    (
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_file", "file_id": "file-1"},
    ),
]


def test_developers_are_the_system_where_nobody_knows_them() -> None:
    made = at_once(History(known()["xai"], XAI).encode([{"role": "developer", "content": "x"}]))
    assert made == [{"role": "system", "content": "x"}]


@pytest.mark.parametrize(("told", "made"), PARTS)
def test_parts_of_a_message(told: Json, made: Json) -> None:
    assert part(told) == made


UNFIT: dict[str, Json] = {
    "audio": {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    "video": {"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}},
    "content of type smell": {"type": "smell"},
    "content of type image_url": {"type": "image_url", "image_url": {"url": "data:image/svg,<"}},
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_it_can_not_be_shown_is_not_left_out(what: str) -> None:
    with pytest.raises(GatewayError, match=f"OpenAI can not be sent {what}") as caught:
        part(UNFIT[what])
    assert caught.value.error_type == GatewayError("provider_unfit", "").error_type


def detail(kind: str, said: str, index: Any = 0, **more: Any) -> Json:
    key = {"text": "text", "summary": "summary", "encrypted": "data"}[kind]
    return {"type": f"reasoning.{kind}", key: said, "format": OPENAI, **more, "index": index}


def thought(id_: str, data: str, *summaries: str) -> Json:
    summary = [{"type": "summary_text", "text": text} for text in summaries]
    return {"type": "reasoning", "id": id_, "summary": summary, "encrypted_content": data}


def text_thought(id_: str, *texts: str) -> Json:
    content = [{"type": "reasoning_text", "text": text} for text in texts]
    return {"type": "reasoning", "id": id_, "summary": [], "content": content}


def replayed(*details: Any, **more: Any) -> list[Json]:
    """The reasoning items of a message with these details, which come before its text."""
    message = {"role": "assistant", "content": "x", "reasoning_details": list(details), **more}
    *made, last = items(message)
    assert last == {"role": "assistant", "content": "x"}
    return made


SEARCHED = {
    "type": "reasoning.server_tool_call",
    "tool_name": "web_search",
    "arguments": '{"action":{"type":"search","query":"q"}}',
    "result": "{}",
    "tool_call_id": "ws_1",
    "format": OPENAI,
    "index": 1,
}
SEARCH = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search", "query": "q"},
}

REPLAYS: list[tuple[str, list[Any], list[Json]]] = [
    ("none", [], []),
    ("encrypted", [detail("encrypted", "E", id="rs_1")], [thought("rs_1", "E")]),
    (
        "a whole summary, as OpenRouter gives it",
        [detail("summary", "S"), detail("encrypted", "E", 1, id="rs_1")],
        [thought("rs_1", "E", "S")],
    ),
    (
        "pieces of a summary, as they were streamed, all of one index",
        [detail("summary", "S"), detail("summary", "T"), detail("encrypted", "E", id="rs_1")],
        [thought("rs_1", "E", "ST")],
    ),
    (
        "a summary in two parts",
        [detail("summary", "S"), detail("summary", "T", 1), detail("encrypted", "E", 2, id="rs_1")],
        [thought("rs_1", "E", "S", "T")],
    ),
    (
        "several",
        [
            detail("encrypted", "E", 0, id="rs_1"),
            detail("summary", "S", 1),
            detail("encrypted", "F", 2, id="rs_2"),
        ],
        [thought("rs_1", "E"), thought("rs_2", "F", "S")],
    ),
    (
        "work in between",
        [detail("encrypted", "E", 0, id="rs_1"), SEARCHED, detail("encrypted", "F", 2, id="rs_2")],
        [thought("rs_1", "E"), SEARCH, thought("rs_2", "F")],
    ),
    (
        "open reasoning",
        [
            detail("text", "a", 0, id="rs_1"),
            detail("text", "b", 0, id="rs_1"),
            detail("text", "c", 1, id="rs_2"),
            SEARCHED,
        ],
        [text_thought("rs_1", "ab"), text_thought("rs_2", "c"), SEARCH],
    ),
    (
        "open reasoning that was encrypted as well",
        [detail("text", "a", 0, id="rs_1"), detail("encrypted", "E", 1, id="rs_1")],
        [text_thought("rs_1", "a") | {"encrypted_content": "E"}],
    ),
    ("work that can not be sent back", [SEARCHED | {"tool_name": "local_shell"}], []),
    ("another's", [detail("encrypted", "E", id="rs_1") | {"format": XAI}], []),
    ("without a format", [{"type": "reasoning.encrypted", "data": "E", "id": "rs_1"}], []),
    ("a summary alone, of which nothing is kept", [detail("summary", "S")], []),
    ("what is none", [None, 7, detail("encrypted", ""), detail("summary", None)], []),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(
    ("details", "made"), [case[1:] for case in REPLAYS], ids=[c[0] for c in REPLAYS]
)
def test_reasoning_goes_back_as_it_came(details: list[Any], made: list[Json]) -> None:
    assert replayed(*details) == made


def test_each_provider_gets_its_own() -> None:
    told = detail("encrypted", "E", id="rs_1") | {"format": XAI}
    message = {"role": "assistant", "reasoning": "thinks", "reasoning_details": [told]}
    assert items(message, format_=XAI) == [thought("rs_1", "E")]
    assert items(message) == []


def test_reasoning_without_an_id_goes_back_without_one() -> None:
    # OpenAI takes it, though its SDK's types do not.
    message = {"role": "assistant", "reasoning_details": [detail("encrypted", "E")]}
    made = at_once(History(known()["openai"], OPENAI).encode([message]))
    assert made == [{"type": "reasoning", "summary": [], "encrypted_content": "E"}]


def test_a_generated_image_goes_back_into_its_item() -> None:
    drawn = SEARCHED | {"tool_name": "image_generation", "arguments": "{}", "tool_call_id": "ig_1"}
    images = [{"type": "image_url", "image_url": {"url": PNG}}]
    [item] = replayed(drawn, images=images)
    assert item["result"] == "iVBORw=="
    assert (item["type"], item["id"], item["status"]) == (
        "image_generation_call", "ig_1", "completed",
    )  # fmt: skip
    assert replayed(drawn) == []


LOSSES: dict[str, Json] = {
    "cache_control": {"content": [{"type": "text", "text": "x", "cache_control": {"type": "x"}}]},
    "annotations": {"content": "x", "annotations": [{"type": "url_citation"}]},
    "audio": {"content": "x", "audio": {"id": "audio_1"}},
    "images": {"content": "x", "images": [{"type": "image_url", "image_url": {"url": PNG}}]},
    "reasoning": {"content": "x", "reasoning": "thought"},
    "reasoning_content": {"content": "x", "reasoning_content": "thought"},
    "reasoning_details": {"content": "x", "reasoning_details": [detail("summary", "S")]},
}
"""What an assistant's message may have and Responses has no place for."""


@pytest.mark.parametrize("name", LOSSES)
def test_what_has_no_place_is_left_out(name: str) -> None:
    [item] = items({"role": "assistant", **LOSSES[name]})
    assert item == {"role": "assistant", "content": "x"}
    assert name not in json.dumps(item)


def test_ids_that_are_too_long_are_made_shorter_and_still_fit() -> None:
    long = "x" * (CALL_ID_CHARS_MAX + 1)
    result = {"role": "tool", "tool_call_id": long, "content": "1"}
    called, answered = items({"role": "assistant", "tool_calls": [call(long)]}, result)
    assert called["call_id"] == answered["call_id"] != long
    assert len(called["call_id"]) <= CALL_ID_CHARS_MAX
    [other] = items({"role": "assistant", "tool_calls": [call(long + "y")]})
    assert other["call_id"] != called["call_id"]
    assert items({"role": "assistant", "tool_calls": [call(long[1:])]})[0]["call_id"] == long[1:]


def test_odd_messages_are_read_as_far_as_they_go() -> None:
    made = at_once(
        History(known()["openai"], OPENAI).encode(
            [
                {
                    "role": "assistant",
                    "content": 7,
                    "reasoning_details": 7,
                    "tool_calls": [{"id": "c"}],
                }
            ]
        )
    )
    assert made == [{"type": "function_call", "call_id": "c", "name": None, "arguments": "{}"}]


def result(id_: str, output: Any = "r") -> Json:
    return {"type": "function_call_output", "call_id": id_, "output": output}


MISSING = "The call was not answered."


@pytest.mark.parametrize(
    ("told", "made"),
    [
        (["c1", "c2"], ["c1", "c2"]),
        (["c1", "c2", "hi"], ["c1", "c2", ("c1", MISSING), ("c2", MISSING), "hi"]),
        (["c1", "c2", ("c2", "r")], ["c1", "c2", ("c1", MISSING), ("c2", "r")]),
        (["c1", "hi", ("c1", "r")], ["c1", "hi", ("c1", "r")]),
        ([("c3", "r"), "hi"], ["r", "hi"]),
    ],
)
def test_calls_and_results_are_paired(told: list[Any], made: list[Any]) -> None:
    def said(one: Any) -> Json:
        if isinstance(one, tuple):
            return {"role": "tool", "tool_call_id": one[0], "content": one[1]}
        if one.startswith("c"):
            return {"role": "assistant", "content": None, "tool_calls": [call(one)]}
        return {"role": "user", "content": one}

    def item(one: Any) -> Json:
        if isinstance(one, tuple):
            return result(*one)
        return CALLED | {"call_id": one} if one.startswith("c") else said(one)

    assert items(*map(said, told)) == [item(one) for one in made]


def test_a_custom_call_without_a_result_has_one() -> None:
    custom = {"id": "c1", "type": "custom", "custom": {"name": "f", "input": "x"}}
    made = items({"role": "assistant", "content": None, "tool_calls": [custom]}, EMPTY)
    output = {"type": "custom_tool_call_output", "call_id": "c1", "output": MISSING}
    assert made[1:] == [output, EMPTY]


def test_reasoning_that_was_kept_twice_goes_back_once() -> None:
    detail = {"type": "reasoning.encrypted", "data": "E", "id": "rs_1", "format": OPENAI}
    message = {"role": "assistant", "content": "a", "reasoning_details": [detail, dict(detail)]}
    made = items(message, EMPTY, message)
    assert [item.get("id") for item in made].count("rs_1") == 1
