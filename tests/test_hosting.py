"""Weir's own start as a process: its file, its signals, its end."""

import asyncio
import gc
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from proxy import hosting
from proxy.settings import ConfigError
from tests.running import Process, config_text, eventually, free_port, process, provider


def test_the_file_named_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hosting.locate(None, {}) is None
    (tmp_path / "config.toml").touch()
    assert hosting.locate(None, {}) == Path("config.toml")
    assert hosting.locate(None, {"WEIR_CONFIG": "b.toml"}) == Path("b.toml")
    assert hosting.locate("a.toml", {"WEIR_CONFIG": "b.toml"}) == Path("a.toml")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "can not read"), (b"\xff\xfe", "is not UTF-8"), (b"x = ", "$: ")],
)
def test_a_file_that_can_not_be_used(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "config.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=reason.replace("$", r"\$")):
        hosting.load(file, {})


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[timeouts]\ndrain_s = 7\n", encoding="utf-8-sig")
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    assert hosting.load(file, {}).timeouts.drain_s == 7


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate and its key, once more under other names, and odd files."""
    folder = tmp_path_factory.mktemp("pems")
    for name in ("our", "other"):
        issued = trustme.CA().issue_cert(f"{name}.example")
        issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
    key = load_pem_private_key((folder / "our.key").read_bytes(), password=None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    (folder / "locked.key").write_bytes(locked)
    (folder / "cut.pem").write_text((folder / "our.pem").read_text()[:200])
    return folder


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("our.pem", "our.key", None),
        ("our.pem", "other.key", "$.server.tls: certificate and key do not belong together"),
        ("our.key", "our.pem", "$.server.tls: certificate and key can not be used: "),
        ("our.pem", "our.pem", "$.server.tls: certificate and key can not be used: "),
        ("cut.pem", "our.key", "$.server.tls: certificate and key can not be used: "),
        ("our.pem", "locked.key", "$.server.tls.key: is encrypted"),
    ],
)
def test_a_certificate_needs_its_own_key(
    tmp_path: Path, pems: Path, certificate: str, key: str, said: str | None
) -> None:
    file = tmp_path / "config.toml"
    tls = f'certificate = "{pems}/{certificate}"\nkey = "{pems}/{key}"'
    file.write_text(f"[server.tls]\n{tls}\n")
    if said is None:
        assert hosting.load(file, {}).server.tls is not None
        return
    with pytest.raises(ConfigError) as caught:
        hosting.load(file, {})
    assert str(caught.value).startswith(said)
    assert "secret" not in str(caught.value)


def test_files_that_the_configuration_names_are_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret-key\n")
    file = tmp_path / "config.toml"
    file.write_text(f'[[providers]]\nslug = "openai"\napi_key = "file:{tmp_path}/key"\n')
    assert hosting.load(file, {}).resolved[0].keys[0].reveal() == "secret-key"
    assert hosting.load(None, {"GROQ_API_KEY": "k"}).resolved[0].provider.slug == "groq"


def test_create_is_an_application_for_other_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[timeouts]\ndrain_s = 7\n")
    monkeypatch.setenv("WEIR_CONFIG", str(file))
    hosted = hosting.create()
    assert hosted._config.timeouts.drain_s == 7
    assert hosted._reread().timeouts.drain_s == 7


async def test_a_start_that_fails_is_told_to_the_server(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[store]\nurl = "sqlite:////nowhere/weir.db"\n')
    hosted = hosting.Hosted(hosting.load(file, {}), lambda: hosting.load(file, {}))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await hosted({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]


def logged(running: Process, message: str) -> list[dict[str, Any]]:
    """The log lines with that message."""
    lines = [json.loads(line) for line in running.lines if line.startswith("{")]
    return [line for line in lines if line["message"] == message]


async def model_ids(running: Process) -> list[str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{running.url}/v1/models") as response,
    ):
        return [model["id"] for model in (await response.json())["data"]]


async def _are(running: Process, models: list[str]) -> bool:
    return await model_ids(running) == models


async def test_the_file_is_followed_and_sighup_obeyed(tmp_path: Path) -> None:
    async with provider('models = ["test/one"]') as (_, base_url):
        bind = f'bind = ["127.0.0.1:{free_port()}"]'
        file = tmp_path / "config.toml"
        file.write_text(config_text(tmp_path, base_url, server=bind))
        async with process("serve", cwd=tmp_path) as running:
            await eventually(lambda: _are(running, ["test/one"]))

            file.write_text("[server]\ncolour = 1\n")
            await eventually(lambda: logged(running, "reload refused"))
            assert logged(running, "reload refused")[0]["path"] == "$.server.colour"
            assert await model_ids(running) == ["test/one"]

            file.write_text(config_text(tmp_path, server=bind))
            await eventually(lambda: logged(running, "reloaded"))
            assert await model_ids(running) == []

            running.process.send_signal(signal.SIGHUP)
            await eventually(lambda: len(logged(running, "reloaded")) == 2)
            file.unlink()
            running.process.send_signal(signal.SIGHUP)
            await eventually(lambda: len(logged(running, "reload refused")) == 2)
            assert running.process.returncode is None


async def test_an_idle_gateway_ends_at_once(tmp_path: Path) -> None:
    arguments = ("serve", "--bind", "127.0.0.1:0", "--bind", f"unix:{tmp_path}/weir.sock")
    async with process(*arguments, cwd=tmp_path) as running:
        await eventually(lambda: (tmp_path / "weir.sock").exists())
        running.process.terminate()
        async with asyncio.timeout(20):
            assert await running.process.wait() == 0
    assert not (tmp_path / "weir.sock").exists()


async def test_a_gateway_of_one_process_is_told_as_by_signals(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    file = tmp_path / "config.toml"
    file.write_text(config_text(tmp_path))
    config = hosting.load(file, {}, bind=("127.0.0.1:0",))
    stop, listening = asyncio.Event(), asyncio.Event()
    hosted = hosting.Hosted(config, lambda: hosting.load(file, {}, bind=("127.0.0.1:0",)))
    serving = asyncio.create_task(
        hosting.serve(
            hosted, config, watched=None, on_listening=lambda _: listening.set(), stop=stop
        )
    )
    await asyncio.wait_for(listening.wait(), 20)

    def messages() -> list[str]:
        return [record.message for record in caplog.records]

    signal.raise_signal(signal.SIGHUP)
    await eventually(lambda: "reloaded" in messages())
    signal.raise_signal(signal.SIGUSR2)
    await eventually(lambda: "a rolling restart needs several workers" in messages())
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(serving, 20)
    assert stop.is_set()


async def test_the_first_of_several_waits_ends_the_others() -> None:
    event, other = asyncio.Event(), asyncio.Event()
    assert not await hosting.first(event.wait(), timeout_s=0.01)
    event.set()
    assert await hosting.first(event.wait(), other.wait())
    assert len(asyncio.all_tasks()) == 1


async def test_a_file_may_be_missing_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "WATCH_S", 0.01)
    file = tmp_path / "config.toml"
    changed = asyncio.Event()
    await hosting.watch(None, changed)
    watching = asyncio.create_task(hosting.watch(file, changed))
    await asyncio.sleep(0.03)
    assert not changed.is_set()
    file.touch()
    await asyncio.wait_for(changed.wait(), 5)
    watching.cancel()


def test_what_a_start_made_is_no_more_looked_through() -> None:
    frozen, thresholds = gc.get_freeze_count(), gc.get_threshold()
    gc.disable()
    try:
        hosting.settle()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen + 10_000
        assert gc.get_threshold() == (hosting.GC_ALLOCATIONS, *thresholds[1:])
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        gc.enable()
