"""What no path lets through: bad keys, bad bodies, models of another kind, limits and credit. Each
is refused in the caller's own envelope, before any provider is asked, and costs nothing.
"""

import asyncio
import itertools
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import orjson
import pytest

from proxy.stores.sql import SqlStore
from proxy.upstream.fake import fake
from tests.calling import Calls, calling
from tests.campaign import rows_of
from tests.paths import FORMS, Fault, Form, refused, theirs
from tests.running import config_text, mint_key, serving, weir
from tests.story.test_paths import PRICES, ROOTS, Seen, ask

BODY_BYTES_MAX: Final = 60_000
REASONS: Final = {
    "no key": Fault(401, "authentication"),
    "unknown model": Fault(400, "not_found"),
    "another kind": Fault(400, "invalid_request"),
    "bad body": Fault(400, "invalid_request"),
    "too large": Fault(413, "payload_too_large"),
    "wrong method": Fault(405, "invalid_request"),
    "too often": Fault(429, "rate_limit_exceeded"),
    "no credit": Fault(402, "payment_required"),
    "key's limit": Fault(403, "permission_denied"),
}
FREE: Final = {("count", "no credit"), ("count", "key's limit")}
"""What is not refused: a count costs nothing."""


class Keys(NamedTuple):
    """Keys that may ask once a minute, one for each form; one without credit; one at its limit."""

    often: dict[str, str]
    poor: str
    limited: str


def _keys(path: Path) -> Keys:
    often = {name: mint_key(path, f"often-{name}", requests_per_minute=1) for name in FORMS}
    with closing(SqlStore.open(f"sqlite:///{path}")) as store:
        store.ledger.create_account("poor", 0.0)
    poor = mint_key(path, "poor", usd=0, account="poor")
    return Keys(often, poor, mint_key(path, "limited", limit_nano=1))


def _configuration(folder: Path, url: str) -> str:
    text = config_text(folder, more=f"[limits]\nbody_bytes_max = {BODY_BYTES_MAX}\n")
    for dialect, root in ROOTS.items():
        text += (
            f'[[providers]]\nslug = "{dialect}-first"\nname = "{dialect} first"\nauth = "bearer"\n'
            f'dialect = "{dialect}"\nbase_url = "{url}{root}"\napi_key = "k"\nauthor = "test"\n'
            '[providers.quirks]\nspeech_events = "gpt-"\n'
        )
    for name, form in FORMS.items():
        price, _ = PRICES.get(name) or PRICES.get(form.kind) or PRICES[""]
        kind = f'output_modalities = ["{form.kind}"]\n' if form.kind else ""
        text += (
            f'[[models]]\nid = "test/{name}"\n{kind}[[models.endpoints]]\n'
            f'provider = "{form.dialect}-first"\nmodel = "{theirs(name, "good")}"\n'
            f"pricing = {{ {price} }}\n"
        )
    return text


Campaign = dict[tuple[str, str], Seen]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """All answers, by form and reason."""
    return asyncio.run(_run(tmp_path_factory.mktemp("refused")))


async def _run(folder: Path) -> Campaign:
    app, found = fake(keep=1000), Campaign()
    keys = _keys(folder / "weir.db")
    async with (
        serving(app) as url,
        weir(folder, _configuration(folder, url)) as running,
        calling(running) as calls,
    ):
        listed = app.requests
        async with asyncio.TaskGroup() as group:  # who has no credit waits for some
            for name in FORMS:
                group.create_task(_ask_all(calls, name, keys, found))
        let_through = sum(found[plan].status == 200 for plan in FREE)
        assert app.requests - listed == len(FORMS) + let_through
        await calls.nothing_left()
    with closing(SqlStore.open(f"sqlite:///{folder}/weir.db")) as store:
        rows = rows_of(store, "default")
        assert len(rows.charges) == len(FORMS) - 1  # the good ones, but for the count
        assert rows_of(store, "poor").charges == {}
        assert not any(one.cost_nano for one in rows.generations.values() if one.error)
    return found


async def _ask_all(calls: Calls, name: str, keys: Keys, found: Campaign) -> None:
    """All that one form is refused for, after one good answer."""
    form, model = FORMS[name], f"test/{name}"
    good = await ask(calls, form, model, keys.often[name])
    assert good.status == 200, (name, good)
    other = "test/messages" if form.kind else "test/embeddings"
    found[name, "no key"] = await ask(calls, form, model, "sk-or-v1-" + "0" * 64)
    found[name, "unknown model"] = await ask(calls, form, "test/nothing")
    found[name, "another kind"] = await ask(calls, form, other)
    found[name, "too often"] = await ask(calls, form, model, keys.often[name])
    found[name, "no credit"] = await ask(calls, form, model, keys.poor)
    found[name, "key's limit"] = await ask(calls, form, model, keys.limited)
    found[name, "bad body"] = await _post(calls, form, b'{"model":')
    found[name, "too large"] = await _post(calls, form, b" " * (BODY_BYTES_MAX + 1))
    found[name, "wrong method"] = await _post(calls, form, b"", method="PUT")


async def _post(calls: Calls, form: Form, body: bytes, method: str = "POST") -> Seen:
    headers = {"Authorization": f"Bearer {calls.running.key}", "Content-Type": "application/json"}
    if form.upload:
        headers["Content-Type"] = "multipart/form-data; boundary=x"
    url = f"{calls.running.base_url}{form.path}"
    async with calls._session.request(method, url, data=body, headers=headers) as response:
        return Seen(response.status, response.headers, await response.read(), broken=False)


@pytest.mark.parametrize(("name", "reason"), list(itertools.product(FORMS, REASONS)))
def test_what_the_caller_is_told(campaign: Campaign, name: str, reason: str) -> None:
    form, seen = FORMS[name], campaign[name, reason]
    if (name, reason) in FREE:
        assert seen.status == 200
        return
    wanted = REASONS[reason]
    assert seen.status == wanted.status, seen.raw
    assert refused(form, seen.status, seen.raw) == wanted
    assert seen.headers["Content-Type"] == "application/json"
    if reason == "too often":
        assert 1 <= int(seen.headers["Retry-After"]) <= 60
    if reason == "wrong method":
        assert seen.headers["Allow"] == "POST"
    if form.words == "messages":
        assert orjson.loads(seen.raw)["type"] == "error"
