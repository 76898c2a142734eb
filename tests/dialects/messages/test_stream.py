"""What an Anthropic caller gets of an Anthropic provider: its own bytes, with our additions."""

import json
import random
from collections.abc import Iterable, Iterator

import pytest
from msgspec.structs import replace

from proxy.dialects import OUTBOUND
from proxy.dialects.forms import Bill, Outbound
from proxy.dialects.messages.stream import Encoder
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Event, Finished, Text
from proxy.wire.frames import PROCESSING
from tests.anthropics import ADDED, BILL, HEAD, Json, frames, put_together
from tests.plain import ASK
from tests.recordings import Recording, index, load
from tests.truths.chat import kind


def same() -> Outbound:
    row = OUTBOUND["anthropic"].same
    assert row is not None
    return row


def recorded(wanted: str) -> Iterator[Recording]:
    for row in index():
        if row["api"] == "messages":
            recording = load(row)
            if kind(recording) == wanted:
                yield recording


def passed(pieces: Iterable[bytes], bill: Bill = BILL) -> bytes:
    """What becomes of a provider's bytes."""
    decoder, encoder = same().decoder(Quirks()), Encoder(HEAD, ASK)
    out = [encoder.encode(event) for piece in pieces for event in decoder.feed(piece)]
    out += [encoder.encode(event) for event in decoder.end()]
    return b"".join(out) + encoder.encode_end(bill)


def expected(name: str, data: bytes) -> Json:
    said: Json = json.loads(data)
    if name == "message_start":
        message = said["message"] | {"model": HEAD.model, "provider": HEAD.provider}
        return said | {"message": message}
    assert name == "message_delta"
    return said | {"usage": said["usage"] | ADDED}


def check_passed(ours: bytes, theirs: bytes) -> int:
    """How many events came byte for byte; the two that tell more have nothing else changed."""
    got, said = frames(ours), frames(theirs)
    assert [name for name, _ in got] == [name for name, _ in said]
    unchanged = 0
    for (name, data), (_, before) in zip(got, said, strict=True):
        if name in ("message_start", "message_delta"):
            assert json.loads(data) == expected(name, before)
        else:
            assert data == before
            unchanged += 1
    return unchanged


def slices(body: bytes, seed: str) -> Iterator[bytes]:
    rng, start = random.Random(seed), 0
    while start < len(body):
        size = rng.choice((1, 2, 7, 64, 1000))
        yield body[start : start + size]
        start += size


def test_recorded_streams_pass_byte_for_byte(capsys: pytest.CaptureFixture[str]) -> None:
    streams, events = 0, 0
    for recording in recorded("stream"):
        body = recording.body
        whole = passed([body])
        events += check_passed(whole, body)
        told = put_together(whole, strict=False)
        kept = told | {"model": "", "provider": ""}
        assert kept == put_together(body, strict=False) | {"model": "", "provider": ""}
        assert (told["model"], told["provider"]) == (HEAD.model, HEAD.provider)
        assert passed(slices(body, recording.row["name"])) == whole
        if len(body) < 10_000:
            assert passed(body[place : place + 1] for place in range(len(body))) == whole
        streams += 1
    with capsys.disabled():
        print(f"\nmessages: {streams} recorded streams, {events} events byte for byte")
    assert streams == 43


# The provider's own events, where they do not end as they should.


def sse(*events: Json) -> bytes:
    frames = (f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events)
    return "".join(frames).encode()


START = {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 3}}}
BLOCK = {"type": "content_block_start", "index": 4, "content_block": {"type": "text", "text": ""}}
DELTA = {
    "type": "content_block_delta",
    "index": 4,
    "delta": {"type": "text_delta", "text": "x"},
}
END = {"type": "content_block_stop", "index": 4}
LAST = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}}
STOP = {"type": "message_stop"}


def relayed(*events: Json, then: Iterable[Event] = (), bill: Bill = BILL) -> list[Json]:
    decoder, encoder = same().decoder(Quirks()), Encoder(HEAD, ASK)
    out = [encoder.encode(event) for event in decoder.feed(sse(*events))]
    out += [encoder.encode(event) for event in then]
    body = b"".join(out) + encoder.encode_end(bill)
    return [json.loads(data) for _, data in frames(body)]


def test_a_block_that_nobody_ends_is_ended() -> None:
    """Some servers begin the next one, or end the answer, without a word."""
    told = relayed(START, BLOCK, DELTA, BLOCK | {"index": 5}, LAST, STOP)
    assert told[1:-2] == [BLOCK, DELTA, END, BLOCK | {"index": 5}, END | {"index": 5}]


def test_what_is_told_twice_is_told_once() -> None:
    assert relayed(START, START, BLOCK, DELTA, END, END, LAST, STOP)[1:-2] == [BLOCK, DELTA, END]


def test_an_answer_that_nobody_begins_is_begun() -> None:
    begin, *told, _, _ = relayed(BLOCK, DELTA, END, LAST, STOP)
    assert (begin["type"], begin["message"]["id"]) == ("message_start", HEAD.id)
    assert told == [BLOCK, DELTA, END]


@pytest.mark.parametrize("reason", [[], [LAST | {"delta": {"stop_reason": None}}]])
def test_an_answer_that_ends_without_a_reason_gets_one(reason: list[Json]) -> None:
    ended = Finished(0, "stop", None)  # what the end mark is taken for
    told = relayed(START, BLOCK, DELTA, END, *reason, STOP, then=[ended])
    types = [one["type"] for one in told[4:]]
    assert types == ["message_delta"] * (1 + len(reason)) + ["message_stop"]
    assert told[-2]["delta"]["stop_reason"] == "end_turn"
    assert "cost" in told[-2]["usage"]


@pytest.mark.parametrize("before", [[], [START]])
def test_words_without_a_block_are_an_error(before: list[Json]) -> None:
    with pytest.raises(GatewayError, match="no order"):
        relayed(*before, DELTA)


def test_content_behind_the_stop_reason_is_nobodys() -> None:
    ping = {"type": "ping"}
    told = relayed(START, BLOCK, END, LAST, BLOCK, DELTA, END, ping, LAST | {"delta": {}}, STOP)
    types = [one["type"] for one in told]
    assert types[3:] == ["message_delta", "ping", "message_delta", "message_stop"]
    assert ["cost" in one["usage"] for one in told if "usage" in one] == [False, True]


@pytest.mark.parametrize("within", [True, False])
def test_an_answer_that_is_curtailed_ends_in_order(within: bool) -> None:
    said: list[Json] = [START, BLOCK, DELTA, *([] if within else [END])]
    *told, delta, stop = relayed(*said, then=[Text(0, "never"), Finished(0, "length", None)])
    assert told[1:] == [BLOCK, DELTA, END]
    assert delta["delta"]["stop_reason"] == "max_tokens"
    assert delta["usage"].items() >= {"input_tokens": 70, "output_tokens": 7, **ADDED}.items()
    assert stop == STOP


def test_an_end_without_a_reason_gets_one() -> None:
    said: list[Json] = [START, BLOCK, DELTA, END]
    *told, delta, stop = relayed(*said, then=[Finished(0, "stop", None)])
    assert (told[1:], delta["delta"]["stop_reason"], stop) == (
        [BLOCK, DELTA, END],
        "end_turn",
        STOP,
    )


def test_an_end_mark_that_never_came_is_there() -> None:
    bill = replace(BILL, routing={"attempt": 1})
    *_, delta, stop = relayed(START, BLOCK, DELTA, END, LAST, bill=bill)
    assert delta["usage"].items() >= {"input_tokens": 70, **ADDED}.items(), "nobody counted"
    assert stop == {"type": "message_stop", "openrouter_metadata": {"attempt": 1}}


def test_the_routing_is_told_with_the_end_mark() -> None:
    more = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 1}}
    bill = replace(BILL, routing={"attempt": 1})
    *_, first, last, stop = relayed(START, LAST, more, STOP, bill=bill)
    assert first == LAST
    assert last == {**more, "usage": {"output_tokens": 1, **ADDED}}
    assert stop == {"type": "message_stop", "openrouter_metadata": {"attempt": 1}}


def test_data_of_lines_stays_of_lines() -> None:
    data = json.dumps(DELTA, indent=1).encode()
    decoder, encoder = same().decoder(Quirks()), Encoder(HEAD, ASK)
    lines = b"".join(b"data: " + line + b"\n" for line in data.split(b"\n"))
    spread = b"event: content_block_delta\n" + lines + b"\n"
    *before, event = decoder.feed(sse(START, BLOCK) + spread)
    for one in before:
        encoder.encode(one)
    assert encoder.encode(event) == spread


def test_a_frame_without_a_name_gets_that_of_its_type() -> None:
    """Anthropic's SDKs know events by the names of their frames; not every server gives them."""
    body = b"".join(
        b"data: %b\n\n" % json.dumps(one).encode() for one in (START, BLOCK, END, LAST, STOP)
    )
    names = [name for name, _ in frames(passed([body]))]
    assert names == [one["type"] for one in (START, BLOCK, END, LAST, STOP)]


def test_what_waits_says_nothing() -> None:
    message: Json = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    begin = {"type": "message_start", "message": {**message, "usage": {"input_tokens": 3}}}
    whole = passed([sse(begin, LAST, STOP)])
    assert put_together(PROCESSING + whole, strict=False)["stop_reason"] == "end_turn"


@pytest.mark.parametrize("begun", [True, False])
def test_a_failure_is_an_event(begun: bool) -> None:
    encoder = Encoder(HEAD, ASK)
    if begun:
        assert encoder.encode(Text(0, "x"))
    error = GatewayError("provider_overloaded", "Overloaded.", metadata={"provider_name": "A"})
    ((name, data),) = frames(encoder.encode_failure(error))
    assert name == "error"
    assert json.loads(data) == {
        "type": "error",
        "error": {
            "type": "overloaded_error",
            "message": "Overloaded.",
            "error_type": "provider_overloaded",
        },
        "request_id": "gen-1",
        "metadata": {"provider_name": "A"},
    }
