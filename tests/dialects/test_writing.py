"""A large request is written in steps, and says what it would at once."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import OUTBOUND, outbound, writing
from proxy.dialects.asking import Target, encode_json
from proxy.dialects.bodies import BIG_BODY_BYTES
from proxy.dialects.chat.request import decode_request
from proxy.dialects.writing import DEPTH_MAX, STEP_WEIGHT, TEXT_BYTES, json_steps
from proxy.errors import GatewayError
from proxy.providers import known
from proxy.wire.slices import Steps, at_once

LARGE = BIG_BODY_BYTES + 1

VALUE = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(-9, 9), st.text()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=30,
)  # fmt: skip


def count(steps: Steps[Any]) -> tuple[int, Any]:
    """How many steps it takes, and what comes of them."""
    number = 1
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return number, end.value
        number += 1


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(max_size=3), VALUE, max_size=5), st.integers(0, 6))
def test_steps_write_the_same(body: dict[str, Any], weight: int) -> None:
    body["own"] = copy.deepcopy(list(body.values()))
    whole = encode_json(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "STEP_WEIGHT", weight)
        assert at_once(json_steps(body, LARGE)) == whole
        assert at_once(json_steps(body, LARGE, spent="own")) == whole
    assert body["own"] == []


TEXT = "x" * TEXT_BYTES * STEP_WEIGHT


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "user", "content": "x"}] * (10 * STEP_WEIGHT // 3),
        [{"content": [{"text": "x"}] * (5 * STEP_WEIGHT)}],
        [{"content": TEXT}] * 10,
        [{"content": [{"text": TEXT}]}] * 10,
        [TEXT] * 10,
        [[1] * STEP_WEIGHT] * 10,
        {str(n): [1] for n in range(5 * STEP_WEIGHT)},
        [{str(n): n for n in range(STEP_WEIGHT // 2)}] * 20,
    ],
)
def test_a_step_is_no_more_than_so_much(value: Any) -> None:
    body = {"model": "m", "messages": value}
    steps, text = count(json_steps(body, LARGE))
    assert text == encode_json(body)
    assert 10 <= steps <= 23


def test_fields_of_a_request_are_written_in_steps_too() -> None:
    body = {str(n): n for n in range(10 * STEP_WEIGHT)}
    assert count(json_steps(body, LARGE)) == (11, encode_json(body))


@pytest.mark.parametrize("depth", [2 * DEPTH_MAX, 700])
def test_what_is_wide_and_deep_does_not_fill_the_stack(depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth):
        value = [*[0] * STEP_WEIGHT, value]
    body = {"x": value}
    assert at_once(json_steps(body, LARGE)) == encode_json(body)


def test_what_is_small_takes_one_step_and_is_kept() -> None:
    body = {"messages": [1] * 5000}
    assert count(json_steps(body, BIG_BODY_BYTES, spent="messages")) == (1, encode_json(body))
    assert len(body["messages"]) == 5000


def test_what_is_no_json_is_refused_in_steps_too() -> None:
    with pytest.raises(GatewayError, match="can not be sent as JSON"):
        at_once(json_steps({"messages": ["\ud800"]}, LARGE))


@pytest.mark.parametrize("dialect", sorted(OUTBOUND))
def test_a_large_request_can_be_written_again_for_another_endpoint(dialect: str) -> None:
    """The list that is emptied is never the caller's own."""
    provider = next(one for one in known().values() if one.dialect in (dialect, "openai"))
    row = OUTBOUND[dialect]
    assert row.encode_steps is not None
    turns = [{"role": ("user", "assistant")[n % 2], "content": "x" * 999} for n in range(301)]
    for messages in (turns, turns[:1] * 300, [{"role": "system", "content": "x" * 999}] * 300):
        ask = decode_request(json.dumps({"model": "a", "messages": messages}).encode())
        before, target = copy.deepcopy(ask.body), Target(provider, "m")
        first = at_once(row.encode_steps(ask, target))
        assert ask.body == before
        assert at_once(row.encode_steps(ask, target)) == first
        assert json.loads(first.body)


def test_each_dialect_takes_small_steps() -> None:
    turns = [{"role": ("user", "assistant")[n % 2], "content": "x" * 99} for n in range(4000)]
    ask = decode_request(json.dumps({"model": "a", "messages": turns}).encode())
    for provider in known().values():
        steps = outbound(provider, "m", ask).encode_steps
        assert steps is not None
        if provider.dialect in ("openai", "gemini", "anthropic", "cohere", "bedrock"):
            assert count(steps(ask, Target(provider, "m")))[0] > 4000 // STEP_WEIGHT
