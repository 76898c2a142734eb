"""Pieces go to the caller at once where they can, and wait where something stands in their way."""

from typing import Any

import pytest

from proxy.dialects.chat.stream import Encoder
from proxy.errors import GatewayError
from proxy.pipeline.heard import Heard
from proxy.wire.events import Event
from tests.pipeline.test_attempt import Tried, decoding
from tests.stage import chunk


class Way:
    """The way to a caller that has the head of its answer, and what it was told."""

    def __init__(self) -> None:
        self.caller: Any = self
        self.waiter: object = self
        self.covered_bytes = 10**9
        self.told_at = 0.0
        self.started = self.ready = True
        self.told: list[bytes] = []

    def pays(self, heard: Heard) -> bool:
        return False

    def push(self, data: bytes) -> None:
        assert self.ready
        self.told.append(data)

    def offer(self, data: bytes) -> bool:
        if self.ready:
            self.told.append(data)
        return self.ready


@pytest.mark.parametrize("prepare", [lambda tried: tried, decoding], ids=["spliced", "decoded"])
@pytest.mark.parametrize(
    "unready",
    [{}, {"waiter": None}, {"covered_bytes": 4}, {"started": False}, {"ready": False}],
    ids=str,
)
def test_a_piece_is_passed_on_where_nothing_stands_in_its_way(
    prepare: Any, unready: dict[str, Any]
) -> None:
    tried, way = prepare(Tried()), Way()
    attempt = tried.hear(chunk("a"), chunk("b"))
    attempt.take()
    attempt.answer_to(tried.ring, way)
    rung = tried.rung
    tried.now = 107.0
    attempt.data(chunk("c"))
    attempt.data(chunk("d"))
    assert (len(way.told), tried.rung - rung, way.told_at) == (2, 0, 107.0)
    for name, value in unready.items():
        setattr(way, name, value)
    attempt.data(chunk("e"))
    assert bool(attempt.outlet.pieces) == bool(unready)
    if unready:
        assert tried.rung == rung + 1
        assert attempt.outlet.size_bytes == len(chunk("e")), "what is out weighs nothing"
        for name in unready:
            setattr(way, name, getattr(Way(), name))
        attempt.data(chunk("f"))
        assert len(way.told) == 2, "it stands behind what waits"
        assert attempt.take().count(b"data: ") == 2
    assert attempt.heard.said_bytes == 4 + 1 + bool(unready)


def test_several_pieces_of_one_read_go_out_together() -> None:
    tried, way = Tried(), Way()
    attempt = tried.hear(chunk("a"), chunk("b"))
    attempt.take()
    attempt.answer_to(tried.ring, way)
    attempt.data(chunk("c") + chunk("d") + chunk("e"))
    assert [one.count(b"data: ") for one in way.told] == [3]
    tried, way = decoding(Tried()), Way()
    attempt = tried.hear(chunk("a"), chunk("b"))
    attempt.take()
    attempt.answer_to(tried.ring, way)
    attempt.data(chunk("c") + chunk("d") + chunk("e"))
    assert way.told == []
    assert attempt.take().count(b"data: ") == 3


def test_what_can_not_be_passed_on_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(_: Encoder, event: Event) -> bytes:
        raise GatewayError("provider_malformed", "no")

    tried, way = decoding(Tried()), Way()
    attempt = tried.hear(chunk("a"))
    attempt.take()
    attempt.answer_to(tried.ring, way)
    monkeypatch.setattr(Encoder, "encode", encode)
    attempt.data(chunk("b"))
    assert tried.error.kind == "provider_malformed"
    assert way.told == []
