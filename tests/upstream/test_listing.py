"""Lists of models stay fresh, outlive a provider's silence, and tell whoever listens."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import pytest

from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.upstream import listing as module
from proxy.upstream.listing import Listings, Status
from proxy.wire.listing import Listing

ONE = Provider(slug="one", name="One", base_url="https://one.example/v1", prices="table")
TWO = Provider(slug="two", name="Two", base_url="https://two.example/v1")
DOWN = GatewayError("provider_unreachable", "no connection")


class World:
    """A provider that answers what it was told to, and all that a `Listings` is handed."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.answers: dict[str, bytes | Exception] = {"one": b"a b", "two": b"c"}
        self.asked: list[str] = []
        self.asked_often = asyncio.Event()
        self.kept: list[tuple[str, list[str], float]] = []
        self.changed: list[str] = []
        self.put_fails = False

    async def fetch(self, provider: Provider) -> bytes:
        self.asked.append(provider.slug)
        if len(self.asked) >= 6:
            self.asked_often.set()
        answer = self.answers[provider.slug]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def decode(self, provider: Provider, body: bytes) -> Sequence[Listing]:
        if body == b"?":
            raise GatewayError("provider_malformed", "the answer has no list of models")
        return [Listing(model=name) for name in body.decode().split()]

    def fallback(self, provider: Provider) -> Sequence[Listing]:
        return [Listing(model="from-table")] if provider.prices else []

    async def put(self, slug: str, rows: Sequence[Listing], at: float) -> None:
        if self.put_fails:
            raise OSError("disk full")
        self.kept.append((slug, [row.model for row in rows], at))

    def listings(
        self,
        refresh_s: float = 3600.0,
        fetch: Callable[[Provider], Awaitable[bytes]] | None = None,
        lists: Callable[[Provider], bool] = lambda _: True,
    ) -> Listings:
        return Listings(
            [ONE, TWO],
            fetch=fetch or self.fetch,
            decode=self.decode,
            fallback=self.fallback,
            put=self.put,
            on_change=self.changed.append,
            clock=lambda: self.now,
            jitter=lambda: 1.0,
            refresh_s=refresh_s,
            lists=lists,
        )


@pytest.fixture
def world() -> World:
    return World()


def names(listings: Listings) -> dict[str, list[str]]:
    return {slug: [row.model for row in rows] for slug, rows in listings.rows.items()}


def test_nothing_is_known_at_first(world: World) -> None:
    listings = world.listings()
    assert names(listings) == {"one": [], "two": []}
    assert list(listings.status) == ["one", "two"]
    assert listings.status["one"] == Status()


def test_it_begins_with_the_store_else_with_the_price_table(world: World) -> None:
    listings = world.listings()
    listings.load({"two": (900.0, [Listing(model="kept")]), "gone": (1.0, [])})
    assert names(listings) == {"one": ["from-table"], "two": ["kept"]}
    assert listings.status["one"] == Status(source="price table", models=1)
    assert listings.status["two"] == Status(source="store", fetched_at=900.0, models=1)
    listings.load({})
    assert listings.status["two"] == Status()
    assert world.changed == []


def test_a_stored_list_that_is_empty_is_still_an_answer(world: World) -> None:
    listings = world.listings()
    listings.load({"one": (900.0, [])})
    assert names(listings)["one"] == []
    assert listings.status["one"].source == "store"


async def test_a_refresh_takes_keeps_and_tells(world: World) -> None:
    listings = world.listings()
    status = await listings.refresh(ONE)
    assert status == Status(source="provider", fetched_at=1000.0, models=2)
    assert names(listings)["one"] == ["a", "b"]
    assert world.kept == [("one", ["a", "b"], 1000.0)]
    assert world.changed == ["one"]


async def test_only_another_list_is_a_change(world: World) -> None:
    listings = world.listings()
    await listings.refresh_all()
    world.now, world.answers["two"] = 2000.0, b"c d"
    await listings.refresh_all()
    assert world.changed == ["one", "two", "two"]
    assert [status.fetched_at for status in listings.status.values()] == [2000.0, 2000.0]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (DOWN, "no connection"),
        (b"?", "the answer has no list of models"),
        (TimeoutError(), "no answer in time"),
        (ConnectionResetError("10.0.0.1 secret"), "ConnectionResetError"),
        (ValueError("sk-secret"), "ValueError"),
    ],
    ids=["down", "malformed", "late", "reset", "bug"],
)
async def test_a_failure_leaves_the_list_and_is_said_without_secrets(
    world: World, answer: bytes | Exception, error: str
) -> None:
    listings = world.listings()
    await listings.refresh(ONE)
    world.answers["one"] = answer
    status = await listings.refresh(ONE)
    assert status == Status(source="provider", fetched_at=1000.0, models=2, error=error)
    assert names(listings)["one"] == ["a", "b"]
    world.answers["one"] = b"a b"
    assert (await listings.refresh(ONE)).error is None
    assert world.changed == ["one"]


async def test_an_answer_that_never_comes_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(provider: Provider) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(module, "ANSWER_S", 0.01)
    status = await world.listings(fetch=silent).refresh(ONE)
    assert status.error == "no answer in time"


async def test_a_failure_is_logged_once_and_so_is_its_end(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    listings = world.listings()
    world.answers["one"] = DOWN
    for _ in range(3):
        await listings.refresh(ONE)
    world.answers["one"] = b"a"
    await listings.refresh(ONE)
    assert [record.getMessage() for record in caplog.records] == [
        "listing of one: no connection",
        "listing of one: 1 models again",
    ]


async def test_a_list_serves_although_the_store_can_not_keep_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.put_fails = True
    listings = world.listings()
    assert (await listings.refresh(ONE)).error is None
    assert names(listings)["one"] == ["a", "b"]
    assert "listing of one can not be kept" in caplog.text


async def test_every_provider_is_asked_again_and_again_until_the_end(world: World) -> None:
    listings = world.listings(refresh_s=0.001)
    await listings.start()
    await asyncio.wait_for(world.asked_often.wait(), 20)
    await listings.stop()
    assert set(world.asked) == {"one", "two"}
    asked = len(world.asked)
    await asyncio.sleep(0.01)
    assert len(world.asked) == asked
    await listings.stop()
    assert names(listings) == {"one": ["a", "b"], "two": ["c"]}


async def play(
    world: World, answers: Sequence[bytes | Exception]
) -> tuple[list[float], list[list[str]]]:
    """Let provider `one` give `answers` in turn: the waits between them, and each list told of."""
    waits: list[float] = []
    seen: list[list[str]] = []
    script = list(answers)
    done = asyncio.Event()

    async def fetch(provider: Provider) -> bytes:
        answer = script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        if not script:
            done.set()
            await asyncio.Event().wait()

    listings = Listings(
        [ONE],
        fetch=fetch,
        decode=world.decode,
        fallback=world.fallback,
        put=world.put,
        on_change=lambda slug: seen.append([row.model for row in listings.rows[slug]]),
        clock=lambda: world.now,
        jitter=lambda: 0.5,
        sleep=sleep,
    )
    await listings.start()
    await asyncio.wait_for(done.wait(), 20)
    await listings.stop()
    return waits, seen


async def test_a_list_follows_its_provider_through_gain_loss_and_outage(world: World) -> None:
    _, seen = await play(world, [b"a", b"a b", DOWN, DOWN, b"b"])
    assert seen == [["a"], ["a", "b"], ["b"]]


async def test_a_provider_that_fails_is_asked_sooner_then_less_and_less_often(
    world: World,
) -> None:
    waits, _ = await play(world, [b"a", DOWN, DOWN, DOWN, DOWN, DOWN, b"a", DOWN])
    assert waits == [1800, 15, 30, 60, 120, 150, 1800, 15]


async def test_the_first_lists_are_there_when_the_slowest_provider_answered(world: World) -> None:
    slow = asyncio.Event()

    async def fetch(provider: Provider) -> bytes:
        if provider is TWO:
            await slow.wait()
        return await world.fetch(provider)

    listings = world.listings(fetch=fetch)
    await listings.start()
    waiting = asyncio.create_task(listings.asked())
    for _ in range(10):
        await asyncio.sleep(0)
    assert names(listings) == {"one": ["a", "b"], "two": []}
    assert not waiting.done()
    slow.set()
    await waiting
    assert names(listings)["two"] == ["c"]
    await listings.asked()
    assert [slug for slug, *_ in listings.known.items()] == ["one", "two"]
    await listings.stop()
    nobody = Listings(
        [],
        fetch=fetch,
        decode=world.decode,
        fallback=world.fallback,
        put=world.put,
        on_change=world.changed.append,
        clock=lambda: 0.0,
        jitter=lambda: 1.0,
    )
    await nobody.asked()


async def test_a_provider_without_a_list_is_never_asked_and_has_the_price_tables(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    listings = world.listings(lists=lambda provider: provider is TWO)
    listings.load({})
    await listings.refresh_all()
    await listings.asked()
    assert world.asked == ["two"]
    assert listings.status["one"] == Status(source="price table", models=1)
    assert [row.model for row in listings.rows["one"]] == ["from-table"]
    assert caplog.records == []


async def test_where_nobody_lists_nobody_is_waited_for(world: World) -> None:
    listings = world.listings(lists=lambda _: False)
    listings.load({})
    await listings.start()
    await listings.asked()
    await listings.stop()
    assert world.asked == []
