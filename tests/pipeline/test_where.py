"""Where a conversation is sent: where its prompt is cached, as long as that is worth it."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from proxy.accounts.keys import Key
from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.pipeline import where as room
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.where import MODELS_MAX, Where
from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.health import Outcome, Pool
from proxy.routing.plan import Plan
from proxy.routing.warmth import IDLE_S
from proxy.wire.events import Usage
from proxy.wire.preferences import Preferences
from proxy.wire.request import Ask
from tests.stage import endpoint, model, snapshot

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "How high is the weir?"}
SAID = {"role": "assistant", "content": "Two metres."}
MORE = {"role": "user", "content": "And how wide?"}

HIT = Usage(prompt_tokens=1000, completion_tokens=10, cached_tokens=900)
MISS = Usage(prompt_tokens=1000, completion_tokens=10)
FIRST, LAST = 0.0, 0.999_999  # draws


def priced(slug: str, prompt: str = "0.001", read: str | None = "0.0001", **more: Any) -> Endpoint:
    prices = {"prompt": prompt, "completion": prompt}
    prices |= {} if read is None else {"input_cache_read": read}
    return replace(endpoint(slug), pricing=msgspec.convert(prices, Pricing), **more)


class Talk:
    """Requests of callers, and where they were sent. Without `draw` the first of those that cost
    the same is drawn.
    """

    def __init__(self, *endpoints: Endpoint, others: tuple[Model, ...] = ()) -> None:
        first = model("test/one", *(endpoints or (priced("a"), priced("b"))))
        self.snapshot = snapshot(first, *others)
        self.pool = Pool(rng=lambda: 0.5)
        self.now, self.draw = 1000.0, FIRST
        self.where = Where(self.pool, lambda: self.now, lambda: self.draw)
        self.exchange = self._exchange()

    def _exchange(self) -> Exchange:
        return Exchange(id="g", created_at=0.0, started_at=self.now, snapshot=self.snapshot)

    def plan(
        self,
        *messages: Mapping[str, Any],
        draw: float = FIRST,
        head: str | None = None,
        account: str | None = None,
        key: str | None = None,
        **more: Any,
    ) -> Plan:
        """What is planned now for the request of a conversation."""
        self.exchange = exchange = self._exchange()
        self.draw = draw
        exchange.origin = {} if head is None else {"session_id": head}
        if account is not None:
            exchange.key = Key(hash="h", name="n", label="l", account=account, created_at=0.0)
        body: dict[str, Any] = {"messages": list(messages or (SYSTEM, USER))}
        if key is not None:
            body["prompt_cache_key"] = key
        exchange.ask = ask = Ask(**{"models": ("test/one",), "body": body, **more})
        exchange.plan = self.where.plan(exchange, ask)
        return exchange.plan

    def asked(self, *messages: Mapping[str, Any], **more: Any) -> str:
        """Who would be asked first."""
        return self.plan(*messages, **more).attempts[0][1].tag

    def turn(
        self, *messages: Mapping[str, Any], usage: Usage = MISS, by: str = "", **more: Any
    ) -> str:
        """Who answered a request: the first of its plan, or `by`."""
        attempts = self.plan(*messages, **more).attempts
        for other, one in attempts:
            if one.tag == (by or attempts[0][1].tag):
                self.exchange.model, self.exchange.endpoint = other, one
        self.exchange.usage = usage
        self.where.answered(self.exchange)
        assert self.exchange.endpoint is not None
        return self.exchange.endpoint.tag

    def fail(self, slug: str, times: int = 3) -> None:
        """So often it could not be reached."""
        for _ in range(times):
            ticket = self.pool.begin((slug, f"{slug}-model"), self.now, retry=False, last=True)
            assert not isinstance(ticket, str)
            self.pool.end(ticket, Outcome.FAILED, self.now)


def test_without_a_cache_hit_a_conversation_does_not_stick() -> None:
    talk = Talk()
    assert talk.turn() == "a"
    assert talk.asked(SYSTEM, USER, SAID, MORE, draw=LAST) == "b"
    assert not talk.exchange.stayed


def test_a_conversation_sticks_after_a_cache_hit() -> None:
    talk = Talk()
    assert talk.turn(usage=HIT) == "a"
    assert not talk.exchange.stayed
    for draw in (LAST, FIRST):
        assert talk.asked(SYSTEM, USER, SAID, MORE, draw=draw) == "a"
        assert talk.exchange.stayed


@pytest.mark.parametrize("named", [{"session_id": "s"}, {"head": "s"}])
def test_with_a_session_id_it_sticks_after_any_success(named: dict[str, Any]) -> None:
    talk = Talk()
    assert talk.turn(**named) == "a"
    assert talk.asked(USER, draw=LAST, **named) == "a", "whatever its messages are"
    assert talk.exchange.stayed
    assert talk.asked(draw=LAST) == "b", "which the session alone knows"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param({"session_id": "s", "head": "x"}, {"session_id": "s", "head": "y"}, True,
                     id="the body's session id before the header's"),
        pytest.param({"head": "s", "key": "x"}, {"head": "s", "key": "y"}, True,
                     id="the header before the prompt cache key"),
        pytest.param({"session_id": "s"}, {"head": "s"}, True, id="either names the same"),
        pytest.param({"session_id": "s"}, {"session_id": "t"}, False, id="another session"),
        pytest.param({"key": "s"}, {"key": "t"}, False, id="another prompt cache key"),
        pytest.param({"session_id": "s"}, {"key": "s"}, False, id="a key is no session"),
        pytest.param({"session_id": ""}, {"key": ""}, True, id="empty names are none"),
        pytest.param({"account": "x"}, {"account": "x"}, True, id="the same account"),
        pytest.param({"account": "x"}, {"account": "y"}, False, id="another account"),
        pytest.param({"account": "x"}, {}, False, id="who has no key"),
    ],
)  # fmt: skip
def test_the_key_is_the_account_the_model_and_the_conversation(
    one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    talk = Talk()
    talk.turn(usage=HIT, **one)
    assert (talk.asked(draw=LAST, **other) == "a") is same


def test_the_prompt_cache_key_counts_before_the_messages() -> None:
    talk = Talk()
    talk.turn(USER, usage=HIT, key="k")
    assert talk.asked(MORE, draw=LAST, key="k") == "a"
    assert talk.asked(USER, draw=LAST) == "b"


def test_a_prompt_cache_key_is_no_session_and_needs_a_cache_hit() -> None:
    talk = Talk()
    talk.turn(usage=MISS, key="k")
    assert talk.asked(draw=LAST, key="k") == "b"


def test_else_it_is_known_by_the_systems_first_message_and_the_first_other_one() -> None:
    talk = Talk()
    talk.turn(SYSTEM, USER, usage=HIT)
    assert talk.asked(SYSTEM, USER, SAID, MORE, draw=LAST) == "a"
    assert talk.asked(SYSTEM, MORE, draw=LAST) == "b"
    assert talk.asked(USER, draw=LAST) == "b"


def test_another_model_is_another_conversation() -> None:
    talk = Talk(others=(model("test/two", priced("a"), priced("b")),))
    talk.turn(usage=HIT)
    assert talk.asked(draw=LAST, models=("test/two",)) == "b"
    assert talk.asked(draw=LAST, models=("test/one", "test/two")) == "a"


@pytest.mark.parametrize("read", [None, "0.001", "0.002"])
def test_it_sticks_only_where_cached_tokens_cost_less_than_others(read: str | None) -> None:
    talk = Talk(priced("a", read=read), priced("b", read="0.0001"))
    assert talk.turn(usage=HIT, session_id="s") == "a"
    assert talk.asked(draw=LAST, session_id="s") == "b"


def test_a_conversation_expires_after_ten_minutes_without_requests() -> None:
    talk = Talk()
    for draw in (FIRST, LAST):  # the second is kept warm by the first
        assert talk.turn(usage=HIT, draw=draw) == "a"
        talk.now += IDLE_S - 1
    assert talk.asked(draw=LAST) == "a"
    talk.now += 1
    assert talk.asked(draw=LAST) == "b"
    assert not talk.exchange.stayed


def test_a_request_that_failed_does_not_keep_it_warm() -> None:
    talk = Talk()
    talk.turn(usage=HIT, session_id="s")
    talk.now += IDLE_S - 1
    assert talk.asked(session_id="s", draw=LAST) == "a"  # and never answered
    talk.now += 1
    assert talk.asked(session_id="s", draw=LAST) == "b"


def test_an_order_of_the_callers_own_turns_it_off() -> None:
    talk = Talk()
    talk.turn(usage=HIT, session_id="s")
    order = Preferences(order=("b", "a"))
    assert talk.asked(session_id="s", preferences=order) == "b"
    assert not talk.exchange.stayed
    assert talk.turn(session_id="s", preferences=order) == "b"
    assert talk.asked(session_id="s", draw=LAST) == "a", "and nothing is learned from it"


@pytest.mark.parametrize("sort", ["price", "throughput", "latency"])
def test_a_sort_does_not_turn_it_off(sort: Any) -> None:
    talk = Talk()
    wished = Preferences(sort=sort)
    assert talk.turn(by="b", usage=HIT, preferences=wished) == "b"
    assert talk.asked(preferences=wished) == "b"
    assert talk.exchange.stayed


def test_an_outage_moves_it_away_and_it_comes_back_to_what_is_still_warm() -> None:
    talk = Talk()
    talk.turn(usage=HIT)
    talk.fail("a", times=10)
    assert talk.turn(draw=LAST) == "b"
    assert not talk.exchange.stayed
    talk.now += IDLE_S - 1
    talk.pool.forget(())
    assert talk.asked(draw=LAST) == "a"
    talk.now += 1
    assert talk.asked(draw=LAST) == "b", "what another answered has not kept it warm"


def test_a_hit_elsewhere_moves_it() -> None:
    talk = Talk()
    talk.turn(usage=HIT)
    talk.fail("a", times=10)
    assert talk.turn(usage=HIT, draw=LAST) == "b"
    talk.pool.forget(())
    assert talk.asked() == "b"


def test_who_is_full_is_not_waited_for() -> None:
    talk = Talk()
    talk.turn(usage=HIT)
    id, waiting = ("a", "a-model"), []
    while talk.pool.look(id, talk.now)[2] < 1.0:
        waiting.append(talk.pool.begin(id, talk.now, retry=False, last=True))
    assert talk.asked(draw=LAST) == "b"


def test_a_much_cheaper_cold_endpoint_wins() -> None:
    talk = Talk(priced("a"), priced("b", "0.00005"))
    talk.turn(by="a", usage=HIT)
    assert talk.asked() == "b"
    assert not talk.exchange.stayed


def test_an_endpoint_that_is_cheaper_only_without_a_cache_does_not_win() -> None:
    talk = Talk(priced("a"), priced("b", "0.0005"))
    talk.turn(by="a", usage=HIT)
    assert talk.asked() == "a"
    assert talk.exchange.stayed


def test_it_is_compared_with_who_is_well_of_the_others() -> None:
    talk = Talk(priced("a"), priced("b", "0.00005"))
    talk.turn(by="a", usage=HIT)
    talk.fail("b", times=10)
    assert talk.asked() == "a"


def test_where_no_other_is_well_it_stays() -> None:
    talk = Talk(priced("a"), priced("b", "0.00005"))
    talk.turn(by="a", usage=HIT)
    talk.fail("b", times=10)
    assert talk.asked(preferences=Preferences(sort="price")) == "a"


def test_where_no_other_has_a_price_it_stays() -> None:
    talk = Talk(priced("a"), replace(endpoint("b"), pricing=None))
    wished = Preferences(sort="latency")
    talk.turn(by="a", usage=HIT, preferences=wished)
    assert talk.asked(preferences=wished) == "a"


def test_it_does_not_stay_below_the_service_tier_that_is_asked_for() -> None:
    fast = priced("a/priority", tier="priority", model="a-model")
    talk = Talk(priced("a"), priced("b"), fast)
    talk.turn(by="b", usage=HIT)
    assert talk.asked() == "b"
    assert talk.asked(tier="priority") == "a/priority"


def quick(talk: Talk, slug: str, latency_s: float, tokens: int) -> None:
    """One streamed answer of so many seconds to its first content, and so many tokens in one."""
    ticket = talk.pool.begin((slug, f"{slug}-model"), talk.now, retry=False, last=True)
    assert not isinstance(ticket, str)
    talk.pool.content(ticket, talk.now + latency_s)
    talk.pool.end(ticket, Outcome.GOOD, talk.now + latency_s + 1.0, tokens=tokens)


@pytest.mark.parametrize(
    ("wished", "stays"),
    [
        (Preferences(latency=((0.5, 1.0),)), False),
        (Preferences(latency=((0.5, 3.0),)), True),
        (Preferences(throughput=((0.5, 200.0),)), False),
        (Preferences(throughput=((0.5, 50.0),)), True),
    ],
)
def test_it_stays_only_where_it_is_as_quick_as_is_preferred(
    wished: Preferences, stays: bool
) -> None:
    talk = Talk()
    talk.turn(by="b", usage=HIT)
    quick(talk, "b", latency_s=2.0, tokens=100)
    talk.now += 5.0
    assert (talk.asked(preferences=wished) == "b") is stays


def test_where_all_are_slower_than_is_preferred_it_stays() -> None:
    talk = Talk()
    talk.turn(by="b", usage=HIT)
    for slug in ("a", "b"):
        quick(talk, slug, latency_s=2.0, tokens=100)
    talk.now += 5.0
    assert talk.asked(preferences=Preferences(latency=((0.5, 1.0),))) == "b"


@pytest.mark.parametrize(
    ("wished", "stays"),
    [
        ({"soft": frozenset(("tools",))}, False),
        ({"preferences": Preferences(sort="exacto")}, False),
        ({"preferences": Preferences(sort="price"), "soft": frozenset(("tools",))}, True),
        ({}, True),
    ],
)
def test_a_request_with_tools_does_not_stay_with_who_calls_them_badly(
    wished: dict[str, Any], stays: bool
) -> None:
    talk = Talk(priced("a"), priced("b"), priced("c"))
    talk.turn(by="b", usage=HIT)
    for slug in ("a", "b", "c"):
        quick(talk, slug, latency_s=0.5, tokens=100)
        for number in range(100):
            talk.pool.called((slug, f"{slug}-model"), talk.now, sound=slug != "b" or number < 50)
    talk.now += 5.0
    assert (talk.asked(**wished) == "b") is stays
    assert talk.exchange.stayed is stays


def test_what_is_asked_in_another_order_is_the_same_plan_for_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "MOVED_MAX", 1)
    talk = Talk(priced("a"), priced("b"), priced("c"))
    for session, slug in (("s", "b"), ("t", "c")):
        talk.turn(by=slug, session_id=session)
    first = talk.plan(session_id="s")
    assert [one.tag for _, one in first.attempts] == ["b", "a", "c"]
    assert talk.plan(session_id="s") is first
    assert [one.tag for _, one in talk.plan(session_id="t").attempts] == ["c", "a", "b"]
    assert talk.plan(session_id="s") is not first, "no more is kept than is bounded"
    assert talk.plan(session_id="s") == first


def test_a_request_names_no_more_models_than_anybody_would_try() -> None:
    names = tuple(f"test/m{number}" for number in range(MODELS_MAX + 1))
    talk = Talk(others=tuple(model(name, priced("a")) for name in names))
    assert talk.plan(models=names[:-1]).attempts
    with pytest.raises(GatewayError, match=f"models: at most {MODELS_MAX} names"):
        talk.plan(models=names)


def test_who_was_not_seen_yet_is_not_slow() -> None:
    talk = Talk()
    talk.turn(by="b", usage=HIT)
    assert talk.asked(preferences=Preferences(latency=((0.5, 1.0),))) == "b"


def test_an_endpoint_that_is_gone_is_forgotten() -> None:
    talk = Talk()
    talk.turn(usage=HIT)
    talk.snapshot = snapshot(model("test/one", priced("b"), priced("c")))
    assert talk.asked() == "b"
    talk.snapshot = snapshot(model("test/one", priced("b"), priced("a", read=None)))
    assert talk.asked() == "b"


def test_what_a_fallback_model_answered_says_nothing_of_the_first_one() -> None:
    both = ("test/one", "test/two")
    talk = Talk(others=(model("test/two", priced("c"), priced("d")),))
    assert talk.turn(by="c", usage=HIT, session_id="s", models=both) == "c"
    assert talk.asked(draw=LAST, session_id="s", models=both) == "b"
    assert not talk.exchange.stayed


def test_the_plan_of_others_is_left_alone() -> None:
    talk = Talk(priced("a"), priced("b"), priced("c"))
    before = talk.plan(MORE)
    talk.turn(by="b", usage=HIT)
    stayed = talk.plan()
    assert [one.tag for _, one in stayed.attempts] == ["b", "a", "c"]
    assert [one.provider for one in stayed.candidates] == ["b", "a", "c"]
    assert talk.plan(MORE) is before, "which is made once"
    assert [one.tag for _, one in before.attempts] == ["a", "b", "c"]


def test_the_excluded_stay_behind_those_that_are_tried() -> None:
    talk = Talk(priced("a"), priced("b"), priced("c"))
    talk.turn(by="c", usage=HIT, preferences=Preferences(ignore=("a",)))
    told = talk.plan(preferences=Preferences(ignore=("a",))).candidates
    assert [(one.provider, one.excluded is None) for one in told] == [
        ("c", True), ("b", True), ("a", False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("endpoints", "more"),
    [
        pytest.param((priced("a"),), {}, id="one endpoint"),
        pytest.param((priced("a", read=None), endpoint("b")), {}, id="no price of cached tokens"),
        pytest.param((priced("a"), priced("b")), {"task": "count"}, id="no conversation"),
        pytest.param(
            (priced("a"), priced("b")), {"preferences": Preferences(only=("a",))}, id="one is left"
        ),
        pytest.param(
            (priced("a"),), {"models": ("test/one", "test/two")}, id="one of the first model"
        ),
    ],
)
def test_nothing_is_reckoned_where_there_is_nothing_to_gain(
    endpoints: tuple[Endpoint, ...], more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> int:
        raise AssertionError

    monkeypatch.setattr(room, "_conversation", never)
    talk = Talk(*endpoints, others=(model("test/two", priced("c"), priced("d")),))
    assert talk.turn(**{"usage": HIT, **more}) == "a"
    assert talk.exchange.conversation is None
    assert talk.exchange.requested == "test/one"


def test_what_was_not_used_up_to_its_end_teaches_nothing() -> None:
    talk = Talk()
    talk.plan(session_id="s")
    talk.where.answered(talk.exchange)
    assert talk.asked(session_id="s", draw=LAST) == "b"
