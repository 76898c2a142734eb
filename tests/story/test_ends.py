"""What befalls a request between others, on every path: a connection that was closed meanwhile, a
race of two endpoints, a caller that reads no more, and money that ends.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from proxy.stores.sql import SqlStore
from proxy.upstream.fake import Answer, Fake, Rule, Scenario, fake
from proxy.wire.record import Generation
from tests.calling import Calls, at_once, calling
from tests.campaign import rows_of
from tests.paths import FORMS, Form, read, theirs
from tests.running import config_text, eventually, mint_key, serving, weir
from tests.story.test_paths import PRICES, ROOTS, ask

SAMPLES: Final = 20  # answers of an endpoint, before anybody knows how long it usually takes
CREDIT_NANO: Final = 2_000_000
RACED: Final = ("messages", "messages-own", "responses", "responses-own", "completions", "speech")
"""Whose first content tells who is quicker; what comes whole is not raced."""

STREAMS: Final = [name for name, form in FORMS.items() if form.stream and form.kind == ""]
FLOOD: Final = Rule(model="*-flood", tokens=10**6, event_bytes=1000)
STALE: Final = tuple(
    Rule(model=f"*-alone-{name}-x-stale", fault="cut-head", after=1, times=1) for name in FORMS
)
PLAIN: Final = Scenario(
    answer=Answer(tokens=6), rules=(*STALE, FLOOD, Rule(model="*-long", tokens=10**5))
)
SLOW: Final = Scenario(answer=Answer(tokens=6, first_token_s=30.0))


class Place(NamedTuple):
    """A gateway before two providers, the first of which is asked first."""

    calls: Calls
    first: Fake
    second: Fake
    folder: Path

    def rows(self, model: str) -> list[Generation]:
        return [row for row in self.calls.rows.values() if row.model == model]


@asynccontextmanager
async def placed(folder: Path, *faults: str, more: str = "") -> AsyncIterator[Place]:
    """Models of all forms for each of `faults`; with `race` they have two endpoints."""
    first, second = fake(PLAIN), fake(PLAIN)
    text = config_text(folder, more=more)
    async with serving(first) as one, serving(second) as two:
        for dialect, root in ROOTS.items():
            for slug, url in (("first", one), ("second", two)):
                text += (
                    f'[[providers]]\nslug = "{dialect}-{slug}"\nname = "{slug}"\nauth = "bearer"\n'
                    f'dialect = "{dialect}"\nbase_url = "{url}{root}"\napi_key = "k"\n'
                    'author = "test"\ncancel_stops_billing = true\n'
                    '[providers.quirks]\nspeech_events = "gpt-"\n'
                )
        for name, form in FORMS.items():
            for fault in faults:
                text += _model(name, form, fault)
        async with weir(folder, text) as running, calling(running) as calls:
            yield Place(calls, first, second, folder)


def _model(name: str, form: Form, fault: str) -> str:
    kind = f'output_modalities = ["{form.kind}"]\n' if form.kind else ""
    text = f'[[models]]\nid = "{fault}/{name}"\n{kind}'
    prices = PRICES.get(name) or PRICES.get(form.kind) or PRICES[""]
    for slug, price in list(zip(("first", "second"), prices, strict=True))[: 1 + (fault == "race")]:
        text += (
            f'[[models.endpoints]]\nprovider = "{form.dialect}-{slug}"\n'
            f'model = "{theirs(name, fault)}"\npricing = {{ {price} }}\n'
        )
    return text


def charges_of(folder: Path, account: str = "default") -> Mapping[str, int]:
    """What each generation of an account was charged."""
    with closing(SqlStore.open(f"sqlite:///{folder}/weir.db")) as store:
        rows = rows_of(store, account)
        assert store.ledger.verify().differences == ()
    assert all(count == 1 for count in rows.counts.values())
    return rows.charges


async def test_a_connection_that_was_closed_meanwhile(tmp_path: Path) -> None:
    """B12: the request is sent again, once, by a fresh connection, to the same provider."""
    async with placed(tmp_path, "stale") as place:
        for name, form in FORMS.items():
            model, came = f"stale/{name}", place.first.requests
            for _ in range(2):
                seen = await ask(place.calls, form, model)
                assert (seen.status, seen.broken) == (200, False), (name, seen)
            assert place.first.requests - came == 3, name
            for row in place.rows(model):
                assert [(one.provider, one.error) for one in row.attempts] == [
                    (f"{form.dialect}-first", None)
                ]
        rows = [*place.calls.rows.values()]
    charges = charges_of(tmp_path)
    assert len(rows) == 2 * (len(FORMS) - 1)
    assert all(charges[row.id] == row.cost_nano for row in rows)


async def test_two_endpoints_race(tmp_path: Path) -> None:
    """B11: who answers first is paid, once; the other one is hung up on, and is the house's."""
    more = "[routing]\nhedge = true\nhedge_share_max = 1.0\n"
    async with placed(tmp_path, "race", more=more) as place:

        async def one(name: str) -> int:
            return (await ask(place.calls, FORMS[name], f"race/{name}")).status

        for name in RACED:
            assert set(await at_once(4, partial(one, name), SAMPLES)) == {200}
        place.first.play(SLOW)
        for name in RACED:
            assert await one(name) == 200
            row = place.rows(f"race/{name}")[-1]
            dialect = FORMS[name].dialect
            assert [(one.provider, one.error) for one in row.attempts] == [
                (f"{dialect}-first", "lost"),
                (f"{dialect}-second", None),
            ]
            assert row.provider == f"{dialect}-second"
            assert row.house_nano > 0
        await eventually(lambda: place.first.open == 0)
        assert place.first.disconnects == len(RACED)
        rows = [*place.calls.rows.values()]
    charges = charges_of(tmp_path)
    assert all(charges[row.id] == row.cost_nano for row in rows)


@pytest.mark.parametrize("name", [*STREAMS, "speech", "speech-events", "transcriptions"])
async def test_a_caller_that_reads_no_more(tmp_path: Path, name: str) -> None:
    """C10: it is left after a while, and pays for what was delivered, as if it had hung up."""
    async with placed(tmp_path, "flood", more="[timeouts]\nclient_stall_s = 0.2\n") as place:
        calls, model, form = place.calls, f"flood/{name}", FORMS[name]
        if "max_tokens" in form.asked:
            form = form._replace(asked=form.asked | {"max_tokens": 10**6})
        if form.kind == "speech":
            form = form._replace(asked=form.asked | {"input": "water " * 600})
        sent = form.send(calls._session, calls.running.base_url, model, calls.running.key)
        async with sent as response:
            assert response.status == 200
            await eventually(lambda: place.rows(model))
            response.close()
        await eventually(lambda: place.first.open == 0)
        (row,) = place.rows(model)
        assert (row.status, row.cancelled, row.error) == (499, True, None)
    assert charges_of(tmp_path)[row.id] == row.cost_nano
    assert row.cost_nano
    assert row.cost_nano < 10**6 * 1000 * 2000  # of all that it might have read


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "completions"])
async def test_an_answer_ends_where_the_money_does(tmp_path: Path, name: str) -> None:
    """C12: it is as one that met its limit, and is paid for in full."""
    path = tmp_path / "weir.db"
    with closing(SqlStore.open(f"sqlite:///{path}")) as store:
        store.ledger.create_account("poor", 0.0)
        store.ledger.grant("poor", CREDIT_NANO, id="grant", at=0.0)
    key = mint_key(path, "poor", usd=0, account="poor")
    form = FORMS[name]
    asked = {field: value for field, value in form.asked.items() if field != "max_tokens"}
    async with placed(tmp_path, "long") as place:
        model = f"long/{name}"
        seen = await ask(place.calls, form._replace(asked=asked), model, key)
        await eventually(lambda: place.first.open == 0)
        (row,) = place.rows(model)
    told = read(form, seen.status, seen.headers, seen.raw)
    assert told.fault is None
    assert told.finish == ("max_tokens" if form.words == "messages" else "incomplete")
    assert told.said
    assert (row.status, row.error, row.finish_reason) == (200, None, "length")
    assert told.cost_nano == row.cost_nano == charges_of(tmp_path, "poor")[row.id]
    assert 0 < told.cost_nano <= CREDIT_NANO
