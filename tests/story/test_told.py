"""What was decided on a request's way is told afterwards, over HTTP and by `weir why`."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
from click.testing import CliRunner

from proxy import cli
from tests.calling import calling
from tests.running import config_text, eventually, model_text, provider, weir

CHEAP = '{ prompt = "1e-7", completion = "1e-7" }'
SCENARIO = """
models = []
rules = [{ model = "*", tokens = 4 }]
"""


async def test_a_routers_choice_and_what_its_endpoint_was_not_sent(tmp_path: Path) -> None:
    models = model_text(
        "test/able", ("p0", "able"), pricing='{ prompt = "1e-7", completion = "1e-7" }'
    )
    models += 'supported_parameters = ["temperature", "tools"]\n'
    models += model_text("test/dear", ("p0", "dear"))
    body = {
        "model": "openrouter/auto", "messages": [{"role": "user", "content": "Hello"}],
        "seed": 3, "temperature": 0, "provider": {"sort": "throughput"},
    }  # fmt: skip
    async with provider(SCENARIO) as (_, base_url):
        text = config_text(tmp_path, base_url) + models
        async with (
            weir(tmp_path, text) as running,
            calling(running) as calls,
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {running.key}"}) as session,
        ):
            async with session.post(f"{running.base_url}/chat/completions", json=body) as answer:
                assert answer.status == 200, await answer.text()
                id = answer.headers["X-Generation-Id"]
            await eventually(lambda: id in calls.rows)
            async with session.get(f"{running.base_url}/generation?id={id}") as found:
                routing: dict[str, Any] = (await found.json())["data"]["routing"]
            command = ["why", id, "--config", str(tmp_path / "config.toml")]
            told = await asyncio.to_thread(CliRunner().invoke, cli.main, command)
    assert routing["choice"].startswith("test/able: score ")
    assert routing["attempts"][0]["dropped"] == ["seed"]
    assert routing["candidates"][0]["measured"] == "not measured yet"
    lines = told.stdout.splitlines()
    assert "asked for openrouter/auto, which chose the best buy for the request: test/able" in lines
    assert [f"  {one}" for one in routing["choice"].split("; ")] == lines[2:4]
    assert any(line.endswith(", without what it does not support: seed") for line in lines)
    assert any(line.endswith(" not measured yet") for line in lines)
