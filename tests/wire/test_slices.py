"""Large JSON in steps: the value that decoding it at once gives, and no step that is too large."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire import slices
from proxy.wire.slices import (
    DEPTH_MAX,
    MESSAGES_PER_STEP,
    SLICE_BYTES,
    Steps,
    at_once,
    paced,
    value_steps,
)

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(-9, 9), st.text()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES, st.integers(0, 12))
def test_the_value_is_the_same(value: Any, slice_bytes: int) -> None:
    data = b" " + json.dumps(value).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "SLICE_BYTES", slice_bytes)
        assert repr(at_once(value_steps(data))) == repr(msgspec.json.decode(data))


def test_of_a_doubled_key_the_last_counts() -> None:
    filler = "x" * SLICE_BYTES
    data = f'{{"a":"{filler}","b":[],"a":1,"b":2}}'.encode()
    assert list(at_once(value_steps(data)).items()) == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("wrong", [b"{", b'"\xff"', b'"\\ud800"', b"tru", b"1 2", b"[" * 5000])
def test_what_is_wrong_anywhere_is_found(wrong: bytes) -> None:
    filler = b'"' + b"x" * SLICE_BYTES + b'"'
    for data in (b"[%b,%b]", b'{"a":%b,"b":%b}', b'{"a":[%b,{"b":%b}]}'):
        with pytest.raises((msgspec.DecodeError, UnicodeError, RecursionError)):
            at_once(value_steps(data % (filler, wrong)))


def sizes(steps: Steps[Any], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each step decodes, beside what it skips over."""
    decode, done = msgspec.json.Decoder().decode, [0]

    def counting(data: Any) -> Any:
        done[-1] += memoryview(data).nbytes
        return decode(data)

    monkeypatch.setattr(slices, "_decode", counting)
    done.extend(0 for _ in steps)
    return done


def test_a_step_is_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "x" * 900}]}] * 2000
    body = json.dumps({"messages": messages, "tools": [{"name": "f" * 100}] * 5000}).encode()
    done = sizes(value_steps(body), monkeypatch)
    assert max(done) <= SLICE_BYTES
    assert len(done) > len(body) / SLICE_BYTES


@pytest.mark.parametrize("blanks", [b" " * 64, b"\n" * SLICE_BYTES * 2, b" \t\r\n" * 5000])
def test_blanks_before_it_hide_nothing(blanks: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = json.dumps([{"role": "user", "content": "x" * 900}] * 500).encode()
    body = b"".join([blanks, b'{"messages":', blanks, messages, blanks, b"}"])
    done = sizes(value_steps(body), monkeypatch)
    assert max(done) <= SLICE_BYTES
    assert at_once(value_steps(body)) == json.loads(body)
    for wrong in (b"\v", b"\x00", b"\xc2\xa0"):
        with pytest.raises(msgspec.DecodeError):
            at_once(value_steps(wrong + body))


def test_many_small_values_are_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    done = sizes(value_steps(b"[" + b"1," * 100_000 + b"1]"), monkeypatch)
    assert max(done) < 2 * SLICE_BYTES / slices.VALUE_BYTES


def test_one_text_is_one_step_and_levels_end() -> None:
    deep = b"[" * 50 + b'"' + b"x" * SLICE_BYTES + b'"' + b"]" * 50
    steps = value_steps(deep)
    # Twice for each level: before it is told apart, and before its large entry.
    assert sum(1 for _ in steps) == 2 * DEPTH_MAX
    assert sum(1 for _ in value_steps(b'"' + b"x" * 3 * SLICE_BYTES + b'"')) == 1


def test_a_step_is_so_many_messages_and_parts() -> None:
    short, parts = {"content": "x"}, {"content": [{"text": "x"}] * (MESSAGES_PER_STEP // 2)}
    pauses = [pause for pause, _ in paced([short] * (2 * MESSAGES_PER_STEP + 1))]
    assert [n for n, pause in enumerate(pauses) if pause] == [
        MESSAGES_PER_STEP, 2 * MESSAGES_PER_STEP
    ]  # fmt: skip
    assert [pause for pause, _ in paced([parts, short, parts, parts])] == [False, False, True, True]
    many = {"content": [{"text": "x"}] * 10 * MESSAGES_PER_STEP}
    assert list(paced([many, short])) == [(False, many), (True, short)]
