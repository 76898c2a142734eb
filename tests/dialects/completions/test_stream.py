"""Events become OpenRouter's text completions, and a stream says the same as a whole answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion

from proxy.dialects.chat.stream import encode_usage
from proxy.dialects.completions.request import decode_request
from proxy.dialects.completions.stream import Encoder, encode_answer
from proxy.dialects.forms import Bill
from proxy.errors import GatewayError
from proxy.wire.events import (
    Echo,
    Ended,
    Event,
    Finished,
    Reasoning,
    Refusal,
    Started,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)
from proxy.wire.frames import DONE
from proxy.wire.request import Ask, Head

Json = dict[str, Any]
HEAD = Head(id="gen-1", created=7, model="a/b", provider="Acme")
BILL = Bill(Usage(prompt_tokens=1, completion_tokens=2))
USAGE = encode_usage(BILL.usage, BILL.cost)
START = {
    "id": "gen-1", "object": "text_completion", "created": 7, "model": "a/b", "provider": "Acme",
}  # fmt: skip
DETAIL = {"type": "reasoning.text", "text": "hm", "format": "unknown", "index": 0}
OLD: Json = {
    "tokens": ["a", "é"], "token_logprobs": [-1.0, -2.0], "top_logprobs": [{"a": -1.0}, {}],
    "text_offset": [0, 1],
}  # fmt: skip
NEW = {
    "content": [
        {"token": "a", "logprob": -1.0, "top_logprobs": [{"token": "a", "logprob": -1.0}]},
        {"token": "é", "logprob": -2.0, "top_logprobs": None},
    ]
}


def ask(**fields: Any) -> Ask:
    return decode_request(json.dumps({"model": "a/b", "prompt": "Once "} | fields).encode())


def choice(text: str, index: int = 0, **more: Any) -> Json:
    return {
        "text": text, "index": index, "logprobs": None, "finish_reason": None,
        "native_finish_reason": None,
    } | more  # fmt: skip


def ending(reason: str = "stop", native: str | None = "eos") -> Json:
    return {"finish_reason": reason, "native_finish_reason": native}


def chunks(data: bytes) -> list[Json]:
    return [json.loads(part[6:]) for part in data.split(b"\n\n") if part and part != DONE.strip()]


def streamed(asked: Ask, *events: Event, bill: Bill = BILL) -> list[Json]:
    encoder = Encoder(HEAD, asked)
    data = b"".join(map(encoder.encode, events)) + encoder.encode_end(bill)
    assert data.endswith(DONE)
    return chunks(data)


def whole(asked: Ask, *events: Event, bill: Bill = BILL) -> Json:
    body = encode_answer(events, HEAD, asked, bill).body
    answer: Json = json.loads(body)
    return answer


EVENTS = (
    Started(), Text(0, "there "), Text(0, "was", OLD), Finished(0, "stop", "eos"),
    UsageReport(BILL.usage), Ended(),
)  # fmt: skip


def test_a_stream() -> None:
    assert streamed(ask(), *EVENTS) == [
        START | {"choices": [choice("there ")]},
        START | {"choices": [choice("was", logprobs=OLD)]},
        START | {"choices": [choice("", **ending())]},
        START | {"choices": [choice("", **ending())], "usage": USAGE},
    ]


def test_a_whole_answer() -> None:
    said = choice("there was", logprobs=OLD, **ending())
    answer = whole(ask(), *EVENTS)
    Completion.model_validate_json(json.dumps(answer))
    assert answer == START | {"choices": [said], "usage": USAGE}


def test_what_is_known_of_the_provider_and_the_route() -> None:
    started = Started(system_fingerprint="fp", service_tier="flex")
    bill = Bill(Usage(), None, {"requested": "a/b"})
    more = {"system_fingerprint": "fp", "service_tier": "flex"}
    events = (started, Text(0, "a"), Finished(0, "stop", None))
    *_, last = streamed(ask(), *events, bill=bill)
    assert last.items() >= (more | {"openrouter_metadata": {"requested": "a/b"}}).items()
    answer = whole(ask(), *events, bill=bill)
    assert answer.items() >= (more | {"openrouter_metadata": {"requested": "a/b"}}).items()


@pytest.mark.parametrize(
    ("prompt", "n", "prefixes"),
    [
        ("Once ", 1, ["Once "]),
        ("Once ", 2, ["Once ", "Once "]),
        (["a ", "b "], 1, ["a ", "b "]),
        (["a ", "b "], 2, ["a ", "a ", "b ", "b "]),
    ],
)
def test_a_prompt_stands_before_each_of_its_answers(
    prompt: Any, n: int, prefixes: list[str]
) -> None:
    asked = ask(prompt=prompt, n=n, echo=True)
    events: list[Event] = [Text(index, "x") for index in range(len(prefixes))]
    events += [Text(0, "y")]
    events += [Finished(index, "stop", None) for index in range(len(prefixes))]
    texts = ["xy"] + ["x"] * (len(prefixes) - 1)
    expected = [prefix + text for prefix, text in zip(prefixes, texts, strict=True)]
    assert [one["text"] for one in whole(asked, *events)["choices"]] == expected
    assert said(streamed(asked, *events)) == dict(enumerate(expected))


def said(pieces: list[Json]) -> dict[int, str]:
    texts: dict[int, str] = {}
    for piece in pieces:
        for one in piece["choices"]:
            texts[one["index"]] = texts.get(one["index"], "") + one["text"]
    return texts


def test_an_answer_without_text_has_its_prompt() -> None:
    asked = ask(echo=True)
    assert whole(asked, Finished(0, "length", None))["choices"] == [
        choice("Once ", **ending("length", None))
    ]
    pieces = streamed(asked, Finished(0, "length", None), Finished(9, "stop", None))
    assert said(pieces) == {0: "Once ", 9: ""}


def test_logprobs_of_a_chat_are_told_in_the_older_form() -> None:
    asked = ask(logprobs=1)
    events = (Text(0, "aé", NEW), Text(0, "aé", NEW), Finished(0, "stop", None))
    one, two, *_ = streamed(asked, *events)
    later = OLD | {"text_offset": [2, 3]}
    assert one["choices"] == [choice("aé", logprobs=OLD)]
    assert two["choices"] == [choice("aé", logprobs=later)]
    (told,) = whole(asked, *events)["choices"]
    assert told["logprobs"] == {
        name: [*OLD[name], *later[name]] for name in OLD
    }  # fmt: skip


def test_thoughts_are_no_text() -> None:
    events = (Reasoning(0, "hm"), Reasoning(0, "", (DETAIL,)), Text(0, "a"))
    thought: Json = {"reasoning": "hm", "reasoning_details": [DETAIL]}
    first, second, third, _ = streamed(ask(), *events)
    assert first["choices"] == [choice("", **thought)]
    assert second["choices"] == [choice("", reasoning=None, reasoning_details=[DETAIL])]
    assert third["choices"] == [choice("a")]
    (told,) = whole(ask(), *events)["choices"]
    assert told == choice("a", reasoning="hm", reasoning_details=[DETAIL, DETAIL])


def test_hidden_thoughts() -> None:
    asked = ask(reasoning={"exclude": True})
    assert said(streamed(asked, Reasoning(0, "hm"))) == {}
    assert whole(asked, Reasoning(0, "hm"), Text(0, "a"))["choices"] == [choice("a")]


def test_a_refusal_is_an_answer_and_calls_are_none() -> None:
    events = (Refusal(0, "no"), ToolCall(0, 0, "c", "f", "{}"))
    assert said(streamed(ask(), *events)) == {0: "no"}
    assert whole(ask(), *events)["choices"] == [choice("no")]


def test_what_was_sent_is_shown() -> None:
    first, _ = streamed(ask(stream=True), Echo({"prompt": "x"}))
    assert first == START | {"choices": [], "debug": {"echo_upstream_body": {"prompt": "x"}}}


def test_an_error_in_the_middle() -> None:
    encoder = Encoder(HEAD, ask())
    encoder.encode(Text(0, "a"))
    data = encoder.encode_failure(GatewayError("provider_cut", "It broke off."))
    assert data.endswith(DONE)
    (failed,) = chunks(data)
    assert failed == START | {
        "choices": [choice("", finish_reason="error")],
        "error": {
            "message": "It broke off.", "code": 502,
            "metadata": {"error_type": "provider_unavailable"},
        },
    }  # fmt: skip


def test_what_can_not_be_written() -> None:
    deep: Json = {"tokens": []}
    for _ in range(300):
        deep = {"tokens": deep}
    with pytest.raises(GatewayError, match="can not be written"):
        streamed(ask(), Text(0, "a", deep))


TEXTS = st.lists(st.tuples(st.integers(0, 2), st.text(max_size=3), st.booleans()), max_size=12)


@given(TEXTS, st.booleans())
def test_both_forms_say_the_same(pieces: list[tuple[int, str, bool]], echo: bool) -> None:
    asked = ask(n=3, echo=echo)
    events: list[Event] = [
        Reasoning(index, text) if thinks else Text(index, text) for index, text, thinks in pieces
    ]
    events += [Finished(index, "stop", None) for index in range(3)]
    answer = whole(asked, *events)
    assert said(streamed(asked, *events)) == {
        one["index"]: one["text"] for one in answer["choices"]
    }
