"""Conversations are said as each provider takes them, by the flags of its row."""

from typing import Any

import pytest

from proxy.dialects.chat.messages import encode_messages
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks, known

Json = dict[str, Any]

MARK = {"type": "ephemeral"}
PDF = "data:application/pdf;base64,JVBERg=="
FILE = {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
VIDEO = {"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def text(value: str) -> Json:
    return {"type": "text", "text": value}


def user(*parts: Json) -> Json:
    return {"role": "user", "content": list(parts)}


def said(*messages: Json, **quirks: Any) -> list[Json]:
    provider = Provider(slug="p", name="P", base_url="http://p.test", quirks=Quirks(**quirks))
    return encode_messages(list(messages), provider)


def said_to(slug: str, *messages: Json) -> list[Json]:
    return encode_messages(list(messages), known()[slug])


@pytest.mark.parametrize(("known", "role"), [(False, "system"), (True, "developer")])
def test_a_developer_is_one_where_that_is_known(known: bool, role: str) -> None:
    message = {"role": "developer", "content": "x"}
    assert said(message, developer_role=known) == [message | {"role": role}]


NAMES: list[tuple[Json, Json]] = [
    (
        {"role": "user", "name": "Ann", "content": "hi"},
        {"role": "user", "content": "Ann: hi"},
    ),
    (
        {"role": "system", "name": "Ann", "content": [text("hi")]},
        {"role": "system", "content": [text("Ann:"), text("hi")]},
    ),
    ({"role": "user", "name": "", "content": "hi"}, {"role": "user", "content": "hi"}),
    (
        {"role": "assistant", "name": "Ann", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ),
    (
        {"role": "tool", "name": "f", "tool_call_id": "c", "content": "1"},
        {"role": "tool", "name": "f", "tool_call_id": "c", "content": "1"},
    ),
]


@pytest.mark.parametrize(("message", "expected"), NAMES, ids=str)
def test_a_name_stands_before_the_text_where_it_has_no_field(message: Json, expected: Json) -> None:
    assert said(message, names=False) == [expected]
    assert said(message) == [message]


def test_marks_for_caches_stay_where_they_are_understood() -> None:
    messages: list[Json] = [
        {"role": "user", "content": "x", "cache_control": MARK},
        {"role": "user", "content": [text("x") | {"cache_control": MARK}, text("y")]},
        {"role": "assistant", "content": None, "tool_calls": [CALL | {"cache_control": MARK}]},
    ]
    assert said(*messages, cache_marks=True) == messages
    assert said(*messages) == [
        {"role": "user", "content": "x"},
        {"role": "user", "content": [text("x"), text("y")]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ]


def test_text_is_joined_where_it_is_no_list() -> None:
    messages = [user(text("a"), text("b")), user(text("a"), IMAGE), user()]
    assert said(*messages) == messages
    joined = said(*messages, text_parts=False)
    assert [message["content"] for message in joined] == ["a\nb", [text("a"), IMAGE], ""]


@pytest.mark.parametrize("part", [IMAGE, FILE, AUDIO, VIDEO], ids=lambda part: str(part["type"]))
def test_what_a_provider_does_not_take_is_for_another_endpoint(part: Json) -> None:
    assert said(user(part)) == [user(part)]
    with pytest.raises(GatewayError, match="P can not be sent attachments") as raised:
        said(user(text("x"), part), attachments=())
    assert raised.value.kind == "provider_unfit"
    with pytest.raises(GatewayError):
        said_to("deepseek", user(part))


def test_a_file_is_said_in_the_providers_words() -> None:
    url = {"type": "file", "file": {"file_data": "https://x.test/a.pdf"}}
    bare = {"type": "file", "file": {"file_data": PDF}}
    known_there = {"type": "file", "file": {"file_id": "f-1"}}
    broken: Json = {"type": "file", "file": {}}
    assert said_to("mistral", user(FILE, url, bare, known_there, broken)) == [
        user(
            {"type": "document_url", "document_url": PDF, "document_name": "a.pdf"},
            {"type": "document_url", "document_url": "https://x.test/a.pdf"},
            {"type": "document_url", "document_url": PDF},
            known_there,
            broken,
        )
    ]
    assert said_to("perplexity", user(FILE, url)) == [
        user(
            {"type": "file_url", "file_url": {"url": "JVBERg=="}, "file_name": "a.pdf"},
            {"type": "file_url", "file_url": {"url": "https://x.test/a.pdf"}},
        )
    ]
    assert said_to("openai", user(FILE)) == [user(FILE)]


def result(*parts: Json) -> Json:
    return {"role": "tool", "tool_call_id": "c", "content": list(parts)}


def test_attachments_of_results_are_shown_after_the_last_of_them() -> None:
    messages = [
        result(text("see"), IMAGE),
        result(FILE),
        {"role": "tool", "tool_call_id": "d", "content": "1"},
        {"role": "assistant", "content": "ok"},
        result(IMAGE),
    ]
    below = {"role": "tool", "tool_call_id": "c", "content": "The result is shown below."}
    assert said(*messages) == [
        result(text("see")),
        below,
        {"role": "tool", "tool_call_id": "d", "content": "1"},
        user(IMAGE, FILE),
        {"role": "assistant", "content": "ok"},
        below,
        user(IMAGE),
    ]
    assert said(*messages, tool_attachments=True) == messages


def test_parts_of_a_result_are_not_compared_with_each_other() -> None:
    class Part(dict[str, Any]):
        def __eq__(self, other: object) -> bool:
            raise AssertionError("a result of 60,000 parts would take a minute")

    told, shown = Part(text("see")), Part(IMAGE)
    below, beside = said(result(shown, told))
    assert below["content"][0] is told
    assert beside["content"][0] is shown


ANSWER: Json = {"role": "assistant", "content": "x", "reasoning": "hm", "refusal": None}
REPLAYS: list[tuple[str, Json]] = [
    ("none", {"content": "x"}),
    ("reasoning", {"content": "x", "reasoning": "hm"}),
    ("reasoning_content", {"content": "x", "reasoning_content": "hm"}),
    (
        "thinking",
        {"content": [{"type": "thinking", "thinking": [text("hm")]}, text("x")]},
    ),
]


@pytest.mark.parametrize(("replay", "expected"), REPLAYS)
def test_reasoning_goes_back_to_where_it_came_from(replay: str, expected: Json) -> None:
    assert said(ANSWER, reasoning_replay=replay) == [{"role": "assistant"} | expected]
    assert said(ANSWER, reasoning_replay="details") == [ANSWER]
    nothing = {"role": "assistant", "content": "x", "reasoning": {"no": "text"}}
    assert said(nothing, reasoning_replay=replay) == [{"role": "assistant", "content": "x"}]


def test_what_models_of_other_forms_thought_is_left_out() -> None:
    sealed = [{"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1"}]
    answer = ANSWER | {"reasoning_details": sealed}
    for replay in ("reasoning", "reasoning_content", "thinking"):
        assert said(answer, reasoning_replay=replay) == [{"role": "assistant", "content": "x"}]
    plain = answer | {"reasoning_details": [sealed[0] | {"format": "unknown"}]}
    assert said(plain, reasoning_replay="reasoning")[0]["reasoning"] == "hm"
    odd = answer | {"reasoning_details": [sealed[0] | {"format": []}]}
    assert said(odd, reasoning_replay="reasoning") == [{"role": "assistant", "content": "x"}]


def test_thinking_without_words_is_a_part_alone() -> None:
    answer = ANSWER | {"content": None, "tool_calls": [CALL]}
    (told,) = said_to("mistral", answer)
    assert told["content"] == [{"type": "thinking", "thinking": [text("hm")]}]
    assert [call["function"] for call in told["tool_calls"]] == [CALL["function"]]


@pytest.mark.parametrize("slug", ["deepseek", "moonshotai"])
def test_calls_of_others_get_a_blank_where_reasoning_is_required(slug: str) -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert said_to(slug, called) == [called | {"reasoning_content": " "}]
    assert said_to(slug, called | {"reasoning": "hm"}) == [called | {"reasoning_content": "hm"}]
    spoken = {"role": "assistant", "content": "x"}
    assert said_to(slug, spoken) == [spoken]
    assert said_to("xai", called) == [called]


SILENT = {"role": "assistant", "content": None}


@pytest.mark.parametrize(
    ("id_", "quirks", "told"),
    [
        ("call_1", {}, "call_1"),
        ("x" * 40, {}, "x" * 40),
        ("x" * 41, {}, "call_3164596df4fdd018b2c567ec8c03e79b"),
        ("abcDEF123", {"call_ids": "nine"}, "abcDEF123"),
        ("call_1234", {"call_ids": "nine"}, "b40bbee89"),
        ("toolu_01", {"call_ids": "nine"}, "7a95b7039"),
    ],
)
def test_a_call_and_its_result_have_an_id_that_is_taken(id_: str, quirks: Json, told: str) -> None:
    result = {"role": "tool", "tool_call_id": id_, "content": "r"}
    answer, shown = said(SILENT | {"tool_calls": [CALL | {"id": id_}]}, result, **quirks)
    assert answer["tool_calls"][0]["id"] == shown["tool_call_id"] == told


def test_calls_without_ids_or_arguments_are_said_as_they_are_taken() -> None:
    bare = {"type": "function", "function": {"name": "f", "arguments": ""}, "index": 0}
    custom = {"id": "c", "type": "custom", "custom": {"name": "g", "input": ""}}
    odd = {"id": None, "function": None}
    [answer] = said(SILENT | {"tool_calls": [bare, custom, odd]})
    called = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert answer["tool_calls"] == [called, custom, odd]


def test_an_answer_that_says_nothing_is_left_out() -> None:
    cut = SILENT | {"reasoning": "hm", "name": "al"}
    assert said(user(), cut, SILENT | {"content": ""}, user()) == [user(), user()]
    assert said(cut, reasoning_replay="reasoning") == [cut]
    assert said(cut, reasoning_replay="details") == [cut]
    refused = SILENT | {"refusal": "no"}
    assert said(refused) == [refused]


def test_turns_are_joined_where_they_have_to_alternate() -> None:
    system, one = {"role": "system", "content": "s"}, {"role": "user", "content": "a"}
    answer = {"role": "assistant", "content": "c"}
    turns = said(system, system, one, user(IMAGE), answer, answer, one, alternates=True)
    joined = {"role": "assistant", "content": [text("c"), text("c")]}
    assert turns == [system, system, user(text("a"), IMAGE), joined, one]
    calling = answer | {"tool_calls": [CALL]}
    assert said(answer, calling, alternates=True) == [answer, calling]
