"""Claims and the book: all or none, exact texts, every claim settled once, and memory bounded."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.accounts.bucket import DAY_MS, MINUTE_NS, Moment
from proxy.accounts.keys import Key
from proxy.accounts.limits import Book, Claim, Rules, Taken, claims
from proxy.errors import GatewayError
from proxy.settings import Limits

S = 10**9
MIDNIGHT_MS = 1_777_248_000_000
WALL_MS = MIDNIGHT_MS - DAY_MS // 2
NOW = Moment(0, WALL_MS)
UNLIMITED = Rules(free_requests_per_minute=0, free_requests_per_day=0)
TEN_USD_NANO = 10 * 10**9


def key(**limits: Any) -> Key:
    return Key(hash="h", name="n", label="l", account="a", created_at=0, **limits)


def made(
    owner: Key | None,
    rules: Rules,
    *,
    tokens: int = 5,
    free: bool = False,
    bought_nano: int = 0,
) -> tuple[Claim, ...]:
    return claims(owner, "a", rules=rules, tokens=tokens, free=free, bought_nano=bought_nano)


def refused(book: Book, wanted: tuple[Claim, ...], at: Moment = NOW) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        book.take(wanted, at)
    assert caught.value.kind == "rate_limited"
    assert caught.value.status == 429
    return caught.value


def test_rules_are_made_of_the_configuration() -> None:
    rules = msgspec.convert(Limits(), Rules, from_attributes=True)
    assert rules == Rules()
    assert set(Rules.__struct_fields__) < set(Limits.__struct_fields__)


def test_no_limit_no_claim() -> None:
    assert made(key(), UNLIMITED) == ()
    own = key(requests_per_minute=0, tokens_per_minute=0, concurrent_requests=0)
    assert made(own, Rules(requests_per_minute=9, tokens_per_minute=9, concurrent_requests=9)) == ()


RULES = Rules(
    requests_per_minute=1,
    tokens_per_minute=2,
    concurrent_requests=3,
    account_requests_per_minute=4,
    account_tokens_per_minute=5,
    account_concurrent_requests=6,
)
ACCOUNT = [
    ("account:a:requests", "requests", 4, 1),
    ("account:a:tokens", "tokens", 5, 5),
    ("account:a:slots", "slots", 6, 1),
]


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (
            key(),
            [
                ("key:h:requests", "requests", 1, 1),
                ("key:h:tokens", "tokens", 2, 5),
                ("key:h:slots", "slots", 3, 1),
            ],
        ),
        (
            key(requests_per_minute=7, tokens_per_minute=0, concurrent_requests=8),
            [("key:h:requests", "requests", 7, 1), ("key:h:slots", "slots", 8, 1)],
        ),
        (
            None,
            [
                ("key:none:requests", "requests", 1, 1),
                ("key:none:tokens", "tokens", 2, 5),
                ("key:none:slots", "slots", 3, 1),
            ],
        ),
    ],
)
def test_a_keys_own_limits_come_before_the_general(
    owner: Key | None, expected: list[tuple[str, str, int, int]]
) -> None:
    wanted = [(c.name, c.kind, c.limit, c.amount) for c in made(owner, RULES)]
    assert wanted == expected + ACCOUNT


OF_KEY = "This is a limit of the API key."
OF_ACCOUNT = "This is a limit of the account, over all its keys."


@pytest.mark.parametrize(
    ("claimed", "text"),
    [
        (0, "Rate limit exceeded: requests-per-minute. " + OF_KEY),
        (1, "Rate limit exceeded: tokens-per-minute. " + OF_KEY),
        (2, "Rate limit exceeded: concurrent-requests. " + OF_KEY),
        (3, "Rate limit exceeded: requests-per-minute. " + OF_ACCOUNT),
        (4, "Rate limit exceeded: tokens-per-minute. " + OF_ACCOUNT),
        (5, "Rate limit exceeded: concurrent-requests. " + OF_ACCOUNT),
    ],
)
def test_the_caller_is_told_which_limit_it_met(claimed: int, text: str) -> None:
    book, wanted = Book(), (made(key(), RULES)[claimed],)
    while not book.short(wanted, NOW):
        book.take(wanted, NOW)
    assert refused(book, wanted).message == text


def test_a_refusal_says_when_to_come_again() -> None:
    book, wanted = Book(), made(key(requests_per_minute=7), UNLIMITED)
    for _ in range(7):
        book.take(wanted, NOW)
    error = refused(book, wanted)
    told = {
        "X-RateLimit-Limit": "7",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(WALL_MS + 8572),  # 60/7 s, upwards
    }
    assert error.metadata == {"headers": told}
    assert error.headers == {"Retry-After": "9", **told}
    assert book.take(wanted, Moment(9 * S, WALL_MS))


FREE_DAY = "Rate limit exceeded: free-models-per-day. "


@pytest.mark.parametrize(
    ("rules", "bought_nano", "allowed", "text"),
    [
        (
            Rules(free_requests_per_minute=0),
            TEN_USD_NANO - 1,
            50,
            FREE_DAY + "Add 10 credits to unlock 1000 free model requests per day",
        ),
        (
            Rules(free_requests_per_minute=0),
            TEN_USD_NANO,
            1000,
            "Rate limit exceeded: free-models-per-day-high-balance. ",
        ),
        (Rules(), 0, 20, "Rate limit exceeded: free-models-per-min. "),
        (
            Rules(free_requests_per_minute=0, free_requests_per_day_with_credit=0),
            0,
            50,
            FREE_DAY + "Add 10 credits to unlock unlimited free model requests per day",
        ),
        (Rules(free_requests_per_day=3, free_requests_per_day_with_credit=3), 0, 3, FREE_DAY),
    ],
)
def test_free_models_have_the_rules_and_the_words_of_openrouter(
    rules: Rules, bought_nano: int, allowed: int, text: str
) -> None:
    book = Book()
    for n in range(allowed):
        owner = key() if n % 2 else None  # over all keys of the account
        book.take(made(owner, rules, free=True, bought_nano=bought_nano), NOW)
    error = refused(book, made(key(), rules, free=True, bought_nano=bought_nano))
    assert error.message == text
    if "per-day" in text:
        assert error.metadata["headers"]["X-RateLimit-Reset"] == str(MIDNIGHT_MS)
        assert error.headers["Retry-After"] == str(DAY_MS // 2000)
        assert book.take(made(key(), rules, free=True), Moment(0, MIDNIGHT_MS))
    assert book.take(made(key(), rules), NOW) == Taken(())


def test_no_free_rule_where_the_configuration_says_so() -> None:
    assert made(key(), UNLIMITED, free=True) == ()
    plenty = Rules(free_requests_per_minute=0, free_requests_per_day_with_credit=0)
    assert made(key(), plenty, free=True, bought_nano=TEN_USD_NANO) == ()


def test_ten_dollars_unlock_the_rest_of_the_day_at_once() -> None:
    book, rules = Book(), Rules(free_requests_per_minute=0)
    for _ in range(50):
        book.take(made(key(), rules, free=True), NOW)
    refused(book, made(key(), rules, free=True))
    rich = made(key(), rules, free=True, bought_nano=TEN_USD_NANO)
    for _ in range(950):
        book.take(rich, NOW)
    assert refused(book, rich).metadata["headers"]["X-RateLimit-Limit"] == "1000"


def test_a_new_start_knows_what_was_used_today() -> None:
    book, rules = Book(), Rules(free_requests_per_minute=0)
    book.load_days({"a": 49, "b": 0}, NOW)
    assert len(book) == 2
    book.take(made(key(), rules, free=True), NOW)
    refused(book, made(key(), rules, free=True))


def test_all_or_none_and_the_longest_wait_is_told() -> None:
    book = Book()
    small = Claim("small", "requests", 1, 1, "small")
    large = Claim("large", "requests", 100, 1, "large")
    book.take((small,), NOW)
    for _ in range(3):
        assert refused(book, (large, small)).message == "small"
    assert book.left(large, NOW) == 100
    book.take((Claim("large", "requests", 100, 100),), NOW)
    assert refused(book, (large, small)).message == "small"
    assert refused(book, (large,)).message == "large"


def test_a_limit_that_changes_keeps_the_share_that_is_left() -> None:
    book = Book()
    for _ in range(4):
        book.take((Claim("x", "requests", 10, 1),), NOW)
    assert book.short((Claim("x", "requests", 100, 61),), NOW)
    assert not book.short((Claim("x", "requests", 100, 60),), NOW)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 80), st.booleans()), max_size=30),
    st.integers(1, 8),
)
def test_taken_and_finished_loses_nothing(
    requests: list[tuple[int, int, bool]], slots: int
) -> None:
    rules = Rules(tokens_per_minute=1000, concurrent_requests=slots)
    book, used, running = Book(), 0, list[tuple[Taken, int]]()
    for estimate, truth, ends in requests:
        wanted = made(key(), rules, tokens=estimate)
        if short := book.short(wanted, NOW):
            level = 1000 - used - sum(taken.claims[0].amount for taken, _ in running)
            assert len(running) == slots or level < estimate, short
        else:
            running.append((book.take(wanted, NOW), truth))
        if ends and running:
            taken, tokens = running.pop(0)
            used += tokens
            for _ in range(3):
                book.finish(taken, tokens=tokens, at=NOW)
    for taken, tokens in running:
        used += tokens
        book.finish(taken, tokens=tokens, at=NOW)
    tokens_claim, slots_claim = made(key(), rules)
    assert book.left(tokens_claim, NOW) == max(0, 1000 - used)
    assert book.left(slots_claim, NOW) == slots


def test_memory_stays_bounded_and_what_is_in_use_stays() -> None:
    book = Book()
    held = book.take((Claim("slot", "slots", 1, 1), Claim("spent", "requests", 1, 1)), NOW)
    book.take((Claim("day", "day", 1, 1),), NOW)
    for n in range(2000):
        at = Moment(n * S // 1000, WALL_MS)
        book.take((Claim(f"r{n}", "slots", 5, 0), Claim(f"t{n}", "tokens", 5, 0)), at)
        assert len(book) < 12
    for name, kind in (("slot", "slots"), ("spent", "requests"), ("day", "day")):
        assert book.short((Claim(name, kind, 1, 1),), NOW), name  # type: ignore[arg-type]
    book.finish(held, tokens=0, at=NOW)
    assert not book.short((Claim("slot", "slots", 1, 1),), NOW)


def test_a_debt_is_booked_though_its_meter_was_dropped() -> None:
    book, later = Book(), Moment(2 * MINUTE_NS, WALL_MS)
    claim = Claim("x", "tokens", 60, 10)
    taken = book.take((claim,), NOW)
    for n in range(5):
        book.take((Claim(f"other{n}", "slots", 1, 1),), later)
    book.finish(taken, tokens=50, at=later)
    assert book.left(claim, later) == 20


def test_what_is_lent_is_not_left() -> None:
    book, claim = Book(), Claim("x", "requests", 60, 1)
    book.lend(claim, 10, NOW)
    later = Moment(MINUTE_NS, WALL_MS)
    assert book.left(claim, later) == 50
    book.unlend(claim, 10, later)
    book.settle(claim, 10, later)
    assert book.left(claim, later) == 60
