"""The README, run as it stands: its configurations, its commands and its program.

Only addresses and keys are replaced, so that every byte stays on this machine.
"""

import asyncio
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, cast

import aiohttp
import pytest

from proxy.config import decode
from proxy.credentials import keys_looked_for
from proxy.gateway import Gateway
from proxy.supply import build_catalogue
from tests.running import Running, eventually, free_port, mint_key, process, provider
from tests.sdk.coding import AGENTS

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", README)


class Setup(NamedTuple):
    """A configuration of the README: its file, its text, and the commands that use it."""

    file: str
    text: str
    commands: list[list[str]]


def setups() -> Iterator[Setup]:
    for text in blocks("toml"):
        if text.startswith("# ~/.codex/"):
            continue
        found = re.match(r"# (\S+), used by: (.+)\n", text)
        assert found, "a configuration says its file and its commands"
        yield Setup(found[1], text, [part.split() for part in found[2].split(" & ")])


SETUPS = {setup.file: setup for setup in setups()}


def test_the_two_commands_stand_where_ci_looks_for_them() -> None:
    assert blocks("sh")[:2] == [
        "pip install . && weir demo --once\n",
        "pip install '.[test]' && pytest -n 2\n",
    ]


def on_loopback(text: str, base_url: str) -> str:
    """The configuration with every provider at `base_url` and any free port to listen on."""
    text = re.sub(r'(?m)^base_url = ".*"\n', "", text)
    text = re.sub(r'(?m)^(slug = ".*")$', rf'\1\nbase_url = "{base_url}"', text)
    return text.replace("127.0.0.1:8080", "127.0.0.1:0")


@asynccontextmanager
async def running(setup: Setup, folder: Path, models: list[str]) -> AsyncIterator[str]:
    """The commands of a set-up as processes; gives the gateway's address. Providers that the
    set-up does not start itself are simulated.
    """
    async with AsyncExitStack() as stack:
        port = free_port()
        base_url = f"http://127.0.0.1:{port}/v1"
        if not any(command[1] == "fake" for command in setup.commands):
            _, base_url = await stack.enter_async_context(
                provider(f"models = {json.dumps(models)}")
            )
        (folder / setup.file).write_text(on_loopback(setup.text, base_url))
        keys = dict.fromkeys(keys_looked_for(), "not-a-secret")
        url = ""
        for weir, *arguments in setup.commands:
            assert weir == "weir"
            told = [word.replace("127.0.0.1:9000", f"127.0.0.1:{port}") for word in arguments]
            started = await stack.enter_async_context(process(*told, cwd=folder, **keys))
            url = started.url
        await eventually(lambda: _lists_models(url, folder))
        yield url


async def _lists_models(url: str, folder: Path) -> bool:
    """A busy machine may need longer for the first lists than a start waits for them."""
    connector = aiohttp.UnixConnector(str(folder / url[5:])) if url.startswith("unix:") else None
    base = "http://weir" if connector else url
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"{base}/v1/models") as response,
    ):
        return bool((await response.json())["data"])


async def ask(url: str, model: str, key: str | None = None) -> str:
    """What a streamed chat says."""
    connector = aiohttp.UnixConnector(url[5:]) if url.startswith("unix:") else None
    base = "http://weir" if connector else url
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "What does a weir do?"}],
        "stream": True,
    }
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        session.post(f"{base}/api/v1/chat/completions", json=body) as response,
    ):
        text = await response.text()
        assert response.status == 200, text
    events = re.findall(r"(?m)^data: (\{.*)$", text)
    assert text.endswith("data: [DONE]\n\n")
    choices = (choice for event in events for choice in json.loads(event)["choices"])
    return "".join(choice["delta"]["content"] for choice in choices)


async def said_by(*command: str, cwd: Path) -> str:
    """What a command of Weir's prints."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", *command,
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    printed, _ = await started.communicate()
    assert started.returncode == 0
    return printed.decode().strip()


def test_these_are_the_ways_to_use_it() -> None:
    assert set(SETUPS) == {"config.toml", "clouds.toml", "sidecar.toml", "load.toml", "units.toml"}


async def test_in_front_of_apps(tmp_path: Path) -> None:
    setup = SETUPS["config.toml"]
    key = mint_key(tmp_path / "weir.db")
    await said_by("credits", "grant", "1", cwd=tmp_path)
    async with running(setup, tmp_path, ["llama-3.3-70b-versatile"]) as url:
        model = "meta-llama/llama-3.3-70b-instruct"
        assert model in setup.text
        assert (await ask(url, model, key)).startswith("Water ")
        assert await ask(url, "llama-3.3-70b-instruct", key), "nor is its author needed"
        with pytest.raises(AssertionError, match="Missing Authentication header"):
            await ask(url, model)


def test_in_the_clouds() -> None:
    account = {
        "type": "service_account",
        "project_id": "acme-1",
        "private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "client_email": "weir@acme-1.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    keys = {"AWS_BEARER_TOKEN_BEDROCK": "bedrock-key", "AZURE_OPENAI_API_KEY": "azure-key"}
    config = decode(
        SETUPS["clouds.toml"].text, environ=keys, read_file=lambda name: json.dumps(account)
    )
    found = {one.provider.slug: one.provider for one in config.resolved}
    assert {slug: provider.base_url for slug, provider in found.items()} == {
        "amazon-bedrock": "https://bedrock-runtime.eu-central-1.amazonaws.com",
        "google-vertex": "https://europe-west1-aiplatform.googleapis.com",
        "azure": "https://my-resource.openai.azure.com",
    }
    assert found["google-vertex"].options["project"] == "acme-1"
    (model,) = build_catalogue(config, {}).models.values()
    assert [endpoint.tag for endpoint in model.endpoints] == ["amazon-bedrock", "google-vertex"]
    assert all(endpoint.pricing is not None for endpoint in model.endpoints)


@pytest.mark.debian("curl")
async def test_as_a_sidecar(tmp_path: Path) -> None:
    async with running(SETUPS["sidecar.toml"], tmp_path, ["qwen3"]) as url:
        assert url == "unix:weir.sock"
        assert (await ask(f"unix:{tmp_path}/weir.sock", "qwen3")).startswith("Water ")
        (line,) = (block for block in blocks("sh") if "--unix-socket" in block)
        curl = await asyncio.create_subprocess_exec(
            *line.split(), "--silent", "--fail", cwd=tmp_path, stdout=subprocess.PIPE
        )
        listed, _ = await curl.communicate()
        assert [row["id"].rpartition("/")[2] for row in json.loads(listed)["data"]] == ["qwen3"]


async def test_under_load(tmp_path: Path) -> None:
    async with running(SETUPS["load.toml"], tmp_path, []) as url:
        answers = await asyncio.gather(*(ask(url, "weir/lorem") for _ in range(20)))
        assert len(set(answers)) == 1
        assert answers[0].startswith("Water ")


@asynccontextmanager
async def own_key(folder: Path, models: list[str]) -> AsyncIterator[tuple[str, str]]:
    """What a newcomer with a key of OpenAI's runs; gives the gateway's address and its key."""
    (shell,) = (block for block in blocks("sh") if "weir keys create" in block)
    export, *commands = [line.partition("#")[0].split() for line in shell.splitlines()]
    assert export == ["export", "OPENAI_API_KEY=sk-…"]
    assert commands == [
        ["weir", "keys", "create", "me"],
        ["weir", "credits", "grant", "10"],
        ["weir", "serve"],
    ]
    keys = {"OPENAI_API_KEY": "not-a-secret"}
    secret = await said_by(*commands[0][1:], cwd=folder)
    assert await said_by(*commands[1][1:], cwd=folder) == "10.00"
    async with provider(f"models = {json.dumps(models)}") as (_, base_url):
        # The one thing that a newcomer does not write: where OpenAI is on this machine.
        text = f'[[providers]]\nslug = "openai"\nbase_url = "{base_url}"\n'
        (folder / "config.toml").write_text(text)
        bind = ("--bind", "127.0.0.1:0")
        async with process(*commands[2][1:], *bind, cwd=folder, **keys) as weir:
            await eventually(lambda: _lists_models(weir.url, folder))
            yield weir.url, secret


async def printed_by(program: str, url: str, secret: str, folder: Path) -> str:
    """What a program of the README prints, with that address and key for its own."""
    program = program.replace("http://127.0.0.1:8080", url).replace("sk-or-v1-…", secret)
    assert url in program
    assert secret in program
    ran = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    said, errors = await ran.communicate()
    assert errors == b""
    return said.decode()


async def test_with_your_own_key(tmp_path: Path) -> None:
    chat, messages, others = blocks("python")
    named = re.findall(r'model="openai/(.*?)"', chat + messages + others)
    async with own_key(tmp_path, list(dict.fromkeys(named))) as (url, secret):
        assert (await printed_by(chat, url, secret, tmp_path)).startswith("Water ")
        assert (await printed_by(messages, url, secret, tmp_path)).startswith("Water ")
        said = await printed_by(others, url, secret, tmp_path)
    answer, vectors, image, heard = said.splitlines()
    assert answer.startswith("Water ")
    assert re.fullmatch(r"2 \d+", vectors)
    assert int(image) > 0
    assert heard.startswith("Water ")
    assert (tmp_path / "weir.wav").read_bytes().startswith(b"RIFF")


def test_what_is_not_sold_by_tokens() -> None:
    keys = {"OPENAI_API_KEY": "not-a-secret", "COHERE_API_KEY": "not-a-secret"}
    config = decode(SETUPS["units.toml"].text, environ=keys, read_file=lambda name: "")
    models = build_catalogue(config, {}).models
    found = {
        model.id: (endpoint.tasks, endpoint.pricing)
        for model in models.values()
        for endpoint in model.endpoints
    }
    for id_, task, unit in (
        ("openai/dall-e-3", "image", "output_image"),
        ("cohere/rerank-v3.5", "rerank", "search_unit"),
    ):
        tasks, pricing = found[id_]
        assert tasks == {task}
        assert getattr(pricing, unit) > 0


def test_the_agents_are_told_what_the_tests_tell_them(tmp_path: Path) -> None:
    (codex,) = (tomllib.loads(text) for text in blocks("toml") if "wire_api" in text)
    gateway = Running("http://127.0.0.1:8080", "sk-or-v1-…", cast("Gateway", None))
    assert AGENTS["codex"].setting(gateway, codex["model"], tmp_path)["WEIR_KEY"] == gateway.key
    told = tomllib.loads((tmp_path / "config.toml").read_text())
    (weir,) = codex.pop("model_providers").values()
    assert weir.items() <= told["model_providers"]["weir"].items()
    assert codex.items() <= told.items()

    (claude,) = (text for text in blocks("sh") if "claude -p" in text)
    exports = dict(re.findall(r"(?m)^export (\w+)=(\S*)", claude))
    set_there = AGENTS["claude-code"].setting(gateway, exports["ANTHROPIC_MODEL"], tmp_path)
    model = "ANTHROPIC_SMALL_FAST_MODEL"
    assert {**exports, model: set_there[model]}.items() <= set_there.items()
