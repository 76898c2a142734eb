"""A provider's text completions become events; what they share with chats is read by its reader."""

import json
from typing import Any

import pytest

from proxy.dialects.completions.events import decode_answer, decoder
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Ended,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Text,
    Usage,
    UsageReport,
)

QUIRKS = Quirks()
LOGPROBS = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": None, "text_offset": [4]}


def choice(text: Any = "a", index: int = 0, reason: str | None = None, **more: Any) -> Any:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": reason} | more


def read(*chunks: Any) -> list[Event]:
    reader = decoder(QUIRKS)
    data = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    return [*reader.feed(data + b"data: [DONE]\n\n"), *reader.end()]


def test_a_stream() -> None:
    events = read(
        {"id": "cmpl-1", "choices": [choice("Wa")], "usage": None},
        {"id": "cmpl-1", "choices": [choice("b", 1, logprobs=LOGPROBS)]},
        {"id": "cmpl-1", "choices": [choice("ter"), choice("", 1, "length")]},
        {"id": "cmpl-1", "choices": [choice("", 0, "stop", native_finish_reason="eos")]},
        {"id": "cmpl-1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    )
    assert events == [
        Started(upstream_id="cmpl-1"),
        Text(0, "Wa"),
        Text(1, "b", LOGPROBS),
        Text(0, "ter"),
        Finished(1, "length", "length"),
        Finished(0, "stop", "eos"),
        UsageReport(Usage(prompt_tokens=1, completion_tokens=2)),
        Ended(),
    ]


def test_a_whole_answer() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    answer = {"id": "c", "choices": [choice("", 0, "length", logprobs=LOGPROBS), choice("x", 1)]}
    assert decode_answer(json.dumps(answer | {"usage": usage}).encode(), QUIRKS) == [
        Started(upstream_id="c"),
        Text(0, "", LOGPROBS),
        Finished(0, "length", "length"),
        Text(1, "x"),
        Finished(1, "stop", None),
        UsageReport(Usage(prompt_tokens=1, completion_tokens=2)),
        Ended(),
    ]


def test_thoughts_stand_beside_the_text() -> None:
    events = read({"choices": [choice("", reasoning="hm")]}, {"choices": [choice("a")]})
    assert events[1:-1] == [Reasoning(0, "hm"), Text(0, "a")]


def test_some_answer_as_a_chat() -> None:
    """Mistral, where code is filled in."""
    said = {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
    assert read({"choices": [said]})[1:-1] == [Text(0, "a")]
    whole = {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}
    events = decode_answer(json.dumps({"choices": [whole]}).encode(), QUIRKS)
    assert events[1:-1] == [Text(0, "a"), Finished(0, "stop", "stop")]


def test_an_error_inside() -> None:
    (failed, _) = read({"error": {"message": "no", "code": 500}})
    assert isinstance(failed, Failed)
    assert (failed.status, failed.message) == (500, "no")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"{}", b'{"choices":[]}', b'{"choices":[1]}'])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_answer(body, QUIRKS)
    assert caught.value.kind == "provider_malformed"
