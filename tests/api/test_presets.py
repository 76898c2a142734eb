"""Presets over HTTP, in the shapes that OpenRouter's official SDK insists on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from openrouter import components, operations
from starlette.requests import Request
from starlette.types import ASGIApp

from proxy.accounts.keys import Key, mint
from proxy.api import presets
from proxy.app import PREFIXES, App
from proxy.errors import CallerGone, GatewayError
from proxy.serving.caller import Caller
from proxy.stores.presets import SqlPresets
from proxy.stores.schema import StoreError, StoreUnavailable
from proxy.stores.sql import SqlStore
from proxy.wire.presets import Draft, Preset
from tests.asgi import Answer, call

NOW = 1_779_474_928.5
_, KEY = mint("mine", token_hex=lambda size: "ab" * size, now=NOW)
CHAT = {
    "model": "a/b",
    "temperature": 0.5,
    "stream": True,
    "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}],
}
MESSAGES = {"model": "a/b", "max_tokens": 9, "messages": None, "system": "Be brief."}
RESPONSES = {"model": "a/b", "max_output_tokens": 7, "input": "hello", "instructions": "Be fair."}


class Shelf:
    """The presets of one store, without a gateway; `failure` is what adding fails with."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.failure: Exception | None = None

    async def presets(self, ask: Callable[[SqlPresets], Any]) -> Any:
        return ask(self._store.presets)

    async def preset_added(
        self, account: str, slug: str, draft: Draft, *, creator: str, now: float
    ) -> Preset:
        if self.failure is not None:
            raise self.failure
        return self._store.presets.add(account, slug, draft, creator=creator, now=now)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    store = SqlStore.open(f"sqlite:///{tmp_path}/weir.db")
    yield Shelf(store)
    store.close()


def app_of(shelf: Shelf, key: Key | None = KEY, error: GatewayError | None = None) -> ASGIApp:
    def authenticate(_: Request) -> Key | None:
        if error is not None:
            raise error
        return key

    async def metrics() -> bytes:
        return b""

    return App(
        inference={},
        routes=presets.routes(
            authenticate=authenticate, shelf=shelf, body_bytes_max=lambda: 100_000, now=lambda: NOW
        ),
        health=lambda: (200, {}),
        ready=lambda: (200, {}),
        metrics=metrics,
    )


async def add(app: ASGIApp, path: str, fields: object) -> Answer:
    return await call(app, "POST", f"/api/v1/presets/{path}", body=orjson.dumps(fields))


async def get(app: ASGIApp, path: str = "", query: str = "") -> Answer:
    return await call(app, "GET", f"/api/v1/presets{path}", query=query)


@pytest.mark.parametrize(
    ("path", "fields", "config", "system"),
    [
        ("chat/completions", CHAT, {"model": "a/b", "temperature": 0.5}, "Be kind."),
        ("messages", MESSAGES, {"model": "a/b", "max_tokens": 9}, "Be brief."),
        ("responses", RESPONSES, {"model": "a/b", "max_tokens": 7}, "Be fair."),
    ],
)
async def test_a_preset_is_made_of_a_request_of_each_format(
    shelf: Shelf, path: str, fields: Any, config: Any, system: str
) -> None:
    app = app_of(shelf)
    answer = await add(app, f"my-preset/{path}", fields)
    assert answer.status == 200
    made = components.CreatePresetFromInferenceResponse.model_validate(answer.json).data
    version = made.designated_version
    assert version is not None
    assert (version.version, version.config, version.system_prompt) == (1, config, system)
    assert (version.preset_id, version.id) == (made.id, made.designated_version_id)
    assert (made.slug, made.name, made.status) == ("my-preset", "my-preset", "active")
    assert made.created_at == made.updated_at == version.created_at == "2026-05-22T18:35:28.500Z"
    assert (made.workspace_id, version.creator_id) == ("default", KEY.hash)
    shown = await get(app, "/my-preset")
    assert components.GetPresetResponse.model_validate(shown.json).data == made
    assert shown.json == answer.json


async def test_a_second_request_makes_a_second_version(shelf: Shelf) -> None:
    app = app_of(shelf)
    await add(app, "one/chat/completions", CHAT)
    second = await add(app, "one/chat/completions", {**CHAT, "temperature": 1})
    assert second.json["data"]["designated_version"]["version"] == 2
    answer = await get(app, "/one/versions")
    found = components.ListPresetVersionsResponse.model_validate(answer.json)
    versions = [one for one in found.data if one is not None]
    assert [one.config["temperature"] for one in versions] == [0.5, 1]
    assert found.total_count == 2
    page = (await get(app, "/one/versions", "offset=1&limit=1")).json
    assert ([one["version"] for one in page["data"]], page["total_count"]) == ([2], 2)
    first = await get(app, "/one/versions/1")
    assert components.GetPresetVersionResponse.model_validate(first.json).data == versions[0]


async def test_presets_are_listed_in_pages(shelf: Shelf) -> None:
    app = app_of(shelf)
    for slug in "abc":
        await add(app, f"{slug}/messages", MESSAGES)
    answer = await get(app)
    found = components.ListPresetsResponse.model_validate(answer.json)
    assert ([one.slug for one in found.data], found.total_count) == (["a", "b", "c"], 3)
    page = (await get(app, query="offset=1&limit=1")).json
    assert ([one["slug"] for one in page["data"]], page["total_count"]) == (["b"], 3)
    assert (await get(app_of(shelf, None))).json == answer.json  # the default account's
    assert operations.ListPresetsRequest(offset=1, limit=1)


async def test_both_prefixes_lead_there(shelf: Shelf) -> None:
    for prefix in PREFIXES:
        assert (await call(app_of(shelf), "GET", f"{prefix}/presets")).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/none", "/none/versions", "/none/versions/1", "/one/versions/2", "/one/versions/0",
        "/one/versions/latest", "/one/versions/99999999999", "/-x", "/" + "x" * 101, "/\udcff",
    ],
)  # fmt: skip
async def test_what_is_not_there_is_not_found(shelf: Shelf, path: str) -> None:
    app = app_of(shelf)
    await add(app, "one/messages", MESSAGES)
    answer = await get(app, path)
    assert (answer.status, answer.error["metadata"]["error_type"]) == (404, "not_found")
    assert answer.error["message"].startswith("Preset ")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "offset=-1"])
async def test_a_page_has_bounds(shelf: Shelf, query: str) -> None:
    answer = await get(app_of(shelf), query=query)
    assert (answer.status, answer.error["message"].split(":")[0]) == (400, query.split("=")[0])


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("one/chat/completions", b"[]", "The body is not a JSON object."),
        ("one/chat/completions", b"{", "The body is not valid JSON"),
        ("one/responses", b'{"top_p":"x"}', "top_p: "),
        ("one/messages", b'{"max_tokens":"x"}', "max_tokens: "),
        ("-one/messages", b"{}", "slug: expected at most 100 letters"),
        ("a b/messages", b"{}", "slug: expected at most 100 letters"),
    ],
)
async def test_what_is_no_preset_is_refused(
    shelf: Shelf, path: str, body: bytes, words: str
) -> None:
    answer = await call(app_of(shelf), "POST", f"/v1/presets/{path}", body=body)
    assert (answer.status, answer.error["message"][: len(words)]) == (400, words)
    assert (await get(app_of(shelf))).json == {"data": [], "total_count": 0}


async def test_a_body_is_as_large_as_a_request_at_most(shelf: Shelf) -> None:
    body = b'{"input":"%b"}' % (b"x" * 100_000)
    answer = await call(app_of(shelf), "POST", "/v1/presets/one/responses", body=body)
    assert answer.status == 413


async def test_what_a_preset_is_made_of_is_no_large_request(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presets, "BODY_BYTES_MAX", 1000)
    body = MESSAGES | {"metadata": {"long": "x" * 1000}}
    assert (await add(app_of(shelf), "one/messages", body)).status == 413


async def test_who_may_not_call_may_not_ask(shelf: Shelf) -> None:
    app = app_of(shelf, error=GatewayError("unauthenticated", "No key."))
    for method, path in (("GET", ""), ("GET", "/one"), ("GET", "/one/versions/1")):
        assert (await call(app, method, f"/v1/presets{path}")).status == 401
    assert (await add(app, "one/messages", MESSAGES)).status == 401


@pytest.mark.parametrize(
    ("failure", "status"), [(StoreError("Too many."), 400), (StoreUnavailable("Locked."), 503)]
)
async def test_a_store_that_keeps_no_more_is_told(
    shelf: Shelf, failure: Exception, status: int
) -> None:
    shelf.failure = failure
    answer = await add(app_of(shelf), "one/messages", MESSAGES)
    assert answer.status == status
    assert (answer.error["message"] == "Too many.") is (status == 400)


async def test_who_hangs_up_makes_nothing(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(self: Caller, bytes_max: int) -> bytes:
        raise CallerGone

    monkeypatch.setattr(Caller, "read_body", gone)
    assert (await add(app_of(shelf), "one/messages", MESSAGES)).status == 408
    assert (await get(app_of(shelf))).json["total_count"] == 0


async def test_only_a_post_makes_one(shelf: Shelf) -> None:
    answer = await get(app_of(shelf), "/one/chat/completions")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert (await call(app_of(shelf), "DELETE", "/v1/presets/one")).status == 405
