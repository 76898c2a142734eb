"""Where conversations are warm, for how long, and when it is worth to stay."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.money import Pricing, cost_of
from proxy.routing.health import EndpointId
from proxy.routing.warmth import (
    FRESH_S,
    IDLE_S,
    LATER,
    OPENING_MAX,
    SAVING,
    TEXT_CHARS_MAX,
    UNSEEN,
    Warm,
    Warmth,
    caches,
    opening,
    worth,
)
from proxy.wire.events import Usage

A, B = ("a", "m"), ("b", "m")
NOW = 1000.0
MISS = Usage(prompt_tokens=1000, completion_tokens=100)
HIT = Usage(prompt_tokens=1000, completion_tokens=100, cached_tokens=800)


def learned(
    *answers: tuple[EndpointId, Usage, float], named: bool = False, now: float = NOW
) -> Warm | None:
    """Where conversation 7 is warm after these answers, each so many seconds after `NOW`."""
    warmth = Warmth()
    for endpoint, usage, at in answers:
        warmth.learn(7, endpoint, usage, NOW + at, named=named)
    return warmth.where(7, now)


@pytest.mark.parametrize(
    ("answers", "named", "at"),
    [
        pytest.param([(A, MISS, 0)], False, None, id="no hit yet"),
        pytest.param([(A, HIT, 0)], False, A, id="a hit"),
        pytest.param([(A, MISS, 0)], True, A, id="a session needs no hit"),
        pytest.param([(A, HIT, 0), (A, MISS, 1)], False, A, id="a miss is no move"),
        pytest.param([(A, HIT, 0), (B, MISS, 1)], False, A, id="nor is an answer of another"),
        pytest.param([(A, HIT, 0), (B, HIT, 1)], False, B, id="a hit of another is one"),
        pytest.param([(A, HIT, 0), (B, MISS, 1)], True, B, id="a session moves by any success"),
    ],
)
def test_a_conversation_is_warm_after_a_hit_a_session_after_any_success(
    answers: list[tuple[EndpointId, Usage, float]], named: bool, at: EndpointId | None
) -> None:
    warm = learned(*answers, named=named)
    assert (warm and warm.endpoint) == at


@pytest.mark.parametrize(
    ("answers", "share"),
    [
        pytest.param([(A, MISS, 0)], UNSEEN, id="nothing was seen"),
        pytest.param([(A, HIT, 0)], 0.8, id="the first hit is taken as it is"),
        pytest.param([(A, HIT, 0), (A, HIT, 1)], 0.8, id="as before"),
        pytest.param([(A, HIT, 0), (A, MISS, 1)], 0.4, id="a miss halves it"),
        pytest.param([(A, MISS, 0), (A, HIT, 1)], (UNSEEN + 0.8) / 2, id="a hit raises it"),
        pytest.param(
            [(A, HIT, 0), (A, Usage(prompt_tokens=9000, cached_tokens=1500), 1)], 0.9,
            id="more than the last prompt is all of it",
        ),
        pytest.param(
            [(A, HIT, 0), (A, Usage(prompt_tokens=1000, estimated=True), 1)], 0.8,
            id="a guess is no miss",
        ),
        pytest.param([(A, HIT, 0), (B, MISS, 1)], UNSEEN, id="another cache is another"),
    ],
)  # fmt: skip
def test_the_share_that_a_cache_gives_is_learned_from_what_it_gave(
    answers: list[tuple[EndpointId, Usage, float]], share: float
) -> None:
    warm = learned(*answers, named=True)
    assert warm is not None
    assert warm.share == pytest.approx(share)


@pytest.mark.parametrize("named", [False, True])
def test_it_expires_after_ten_minutes_without_an_answer(named: bool) -> None:
    assert IDLE_S == 10 * 60
    assert learned((A, HIT, 0), named=named, now=NOW + IDLE_S - 0.001) is not None
    assert learned((A, HIT, 0), named=named, now=NOW + IDLE_S) is None
    refreshed = (A, HIT, 0), (A, HIT, IDLE_S - 1)
    assert learned(*refreshed, named=named, now=NOW + 2 * IDLE_S - 2) is not None


def test_what_has_expired_is_as_if_it_never_was() -> None:
    assert learned((A, HIT, 0), (A, MISS, IDLE_S), now=NOW + IDLE_S) is None
    warm = learned((A, HIT, 0), (A, MISS, IDLE_S), named=True, now=NOW + IDLE_S)
    assert warm is not None
    assert warm.share == UNSEEN


def test_what_was_written_for_an_hour_is_known_to_last() -> None:
    lasting = msgspec.structs.replace(MISS, cache_write_tokens=9, cache_write_1h_tokens=9)
    for answers, lasts in (
        (((A, MISS, 0.0),), False),
        (((A, lasting, 0.0),), True),
        (((A, lasting, 0.0), (A, HIT, 1.0)), True),
        (((A, lasting, 0.0), (B, MISS, 1.0)), False),
    ):
        warm = learned(*answers, named=True)
        assert warm is not None
        assert warm.lasting == lasts


@given(
    st.lists(
        st.tuples(
            st.integers(0, 8), st.sampled_from([A, B]), st.sampled_from([HIT, MISS]),
            st.floats(0.0, IDLE_S), st.booleans(),
        )
    ),
    st.integers(1, 4),
)  # fmt: skip
def test_memory_is_bounded_and_the_latest_answer_is_known(
    answers: list[tuple[int, EndpointId, Usage, float, bool]], entries_max: int
) -> None:
    warmth, now = Warmth(entries_max), NOW
    for key, endpoint, usage, passed_s, named in answers:
        now += passed_s
        before = warmth.where(key, now)
        warmth.learn(key, endpoint, usage, now, named=named)
        after = warmth.where(key, now)
        assert len(warmth) <= entries_max
        if named or usage is HIT or (before is not None and before.endpoint == endpoint):
            assert after is not None
            assert (after.endpoint, after.at) == (endpoint, now)
            assert 0.0 <= after.share <= 1.0
        else:
            assert after == before


def test_the_oldest_goes_where_there_are_too_many_and_what_expired_before() -> None:
    warmth = Warmth(2)
    for key in (1, 2, 1, 3):
        warmth.learn(key, A, HIT, NOW, named=False)
    assert [key for key in (1, 2, 3) if warmth.where(key, NOW)] == [1, 3]
    warmth.learn(4, A, HIT, NOW + IDLE_S, named=False)
    assert len(warmth) == 1


def test_no_account_pushes_out_the_conversations_of_others() -> None:
    warmth, other = Warmth(entries_max=100), range(1000, 1003)
    for key in range(150):
        warmth.learn(key, A, HIT, NOW, named=True, account="greedy")
    assert len(warmth) == 100, "alone it has all the room there is"
    assert warmth.where(149, NOW)
    for key in other:
        warmth.learn(key, A, HIT, NOW + 1, named=True, account="other")
    for key in range(200, 400):
        warmth.learn(key, A, HIT, NOW + 2, named=True, account="greedy")
    assert all(warmth.where(key, NOW + 2) for key in other)
    assert len(warmth) == 100
    warmth.learn(149, B, HIT, NOW + 3, named=True, account="greedy")
    known = warmth.where(149, NOW + 3)
    assert known is not None
    assert known.endpoint == B, "what it had is still learned from"
    for key in range(200):
        warmth.learn(500 + key, A, HIT, NOW + IDLE_S + 2, named=True, account="greedy")
    assert warmth.where(699, NOW + IDLE_S + 2), "there is room again once others are done"


def pricing(prompt: str, completion: str = "0", read: str | None = None) -> Pricing:
    return Pricing(
        prompt=Decimal(prompt),
        completion=Decimal(completion),
        input_cache_read=None if read is None else Decimal(read),
    )


@pytest.mark.parametrize(
    ("prices", "does"),
    [
        (None, False),
        (pricing("1"), False),
        (pricing("1", read="1"), False),
        (pricing("0", read="0"), False),
        (pricing("1", read="0.99"), True),
        (pricing("1", read="0"), True),
    ],
)
def test_only_where_reading_from_the_cache_is_cheaper(prices: Pricing | None, does: bool) -> None:
    assert caches(prices) is does


WARM = Warm(A, 0.9, 1000, 100, NOW, False)


def stays(here: Pricing, there: Pricing, *, prompt: int = 1000, **more: Any) -> bool:
    after_s = more.pop("after_s", 0.0)
    warm = msgspec.structs.replace(WARM, **more)
    return worth(warm, here, there, prompt_tokens=prompt, now=NOW + after_s)


CACHED = pricing("10", "20", "1")  # 900 x 1 + 100 x 10 + 100 x 20 = 3,900


@pytest.mark.parametrize(
    ("there", "stay"),
    [
        pytest.param(pricing("10", "20"), True, id="the same price"),
        pytest.param(pricing("5", "10"), True, id="half the price is dearer without a cache"),
        pytest.param(pricing("2", "20"), True, id="as cheap"),
        pytest.param(pricing("1.13", "20"), True, id="a bit less than a fifth cheaper"),
        pytest.param(pricing("1.11", "20"), False, id="a bit more than a fifth cheaper"),
        pytest.param(pricing("1", "2"), False, id="a tenth of the price"),
        pytest.param(pricing("0", "0"), False, id="free"),
    ],
)
def test_a_cold_endpoint_wins_only_if_it_is_likely_to_cost_a_fifth_less(
    there: Pricing, stay: bool
) -> None:
    assert stays(CACHED, there) is stay


def test_the_less_is_likely_to_be_cached_the_sooner_a_cheaper_one_wins() -> None:
    half = pricing("5", "10")
    assert stays(CACHED, half)
    assert not stays(CACHED, half, share=0.0), "the cache never gave anything"
    assert not stays(CACHED, half, share=0.5, after_s=FRESH_S), "nor is it likely to be there"
    assert stays(CACHED, half, share=0.5, after_s=FRESH_S - 0.001, completion_tokens=0)
    assert stays(CACHED, half, after_s=FRESH_S, lasting=True)
    assert not stays(CACHED, half, prompt=20_000), "most of the prompt is new"


def test_an_answer_that_is_long_counts_more_than_its_prompt() -> None:
    assert stays(CACHED, pricing("10", "2"))
    assert not stays(CACHED, pricing("10", "2"), completion_tokens=10_000)


PRICES = st.decimals("0", "100", places=3)


@given(
    PRICES, PRICES, PRICES, PRICES, st.floats(0.0, 1.0), st.integers(0, 10**6),
    st.integers(0, 10**6), st.floats(0.0, IDLE_S),
)  # fmt: skip
def test_to_stay_never_costs_much_more_than_to_move(
    own: Decimal, other: Decimal, read: Decimal, completion: Decimal, share: float, prompt: int,
    guess: int, idle_s: float,
) -> None:  # fmt: skip
    here = Pricing(prompt=own, completion=completion, input_cache_read=min(read, own))
    there = Pricing(prompt=other, completion=completion)
    stay = stays(here, there, prompt=guess, share=share, prompt_tokens=prompt, after_s=idle_s)
    cached = int(prompt * share * (1.0 if idle_s < FRESH_S else LATER))
    cold = Usage(prompt_tokens=max(prompt, guess), completion_tokens=100)
    here_nano = cost_of(msgspec.structs.replace(cold, cached_tokens=cached), here).total_nano
    there_nano = cost_of(cold, there).total_nano
    assert stay == (there_nano > here_nano * (1 - SAVING[0] / SAVING[1])) or here_nano > 10**15


SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "How high is the weir?"}
SAID = {"role": "assistant", "content": "Two metres."}
MORE = {"role": "user", "content": "And how wide?"}


def part(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **more}


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param([SYSTEM, USER], [SYSTEM, USER, SAID, MORE], True, id="it goes on"),
        pytest.param([USER], [USER, SAID, MORE], True, id="without a system's message"),
        pytest.param(
            [SYSTEM, USER], [{**SYSTEM, "content": "Be long."}, USER], False, id="another system"
        ),
        pytest.param(
            [{**SYSTEM, "role": "developer"}, USER], [SYSTEM, USER], True, id="a developer's"
        ),
        pytest.param([SYSTEM, USER], [SYSTEM, MORE], False, id="another first message"),
        pytest.param([SYSTEM, USER], [USER], False, id="one has none of the system"),
        pytest.param([SYSTEM, USER], [USER, SYSTEM], True, id="the system's comes second"),
        pytest.param([SYSTEM, USER], [SYSTEM], False, id="nothing but the system's"),
        pytest.param([SYSTEM, USER], [SYSTEM, SYSTEM, USER], True, id="the system's is repeated"),
        pytest.param(
            [USER], [{**USER, "content": [part(str(USER["content"]), **MARK)]}], True,
            id="a mark for the cache that goes on to a later message",
        ),
        pytest.param(
            [{**USER, "content": [part("a"), PICTURE]}],
            [{**USER, "content": [part("a"), {**PICTURE, **MARK}]}], True, id="a marked picture",
        ),
        pytest.param(
            [{**USER, "content": [part("a"), PICTURE]}],
            [{**USER, "content": [part("a"), {"type": "image_url", "image_url": {"url": "x"}}]}],
            False, id="another picture",
        ),
        pytest.param(
            [{**USER, "content": "x" * TEXT_CHARS_MAX * 2}],
            [{**USER, "content": "x" * TEXT_CHARS_MAX * 2 + "y"}], False, id="long texts",
        ),
        pytest.param(
            [{**USER, "content": None, "tool_calls": [1]}], [{**USER, "content": None}], True,
            id="no content",
        ),
        pytest.param(
            [{**USER, "content": [{"type": "odd", "values": [1, 2.5, True, None]}]}],
            [{**USER, "content": [{"type": "odd", "values": [1, 2.5, True, 3]}]}], False,
            id="parts of kinds yet unknown",
        ),
    ],
)  # fmt: skip
def test_a_conversation_is_known_by_its_systems_first_message_and_the_first_other_one(
    one: list[dict[str, Any]], other: list[dict[str, Any]], same: bool
) -> None:
    assert (hash(opening(one)) == hash(opening(other))) is same
    assert (opening(one) == opening(other)) is same


def test_only_the_beginning_of_a_long_conversation_is_looked_at() -> None:
    long = [USER, SAID] * OPENING_MAX
    assert opening([*long, SYSTEM]) == opening(long)


class Counted(dict[str, Any]):
    """A message that counts how often it is asked for its content."""

    reads = 0

    def get(self, name: str, default: Any = None) -> Any:
        self.reads += name == "content"
        return super().get(name, default)


def test_nothing_is_read_of_what_is_not_needed() -> None:
    messages = [Counted(one) for one in (SYSTEM, USER, SAID, MORE)]
    opening(messages)
    assert [message.reads for message in messages] == [1, 1, 0, 0]


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=30,
)


@given(json, st.sampled_from(["system", "user", 3, None]))
def test_whatever_a_message_holds_it_has_an_opening_that_can_be_hashed(
    content: Any, role: Any
) -> None:
    assert isinstance(hash(opening([{"role": role, "content": content}])), int)
