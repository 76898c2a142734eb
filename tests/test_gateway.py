"""A whole gateway: it follows what providers list, what the file says, and what keys exist."""

import asyncio
import gc
import re
import weakref
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy import reports
from proxy.pipeline.exchange import Ids
from proxy.stores.sql import SqlStore
from proxy.upstream.fake import load_scenario
from tests.running import Running, config_text, eventually, free_port, model_text, provider, weir

SHORT = "[catalogue]\nrefresh_s = 0.1\n"


async def get(running: Running, path: str, key: str | None = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{running.base_url}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, await response.json()


async def ask(running: Running, model: str, **more: Any) -> tuple[int, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
    headers = {"Authorization": f"Bearer {running.key}"}
    async with aiohttp.ClientSession() as session:
        url = f"{running.base_url}/chat/completions"
        async with session.post(url, json=body, headers=headers) as response:
            return response.status, await response.json()


async def slugs(running: Running) -> list[str]:
    _, body = await get(running, "/models")
    return [model["id"] for model in body["data"]]


async def checked(running: Running) -> tuple[list[str], str]:
    """The models that `weir check` finds, and where it has them from."""
    catalogue, status = await reports.resolve(running.gateway.config)
    return list(catalogue.models), status["p0"].source


def test_generation_ids_have_openrouters_form() -> None:
    make = Ids()
    ids = {make(1779474928.9) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"gen-1779474928-[0-9A-Za-z]{20}", id_) for id_ in ids)


async def test_models_follow_the_providers_list(tmp_path: Path) -> None:
    async with (
        provider('models = ["test/one"]') as (app, base_url),
        weir(tmp_path, config_text(tmp_path, base_url, more=SHORT, enforce=False)) as running,
    ):
        assert await slugs(running) == ["test/one"]

        app.play(load_scenario('models = ["test/one", "test/two"]'))
        await eventually(lambda: "test/two" in running.gateway.snapshot.catalogue.models)
        assert await slugs(running) == ["test/one", "test/two"]
        assert (await ask(running, "two"))[0] == 200

        app.play(load_scenario('models = ["test/two"]'))
        await eventually(lambda: "test/one" not in running.gateway.snapshot.catalogue.models)
        status, body = await ask(running, "test/one")
        assert (status, body["error"]["message"]) == (400, "test/one is not a valid model ID")


async def test_a_provider_that_is_down_keeps_its_models(tmp_path: Path) -> None:
    down = 'models = []\n[[rules]]\non = "models"\nfault = "status"\nstatus = 503'
    text = ""
    async with provider('models = ["test/one"]') as (app, base_url):
        text = config_text(tmp_path, base_url, more=SHORT)
        async with weir(tmp_path, text) as running:
            app.play(load_scenario(down))
            await eventually(lambda: running.gateway.listings.status["p0"].error)
            assert await slugs(running) == ["test/one"]
        app.play(load_scenario('models = ["test/two"]'))
        async with weir(tmp_path, text) as running:
            await eventually(lambda: "test/two" in running.gateway.snapshot.catalogue.models)
            assert await checked(running) == (["test/two"], "provider")
    # Nobody listens there any more, and the store still knows what the provider had.
    async with weir(tmp_path, text) as running:
        assert await checked(running) == (["test/two"], "store")
        assert await slugs(running) == ["test/two"]
        assert running.gateway.listings.status["p0"].source == "store"
        assert running.gateway.ready() == (200, {"status": "ready"})


async def test_a_broken_file_changes_nothing_and_a_good_one_leaves_streams_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slow = "models = ['test/one', 'test/two']\n[answer]\ntokens_per_s = 50\ntokens = 50"
    async with provider(slow) as (_, first), provider() as (_, second):
        priced = model_text("test/one", ("p0", "test/one"))
        text = config_text(tmp_path, first) + priced
        async with weir(tmp_path, text) as running:
            before = running.gateway.snapshot
            streaming = asyncio.create_task(ask(running, "test/one"))
            await eventually(lambda: running.gateway.app.under_way == 1)

            (tmp_path / "config.toml").write_text(text + "[server]\nbind = 3\n")
            assert not await running.gateway.reload()
            (tmp_path / "config.toml").write_text(text.replace("weir.db", "other.db"))
            assert not await running.gateway.reload()
            assert running.gateway.snapshot is before
            refusals = [r for r in caplog.records if r.message == "reload refused"]
            assert refusals[0].path.startswith("$")  # type: ignore[attr-defined]
            assert refusals[1].path == "$.store.url"  # type: ignore[attr-defined]

            dearer = priced.replace("0.000002", "0.5")
            new = config_text(tmp_path, first, second) + dearer
            (tmp_path / "config.toml").write_text(new)
            assert await running.gateway.reload()
            assert [one.provider.slug for one in running.gateway.config.resolved] == ["p0", "p1"]
            status, answer = await streaming
            assert status == 200
            assert answer["usage"]["cost"] < 0.01, "it kept the price it began with"
            assert (await ask(running, "test/one", max_tokens=2))[1]["usage"]["cost"] > 0.5


async def test_reload_keeps_what_providers_listed(tmp_path: Path) -> None:
    async with provider('models = ["test/one"]') as (app, base_url):
        text = config_text(tmp_path, base_url)
        async with weir(tmp_path, text) as running:
            app.play(load_scenario('[[rules]]\non = "models"\nfault = "status"\nstatus = 500'))
            (tmp_path / "config.toml").write_text(text + "\n")
            assert await running.gateway.reload()
            assert await slugs(running) == ["test/one"]


async def test_a_request_leaves_nothing_behind_for_the_garbage_collector(tmp_path: Path) -> None:
    """Else each one, with its body, would stay until a collection, which stops all streams."""
    async with (
        provider('models = ["test/one"]') as (_, base_url),
        weir(tmp_path, config_text(tmp_path, base_url, enforce=False)) as running,
    ):
        await ask(running, "test/one")
        gc.collect()
        gc.disable()
        try:
            for stream in (False, True):
                headers = {"Authorization": f"Bearer {running.key}"}
                messages = [{"role": "user", "content": "hello"}]
                body = {"model": "test/one", "messages": messages, "stream": stream}
                async with aiohttp.ClientSession(headers=headers) as session:
                    url = f"{running.base_url}/chat/completions"
                    async with session.post(url, json=body) as response:
                        assert response.status == 200
                        await response.read()
            await eventually(lambda: not running.gateway._flow.under_way)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = {type(one).__module__ for one in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert not {name for name in left if name.startswith(("proxy.pipeline", "proxy.wire"))}


async def test_a_reload_leaves_nothing_behind_for_the_garbage_collector(tmp_path: Path) -> None:
    """What a start made is frozen, so a snapshot must go by itself when its last request did."""
    async with provider('models = ["test/one"]') as (_, base_url):
        text = config_text(tmp_path, base_url)
        async with weir(tmp_path, text) as running:
            gateway = running.gateway
            await ask(running, "test/one")
            gc.collect()
            gc.disable()
            try:
                for number in range(3):
                    (tmp_path / "config.toml").write_text(text + "\n" * number)
                    old = [
                        weakref.ref(one)
                        for one in (gateway.snapshot.catalogue, gateway.listings, gateway.config)
                        if getattr(type(one), "__weakrefoffset__", 0)
                    ]
                    assert old
                    assert await gateway.reload()
                    await asyncio.wait_for(gateway.listings.asked(), 5)
                    await asyncio.sleep(0)
                    assert [one() for one in old] == [None] * len(old)
            finally:
                gc.enable()


async def test_what_is_known_of_keys_outlives_a_new_list_but_no_reload(tmp_path: Path) -> None:
    async with provider('models = ["test/one"]') as (app, base_url):
        text = config_text(tmp_path, base_url)
        async with weir(tmp_path, text) as running:
            signing, now = running.gateway.snapshot.signing, asyncio.get_running_loop().time()
            signing.refused("p0", 0, now)
            app.play(load_scenario('models = ["test/one", "test/two"]'))
            await running.gateway.listings.refresh_all()
            await eventually(lambda: len(running.gateway.snapshot.catalogue.models) == 2)
            assert running.gateway.snapshot.signing is signing
            assert signing.all_refused("p0", now)
            (tmp_path / "config.toml").write_text(text + "\n")
            assert await running.gateway.reload()
            assert running.gateway.snapshot.signing.ready("p0", now)


async def test_ready_says_why_not(tmp_path: Path) -> None:
    async with weir(tmp_path, config_text(tmp_path)) as running:
        assert running.gateway.ready() == (503, {"status": "no provider is configured"})
    url = f"http://127.0.0.1:{free_port()}/v1"
    async with weir(tmp_path, config_text(tmp_path, url)) as running:
        assert running.gateway.ready()[0] == 200
        running.gateway.app.draining = True
        assert running.gateway.ready() == (503, {"status": "draining"})


async def test_a_finished_request_leaves_a_row_that_its_key_can_read(tmp_path: Path) -> None:
    async with (
        provider() as (_, base_url),
        weir(tmp_path, config_text(tmp_path, base_url, enforce=False)) as running,
    ):
        _, answer = await ask(running, "weir/lorem")
        status, body = await get(running, f"/generation?id={answer['id']}", running.key)
        assert status == 200
        assert body["data"]["tokens_completion"] == answer["usage"]["completion_tokens"]
        assert running.gateway._writer.pending <= 1
        metrics = running.gateway.office.metrics.render({}).decode()
        assert 'weir_attempts_total{outcome="ok",provider="p0"} 1.0' in metrics
    store = SqlStore.open(f"sqlite:///{tmp_path}/weir.db")
    row = store.generation(answer["id"], key_hash=None)
    store.close()
    assert row is not None
    assert (row.provider, row.status, row.streamed) == ("p0", 200, False)


async def test_keys_take_turns_and_a_refused_one_hands_over(tmp_path: Path) -> None:
    async with provider('api_key = "good"') as (app, base_url):
        keys = 'api_key = ["bad", "good"]'
        text = config_text(tmp_path, base_url).replace('api_key = "provider-key-0"', keys)
        async with weir(tmp_path, text + model_text("test/one", ("p0", "test/one"))) as running:
            signing = running.gateway.snapshot.signing
            assert len(list(signing.credentials("p0", 0.0))) == 1, "its list told which key is good"
            signing.accepted("p0", 0)
            statuses = [(await ask(running, "test/one"))[0] for _ in range(4)]
            assert statuses == [200] * 4
            assert running.gateway.office.metrics.attempts["p0", "provider_credential"] == 1
            assert running.gateway.office.metrics.attempts["p0", "ok"] == 4
            assert app.requests >= 5


async def test_the_catalogue_tells_how_endpoints_do(tmp_path: Path) -> None:
    """The issue: `/models/{a}/{s}/endpoints` with live uptime, latency and throughput."""
    async with (
        provider('models = ["test/one"]\n[answer]\ntokens = 20') as (_, base_url),
        weir(tmp_path, config_text(tmp_path, base_url, enforce=False)) as running,
    ):
        path = "/models/test/one/endpoints"
        _, before = await get(running, path, running.key)
        assert before["data"]["endpoints"][0]["uptime_last_5m"] is None
        body = {"model": "test/one", "stream": True, "messages": [{"role": "user", "content": "x"}]}
        headers = {"Authorization": f"Bearer {running.key}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{running.base_url}/chat/completions", json=body) as response,
        ):
            assert b"[DONE]" in await response.read()
        for key, told in ((running.key, True), (None, False), ("sk-or-v1-none", False)):
            _, found = await get(running, path, key)
            (row,) = found["data"]["endpoints"]
            assert (row["status"], row["uptime_last_5m"], row["uptime_last_1d"]) == (0, 100, 100)
            assert (row["latency_last_30m"] is not None) is told
            if told:
                assert 0 < row["latency_last_30m"]["p50"] <= row["latency_last_30m"]["p99"]
        assert (await get(running, "/models?sort=latency-low-to-high"))[1]["total_count"] == 1


async def test_the_list_of_a_user_needs_a_key(tmp_path: Path) -> None:
    async with (
        provider('models = ["test/one"]') as (_, base_url),
        weir(tmp_path, config_text(tmp_path, base_url) + model_text("x/y", ("p0", "y"))) as running,
    ):
        assert (await get(running, "/models/user"))[0] == 401
        status, body = await get(running, "/models/user", running.key)
        assert (status, [row["id"] for row in body["data"]]) == (200, ["x/y"])
        assert {"x/y", "test/one"} == set(await slugs(running))


async def test_the_configuration_says_who_keeps_nothing(tmp_path: Path) -> None:
    """The issue: data policies per provider and their routing; the operator's word holds."""
    async with (
        provider('models = ["test/one"]') as (_, base_url),
        weir(tmp_path, config_text(tmp_path, base_url, enforce=False)) as running,
    ):
        assert (await get(running, "/endpoints/zdr"))[1] == {"data": []}
        wish = {"provider": {"zdr": True}}
        assert (await ask(running, "test/one", **wish))[0] == 404
        file = tmp_path / "config.toml"
        said = 'retains_prompts_days = 0\ntrains_on_data = false\ndatacenters = ["DE"]\n'
        file.write_text(file.read_text().replace('slug = "p0"\n', f'slug = "p0"\n{said}'))
        assert await running.gateway.reload()
        _, body = await get(running, "/endpoints/zdr")
        assert [row["model_id"] for row in body["data"]] == ["test/one"]
        assert (await ask(running, "test/one", **wish))[0] == 200
        assert (await ask(running, "test/one", provider={"data_collection": "deny"}))[0] == 200
        (row,) = (await get(running, "/providers"))[1]["data"]
        assert (row["datacenters"], row["retains_prompts_days"]) == (["DE"], 0)
        for query, total in (("region=eu&zdr=true", 1), ("region=us", 0)):
            assert (await get(running, f"/models?{query}"))[1]["total_count"] == total
