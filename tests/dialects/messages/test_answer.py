"""A whole message: a provider's own with our additions, or canonical events put together."""

import json
from collections.abc import Iterator

import pytest
from anthropic.types.beta import BetaMessage
from msgspec.structs import replace

from proxy.dialects import OUTBOUND
from proxy.dialects.messages.answer import encode_answer, folded
from proxy.dialects.messages.stream import Encoder
from proxy.providers import Quirks
from proxy.wire.events import Echo, Event, Finished, Text, Verbatim
from tests.anthropics import ADDED, BILL, HEAD, frames, put_together
from tests.plain import ASK
from tests.recordings import Recording, index, load
from tests.truths.chat import kind


def recorded() -> Iterator[tuple[Recording, list[Event]]]:
    row = OUTBOUND["anthropic"].same
    assert row is not None
    for one in index():
        if one["api"] == "messages" and kind(recording := load(one)) == "answer":
            yield recording, row.decode_answer(recording.body, Quirks())


def test_recorded_answers_pass_with_additions_alone(capsys: pytest.CaptureFixture[str]) -> None:
    answers = 0
    for recording, events in recorded():
        body = json.loads(encode_answer(events, HEAD, ASK, BILL).body)
        said = json.loads(recording.body)
        usage = said["usage"] | ADDED
        named = {"model": HEAD.model, "provider": HEAD.provider}
        assert body == said | named | {"usage": usage}
        BetaMessage.model_validate(body)
        answers += 1
    with capsys.disabled():
        print(f"\nmessages: {answers} recorded answers")
    assert answers == 80


def test_recorded_answers_in_a_stream_and_translated() -> None:
    """A provider that answers whole where a stream was asked for, and every answer by the detour
    over canonical events: the same blocks, as far as those keep their order.
    """
    for recording, (verbatim,) in recorded():
        assert isinstance(verbatim, Verbatim)
        encoder = Encoder(HEAD, ASK)
        body = encoder.encode(verbatim) + encoder.encode_end(BILL)
        told, said = put_together(body, strict=True), json.loads(recording.body)
        assert told["stop_reason"] == said["stop_reason"]
        assert (
            folded(json.loads(data) for _, data in frames(body))["content"]
            == json.loads(encode_answer(verbatim.events, HEAD, ASK, BILL).body)["content"]
        )
        for kept in ("text", "thinking", "signature", "data"):
            ours = [block[kept] for block in told["content"] if block.get(kept)]
            assert "".join(ours) == "".join(b[kept] for b in said["content"] if b.get(kept))


def test_what_was_sent_is_no_part_of_it() -> None:
    said = {"type": "message", "content": [], "usage": {"input_tokens": 1}}
    own = Verbatim(None, b"", said, (Finished(0, "stop", "end_turn"),))
    told = json.loads(encode_answer([Echo({"model": "m"}), own], HEAD, ASK, BILL).body)
    assert told["usage"] == {"input_tokens": 1, **ADDED}


def test_the_routing_is_told() -> None:
    bill = replace(BILL, routing={"attempt": 1})
    told = json.loads(encode_answer([Text(0, "x")], HEAD, ASK, bill).body)
    assert (told["openrouter_metadata"], told["id"]) == ({"attempt": 1}, "gen-1")
