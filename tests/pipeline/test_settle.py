"""Usage, cost, who pays, and the row of a finished exchange."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.accounts.keys import Key
from proxy.accounts.ledger import account_pot
from proxy.accounts.purse import Purse, open_hold
from proxy.errors import GatewayError
from proxy.money import Pricing, cost_of
from proxy.pipeline.bounds import within
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.heard import said_bytes
from proxy.pipeline.settle import estimate, outlook, reckon, settle, used
from proxy.routing.plan import Plan
from proxy.wire.events import (
    Attachments,
    Audio,
    Ended,
    Event,
    Reasoning,
    Refusal,
    Started,
    Text,
    ToolCall,
    Usage,
)
from proxy.wire.record import Candidate, Generation, Try
from proxy.wire.request import Ask
from tests.stage import endpoint, model, snapshot

USAGE = Usage(prompt_tokens=10, completion_tokens=5)


def _exchange(*, usage: Usage | None = USAGE) -> Exchange:
    """An exchange that was answered, at one thousandth and two thousandths of a dollar a token."""
    exchange = Exchange(id="gen-1", created_at=1750000000.5, started_at=100.0, snapshot=snapshot())
    exchange.ask = Ask(
        models=("one",), body={"messages": [{"content": "hello"}]}, stream=True, text_bytes=99
    )
    exchange.endpoint = endpoint("p0")
    exchange.model = model("test/one", exchange.endpoint)
    exchange.usage = usage
    exchange.content_at = 100.25
    exchange.finish_reason, exchange.native_finish_reason = "stop", "end_turn"
    return exchange


def _row(exchange: Exchange) -> Generation:
    row = settle(exchange, now=101.0, owner="me").generation
    assert exchange.settled
    return row


def _held(exchange: Exchange, amount_nano: int, *, leased_nano: int | None = None) -> Purse:
    purse = Purse(account_pot("default"))
    purse.amount_nano = amount_nano if leased_nano is None else leased_nano
    exchange.hold = open_hold("me", [purse], amount_nano)
    return purse


def test_the_row_of_a_good_answer() -> None:
    exchange = _exchange()
    exchange.key = Key(hash="h", name="n", label="l", account="acme", created_at=0.0)
    exchange.opened = Started(upstream_id="up-1", service_tier="flex")
    exchange.requested = "one"
    exchange.origin = {"http_referer": "r", "title": "t", "user_agent": "u", "session_id": "s"}
    note = Try(provider="p0", provider_name="P0", model="p0-model", status=200, latency_ms=9)
    exchange.tries = [note]
    assert _row(exchange) == Generation(
        id="gen-1",
        created_at=1750000000.5,
        key_hash="h",
        account="acme",
        model="test/one",
        requested_model="one",
        provider="p0",
        provider_name="P0",
        endpoint_model="p0-model",
        upstream_id="up-1",
        streamed=True,
        status=200,
        finish_reason="stop",
        native_finish_reason="end_turn",
        latency_ms=250,
        generation_time_ms=1000,
        prompt_tokens=10,
        completion_tokens=5,
        cost_nano=20_000_000,
        upstream_nano=20_000_000,
        service_tier="flex",
        session_id="s",
        http_referer="r",
        title="t",
        user_agent="u",
        attempts=(note,),
    )
    assert exchange.cost is not None
    assert exchange.cost.total_nano == 20_000_000


def test_every_field_of_the_row_has_its_own_value() -> None:
    """They are given by their order: none may stand at the place of another."""
    exchange = _exchange()
    exchange.key = Key(hash="h", name="n", label="l", account="acme", created_at=0.0)
    exchange.opened = Started(upstream_id="up-1", service_tier="flex")
    exchange.origin = {"http_referer": "r", "title": "t", "user_agent": "u", "session_id": "s"}
    exchange.ask = Ask(
        models=("one",), body={}, media_prompt=31, audio_prompt=32, task="speech", words="messages"
    )
    exchange.plan = Plan((), (Candidate(provider="p9", model="m9"),))
    exchange.requested, exchange.arm, exchange.preset = "asked/for", "an/arm", "a-preset"
    exchange.stayed = True
    exchange.cancelled, exchange.house_nano, exchange.waited_s = True, 33, 0.034
    exchange.usage = Usage(
        prompt_tokens=10,
        completion_tokens=5,
        cached_tokens=4,
        cache_write_tokens=3,
        reasoning_tokens=2,
        completion_image_tokens=1,
        images=21,
        search_units=22,
        characters=23,
        audio_ms=24,
        estimated=True,
    )
    _held(exchange, 10**9)
    reckon(exchange)
    exchange.saved_nano = 35
    assert _row(exchange) == Generation(
        id="gen-1",
        created_at=1750000000.5,
        key_hash="h",
        account="acme",
        model="test/one",
        requested_model="asked/for",
        provider="p0",
        provider_name="P0",
        endpoint_model="p0-model",
        upstream_id="up-1",
        cancelled=True,
        status=499,
        finish_reason="stop",
        native_finish_reason="end_turn",
        latency_ms=250,
        generation_time_ms=1000,
        prompt_tokens=10,
        completion_tokens=5,
        cached_tokens=4,
        cache_write_tokens=3,
        reasoning_tokens=2,
        image_tokens=1,
        usage_estimated=True,
        cost_nano=20_000_000,
        service_tier="flex",
        media_prompt=31,
        audio_prompt=32,
        session_id="s",
        http_referer="r",
        title="t",
        user_agent="u",
        candidates=exchange.plan.candidates,
        upstream_nano=20_000_000,
        house_nano=33,
        held_nano=10**9,
        waited_ms=34,
        task="speech",
        words="messages",
        images=21,
        search_units=22,
        characters=23,
        audio_ms=24,
        arm="an/arm",
        preset="a-preset",
        stayed=True,
        saved_nano=35,
    )


def test_the_sessions_of_body_and_header() -> None:
    exchange = _exchange()
    exchange.ask = Ask(models=("one",), body={"messages": []}, session_id="body")
    exchange.origin = {"session_id": "header"}
    assert _row(exchange).session_id == "body"


def test_an_exchange_is_settled_once() -> None:
    exchange = _exchange()
    _row(exchange)
    with pytest.raises(AssertionError):
        _row(exchange)


def test_a_failure_costs_nothing_whatever_was_counted() -> None:
    exchange = _exchange()
    exchange.error = GatewayError("provider_cut", "no")
    row = _row(exchange)
    assert (row.status, row.error, row.finish_reason) == (502, "provider_cut", "error")
    assert (row.cost_nano, row.prompt_tokens, row.completion_tokens) == (0, 0, 0)
    assert (row.upstream_nano, row.house_nano) == (20_000_000, 20_000_000)


@pytest.mark.parametrize("content", [True, False])
def test_a_hang_up_costs_what_was_delivered(content: bool) -> None:
    exchange = _exchange(usage=None)
    exchange.cancelled = True
    exchange.said_bytes = 40
    if not content:
        exchange.content_at = None
    row = _row(exchange)
    assert (row.status, row.cancelled) == (499, True)
    assert row.usage_estimated == content
    assert row.completion_tokens == (10 if content else 0)
    assert row.cost_nano == (26_000_000 if content else 0)
    assert row.latency_ms == (250 if content else None)


def test_a_hang_up_after_an_error_shows_the_error() -> None:
    exchange = _exchange()
    exchange.cancelled = True
    exchange.error = GatewayError("provider_cut", "no")
    assert _row(exchange).status == 502


def test_without_a_price_nobody_knows_the_cost() -> None:
    exchange = _exchange()
    assert exchange.endpoint is not None
    changed: Any = exchange.endpoint
    exchange.endpoint = type(changed)(**{f: getattr(changed, f) for f in changed.__struct_fields__}
                                      | {"pricing": None})  # fmt: skip
    row = _row(exchange)
    assert (row.cost_nano, row.prompt_tokens) == (None, 10)


def test_before_a_provider_was_chosen() -> None:
    exchange = Exchange(id="gen-1", created_at=1.0, started_at=1.0, snapshot=snapshot())
    exchange.error = GatewayError("invalid_request", "no")
    row = settle(exchange, now=2.0, owner="me").generation
    assert (row.model, row.provider, row.requested_model, row.key_hash) == ("", "", "", None)
    assert (row.cost_nano, row.status, row.streamed) == (0, 400, False)


def test_the_charge_is_taken_from_the_hold() -> None:
    exchange = _exchange()
    purse = _held(exchange, 30_000_000)
    settlement = settle(exchange, now=101.0, owner="other")
    assert (settlement.owner, settlement.pots) == ("me", ("account:default",))
    assert (settlement.charge_nano, settlement.house_nano) == (20_000_000, 0)
    assert (purse.free_nano, purse.spent_nano) == (10_000_000, 20_000_000)
    assert settlement.generation.held_nano == 30_000_000


def test_without_a_hold_the_charge_is_told_all_the_same() -> None:
    settlement = settle(_exchange(), now=101.0, owner="me")
    assert (settlement.owner, settlement.pots) == ("me", ())
    assert settlement.charge_nano == 20_000_000


@pytest.mark.parametrize(
    ("leased", "charge", "house"),
    [(20_000_000, 20_000_000, 0), (15_000_000, 15_000_000, 5_000_000)],
    ids=["the lease has it", "nobody has it"],
)
def test_what_the_hold_does_not_cover(leased: int, charge: int, house: int) -> None:
    exchange = _exchange()
    _held(exchange, 1_000_000, leased_nano=leased)
    settlement = settle(exchange, now=101.0, owner="me")
    assert (settlement.charge_nano, settlement.house_nano) == (charge, house)
    row = settlement.generation
    assert (row.cost_nano, row.upstream_nano, row.house_nano) == (charge, 20_000_000, house)
    assert exchange.cost is not None
    assert exchange.cost.charge_nano == charge


def test_callers_pay_the_margin_and_the_provider_does_not_get_it() -> None:
    exchange = _exchange()
    exchange.snapshot = exchange.snapshot._replace(margin=(1, 20))
    row = _row(exchange)
    assert (row.cost_nano, row.upstream_nano) == (21_000_000, 20_000_000)


def test_an_answer_without_content_costs_nothing() -> None:
    exchange = _exchange(usage=Usage(prompt_tokens=10))
    exchange.content_at = None
    row = _row(exchange)
    assert (row.cost_nano, row.house_nano, row.prompt_tokens) == (0, 10_000_000, 10)


def test_searches_are_charged_though_the_answer_has_no_content() -> None:
    """Zero completion insurance is for tokens: the provider's tools did their work."""
    exchange = _exchange(usage=Usage(prompt_tokens=10, web_searches=2))
    assert exchange.endpoint is not None
    assert exchange.endpoint.pricing is not None
    priced = replace(exchange.endpoint.pricing, web_search=Decimal("0.01"), request=Decimal(1))
    exchange.endpoint = replace(exchange.endpoint, pricing=priced)
    assert exchange.ask is not None
    exchange.ask = replace(exchange.ask, hosted=frozenset(("web_search",)))
    exchange.content_at = None
    row = _row(exchange)
    assert (row.cost_nano, row.house_nano) == (20_000_000, 1_010_000_000)
    exchange = _exchange(usage=Usage(prompt_tokens=10))
    exchange.endpoint = replace(endpoint("p0"), pricing=priced)
    exchange.content_at = None
    assert _row(exchange).cost_nano == 0
    exchange = _exchange(usage=Usage(prompt_tokens=10, web_searches=2))
    exchange.endpoint = replace(endpoint("p0"), pricing=priced)
    exchange.content_at, exchange.error = None, GatewayError("provider_empty", "nothing")
    assert _row(exchange).cost_nano == 0


def test_an_explicit_zero_stays_zero() -> None:
    exchange = _exchange(usage=Usage())
    exchange.said_bytes = 400
    row = _row(exchange)
    assert (row.cost_nano, row.completion_tokens, row.usage_estimated) == (0, 0, False)


@pytest.mark.parametrize(
    ("usage", "charged"),
    [
        pytest.param(Usage(prompt_tokens=65_635), 65_635, id="a token for every byte, and more"),
        pytest.param(Usage(prompt_tokens=2**31), 65_635, id="but not any number"),
        pytest.param(Usage(completion_tokens=8232), 16_464, id="a token for every byte said, too"),
        pytest.param(Usage(completion_tokens=2**31), 16_464, id="but not any number of those"),
        pytest.param(
            Usage(completion_tokens=17_000, reasoning_tokens=8900),
            34_000,
            id="reasoning is not said",
        ),
        pytest.param(
            Usage(completion_tokens=2**31, reasoning_tokens=2**31),
            2 * (8232 + 131_072),
            id="but has an end",
        ),
    ],
)
def test_what_a_provider_counts_beyond_the_possible_is_not_the_callers(
    usage: Usage, charged: int
) -> None:
    exchange = _exchange(usage=usage)
    exchange.said_bytes = 40
    row = _row(exchange)
    assert row.cost_nano == charged * 1_000_000
    assert row.upstream_nano == row.cost_nano + row.house_nano
    assert row.completion_tokens == usage.completion_tokens


def test_media_may_be_as_long_as_the_context() -> None:
    exchange = _exchange(usage=Usage(prompt_tokens=1_000_000))
    exchange.ask = Ask(models=("one",), body={"messages": []}, media_prompt=1)
    assert _row(exchange).cost_nano == 1_000_000 * 1_000_000


def test_the_loser_of_a_race_is_the_houses() -> None:
    exchange = _exchange()
    exchange.lost = [(endpoint("p1"), Usage(prompt_tokens=7))]
    settlement = settle(exchange, now=101.0, owner="me")
    assert (settlement.charge_nano, settlement.house_nano) == (20_000_000, 7_000_000)


def test_reckoning_twice_is_reckoning_once() -> None:
    exchange = _exchange()
    exchange.lost = [(endpoint("p1"), Usage(prompt_tokens=7))]
    assert reckon(exchange) == reckon(exchange) == 20_000_000
    assert settle(exchange, now=101.0, owner="me").house_nano == 7_000_000


def test_a_free_model_is_counted_as_one() -> None:
    exchange = _exchange()
    exchange.free = True
    assert settle(exchange, now=101.0, owner="me").free


def test_the_candidates_tell_why_one_was_skipped() -> None:
    exchange = _exchange()
    one, other = (Candidate(provider=slug, model=f"{slug}-model") for slug in ("p0", "p1"))
    exchange.plan = Plan((), (one, other))
    assert _row(exchange).candidates == (one, other)
    exchange = _exchange()
    exchange.plan = Plan((), (one, other))
    exchange.skips = [(endpoint("p1"), "full")]
    assert _row(exchange).candidates == (one, replace(other, excluded="full"))


def test_the_outlook_changes_nothing() -> None:
    exchange = _exchange(usage=None)
    exchange.said_bytes = 40
    assert outlook(exchange, now=101.0) is None  # nothing is held, nothing is owed
    purse = _held(exchange, 30_000_000)
    noted = outlook(exchange, now=101.0)
    assert noted is not None
    assert (noted.owner, noted.charge_nano, noted.pots) == ("me", 26_000_000, ("account:default",))
    row = noted.generation
    assert (row.recovered, row.cost_nano, row.completion_tokens) == (True, 26_000_000, 10)
    assert row.usage_estimated
    assert purse.held_nano == 30_000_000
    assert not exchange.settled
    assert exchange.usage is None
    exchange.said_bytes = 4000
    noted = outlook(exchange, now=101.0)
    assert noted is not None
    assert noted.charge_nano == 30_000_000
    exchange.content_at = None
    assert outlook(exchange, now=101.0) is None


def test_who_is_told_of_an_error_is_not_noted_any_more() -> None:
    exchange = _exchange(usage=None)
    _held(exchange, 30_000_000)
    assert outlook(exchange, now=101.0) is not None
    exchange.error = GatewayError("provider_cut", "no")
    assert outlook(exchange, now=101.0) is None


@pytest.mark.parametrize(
    ("messages", "tokens"),
    [
        ([], 0),
        ([{"content": ""}], 4),
        ([{"content": "12345678"}], 6),
        ([{"content": "123456789"}], 7),
        ([{"content": "äöü"}], 6),  # bytes count, not letters
        ([{"content": None}, {}], 8),
        ([{"content": [{"type": "text", "text": "1234"}, {"type": "image_url"}]}], 5),
        ([{"content": [{"text": None}]}], 4),
    ],
)
def test_the_estimate_of_a_prompt(messages: list[Any], tokens: int) -> None:
    exchange = _exchange()
    exchange.ask = Ask(models=("one",), body={"messages": messages})
    assert estimate(exchange).prompt_tokens == tokens
    exchange.ask = Ask(models=("one",), body={"messages": messages}, media_prompt=2, audio_prompt=1)
    usage = estimate(exchange)
    assert usage.prompt_tokens == tokens + 3000
    assert usage.estimated


def test_a_prompt_that_was_counted_before_the_cut_is_not_guessed() -> None:
    exchange = _exchange(usage=None)
    exchange.said_bytes = 40
    exchange.opened = Started(prompt=Usage(prompt_tokens=9000, cached_tokens=8000))
    known = Usage(prompt_tokens=9000, cached_tokens=8000, completion_tokens=10, estimated=True)
    assert estimate(exchange) == known


@given(st.integers(0, 10_000))
def test_the_estimate_of_an_answer(size: int) -> None:
    exchange = _exchange(usage=None)
    exchange.said_bytes = size
    tokens = estimate(exchange).completion_tokens
    assert 4 * tokens - 4 < size <= 4 * tokens


@pytest.mark.parametrize(
    ("event", "size"),
    [
        (Text(0, "abc"), 3),
        (Text(0, "äö"), 4),
        (Refusal(0, "no"), 2),
        (Reasoning(0, "hmm"), 3),
        (ToolCall(0, 0, "id", "name", '{"a":1}'), 11),
        (ToolCall(0, 0, None, None, "12"), 2),
        (Audio(0, {"transcript": "hey", "data": "AAAA"}), 3),
        (Audio(0, {"data": "AAAA"}), 0),
        (Attachments(0, "images", ({"a": 1},)), 0),
        (Ended(), 0),
    ],
)
def test_how_much_was_said(event: Event, size: int) -> None:
    assert said_bytes(event) == size


# What is no conversation can use so much at most, and is estimated by it.

UNITS = ("prompt_tokens", "completion_tokens", "images", "search_units", "characters", "audio_ms")
COUNTS = st.integers(0, 10_000)
USAGES = st.builds(Usage, **dict.fromkeys((*UNITS, "cached_tokens"), COUNTS))


@given(USAGES, USAGES)
def test_nothing_is_above_the_most(usage: Usage, most: Usage) -> None:
    bounded = within(usage, most)
    for name in UNITS:
        assert getattr(bounded, name) == min(getattr(usage, name), getattr(most, name))
    assert bounded.cached_tokens == usage.cached_tokens
    if all(getattr(usage, name) <= getattr(most, name) for name in UNITS):
        assert bounded is usage


PICTURES = Usage(prompt_tokens=20, completion_tokens=100, images=2)


def _drawn(counted: dict[str, int] | None) -> Exchange:
    usage = None if counted is None else replace(Usage(), **counted)
    exchange = _exchange(usage=usage)
    assert exchange.ask is not None
    exchange.ask = replace(exchange.ask, task="image", body={"prompt": "x"}, most=PICTURES)
    pricing = {"prompt": "0.001", "completion": "0.002", "output_image": "0.5"}
    exchange.endpoint = replace(endpoint("p0"), pricing=msgspec.convert(pricing, Pricing))
    return exchange


@pytest.mark.parametrize(
    ("counted", "owed_nano", "house_nano"),
    [
        ({"images": 1}, 500_000_000, 0),
        ({"images": 2}, 1_000_000_000, 0),
        ({"images": 3}, 1_000_000_000, 500_000_000),
        ({"prompt_tokens": 21, "images": 2}, 1_020_000_000, 1_000_000),
        ({"completion_tokens": 101}, 200_000_000, 2_000_000),
        ({"prompt_tokens": 20, "completion_tokens": 100, "images": 2}, 1_220_000_000, 0),
    ],
)
def test_nobody_pays_for_more_than_was_asked_for(
    counted: dict[str, int], owed_nano: int, house_nano: int
) -> None:
    exchange = _drawn(counted)
    assert reckon(exchange) == owed_nano
    assert exchange.house_nano == house_nano
    assert owed_nano <= cost_of(PICTURES, _priced(exchange)).charge_nano


def _priced(exchange: Exchange) -> Pricing:
    assert exchange.endpoint is not None
    assert exchange.endpoint.pricing is not None
    return exchange.endpoint.pricing


@given(USAGES, st.integers(0, 100_000), st.integers(0, 100_000))
def test_what_is_estimated_is_within_the_most(most: Usage, text: int, said: int) -> None:
    exchange = _exchange(usage=None)
    assert exchange.ask is not None
    exchange.ask = replace(exchange.ask, task="rerank", body={}, most=most, text_bytes=text)
    exchange.said_bytes = said
    guess = estimate(exchange)
    assert guess.estimated
    assert within(guess, most) == guess
    assert guess.prompt_tokens == min(-(-text // 4), most.prompt_tokens)
    for name in ("images", "search_units", "characters", "audio_ms"):
        assert getattr(guess, name) == getattr(most, name)


def test_an_answer_without_usage_costs_what_was_asked_for() -> None:
    exchange = _drawn(None)
    assert exchange.ask is not None
    exchange.ask = replace(exchange.ask, text_bytes=40)
    assert reckon(exchange) == 10 * 1_000_000 + 2 * 500_000_000
    assert exchange.usage is not None
    assert exchange.usage.estimated


@given(USAGES, USAGES)
def test_what_is_likely_is_estimated_as_far_as_it_is_possible(most: Usage, likely: Usage) -> None:
    exchange = _exchange(usage=None)
    assert exchange.ask is not None
    exchange.ask = replace(exchange.ask, task="speech", body={}, most=most, likely=likely)
    guess = estimate(exchange)
    assert guess == replace(within(likely, most), estimated=True)


SPOKEN = Usage(prompt_tokens=8, completion_tokens=40, search_units=2, characters=30, audio_ms=5000)


@pytest.mark.parametrize(
    ("prices", "counted", "expected"),
    [
        # By the unit, of which the provider says nothing, or that it was none.
        ({"search_unit": "0.1"}, {"prompt_tokens": 5}, {"prompt_tokens": 5, "search_units": 2}),
        ({"search_unit": "0.1"}, {"search_units": 1}, {"search_units": 1}),
        ({"audio_second": "0.1"}, {"completion_tokens": 5}, {"completion_tokens": 5}),
        ({"character": "0.1"}, {}, {}),
        # By tokens, of which it counts none.
        ({"prompt": "0.1"}, {"audio_ms": 4000}, None),
        ({"prompt": "0.1", "request": "0.5"}, {}, None),
        ({"completion": "0.1"}, {"prompt_tokens": 5}, None),
        ({"prompt": "0.1"}, {"prompt_tokens": 1}, {"prompt_tokens": 1}),
        ({"output_image": "0.1"}, {"prompt_tokens": 1}, {"prompt_tokens": 1}),
        ({}, {}, {}),
    ],
)
def test_no_count_makes_what_is_sold_cost_nothing(
    prices: dict[str, str], counted: dict[str, int], expected: dict[str, int] | None
) -> None:
    exchange = _exchange()
    assert exchange.ask is not None
    exchange.ask = replace(
        exchange.ask, task="speech", body={}, most=replace(SPOKEN, prompt_tokens=99), likely=SPOKEN
    )
    pricing = msgspec.convert({"prompt": "0", "completion": "0"} | prices, Pricing)
    exchange.endpoint = replace(endpoint("p0"), pricing=pricing)
    own = Usage(characters=SPOKEN.characters, audio_ms=SPOKEN.audio_ms)
    usage = replace(SPOKEN, estimated=True) if expected is None else replace(own, **expected)
    assert used(exchange, replace(Usage(), **counted)) == usage
    exchange.endpoint = replace(exchange.endpoint, pricing=None)
    assert used(exchange, replace(Usage(), **counted)) == replace(own, **counted)


def test_images_of_a_conversation_have_their_price_too() -> None:
    exchange = _exchange()
    exchange.heard.images = 2
    assert used(exchange, USAGE) == USAGE
    pricing = {"prompt": "0", "completion": "0", "output_image": "0.04"}
    exchange.endpoint = replace(endpoint("p0"), pricing=msgspec.convert(pricing, Pricing))
    assert reckon(exchange) == 80_000_000
    assert exchange.usage == replace(USAGE, images=2)


def _tiered(asked: str | None, served: str | None) -> Exchange:
    """An answer of an endpoint at `asked` whose provider says that it served `served`; flex costs
    half, priority twice as much.
    """
    exchange = _exchange()
    own = endpoint()
    dear, cheap = (
        replace(
            own,
            tag=f"p0/{tier}",
            tier=tier,
            pricing=msgspec.convert({"prompt": prompt, "completion": completion}, Pricing),
        )
        for tier, prompt, completion in (
            ("priority", "0.002", "0.004"),
            ("flex", "0.0005", "0.001"),
        )
    )
    offers = (own, dear, cheap)
    exchange.model = model("test/one", *offers)
    (exchange.endpoint,) = (one for one in offers if one.tier == asked)
    exchange.opened = Started(service_tier=served)
    return exchange


@pytest.mark.parametrize(
    ("asked", "served", "cost_nano"),
    [
        ("priority", "priority", 40_000_000),
        ("priority", "default", 20_000_000),
        ("priority", "standard", 20_000_000),
        ("priority", None, 40_000_000),
        ("flex", "flex", 10_000_000),
        ("flex", "default", 20_000_000),
        (None, "default", 20_000_000),
        (None, "priority", 20_000_000),  # which nobody asked for
        ("flex", "priority", 10_000_000),
        (None, "flex", 10_000_000),
        (None, "scale", 20_000_000),
        (None, "ultrafast", 20_000_000),  # which has no row
        (None, None, 20_000_000),
    ],
)
def test_billing_follows_the_tier_that_was_served(
    asked: str | None, served: str | None, cost_nano: int
) -> None:
    assert reckon(_tiered(asked, served)) == cost_nano


MARKED = msgspec.convert(
    {
        "prompt": "0.001", "completion": "0.002",
        "input_cache_read": "0.0001", "input_cache_write": "0.00125",
        "overrides": [{"min_prompt_tokens": 100, "prompt": "0.002", "input_cache_read": "0.0004"}],
    },
    Pricing,
)  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "saved_usd"),
    [
        pytest.param({"prompt_tokens": 50}, 0, id="nothing was cached"),
        pytest.param({"prompt_tokens": 50, "cached_tokens": 40}, 0.036, id="read"),
        pytest.param({"prompt_tokens": 50, "cache_write_tokens": 40}, -0.01, id="written"),
        pytest.param(
            {"prompt_tokens": 50, "cached_tokens": 40, "cache_write_tokens": 8}, 0.034, id="both"
        ),
        pytest.param({"prompt_tokens": 200, "cached_tokens": 100}, 0.16, id="of a long prompt"),
        pytest.param({"prompt_tokens": 50, "cached_tokens": 90}, 0.045, id="more than there is"),
    ],
)
def test_what_cached_tokens_save_is_kept_and_what_was_paid_for_writing_them_taken_off(
    usage: dict[str, int], saved_usd: float
) -> None:
    exchange = _exchange(usage=msgspec.convert({"completion_tokens": 5, **usage}, Usage))
    exchange.endpoint = replace(endpoint("p0"), pricing=MARKED)
    exchange.snapshot = exchange.snapshot._replace(margin=(1, 4))
    row = _row(exchange)
    assert row.saved_nano == round(saved_usd * 1.25e9)
    uncached = Usage(prompt_tokens=usage["prompt_tokens"], completion_tokens=5)
    assert row.saved_nano + (row.cost_nano or 0) == cost_of(uncached, MARKED, (1, 4)).charge_nano


def test_a_request_that_nobody_pays_for_saves_nothing() -> None:
    exchange = _exchange(usage=Usage(prompt_tokens=50, cached_tokens=40))
    exchange.endpoint = replace(endpoint("p0"), pricing=MARKED)
    exchange.error = GatewayError("provider_cut", "gone")
    assert _row(exchange).saved_nano == 0
