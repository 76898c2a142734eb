"""The test bench itself: a request goes through a provider and a gateway, on every server."""

from pathlib import Path

import aiohttp
import pytest

from tests.running import SERVERS, config_text, process, provider, weir


@pytest.mark.parametrize("server", SERVERS)
async def test_a_request_goes_through(tmp_path: Path, server: str) -> None:
    async with (
        provider(server=server) as (app, base_url),
        weir(tmp_path, config_text(tmp_path, base_url, enforce=False), server) as running,
        aiohttp.ClientSession() as session,
    ):
        body = {"model": "weir/lorem", "messages": [{"role": "user", "content": "hello"}]}
        headers = {"Authorization": f"Bearer {running.key}"}
        url = f"{running.base_url}/chat/completions"
        async with session.post(url, json=body, headers=headers) as response:
            answer = await response.json()
        assert response.status == 200
        assert answer["provider"] == "P0"
        assert app.requests == 2  # the list of models, and this


async def test_a_process_starts_and_ends(tmp_path: Path) -> None:
    async with provider() as (_, base_url):
        (tmp_path / "config.toml").write_text(config_text(tmp_path, base_url))
        async with (
            process("serve", "--bind", "127.0.0.1:0", cwd=tmp_path) as running,
            aiohttp.ClientSession() as session,
        ):
            async with session.get(f"{running.url}/health") as response:
                assert response.status == 200
            assert running.rss_bytes > 0 < running.open_files
        assert running.process.returncode == 0
