"""The order of a model's endpoints: by condition first, by chance and price then."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.health import EndpointId, Outcome, Pool, Rules, Ticket
from proxy.routing.ranking import Entry, Field
from proxy.routing.waits import Timeouts
from proxy.wire.record import Candidate

MILLION = Decimal(10) ** 6
NOW = 100.0
MODEL = Model(
    id="a/m", name="m", created=None, description=None, context_length=None,
    input_modalities=("text",), output_modalities=("text",), endpoints=(),
)  # fmt: skip


def endpoint(slug: str, price: float | None) -> Endpoint:
    """One whose price is `price` dollars for a million tokens in and a million out together."""
    half = None if price is None else Decimal(str(price)) / MILLION / 2
    return Endpoint(
        provider=Provider(slug=slug, name=slug, base_url=f"https://{slug}.example"),
        model="m",
        context_length=None,
        max_completion_tokens=None,
        quantization="unknown",
        supported_parameters=None,
        pricing=None if half is None else Pricing(prompt=half, completion=half),
        timeouts=Timeouts(),
        tag=slug,
    )


def made(**prices: float | None) -> list[Endpoint]:
    return [endpoint(slug, price) for slug, price in prices.items()]


def rank(
    endpoints: Sequence[Endpoint],
    pool: Pool,
    rng: Callable[[], float] = lambda: 0.0,
    now: float = NOW,
) -> tuple[Candidate, ...]:
    """What is told of the endpoints in their order, which is that of the attempts."""
    field = Field([Entry(MODEL, endpoint) for endpoint in endpoints])
    found = field.order(pool, now, rng)
    assert [(one.provider, one.model) for one in found.candidates] == [
        (endpoint.tag, endpoint.model) for _, endpoint in found.attempts
    ]
    assert all(model is MODEL for model, _ in found.attempts)
    return found.candidates


def order(
    endpoints: Sequence[Endpoint], pool: Pool, rng: Random | None = None, now: float = NOW
) -> str:
    found = rank(endpoints, pool, (rng or Random(1)).random, now)
    return " ".join(candidate.provider for candidate in found)


def firsts(endpoints: Sequence[Endpoint], pool: Pool, now: float = NOW) -> Counter[str]:
    rng = Random(7)
    return Counter(order(endpoints, pool, rng, now).split()[0] for _ in range(8_000))


def attempt(pool: Pool, slug: str, outcome: Outcome, now: float = NOW, **more: float) -> None:
    """One that ends at once; who asked for a pause is not asked."""
    ticket = pool.begin((slug, "m"), now, retry=False, last=True)
    if isinstance(ticket, Ticket):
        pool.end(ticket, outcome, now, retry_after_s=more.get("retry_after_s"))


def shut(pool: Pool, slug: str, now: float = NOW) -> None:
    for _ in range(5):
        attempt(pool, slug, Outcome.FAILED, now)


def test_a_third_of_the_price_is_asked_nine_times_as_often() -> None:
    found = firsts(made(c=3, a=1), Pool())
    assert found["a"] / found["c"] == pytest.approx(9.0, rel=0.12)


def test_the_example_of_the_contract() -> None:
    """A $1, B $2 with outages, C $3: A nine times as often as C, B never first."""
    pool = Pool()
    attempt(pool, "b", Outcome.FAILED)
    endpoints, rng = made(a=1, b=2, c=3), Random(3)
    found = Counter(order(endpoints, pool, rng) for _ in range(8_000))
    assert set(found) == {"a c b", "c a b"}
    assert found["a c b"] / found["c a b"] == pytest.approx(9.0, rel=0.12)


def test_fallbacks_are_by_price() -> None:
    endpoints = made(d=4, none=None, b=2, a=1, c=3, free=0, other=None, gift=0)
    rng = Random(5)
    found = {order(endpoints, Pool(), rng) for _ in range(200)}
    rest = "a b c d none other"
    assert found == {f"free gift {rest}", f"gift free {rest}"}


def test_the_free_share_equally_before_what_has_a_price() -> None:
    found = firsts(made(cheap=0.001, x=0, y=0, z=0), Pool())
    assert set(found) == {"x", "y", "z"}
    assert all(count == pytest.approx(8_000 / 3, rel=0.08) for count in found.values())


def test_those_without_a_price_share_equally_where_nothing_else_is() -> None:
    found = firsts(made(x=None, y=None), Pool())
    assert found["x"] == pytest.approx(4_000, rel=0.05)


def test_condition_comes_before_price() -> None:
    pool = Pool(Rules(cap_start=4))
    shut(pool, "out")
    shut(pool, "worse")
    attempt(pool, "limited", Outcome.LIMITED)
    for _ in range(4):
        pool.begin(("full", "m"), NOW, retry=False, last=True)
    for _ in range(6):
        pool.begin(("fuller", "m"), NOW, retry=False, last=True)
    attempt(pool, "shaky", Outcome.FAILED)
    endpoints = made(out=0, worse=1, limited=2, fuller=3, full=4, shaky=5, well=None)
    assert order(endpoints, pool) == "well shaky full fuller limited out worse"


def test_where_none_is_steady_the_shaky_share_by_weight_and_price() -> None:
    pool = Pool()
    for _ in range(3):
        attempt(pool, "good", Outcome.GOOD)
    attempt(pool, "good", Outcome.FAILED)
    for _ in range(3):
        attempt(pool, "poor", Outcome.FAILED)
    found = firsts(made(good=2, poor=2), pool)
    assert found["good"] / found["poor"] == pytest.approx(7.5, rel=0.12)


def test_slow_start_gives_a_share_that_grows() -> None:
    pool = Pool()
    shut(pool, "back", 0.0)
    attempt(pool, "back", Outcome.GOOD, 10.0)
    shares = [firsts(made(back=1, well=1), pool, now)["back"] / 8_000 for now in (10.0, 25.0, 40.0)]
    assert shares == pytest.approx([0.05, 0.25, 0.5], rel=0.1)
    free = firsts(made(back=0, well=1), pool, 25.0)  # the ramp holds where the price says first
    assert free["back"] / 8_000 == pytest.approx(0.5, rel=0.05)


def test_a_due_probe_goes_first_but_only_one() -> None:
    pool = Pool()
    shut(pool, "x", 0.0)
    shut(pool, "y", 0.0)
    endpoints = made(x=9, y=1, well=1, more=2)
    found = {order(endpoints, pool, Random(seed), 10.0) for seed in range(50)}
    assert found == {"x well more y", "x more well y"}
    pool.begin(("x", "m"), 10.0, retry=False, last=False)
    assert order(endpoints, pool, now=10.0).startswith("y ")
    assert order(endpoints, pool, now=9.0).endswith(" y x")


def test_a_probe_alone_and_a_probe_among_the_shut() -> None:
    pool = Pool()
    shut(pool, "x", 0.0)
    shut(pool, "y", 5.0)
    assert order(made(x=9), pool, now=10.0) == "x"
    assert order(made(y=1, x=9), pool, now=10.0) == "x y"


def test_in_panic_the_least_bad_is_tried_first() -> None:
    pool = Pool()
    shut(pool, "dead")
    for _ in range(20):
        attempt(pool, "ill", Outcome.GOOD)
    for _ in range(5):
        attempt(pool, "ill", Outcome.FAILED)
    assert pool.standing(("ill", "m"), NOW).word == "out"
    assert order(made(dead=1, ill=5), pool) == "ill dead"


def test_it_tells_word_and_price() -> None:
    found = rank(made(a=1.5, b=None), Pool())
    assert [(one.standing, one.price_nano) for one in found] == [
        ("well", 1_500_000_000),
        ("well", None),
    ]


def test_what_is_sold_by_other_units_is_compared_by_these() -> None:
    def drawing(slug: str, **more: str) -> Endpoint:
        prices = {unit: Decimal(price) for unit, price in more.items()}
        nothing = {"prompt": Decimal(0), "completion": Decimal(0)}
        pricing = msgspec.convert(nothing | prices, Pricing)
        return replace(endpoint(slug, None), pricing=pricing)

    images = [drawing("dear", output_image="0.06"), drawing("cheap", output_image="0.02")]
    assert firsts(images, Pool())["cheap"] == pytest.approx(7200, abs=150)
    one = drawing("p", search_unit="0.002", character="0.000015", audio_second="0.0001")
    (found,) = rank([one], Pool())
    assert found.price_nano == 2_000_000_000 + 15_000_000_000 + 1_000_000_000


@given(
    st.lists(st.none() | st.floats(0, 1000), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 7), st.sampled_from(list(Outcome))), max_size=40),
    st.floats(0.0, 1.0, exclude_max=True),
    st.floats(0.0, 60.0),
)
def test_whatever_happens_each_endpoint_has_one_place(
    prices: list[float | None], story: list[tuple[int, Outcome]], chance: float, later_s: float
) -> None:
    pool = Pool()
    for number, outcome in story:
        attempt(pool, f"p{number}", outcome)
    endpoints = [endpoint(f"p{number}", price) for number, price in enumerate(prices)]
    found = rank(endpoints, pool, lambda: chance, NOW + later_s)
    assert sorted(one.provider for one in found) == [one.tag for one in endpoints]
    words = [one.standing for one in found]
    if "well" in words and words[0] != "probing":
        assert words[0] in ("well", "recovering")


class Wary(Pool):
    """Never says that all are well: each is looked at."""

    def calm(self, ids: Iterable[EndpointId], now: float) -> bool:
        return False


@given(
    st.lists(st.none() | st.sampled_from([0.0, 1.0, 2.0, 1000.0]), min_size=1, max_size=8),
    st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=1, max_size=8),
)
def test_an_order_that_was_made_once_is_that_which_is_made_each_time(
    prices: list[float | None], chances: list[float]
) -> None:
    endpoints = [endpoint(f"p{number}", price) for number, price in enumerate(prices)]
    field = Field([Entry(MODEL, one) for one in endpoints])
    for chance in [*chances, *chances]:
        kept, made = (field.order(pool, NOW, iter([chance]).__next__) for pool in (Pool(), Wary()))
        assert kept == made


def test_nobody_is_well_for_longer_than_it_is() -> None:
    pool, field = Pool(Rules(cap_start=4)), Field([Entry(MODEL, one) for one in made(a=1, b=1)])

    def words() -> str:
        return " ".join(one.standing for one in field.order(pool, NOW, lambda: 0.0).candidates)

    def tags() -> str:
        return " ".join(one.tag for _, one in field.order(pool, NOW, lambda: 0.0).attempts)

    assert (words(), tags()) == ("well well", "a b")
    tickets = [pool.begin(("a", "m"), NOW, retry=False, last=True) for _ in range(4)]
    assert (words(), tags()) == ("well well", "b a")  # full
    for ticket in tickets:
        assert isinstance(ticket, Ticket)
        pool.end(ticket, Outcome.GOOD, NOW)
    assert tags() == "a b"
    attempt(pool, "b", Outcome.LIMITED)
    assert (words(), tags()) == ("well limited", "a b")
    attempt(pool, "a", Outcome.LIMITED)
    attempt(pool, "a", Outcome.LIMITED, retry_after_s=60.0)
    assert (words(), tags()) == ("limited limited", "a b")
