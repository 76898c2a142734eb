"""The newcomer's first minute, typed as it is printed; and the simulated provider as a program."""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from proxy import demo
from proxy.settings import ConfigError
from proxy.upstream.fake import load_scenario
from tests.running import eventually, process


@asynccontextmanager
async def printed(bind: str, cwd: Path) -> AsyncIterator[str]:
    """`weir demo` as a process, once it has said everything; it ends with 0."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", "demo", "--bind", bind,
        cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "TMPDIR": str(cwd)},
    )  # fmt: skip
    assert started.stdout is not None
    try:
        async with asyncio.timeout(30):
            yield (await started.stdout.readuntil(b"Ctrl-C ends the demo.\n")).decode()
    finally:
        started.send_signal(signal.SIGINT)
        _, errors = await started.communicate()
    assert (started.returncode, errors) == (0, b"")
    assert not any(name.startswith("weir-demo-") for name in os.listdir(cwd)), "nothing is kept"


@pytest.mark.debian("curl")
@pytest.mark.parametrize("kind", ["port", "socket"])
async def test_the_printed_line_works_as_it_is(tmp_path: Path, kind: str) -> None:
    bind = "127.0.0.1:0" if kind == "port" else f"unix:{tmp_path}/a b.sock"
    async with printed(bind, tmp_path) as text:
        base = re.search(r"^Base URL  (http://\S+/api/v1)$", text, re.MULTILINE)
        key = re.search(r"^Key       (sk-or-v1-[0-9a-f]{64})$", text, re.MULTILINE)
        line = re.search(r"^curl .*$", text, re.MULTILINE)
        assert base
        assert key
        assert line
        assert key[1] in line[0]
        assert base[1] in line[0]
        assert ("Socket    unix:" in text) is (kind == "socket")
        curl = await asyncio.create_subprocess_exec(
            *shlex.split(line[0]), "--silent", "--show-error", "--fail", stdout=subprocess.PIPE
        )
        answer, _ = await curl.communicate()
    assert curl.returncode == 0
    *events, done = [part for part in answer.decode().split("\n\n") if part.startswith("data: ")]
    assert done == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    said = "".join(choice["delta"]["content"] for chunk in chunks for choice in chunk["choices"])
    assert said.startswith("Water ")
    assert chunks[-1]["usage"]["cost"] > 0
    assert {chunk["provider"] for chunk in chunks} == {"Simulated"}


async def test_every_fault_is_offered(tmp_path: Path) -> None:
    async with printed("127.0.0.1:0", tmp_path) as text:
        found = re.search(r"^Base URL  (\S+)$", text, re.MULTILINE)
        assert found
        async with aiohttp.ClientSession() as session, session.get(f"{found[1]}/models") as answer:
            names = [row["id"] for row in (await answer.json())["data"]]
    assert names[0] == "weir/lorem"
    assert sum(name.startswith("fault/") for name in names) > 40


async def test_a_bad_address_ends_the_demo_and_its_provider() -> None:
    before = asyncio.all_tasks()
    with pytest.raises(ConfigError, match=r"^\$\.server\.bind\[0\]: expected"):
        await demo.run("nonsense", once=False, say=lambda _: None)
    assert asyncio.all_tasks() == before


async def test_an_answer_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*arguments: object, **more: object) -> tuple[int, bytes]:
        return 502, b"no water"

    monkeypatch.setattr(demo, "fetch", refused)
    with pytest.raises(OSError, match="the gateway answered 502: no water"):
        await demo.run("127.0.0.1:0", once=True, say=lambda _: None)


@pytest.mark.parametrize("kind", ["port", "socket"])
async def test_the_provider_alone_plays_its_scenario(tmp_path: Path, kind: str) -> None:
    bind = "127.0.0.1:0" if kind == "port" else f"unix:{tmp_path}/fake.sock"
    (tmp_path / "scenario.toml").write_text('models = ["a/b"]\napi_key = "k"')
    arguments = ("fake", "--bind", bind, "--scenario", "scenario.toml")
    async with process(*arguments, cwd=tmp_path) as running:
        socket = aiohttp.UnixConnector(f"{tmp_path}/fake.sock") if kind == "socket" else None
        base = "http://fake/v1" if socket else running.url
        assert socket is None or running.url == bind
        async with (
            aiohttp.ClientSession(connector=socket) as session,
            session.get(f"{base}/models", headers={"Authorization": "Bearer k"}) as response,
        ):
            assert [row["id"] for row in (await response.json())["data"]] == ["a/b"]
    assert running.process.returncode == 0


async def test_the_provider_alone_ends_on_a_signal() -> None:
    said: list[str] = []
    task = asyncio.create_task(
        demo.run_fake("127.0.0.1:0", load_scenario(""), say=said.append)
    )  # fmt: skip
    await eventually(lambda: said)
    assert re.fullmatch(r"The simulated provider listens on http://127\.0\.0\.1:\d+/v1", said[0])
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(20):
        await task


@pytest.mark.parametrize(
    ("address", "first"), [("unix:{}/demo.sock", "Socket    unix:"), ("127.0.0.1:0", "Base URL  ")]
)
async def test_the_demo_says_how_to_go_on_and_ends_on_a_signal(
    tmp_path: Path, address: str, first: str
) -> None:
    said: list[str] = []
    bind = address.format(tmp_path)
    task = asyncio.create_task(demo.run(bind, once=False, say=said.append))
    await eventually(lambda: any("Ctrl-C" in line for line in said))
    assert said[0].startswith(first)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(20):
        await task


async def test_once_says_what_it_cost() -> None:
    said: list[str] = []
    await demo.run("127.0.0.1:0", once=True, say=said.append)
    answer, account = said
    assert answer.startswith("Water ")
    assert account.endswith("0.000069000 USD")
