"""Callers that leave, on every path: before the first content, after it, while a whole answer is
awaited; at a provider that stops billing then, and at one that is heard out. Slots, holds and calls
are free again, and what is charged is what `docs/money.md` says.
"""

import asyncio
import itertools
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import pytest

from proxy.pipeline import relay
from proxy.stores.sql import SqlStore
from proxy.upstream.fake import Answer, Fake, Rule, Scenario, fake
from proxy.wire.record import Generation
from tests.calling import Calls, calling
from tests.campaign import rows_of
from tests.paths import FORMS, TEXT, theirs
from tests.running import config_text, eventually, mint_key, serving, weir
from tests.story.test_paths import PRICES, ROOTS, ask

BILLINGS: Final = ("stops", "heard")
WORDS: Final = 6
SPOKEN: Final = "Water meets the weir and waits"
SCENARIO: Final = Scenario(
    answer=Answer(tokens=WORDS),
    rules=(
        Rule(model="*-slow-*", tokens_per_s=5.0),
        Rule(model="*-mute-*", first_token_s=1.0),
    ),
)
MOMENTS: Final = {"mute": False, "slow": True}
"""Models by whether anything of a streamed answer has come when its caller leaves."""

AT_ONCE: Final = {"embeddings", "rerank", "image", "transcription"}
"""What is made in one piece, and billed whoever leaves."""

Case = tuple[str, str, str]

CASES: Final = [
    (name, billing, moment)
    for name, billing, moment in itertools.product(FORMS, BILLINGS, MOMENTS)
    if FORMS[name].stream or moment == "mute"
]


class Left(NamedTuple):
    """A request that was left: what had come, its row and charge, and what another
    such request cost that was not.
    """

    raw: bytes
    row: Generation | None
    charge_nano: int
    whole_nano: int


Campaign = dict[Case, Left]


def _configuration(folder: Path, url: str) -> str:
    text = config_text(folder)
    for (dialect, root), billing in itertools.product(ROOTS.items(), BILLINGS):
        text += (
            f'[[providers]]\nslug = "{dialect}-{billing}"\nname = "{dialect} {billing}"\n'
            f'dialect = "{dialect}"\nbase_url = "{url}{root}"\napi_key = "k"\nauthor = "test"\n'
            f'auth = "bearer"\ncancel_stops_billing = {str(billing == "stops").lower()}\n'
            '[providers.quirks]\nspeech_events = "gpt-"\n'
        )
    for (name, form), billing in itertools.product(FORMS.items(), BILLINGS):
        price, _ = PRICES.get(name) or PRICES.get(form.kind) or PRICES[""]
        kind = f'output_modalities = ["{form.kind}"]\n' if form.kind else ""
        for moment in (*MOMENTS, "quick"):
            text += (
                f'[[models]]\nid = "{billing}/{name}.{moment}"\n{kind}[[models.endpoints]]\n'
                f'provider = "{form.dialect}-{billing}"\npricing = {{ {price} }}\n'
                f'model = "{theirs(name, billing, moment)}"\n'
            )
    return text


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """All that left, by form, billing and moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relay, "FIRST_COMMENT_S", 30.0)
        return asyncio.run(_run(tmp_path_factory.mktemp("quits")))


async def _run(folder: Path) -> Campaign:
    app, told = fake(SCENARIO, keep=5000), dict[Case, tuple[bytes, str]]()
    # One request at a time: it has to be over before the next may come.
    keys = {
        case: mint_key(folder / "weir.db", "-".join(case), concurrent_requests=1) for case in CASES
    }
    async with (
        serving(app) as url,
        weir(folder, _configuration(folder, url)) as running,
        calling(running) as calls,
    ):
        waiting = asyncio.Semaphore(12)

        async def one(case: Case) -> None:
            async with waiting:
                told[case] = await _leave_and_return(calls, app, case, keys[case])

        async with asyncio.TaskGroup() as group:
            for case in CASES:
                group.create_task(one(case))
        await calls.nothing_left()
        rows = list(calls.rows.values())
    with closing(SqlStore.open(f"sqlite:///{folder}/weir.db")) as store:
        kept = rows_of(store, "default")
    assert all(count == 1 for count in kept.counts.values())
    found = Campaign()
    for case, (raw, whole) in told.items():
        mine = [row for row in rows if row.model == _model(case)]
        assert len(mine) == (case[0] != "count"), case
        row = mine[0] if mine else None
        charge_nano = kept.charges.get(row.id, 0) if row else 0
        found[case] = Left(raw, row, charge_nano, kept.charges.get(whole, 0))
    return found


def _model(case: Case) -> str:
    name, billing, moment = case
    return f"{billing}/{name}.{moment}"


async def _leave_and_return(calls: Calls, app: Fake, case: Case, key: str) -> tuple[bytes, str]:
    """What had come when the caller left, and the id of a request that it read to the end then, as
    soon as its slot was free.
    """
    name, billing, moment = case
    form, running = FORMS[name], calls.running
    sent = form.send(calls._session, running.base_url, _model(case), key)
    early = not (MOMENTS[moment] and form.stream)
    raw = await _leave(sent, app, theirs(name, billing, moment), early=early)
    answers = []

    async def again() -> bool:
        answers.append(await ask(calls, form, f"{billing}/{name}.quick", key))
        return answers[-1].status != 429

    await eventually(again)
    assert answers[-1].status == 200, (case, answers[-1])
    return raw, answers[-1].headers.get("X-Generation-Id", "")


async def _leave(sent: Any, app: Fake, model: str, *, early: bool) -> bytes:
    """What had come when the caller left."""
    raw = b""

    async def hear() -> None:
        nonlocal raw
        async with sent as response:
            while not any(mark in raw for mark in MARKS) and not (raw and _is_sound(response)):
                raw += await response.content.readany()
            if early:
                raw += await response.read()
            response.close()

    hearing = asyncio.create_task(hear())
    if early:
        await eventually(lambda: any(_asks(seen, model) for seen in app.seen), within_s=20)
        hearing.cancel()
    with suppress(asyncio.CancelledError):
        await hearing
    return raw


MARKS: Final = (b"Water", b"partial_image", b"speech.audio.delta")


def _is_sound(response: aiohttp.ClientResponse) -> bool:
    return response.content_type.startswith("audio/")


def _asks(seen: Any, model: str) -> bool:
    return model.encode() in seen.body


@pytest.mark.parametrize(("name", "billing", "moment"), CASES)
def test_who_leaves(campaign: Campaign, name: str, billing: str, moment: str) -> None:
    form, left = FORMS[name], campaign[name, billing, moment]
    if name == "count":
        assert (left.row, left.charge_nano) == (None, 0)
        return
    row = left.row
    assert row is not None
    assert (row.cancelled, row.status, row.error) == (True, 499, None)
    assert row.cost_nano == left.charge_nano
    assert left.whole_nano > 0
    came = form.stream and MOMENTS[moment]
    assert came == (left.raw != b"")
    if billing == "heard" and (came or not form.stream or form.kind in AT_ONCE):
        assert left.charge_nano == left.whole_nano
    elif came:
        _check_delivered(name, left)
    else:
        assert left.charge_nano == 0


def _check_delivered(name: str, left: Left) -> None:
    """What is charged of an answer whose provider stopped."""
    row = left.row
    assert row is not None
    assert row.usage_estimated
    assert 0 < left.charge_nano <= row.held_nano
    if FORMS[name].kind in AT_ONCE:
        return  # made in one piece, and some of it was shown: nobody knows more of it
    if name == "speech":
        assert left.charge_nano == len(TEXT) * 10_000  # a provider was given it whole
    elif name != "speech-events":
        counted = 6 if name == "messages-own" else -(-len(TEXT) // 4) + 4
        words_nano = left.charge_nano - counted * 1000
        assert 2 * 2000 <= words_nano < -(-len(SPOKEN) // 4) * 2000
