"""Conversations as Gemini's contents, and all that is mended in them."""

import json
from typing import Any

import pytest

from proxy.dialects.asking import Target
from proxy.dialects.gemini.content import NO_RESULT, UNSIGNED, encode_contents
from proxy.dialects.gemini.family import family_of
from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.wire.slices import at_once
from tests.accepted.gemini import gemini_accepts

Json = dict[str, Any]

PROVIDER = Provider(slug="google", name="Google", base_url="https://google.test")
HI = {"role": "user", "content": "Hi"}
TURN = {"role": "user", "parts": [{"text": "Hi"}]}
PNG = "data:image/png;base64,AAAA"


def contents(*messages: Json, model: str = "gemini-2.5-pro", vertex: bool = False) -> list[Json]:
    return both(*messages, model=model, vertex=vertex)[1]


def both(
    *messages: Json, model: str = "gemini-2.5-pro", vertex: bool = False
) -> tuple[list[Json], list[Json]]:
    target = Target(PROVIDER, model)
    system, said = at_once(encode_contents(list(messages), target, family_of(model), vertex=vertex))
    gemini_accepts({"contents": json.loads(json.dumps(said))})
    return system, said


def user(*parts: Json) -> Json:
    return {"role": "user", "content": list(parts)}


def calls(*named: str, **more: Any) -> Json:
    told = [
        {"id": id_, "type": "function", "function": {"name": id_.upper(), "arguments": '{"x":1}'}}
        for id_ in named
    ]
    return {"role": "assistant", "content": None, "tool_calls": told} | more


def result(id_: str, content: Any = "ok") -> Json:
    return {"role": "tool", "tool_call_id": id_, "content": content}


def call(id_: str, **more: Any) -> Json:
    return {"functionCall": {"name": id_.upper(), "args": {"x": 1}}} | more


def answered(id_: str, response: Json | None = None) -> Json:
    return {"functionResponse": {"name": id_.upper(), "response": response or {"output": "ok"}}}


def test_turns_of_one_role_are_one() -> None:
    yes = {"role": "assistant", "content": "Yes"}
    assert contents(HI, HI, yes, yes, HI) == [
        {"role": "user", "parts": [{"text": "Hi"}, {"text": "Hi"}]},
        {"role": "model", "parts": [{"text": "Yes"}, {"text": "Yes"}]},
        TURN,
    ]


def test_nothing_is_empty() -> None:
    empty: list[Json] = [{"role": "user", "content": ""}, {"role": "assistant", "content": None}]
    assert contents(HI, *empty, user({"type": "text", "text": ""}), HI) == [
        {"role": "user", "parts": [{"text": "Hi"}, {"text": "Hi"}]}
    ]


@pytest.mark.parametrize("mark", ["cache_control", "prompt_cache_breakpoint"])
def test_marks_for_caches_are_left_out_where_prompts_are_cached_unasked(mark: str) -> None:
    marked = {"type": "text", "text": "Hi", mark: {"type": "ephemeral"}}
    assert contents(user(marked) | {mark: {"type": "ephemeral"}}) == [TURN]


def test_a_conversation_of_instructions_alone_is_what_the_user_says() -> None:
    assert both({"role": "system", "content": "Hi"}) == ([], [TURN])
    assert both({"role": "system", "content": ""}) == (
        [],
        [{"role": "user", "parts": [{"text": "."}]}],
    )


def test_names_stand_before_the_text() -> None:
    named = {"role": "user", "name": "Ann", "content": "Hi"}
    assert contents(named) == [{"role": "user", "parts": [{"text": "Ann: Hi"}]}]
    system, _ = both({"role": "system", "name": "Boss", "content": "Work"}, HI)
    assert system == [{"text": "Boss: Work"}]
    image = {"type": "image_url", "image_url": {"url": PNG}}
    (said,) = contents(user(image) | {"name": "Ann"})
    assert said["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]


MEDIA: list[tuple[Json, Json]] = [
    (
        {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}},
        {"inlineData": {"mimeType": "image/webp", "data": "AAAA"}},
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
    ),
    (
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
        {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}},
    ),
    (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:;base64,AAAA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
    ),
    (
        {"type": "file", "file": {"filename": "a.csv", "file_data": "data:text/csv;base64,AAAA"}},
        {"inlineData": {"mimeType": "text/csv", "data": "AAAA"}},
    ),
    (
        {"type": "video_url", "video_url": {"url": "https://youtu.be/abc"}},
        {"fileData": {"fileUri": "https://youtu.be/abc"}},
    ),
    (
        {"type": "file", "file": {"file_data": "gs://b/a.pdf"}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://b/a.pdf"}},
    ),
    (
        {"type": "file", "file": {"file_id": "https://generativelanguage.googleapis.com/f"}},
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/f"}},
    ),
]


@pytest.mark.parametrize(("part", "said"), MEDIA)
def test_attachments(part: Json, said: Json) -> None:
    assert contents(user(part)) == [{"role": "user", "parts": [said]}]


def test_vertex_wants_the_kind_of_every_file() -> None:
    part = {"type": "video_url", "video_url": {"url": "https://youtu.be/abc"}}
    (said,) = contents(user(part), vertex=True)
    assert said["parts"][0]["fileData"]["mimeType"] == "video/mp4"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": "file-123"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,plain"}},
        {"type": "image_url", "image_url": {}},
        {"type": "odd"},
    ],
)
def test_what_can_not_be_carried_is_refused(part: Json) -> None:
    with pytest.raises(GatewayError) as caught:
        contents(user(part))
    assert caught.value.kind == "provider_unfit"


def test_parts_that_say_nothing_are_left_out() -> None:
    assert contents(user({"type": "refusal"}, {"type": "text", "text": "Hi"})) == [TURN]


def test_results_stand_in_the_order_of_their_calls() -> None:
    said = contents(HI, calls("a", "b"), result("b", '{"n": 1}'), result("a", "[1]"), HI)
    assert said == [
        TURN,
        {"role": "model", "parts": [call("a"), call("b")]},
        {"role": "user", "parts": [answered("a", {"output": "[1]"}), answered("b", {"n": 1})]},
        TURN,
    ]


def test_attachments_of_results_follow_them() -> None:
    image = {"type": "image_url", "image_url": {"url": PNG}}
    text = {"type": "text", "text": "ok"}
    said = contents(HI, calls("a", "b"), result("a", [text, image]), result("b"))
    data = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    assert said[-1]["parts"] == [answered("a"), answered("b"), data]


def test_a_result_that_is_missing_says_so() -> None:
    for after in ([result("a")], [result("a"), HI]):
        said = contents(HI, calls("a", "b"), *after)
        assert said[2]["parts"] == [answered("a"), answered("b", NO_RESULT)]
    said = contents(HI, calls("a"), HI)
    assert said[2]["parts"] == [answered("a", NO_RESULT)]


def test_calls_at_the_end_wait() -> None:
    assert contents(HI, calls("a"))[-1] == {"role": "model", "parts": [call("a")]}


def test_a_result_without_a_call_is_text() -> None:
    assert contents(HI, result("x", "lost"))[-1]["parts"][-1] == {"text": "lost"}
    said = contents(HI, calls("a"), result("x", "lost"), result("a"), result("a", "twice"), HI)
    assert said[2:] == [
        {"role": "user", "parts": [answered("a")]},
        {"role": "user", "parts": [{"text": "lost"}, {"text": "twice"}, {"text": "Hi"}]},
    ]
    assert contents(HI, calls("a"), result("x", ""))[-1]["role"] == "model"


def test_a_conversation_does_not_begin_with_a_call() -> None:
    said = contents(calls("a"), result("a"))
    assert said[0] == {"role": "user", "parts": [{"text": "."}]}
    assert said[1]["role"] == "model"


def test_calls_of_the_older_form() -> None:
    legacy = {"role": "assistant", "function_call": {"name": "a", "arguments": "{}"}}
    said = contents(HI, legacy, {"role": "function", "name": "a", "content": "ok"})
    assert said[1]["parts"] == [{"functionCall": {"name": "a", "args": {}}}]
    assert said[2]["parts"][0]["functionResponse"]["name"] == "a"


def test_a_call_with_free_text_and_one_without_a_name() -> None:
    free = {"id": "c", "type": "custom", "custom": {"name": "free", "input": "x"}}
    odd = [{"id": "d"}, {"id": 3, "function": {"name": ""}}]
    said = contents(HI, {"role": "assistant", "tool_calls": [free, *odd]})
    assert said[1]["parts"] == [{"functionCall": {"name": "free", "args": {"input": "x"}}}]


def test_a_refusal_is_what_the_model_said() -> None:
    said = contents(HI, {"role": "assistant", "content": None, "refusal": "No."})
    assert said[1]["parts"] == [{"text": "No."}]


def signature(data: str, **more: Any) -> Json:
    head = {"type": "reasoning.encrypted", "data": data, "format": "google-gemini-v1"}
    return head | {"index": 0} | more


def test_signatures_return_to_their_parts() -> None:
    image = {"type": "image_url", "image_url": {"url": PNG}}
    message = calls(
        "a",
        "b",
        content="Look:",
        images=[image, image],
        reasoning_details=[
            signature("c2ln", id="b"),
            signature("dGV4", index=0),
            signature("ZW5k", index=1),
            signature("aW1n", index=3),
        ],
    )
    data = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    assert contents(HI, message)[1]["parts"] == [
        {"text": "Look:", "thoughtSignature": "dGV4"},
        data,
        data | {"thoughtSignature": "aW1n"},
        call("a"),
        call("b", thoughtSignature="c2ln"),
        {"text": "", "thoughtSignature": "ZW5k"},
    ]


def test_a_signature_without_text_has_an_empty_part() -> None:
    message = {"role": "assistant", "content": "", "reasoning_details": [signature("c2ln")]}
    assert contents(HI, message)[1]["parts"] == [{"text": "", "thoughtSignature": "c2ln"}]


def test_a_call_that_lost_its_signature_says_so_where_one_is_needed() -> None:
    (first, second) = contents(HI, calls("a", "b"), model="gemini-3-pro-preview")[1]["parts"]
    assert first["thoughtSignature"] == UNSIGNED
    assert "thoughtSignature" not in second
    assert first["functionCall"]["id"] == "a"
    known = calls("a", reasoning_details=[signature("c2ln", id="a")])
    (part,) = contents(HI, known, model="gemini-3-pro-preview")[1]["parts"]
    assert part["thoughtSignature"] == "c2ln"


def test_ids_that_were_made_up_are_not_sent() -> None:
    (part,) = contents(HI, calls("tool_a_1"), model="gemini-3-pro-preview")[1]["parts"]
    assert "id" not in part["functionCall"]
