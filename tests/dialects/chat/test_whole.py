"""The short way through a whole answer gives the events, and the bytes, that the long one gives."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects.chat.events import Reader, decode_answer, whole
from proxy.dialects.chat.pieces import Message
from proxy.dialects.chat.stream import encode_answer
from proxy.dialects.chat.whole import REASONS, plain_choice, plain_events
from proxy.dialects.forms import Bill
from proxy.errors import GatewayError
from proxy.providers import Quirks, known
from proxy.wire.events import Ended, Event, Finished, Started, Text, Usage, UsageReport
from proxy.wire.request import Head
from tests.plain import ASK
from tests.recordings import index, load

Json = dict[str, Any]
HEAD = Head(id="gen-1-x", created=1, model="a/b", provider="P")
QUIRKS = Quirks()

COUNTS: Json = {
    "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2},
}  # fmt: skip


def answer(message: Json | None = None, choice: Json | None = None, **more: Any) -> Json:
    said = {"role": "assistant", "content": "Hello.", "refusal": None, **(message or {})}
    told = {"index": 0, "message": said, "logprobs": None, "finish_reason": "stop"}
    return {"id": "x", "choices": [told | (choice or {})], "usage": COUNTS, **more}


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.just(2**40), st.just(2**70), st.just(2.0),
    st.text(max_size=3), st.just([]), st.just({}), st.just([{"text": "x"}]), st.just(["x"]),
    st.just({"reasoning_tokens": 3, "cached_tokens": None}), st.just({"web_search_requests": 1}),
    st.just([{"id": "c", "function": {"name": "f", "arguments": "{}"}}]), st.just({"id": "a"}),
)  # fmt: skip
REASON = st.one_of(ODD, st.sampled_from(list(REASONS)))


def some(*names: str) -> st.SearchStrategy[Json]:
    return st.dictionaries(st.sampled_from(names), ODD, max_size=2)


ANSWERS = st.builds(
    lambda message, choice, reason, usage, top: answer(
        message, choice | reason, **({"usage": COUNTS | usage} | top)
    ),
    some("content", "reasoning", "reasoning_content", "reasoning_details", "executed_tools",
         "refusal", "tool_calls", "function_call", "audio", "annotations", "images", "new"),
    some("index", "logprobs", "error", "finish_details", "native_finish_reason", "new"),
    st.fixed_dictionaries({}, optional={"finish_reason": REASON}),
    some("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details",
         "completion_tokens_details", "reasoning_tokens", "prompt_cache_hit_tokens",
         "cached_tokens", "num_cached_tokens", "server_tool_use_details", "server_tool_use",
         "num_search_queries", "new"),
    some("id", "system_fingerprint", "service_tier", "error", "citations", "search_results",
         "x_groq", "usage", "choices", "new"),
)  # fmt: skip


def told(body: bytes, quirks: Quirks = QUIRKS) -> list[Event] | str:
    try:
        return whole(orjson.loads(body), quirks)
    except GatewayError as error:
        return error.kind


def written(events: list[Event]) -> bytes:
    """The answer without the short way: an event that says nothing keeps it from that."""
    return encode_answer(iter(events), HEAD, ASK, Bill(Usage())).body


@settings(max_examples=800, deadline=None)
@given(ANSWERS)
def test_both_ways_say_the_same(said: Json) -> None:
    body = json.dumps(said).encode()
    expected = told(body)
    short = plain_events(body, QUIRKS)
    assert short is None or short == expected
    if isinstance(expected, list):
        assert encode_answer(expected, HEAD, ASK, Bill(Usage())).body == written(expected)


PLAIN = [
    answer(),
    answer({"annotations": [], "tool_calls": [], "reasoning": ""}),
    answer(choice={"finish_reason": "length", "index": 2}),
    answer(choice={"native_finish_reason": "end_turn"}),
    answer(usage=None, system_fingerprint="", service_tier="default"),
    answer(service_tier="fast"),
    answer(usage={"prompt_tokens": 1, "completion_tokens": 0, "prompt_tokens_details": None}),
    answer(error=None, citations=[], new={"deep": [1]}),
]


@pytest.mark.parametrize("said", PLAIN)
def test_what_is_plain(said: Json) -> None:
    body = json.dumps(said).encode()
    short = plain_events(body, QUIRKS)
    assert short is not None
    assert short == told(body) == decode_answer(body, QUIRKS)
    assert encode_answer(short, HEAD, ASK, Bill(Usage())).body == written(short)


@pytest.mark.parametrize(
    "said",
    [
        answer({"content": ""}), answer({"content": None}), answer({"reasoning": "x"}),
        answer({"function_call": {}}), answer({"audio": {}}), answer({"refusal": "no"}),
        answer(choice={"logprobs": {}}), answer(choice={"finish_reason": None}),
        answer(choice={"finish_reason": "error"}), answer(choice={"index": None}),
        answer(error={"message": "x"}), answer(x_groq={}), answer(choices=[]),
        answer(usage=COUNTS | {"prompt_tokens": -1}), answer(usage=COUNTS | {"cached_tokens": 1}),
        answer(usage={}), answer(citations=["https://x.test"]),
    ],
)  # fmt: skip
def test_what_is_not(said: Json) -> None:
    assert plain_events(json.dumps(said).encode(), QUIRKS) is None


@pytest.mark.parametrize("quirks", [Quirks(reasoning_apart=True), Quirks(audio_apart=True)])
def test_counts_that_are_apart_are_for_the_long_way(quirks: Quirks) -> None:
    assert plain_events(json.dumps(answer()).encode(), quirks) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"choices":[{}]}', b"[" * 100_000, b"\xff"])
def test_what_is_no_answer(body: bytes) -> None:
    assert plain_events(body, QUIRKS) is None


STARTED, TEXT, END = Started("x"), Text(0, "a"), Finished(0, "stop", "stop")


@pytest.mark.parametrize(
    "events",
    [
        [STARTED, TEXT],
        [TEXT, STARTED, END],
        [STARTED, TEXT, TEXT, END],
        [STARTED, TEXT, END, Text(1, "b"), Finished(1, "stop", None)],
        [STARTED, TEXT, Finished(1, "stop", None)],
        [STARTED, Text(0, "a", {"content": []}), END],
    ],
)
def test_other_events_are_for_the_long_way(events: list[Event]) -> None:
    assert plain_choice(events, hide_reasoning=False) is None


@pytest.mark.parametrize("hidden", [False, True])
def test_a_choice_is_as_its_pieces_make_it(hidden: bool) -> None:
    events = [STARTED, Text(1, "a"), Finished(1, "length", None), UsageReport(Usage()), Ended()]
    found = plain_choice(events, hide_reasoning=hidden)
    message = Message(hidden)
    message.add(events[1])
    message.add(events[2])
    expected = message.render(1)
    assert found == (STARTED, [expected])
    assert orjson.dumps(found[1][0]) == orjson.dumps(expected)


@pytest.mark.wire
def test_every_recorded_answer_says_the_same() -> None:
    plain = 0
    for row in index():
        recording = load(row)
        provider = known().get(row["provider"])
        quirks = provider.quirks if provider else QUIRKS
        if recording.status != 200 or not recording.body.startswith(b"{"):
            continue
        short = plain_events(recording.body, quirks)
        if short is not None:
            events: list[Event] = []
            Reader(quirks, whole=True).read(orjson.loads(recording.body), events)
            assert short == [*events, Ended()], row["dir"]
            plain += 1
    assert plain > 50
