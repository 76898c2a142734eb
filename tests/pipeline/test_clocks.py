"""What a call waits for, by what was heard of it last."""

from typing import Any

import pytest

from proxy.pipeline.clocks import USAGE_WAIT_S, Clocks
from proxy.pipeline.exchange import nothing
from tests.stage import endpoint

WAITS: dict[str, float] = {
    "first_byte_s": 10, "first_token_s": 20, "between_chunks_s": 5, "answer_s": 60,
}  # fmt: skip


def clocks(*, whole: bool = False, at_once: bool = False, **heard: Any) -> Clocks:
    """Those of a call that began at 100."""
    clocks = Clocks(endpoint("p0", **WAITS), 100.0, whole=whole, at_once=at_once, ring=nothing)
    for name, value in heard.items():
        setattr(clocks, name, value)
    return clocks


@pytest.mark.parametrize(
    ("heard", "at", "what"),
    [
        ({}, 110.0, "the head of an answer"),
        ({"first_token_s": 9.0}, 109.0, "the first piece of the answer"),
        ({"status": 200}, 120.0, "the first piece of the answer"),
        ({"status": 200, "first_token_s": 12.0}, 112.0, "the first piece of the answer"),
        ({"status": 200, "content_at": 130.0}, 135.0, "the next piece of the answer"),
        ({"content_at": 130.0, "finished_at": 140.0}, 140.0 + USAGE_WAIT_S, "usage"),
        ({"whole": True}, 160.0, "the whole answer"),
        ({"whole": True, "content_at": 101.0}, 160.0, "the whole answer"),
        ({"whole": True, "finished_at": 140.0}, 140.0 + USAGE_WAIT_S, "usage"),
        ({"at_once": True}, 160.0, "the whole answer"),
        ({"at_once": True, "content_at": 101.0}, 106.0, "the next piece of the answer"),
    ],
)
def test_what_is_due_when(heard: dict[str, Any], at: float, what: str) -> None:
    assert clocks(**heard).deadline() == (at, what)


@pytest.mark.parametrize(
    ("heard", "now", "hurried"),
    [
        ({}, 1000.0, False),
        ({"first_token_s": 6.0}, 105.0, False),
        ({"first_token_s": 6.0}, 106.0, True),
        ({"first_token_s": 6.0, "content_at": 103.0}, 106.0, False),
        ({"first_token_s": 6.0, "finished_at": 103.0}, 106.0, False),
        ({"first_token_s": 6.0, "whole": True}, 106.0, False),
    ],
)
def test_who_is_late_only_by_its_own_habits(
    heard: dict[str, Any], now: float, hurried: bool
) -> None:
    assert clocks(**heard).hurried(now) == hurried
