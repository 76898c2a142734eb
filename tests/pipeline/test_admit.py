"""What a request is let in with: limits, and a hold of the right size in the right pots."""

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from proxy.accounts.keys import Key
from proxy.accounts.ledger import Settlement
from proxy.accounts.limits import Rules, Taken
from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.pipeline.admit import account_of
from proxy.pipeline.bounds import START_TOKENS, WHOLE_TOKENS, prompt_bound
from proxy.pipeline.exchange import Exchange
from proxy.routing.catalogue import Endpoint
from proxy.routing.plan import Plan
from proxy.stores.schema import StoreUnavailable
from proxy.wire.events import Usage
from proxy.wire.record import Generation
from proxy.wire.request import Ask
from tests.clock import play
from tests.stage import KEY, WALL, Providers, Stage, endpoint, model, snapshot

PROMPT = 1000  # bytes
PROMPT_NANO = PROMPT * 1_000_000
TOKEN_NANO = 2_000_000


def priced(slug: str = "p0", **changes: Any) -> Endpoint:
    return replace(endpoint(slug), **changes)


def exchange(
    stage: Stage,
    *endpoints: Endpoint,
    key: Key | None = KEY,
    id: str = "test/one",
    **ask: Any,
) -> Exchange:
    made = Exchange(id="gen", created_at=WALL, started_at=0.0, snapshot=stage.snapshot)
    made.key = key
    told: dict[str, Any] = {"stream": True, "text_bytes": PROMPT, "body": {}} | ask
    made.ask = Ask(models=(id,), **told)
    one = model(id, *(endpoints or (priced(),)))
    made.plan = Plan(tuple((one, at) for at in one.endpoints))
    return made


async def opened(credit_nano: int | None, **rules: Any) -> Stage:
    shown = snapshot()._replace(rules=Rules(**rules))
    stage = Stage(Providers(), shown=shown, credit_nano=credit_nano, key=KEY)
    return await stage.open()


@pytest.mark.parametrize(
    ("ask", "tokens"),
    [
        ({}, PROMPT),
        ({"media_prompt": 2, "audio_prompt": 1}, PROMPT + 3 * 4096),
        ({"body": {"tools": [{}]}}, PROMPT + 1024),
    ],
)
def test_the_bound_of_a_prompt(ask: dict[str, Any], tokens: int) -> None:
    told: dict[str, Any] = {"body": {}} | ask
    assert prompt_bound(Ask(models=(), text_bytes=PROMPT, **told)) == tokens


DEAR = msgspec.convert({"prompt": "0.001", "completion": "0.009", "request": "1"}, Pricing)


@pytest.mark.parametrize(
    ("endpoints", "ask", "held"),
    [
        pytest.param([], {"max_tokens": 10}, PROMPT_NANO + 10 * TOKEN_NANO, id="max_tokens"),
        pytest.param(
            [], {"max_tokens": 10, "choices": 3}, PROMPT_NANO + 30 * TOKEN_NANO, id="of each choice"
        ),
        pytest.param(
            [priced(), priced("p1", pricing=DEAR)],
            {"max_tokens": 10},
            PROMPT_NANO + 10 * 9_000_000 + 10**9,
            id="at the dearest endpoint",
        ),
        pytest.param([], {}, PROMPT_NANO + START_TOKENS * TOKEN_NANO, id="a start"),
        pytest.param(
            [], {"stream": False}, PROMPT_NANO + WHOLE_TOKENS * TOKEN_NANO, id="a whole answer"
        ),
        pytest.param(
            [priced(max_completion_tokens=9000)],
            {"stream": False},
            PROMPT_NANO + 9000 * TOKEN_NANO,
            id="as much as the endpoint answers",
        ),
        pytest.param([priced(pricing=None)], {}, 0, id="without a price"),
    ],
)
def test_what_is_held(endpoints: list[Endpoint], ask: dict[str, Any], held: int) -> None:
    async def story() -> None:
        stage = await opened(10**14)
        one = exchange(stage, *endpoints, **ask)
        await stage.gate.admit(one)
        assert one.hold is not None
        assert one.hold.amount_nano == held
        assert one.hold.pots == ("account:default",)
        grows = "max_tokens" not in ask and ask.get("stream", True)
        assert (one.cover is not None) == grows
        assert stage.gate.owner == "stage"
        await stage.close()

    play(story())


def test_a_whole_answer_is_content_with_less() -> None:
    async def story() -> None:
        stage = await opened(PROMPT_NANO + START_TOKENS * TOKEN_NANO)
        one = exchange(stage, stream=False)
        await stage.gate.admit(one)
        assert one.hold is not None
        assert one.hold.amount_nano == PROMPT_NANO + START_TOKENS * TOKEN_NANO
        await stage.close()

    play(story())


@pytest.mark.parametrize(
    ("credit", "message", "affordable"),
    [
        (1, "Insufficient credits. ", 0),
        (PROMPT_NANO, "Insufficient credits. ", 0),
        (
            PROMPT_NANO + 7 * TOKEN_NANO,
            "This request requires more credits, or fewer max_tokens. "
            "You requested up to 10 tokens, but can only afford 7. ",
            7,
        ),
    ],
)
def test_who_has_not_got_it(credit: int, message: str, affordable: int) -> None:
    async def story() -> None:
        stage = await opened(credit)
        one = exchange(stage, max_tokens=10)
        with pytest.raises(GatewayError) as refused:
            await stage.gate.admit(one)
        assert (refused.value.status, refused.value.kind) == (402, "credits_short")
        assert refused.value.message.startswith(message)
        assert refused.value.metadata["affordable_tokens"] == affordable
        assert one.hold is None
        if affordable:
            one = exchange(stage, max_tokens=affordable)
            await stage.gate.admit(one)
        await stage.close()

    play(story())


@pytest.mark.parametrize("enforce", [True, False])
@pytest.mark.parametrize("reset", [None, "daily", "weekly", "monthly"])
def test_a_limited_key(enforce: bool, reset: str | None) -> None:
    async def story() -> None:
        stage = await opened(10**14 if enforce else None)
        key = replace(KEY, limit_nano=PROMPT_NANO + 15 * TOKEN_NANO, limit_reset=reset)
        one = exchange(stage, key=key, max_tokens=10)
        await stage.gate.admit(one)
        assert one.hold is not None
        assert len(one.hold.pots) == 1 + enforce
        second = exchange(stage, key=key, max_tokens=10)
        with pytest.raises(GatewayError) as refused:
            await stage.gate.admit(second)
        assert (refused.value.status, refused.value.kind) == (403, "key_limit")
        word = reset or "total"
        assert refused.value.message.startswith(f"Key limit exceeded ({word} limit).")
        one.hold.void()
        await stage.gate.admit(second)
        await stage.close()

    play(story())


def test_nothing_is_held_where_nothing_is_enforced() -> None:
    async def story() -> None:
        stage = await opened(None)
        one = exchange(stage, key=None)
        await stage.gate.admit(one)
        assert one.hold is None
        assert account_of(one) == "default"
        await stage.gate.top_up(one, 5)
        stage.gate.leave(one, None)
        await stage.close()

    play(story())


def test_a_hold_grows_ahead_of_what_arrives_until_the_account_is_empty() -> None:
    async def story() -> None:
        stage = await opened(PROMPT_NANO + 4 * START_TOKENS * TOKEN_NANO)
        one = exchange(stage)
        await stage.gate.admit(one)
        hold, now, more = one.hold, one.cover, one.cover_more
        assert hold is not None
        assert now is not None
        assert more is not None

        def held_tokens() -> int:
            assert hold is not None
            return (hold.amount_nano - PROMPT_NANO) // TOKEN_NANO

        assert now(START_TOKENS // 2)
        assert held_tokens() == START_TOKENS
        assert now(START_TOKENS) or await more(START_TOKENS)
        assert held_tokens() == 2 * START_TOKENS
        assert now(2 * START_TOKENS) or await more(2 * START_TOKENS)
        assert held_tokens() == 4 * START_TOKENS
        assert not now(4 * START_TOKENS - 1)
        assert await more(4 * START_TOKENS - 1)  # there is no more, but so much is covered
        assert now(4 * START_TOKENS)
        assert not now(4 * START_TOKENS + 1)
        assert not await more(4 * START_TOKENS + 1)
        await stage.close()

    play(story())


def test_a_hold_that_was_too_small_is_topped_up() -> None:
    async def story() -> None:
        stage = await opened(10**13)
        one = exchange(stage, max_tokens=10)
        await stage.gate.admit(one)
        assert one.hold is not None
        await stage.gate.top_up(one, 10**12)
        assert one.hold.amount_nano == 10**12
        await stage.gate.top_up(one, 10**14)
        assert one.hold.amount_nano == 10**12
        await stage.close()

    play(story())


def test_a_store_that_does_not_answer() -> None:
    async def story() -> None:
        stage = await opened(10**13)

        async def fails(work: Any) -> Any:
            raise StoreUnavailable("test")

        stage.treasury._call = fails
        with pytest.raises(GatewayError) as refused:
            await stage.gate.admit(exchange(stage))
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})

    play(story())


def test_nothing_is_run_up_while_charges_can_not_be_written() -> None:
    async def story() -> None:
        stage = await opened(10**13)
        stage.gate._stuck = lambda: True
        with pytest.raises(GatewayError) as refused:
            await stage.gate.admit(exchange(stage))
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
        stage.snapshot = stage.snapshot._replace(enforce=False)
        await stage.gate.admit(exchange(stage))
        await stage.close()

    play(story())


def test_limits_are_taken_before_credit_and_given_back_by_use() -> None:
    async def story() -> None:
        stage = await opened(10**14, tokens_per_minute=1000, requests_per_minute=3)
        one = exchange(stage, max_tokens=600)  # 250 for the prompt
        await stage.gate.admit(one)
        with pytest.raises(GatewayError) as refused:
            await stage.gate.admit(exchange(stage, max_tokens=600))
        assert refused.value.status == 429
        stage.gate.leave(one, Usage(prompt_tokens=20, completion_tokens=30))
        stage.gate.leave(one, None)
        await stage.gate.admit(exchange(stage, max_tokens=600))
        await stage.close()

    play(story())


def test_limits_that_are_lent_may_have_to_be_asked_for() -> None:
    class Lent:
        def take(self, claims: Any) -> Taken | None:
            return None

        async def ask(self, claims: Any) -> Taken:
            await asyncio.sleep(0.1)
            return Taken(tuple(claims))

        def finish(self, taken: Taken, *, tokens: int) -> None:
            """Nothing was taken."""

    async def story() -> None:
        stage = await opened(None, requests_per_minute=3)
        stage.gate._limiter = Lent()
        one = exchange(stage)
        await stage.gate.admit(one)
        assert one.taken is not None
        assert one.waited_s == pytest.approx(0.1)
        await stage.close()

    play(story())


def test_free_models_have_their_own_limit() -> None:
    async def story() -> None:
        stage = await opened(None, free_requests_per_minute=1)
        first = exchange(stage, id="test/one:free")
        await stage.gate.admit(first)
        assert first.free
        with pytest.raises(GatewayError, match="free-models-per-min"):
            await stage.gate.admit(exchange(stage, id="test/one:free"))
        await stage.gate.admit(exchange(stage, id="test/one"))
        await stage.close()

    play(story())


def test_what_a_hold_leaves_another_may_take() -> None:
    async def story() -> None:
        stage = await opened(PROMPT_NANO + 10 * TOKEN_NANO)
        one = exchange(stage, max_tokens=10)
        await stage.gate.admit(one)
        assert one.hold is not None
        bill = one.hold.settle(5)
        row = Generation(id="gen", created_at=WALL, cost_nano=5)
        stage.vault.settle(
            [Settlement(owner="stage", generation=row, charge_nano=bill.charge_nano)]
        )
        with pytest.raises(GatewayError):
            await stage.gate.admit(exchange(stage, max_tokens=10))
        await stage.gate.admit(exchange(stage, max_tokens=9))
        await stage.close()

    play(story())


WIDE = 100_000  # tokens that a file may be
WIDE_NANO = PROMPT_NANO + WIDE * 1_000_000 + START_TOKENS * TOKEN_NANO
USUAL_NANO = PROMPT_NANO + START_TOKENS * TOKEN_NANO


@pytest.mark.parametrize(
    ("credit", "held"),
    [
        pytest.param(10**14, WIDE_NANO, id="as much as it may be"),
        pytest.param(WIDE_NANO, WIDE_NANO, id="just so"),
        pytest.param(WIDE_NANO - 1, WIDE_NANO - 1, id="all there is"),
        pytest.param(USUAL_NANO, USUAL_NANO, id="what a usual file is"),
        pytest.param(USUAL_NANO - 1, None, id="too little for that"),
    ],
)
def test_a_file_that_is_read_whole_may_be_the_whole_context(credit: int, held: int | None) -> None:
    async def story() -> None:
        stage = await opened(credit)
        one = exchange(stage, wide_prompt=WIDE)
        if held is None:
            with pytest.raises(GatewayError) as raised:
                await stage.gate.admit(one)
            assert raised.value.kind == "credits_short"
        else:
            await stage.gate.admit(one)
            assert one.hold is not None
            assert one.hold.amount_nano == held
            assert one.cover is not None
        stage.gate.leave(one, None)
        await stage.close()

    play(story())


def test_what_is_left_for_a_file_covers_the_answer_too() -> None:
    async def story() -> None:
        stage = await opened(USUAL_NANO + 10 * START_TOKENS * TOKEN_NANO)
        one = exchange(stage, wide_prompt=WIDE)
        await stage.gate.admit(one)
        assert one.cover is not None
        assert one.cover_more is not None
        assert one.cover(5 * START_TOKENS) or await one.cover_more(5 * START_TOKENS)
        stage.gate.leave(one, None)
        await stage.close()

    play(story())


def test_a_file_asks_a_store_that_does_not_answer() -> None:
    async def story() -> None:
        stage = await opened(0)

        async def silent(*_: Any) -> Any:
            raise StoreUnavailable("no")

        vars(stage.gate._treasury)["wait_hold"] = silent
        with pytest.raises(GatewayError) as told:
            await stage.gate.admit(exchange(stage, wide_prompt=WIDE))
        assert told.value.kind == "store_unavailable"
        await stage.close()

    play(story())


# What is no conversation holds what it can use at most.

MOST = Usage(prompt_tokens=70, completion_tokens=30, images=2, search_units=5)
DRAWS = msgspec.convert({"prompt": "0", "completion": "0.001", "output_image": "0.5"}, Pricing)
RANKS = msgspec.convert({"prompt": "0.001", "completion": "0", "search_unit": "0.1"}, Pricing)


@pytest.mark.parametrize(
    ("prices", "most", "held"),
    [
        ([DRAWS], MOST, 30 * 1_000_000 + 2 * 500_000_000),
        ([RANKS], MOST, 70 * 1_000_000 + 5 * 100_000_000),
        ([RANKS, DRAWS], MOST, 30 * 1_000_000 + 2 * 500_000_000),
        ([DRAWS], Usage(), 0),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_what_it_can_use_at_most_is_held_and_never_grows(
    prices: list[Pricing], most: Usage, held: int, stream: bool
) -> None:
    async def story() -> None:
        stage = await opened(10**14)
        endpoints = [priced(f"p{n}", pricing=price) for n, price in enumerate(prices)]
        one = exchange(stage, *endpoints, task="image", most=most, stream=stream)
        await stage.gate.admit(one)
        assert one.hold is not None
        assert one.hold.amount_nano == held
        assert (one.cover, one.cover_more) == (None, None)
        one.hold.void()
        await stage.close()

    play(story())


@pytest.mark.parametrize(("credit", "admitted"), [(1_030_000_000, True), (1_029_999_999, False)])
def test_who_has_not_got_the_most_of_it(credit: int, admitted: bool) -> None:
    async def story() -> None:
        stage = await opened(credit)
        one = exchange(stage, priced(pricing=DRAWS), task="image", most=MOST, stream=False)
        if admitted:
            await stage.gate.admit(one)
            assert one.hold is not None
            one.hold.void()
        else:
            with pytest.raises(GatewayError) as raised:
                await stage.gate.admit(one)
            assert (raised.value.kind, raised.value.status) == ("credits_short", 402)
            assert one.hold is None
        await stage.close()

    play(story())


def test_limits_go_by_its_text_alone() -> None:
    async def story() -> None:
        stage = await opened(None, tokens_per_minute=2 * (PROMPT // 4))
        for at_most in (MOST, Usage(prompt_tokens=10**9, completion_tokens=10**9)):
            await stage.gate.admit(exchange(stage, task="embeddings", most=at_most))
        with pytest.raises(GatewayError) as raised:
            await stage.gate.admit(exchange(stage, task="embeddings", most=Usage()))
        assert raised.value.kind == "rate_limited"
        await stage.close()

    play(story())
