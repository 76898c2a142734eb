"""Every command as a user types it: what it prints where, and how it ends."""

import asyncio
import gc
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import click
import pytest

from proxy import __version__, cli, demo, hosting, logs
from proxy.credentials import keys_looked_for
from proxy.crew import Failed
from proxy.errors import GatewayError
from proxy.hosting import Hosted
from proxy.simulation import campaign
from proxy.simulation.campaign import Failure
from proxy.stores.sql import SqlStore
from proxy.workers import Supervisor
from tests.running import config_text, model_text, process, provider, weir
from tests.typed import Weir, typist, wrong


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weir:
    return typist(tmp_path, monkeypatch)


def test_every_command_explains_itself(invoke: Weir) -> None:
    assert invoke("--version").stdout.split()[-1] == __version__
    shown = invoke("-h").stdout
    for name, command in cli.main.commands.items():
        assert name in shown
        helped = invoke(name, "--help")
        assert helped.exit_code == 0
        for option in command.params:
            assert option.opts[0] in helped.stdout or isinstance(option, click.Argument)


# The store.


@pytest.mark.parametrize("command", [("keys", "list"), ("usage",), ("usage", "--by", "day")])
def test_without_a_store_there_is_nothing_to_tell(invoke: Weir, command: tuple[str, ...]) -> None:
    for option, printed in [((), 1), (("--json",), 0)]:
        result = invoke(*command, *option)
        assert result.exit_code == 0
        assert result.stderr == "There is no store at weir.db yet.\n"
        if printed:
            (head,) = result.stdout.splitlines()
            assert len(head.split()) > 4
        else:
            assert json.loads(result.stdout) == []
    assert not Path("weir.db").exists()


def test_without_a_store_there_is_nothing_to_revoke(invoke: Weir) -> None:
    said = wrong(invoke("keys", "revoke", "a"), code=1)
    assert said == "There is no store at weir.db yet."
    assert not Path("weir.db").exists()


STORES = {
    "missing folder": "sqlite:////nowhere/weir.db",
    "directory": "sqlite:///folder",
    "not a database": "sqlite:///rubbish.db",
}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    "command",
    [("serve", "--bind", "127.0.0.1:0"), ("keys", "create", "a"), ("keys", "revoke", "a")],
)
def test_a_bad_store_is_one_clear_line(
    invoke: Weir, monkeypatch: pytest.MonkeyPatch, store: str, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(logs, "setup", lambda level: None)
    Path("folder").mkdir()
    Path("rubbish.db").write_bytes(b"rubbish" * 100)
    text = f'[store]\nurl = "{STORES[store]}"\n[[providers]]\nslug = "vllm"\n'
    Path("config.toml").write_text(text)
    said = wrong(invoke(*command), code=1)
    assert STORES[store].rpartition("/")[2] in said


# The configuration.

COMMANDS = [
    ("serve",),
    ("check",),
    ("models",),
    ("usage",),
    ("keys", "create", "a"),
    ("keys", "list"),
    ("keys", "revoke", "a"),
    ("keys", "disable", "a"),
    ("keys", "enable", "a"),
    ("accounts", "create", "a"),
    ("accounts", "list"),
    ("credits", "grant", "1"),
    ("credits", "show"),
    ("ledger", "verify"),
    ("why", "gen-1"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_configuration_names_the_key(invoke: Weir, command: tuple[str, ...]) -> None:
    Path("config.toml").write_text("[server]\nworker = 1\n")
    said = wrong(invoke(*command))
    assert said == '$.server.worker: unknown key, did you mean "workers"?'
    Path("other.toml").write_text("[[providers]]\nslug = 'acme'\nbase_url = 'x'\n")
    assert wrong(invoke(*command, "--config", "other.toml")).startswith("$.providers[0].base_url:")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_file_that_can_not_be_read_is_one_clear_line(
    invoke: Weir, command: tuple[str, ...]
) -> None:
    said = wrong(invoke(*command, "--config", "none.toml"))
    assert said == "$: can not read none.toml: No such file or directory"
    Path("folder").mkdir()
    assert "can not read folder: Is a directory" in wrong(invoke(*command, "--config", "folder"))
    Path("latin.toml").write_bytes(b'a = "\xe4"')
    assert wrong(invoke(*command, "--config", "latin.toml")) == "$: latin.toml is not UTF-8"


def test_the_environment_names_the_file(invoke: Weir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_CONFIG", "named.toml")
    assert "named.toml" in wrong(invoke("check"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--bind", "nonsense"), '$.server.bind[0]: expected "host:port" or "unix:/path"'),
        (("--bind", "127.0.0.1:1", "--bind", "127.0.0.1:65536"), "$.server.bind[1]: "),
        (("--bind", "unix:w", "--bind", "unix:w"), '$.server.bind[1]: "unix:w" is given twice'),
    ],
)
def test_options_of_serve_are_checked(invoke: Weir, arguments: tuple[str, ...], said: str) -> None:
    assert wrong(invoke("serve", *arguments)).startswith(said)


@pytest.mark.parametrize("command", ["demo", "fake"])
@pytest.mark.parametrize("bind", ["nonsense", "127.0.0.1:99999", "", '"', "unix:"])
def test_addresses_are_checked(invoke: Weir, command: str, bind: str) -> None:
    assert wrong(invoke(command, "--bind", bind)).startswith("$.server.bind[0]: expected")


@pytest.mark.parametrize(
    "arguments",
    [("usage", "--by", "colour"), ("usage", "--days", "0"), ("usage", "--days", "9" * 400),
     ("serve", "--workers", "x"), ("serve", "--workers", "0"), ("fake",),
     ("simulate", "--seeds", "0"), ("simulate", "--seed", "-1"), ("keys", "create"), ("nothing",)],
    ids=lambda words: " ".join(words)[:30],
)  # fmt: skip
def test_a_slip_of_the_hand_gets_the_usage(invoke: Weir, arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")


# The simulated provider's scenario.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[rules]]\nfault = "cutt"', '$.rules[0].fault: no fault is called "cutt"'),
        ("[answer]\nspeed = 1", "$.answer.speed: there is no such key"),
        ("[[rules]]\nstatus = 200", "$.rules[0].status: "),
        ("x = ", "$: not TOML"),
        (None, "[Errno 2] No such file"),
    ],
)
def test_a_wrong_scenario_names_the_key(invoke: Weir, text: str | None, said: str) -> None:
    if text is not None:
        Path("bad.toml").write_text(text)
    assert wrong(invoke("fake", "--bind", "127.0.0.1:0", "--scenario", "bad.toml")).startswith(said)


# Starting, with what runs replaced.


def test_several_workers_are_supervised(invoke: Weir, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(supervisor: Supervisor, *, on_listening: Callable[[list[str]], None]) -> None:
        assert supervisor._config.server.workers == 3
        on_listening(["http://127.0.0.1:1"])
        if supervisor._config.auth.mode == "none":
            raise Failed("no disk", 3)

    monkeypatch.setattr(Supervisor, "run", run)
    monkeypatch.setattr(hosting, "settle", lambda: None)
    monkeypatch.setattr(logs, "setup", lambda level: None)
    arguments = ("serve", "--bind", "127.0.0.1:0", "--workers", "3")
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith(f"Weir {__version__} listens on http://127.0.0.1:1\n")
    Path("config.toml").write_text('[auth]\nmode = "none"')
    result = invoke(*arguments)
    assert result.exit_code == 3
    assert result.stderr.endswith("weir: no disk\n")


def test_serve_tells_where_it_listens_and_what_it_lacks(
    invoke: Weir, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(hosted: Hosted, config: Any, **told: Any) -> None:
        assert hosted._reread().server.bind == config.server.bind == ("127.0.0.1:0", "unix:w")
        assert told["watched"] is None
        assert not gc.isenabled()  # until `settle`
        told["on_listening"](["http://127.0.0.1:1", "unix:w"])
        assert settled == [True]

    settled: list[bool] = []
    monkeypatch.setattr(hosting, "serve", serve)
    monkeypatch.setattr(hosting, "settle", lambda: settled.append(True))
    monkeypatch.setattr(logs, "setup", lambda level: None)
    result = invoke("serve", "--bind", "127.0.0.1:0", "--bind", "unix:w", "--workers", "1")
    assert (result.exit_code, result.stdout) == (0, "")
    lacking, first, second = result.stderr.splitlines()
    assert all(variable in lacking for variable in keys_looked_for())
    assert first == f"Weir {__version__} listens on http://127.0.0.1:1"
    assert second.endswith("listens on unix:w")
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError("no room"), 1),
        (GatewayError("provider_unreachable", "nobody there"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_stops_a_start_is_said(
    invoke: Weir, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    async def run(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(demo, "run", run)
    result = invoke("demo", "--once")
    assert result.exit_code == code
    assert result.stderr == (f"weir: {error}\n" if code == 1 else "")


def test_fake_plays_its_scenario(invoke: Weir, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[Any] = []

    async def run_fake(bind: str, scenario: Any, *, say: Callable[[str], None]) -> None:
        played.append((bind, scenario.models))
        say("ready")

    monkeypatch.setattr(demo, "run_fake", run_fake)
    Path("good.toml").write_text('models = ["a/b"]')
    result = invoke("fake", "--bind", "127.0.0.1:0", "--scenario", "good.toml")
    assert (result.stdout, result.stderr) == ("", "ready\n")
    assert invoke("fake", "--bind", "unix:x").exit_code == 0
    assert played[0] == ("127.0.0.1:0", ("a/b",))
    assert played[1][0] == "unix:x"


def test_simulated_seeds_that_fail_can_be_played_again(
    invoke: Weir, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[range] = []

    def run(seeds: range, *, say: Callable[[str], None]) -> list[Failure]:
        played.append(seeds)
        broken = [
            Failure(seed=seed, at_s=1.5, reason="a balance below zero", events=("0.1 a grant",))
            for seed in seeds
            if seed == 7
        ]
        for failure in broken:
            say(str(failure))
        return broken

    monkeypatch.setattr(campaign, "run", run)
    result = invoke("simulate", "--seeds", "5", "--seed", "4")
    assert played == [range(4, 9)]
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "seed 7 at 1.500000 s: a balance below zero",
        "0.1 a grant",
        "4 of 5 seeds from 4 on kept every rule",
    ]
    assert result.stderr == "again: weir simulate --seeds 1 --seed 7\n"

    clean = invoke("simulate")
    assert (clean.exit_code, clean.stderr) == (0, "")
    assert clean.stdout == "1 of 1 seeds from 0 on kept every rule\n"
    assert played[1] == range(1)


def test_a_simulated_world_keeps_every_rule(invoke: Weir) -> None:
    result = invoke("simulate", "--seeds", "2", "--seed", "11")
    assert (result.exit_code, result.stdout) == (0, "2 of 2 seeds from 11 on kept every rule\n")


def test_demo_once_streams_an_answer(invoke: Weir) -> None:
    result = invoke("demo", "--once")
    assert result.exit_code == 0
    assert result.stdout.startswith("Water ")
    assert re.search(
        r"weir/lorem by Simulated, \d+ events: \d+ prompt \+ 32 completion tokens, 0\.0000\d+ USD",
        result.stdout,
    )
    assert list(Path().iterdir()) == [], "nothing is kept"


# Against a provider, and beside a running gateway.


async def test_check_and_models_ask_the_providers(invoke: Weir, tmp_path: Path) -> None:
    async with provider('models = ["test/one"]') as (_, base_url):
        text = config_text(tmp_path, base_url) + model_text("test/own", ("p0", "own"))
        (tmp_path / "config.toml").write_text(text)
        check = await asyncio.to_thread(invoke, "check")
        check_json = await asyncio.to_thread(invoke, "check", "--json")
        models = await asyncio.to_thread(invoke, "models")
        models_json = await asyncio.to_thread(invoke, "models", "--json")
    assert "1 (provider)" in check.stdout
    assert json.loads(check_json.stdout)["models"] == ["test/own", "test/one"]
    assert [line.split()[0] for line in models.stdout.splitlines()] == [
        "model", "test/own", "test/one"
    ]  # fmt: skip
    assert [row["id"] for row in json.loads(models_json.stdout)] == ["test/own", "test/one"]
    assert not (tmp_path / "weir.db").exists()


UNENFORCED = "[credits]\nenforce = false"


async def test_usage_is_told_while_the_gateway_runs(invoke: Weir, tmp_path: Path) -> None:
    async with (
        provider('models = ["test/one"]') as (_, base_url),
        weir(tmp_path, config_text(tmp_path, base_url, more=UNENFORCED)) as running,
        aiohttp.ClientSession() as session,
    ):
        for model in ("test/one", "none/such"):
            body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
            async with session.post(
                f"{running.base_url}/chat/completions",
                json=body,
                headers={"Authorization": f"Bearer {running.key}"},
            ) as response:
                await response.read()
        await running.gateway._writer.call(lambda store: store.keys())  # rows are written by then

        async def told(*arguments: str) -> Any:
            result = await asyncio.to_thread(invoke, "usage", *arguments, "--json")
            return [(row["name"], row["requests"]) for row in json.loads(result.stdout)]

        assert await told() == [("test/one", 1)]
        assert await told("--by", "provider") == [("p0", 1)]
        assert await told("--by", "key", "--days", "1") == [("test", 1)]
        today = datetime.now(UTC).date().isoformat()
        assert await told("--by", "day", "--days", "36500") == [(today, 1)]
        table = (await asyncio.to_thread(invoke, "usage")).stdout
        assert table.splitlines()[1].split()[:2] == ["test/one", "1"]


# As processes of their own.


async def test_serve_without_anything_starts_and_is_not_ready(tmp_path: Path) -> None:
    unset = dict.fromkeys(keys_looked_for(), "")
    async with (
        process("serve", "--bind", "127.0.0.1:0", cwd=tmp_path, **unset) as running,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(f"{running.url}/ready") as response:
            assert response.status == 503
            assert await response.json() == {"status": "no provider is configured"}
        async with session.get(f"{running.url}/health") as response:
            assert response.status == 200
        assert all(variable in running.lines[0] for variable in keys_looked_for())
    assert running.process.returncode == 0
    assert running.traces == ""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["serve", "demo", "fake"])
def test_a_port_in_use_is_one_clear_line(tmp_path: Path, command: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = run(command, "--bind", f"127.0.0.1:{taken.getsockname()[1]}", cwd=tmp_path)
    assert ended.returncode == 1
    *hints, line = ended.stderr.splitlines()
    assert line.startswith("weir: ")
    assert "ddress already in use" in line
    assert all(hint.startswith("No provider is configured") for hint in hints), "nothing left open"


def test_an_installed_command_is_the_same_as_the_module(tmp_path: Path) -> None:
    ended = run("keys", "create", "app", cwd=tmp_path)
    assert ended.returncode == 0
    assert re.fullmatch(r"sk-or-v1-[0-9a-f]{64}\n", ended.stdout)
    assert run("check", "--config", "none.toml", cwd=tmp_path).returncode == 2
    store = SqlStore.open(f"sqlite:///{tmp_path}/weir.db", create=False)
    kept = store.keys()
    store.close()
    assert [key.name for key in kept] == ["app"]
