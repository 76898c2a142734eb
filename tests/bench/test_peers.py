"""Other gateways: what of their packages is needed, and how each is begun and asked."""

import asyncio
import json
import tomllib
from pathlib import Path

import pytest

from bench.canned import MODEL
from bench.peers import PEERS, installed, requirements
from bench.relays import Place
from bench.target import Asking

SAID = [
    "httpx[http2]>=0.28,<1",
    "certifi>=2026.10.19",
    "fastapi>=0.136 ; extra == 'proxy'",
    "uvloop>=0.22 ; sys_platform != 'win32' and extra == 'proxy'",
    "tiktoken>=0.8 ; python_full_version < '3.14'",
    "litellm-enterprise==0.1 ; extra == 'proxy'",
    "prisma>=1 ; extra == 'extra-proxy'",
    "black>=1 ; extra == 'dev'",
]


def test_only_what_the_proxy_needs_is_installed() -> None:
    assert [one.strip() for one in requirements(SAID)] == [
        "httpx[http2]>=0.28,<1",
        "certifi",
        "fastapi>=0.136",
        "uvloop>=0.22 ; sys_platform != 'win32'",
        "tiktoken>=0.8 ; python_full_version < '3.14'",
    ]


@pytest.mark.parametrize("name", list(PEERS))
def test_each_is_begun_with_the_upstream_and_without_secrets(tmp_path: Path, name: str) -> None:
    place = Place(tmp_path, 8081, 8082, tmp_path / "peers")
    way = asyncio.run(PEERS[name].recipe(place))
    assert str(tmp_path / "peers" / name) in " ".join(way.command)
    written = "".join(file.read_text() for file in tmp_path.iterdir() if file.is_file())
    request = Asking(way.target, 5, 50.0).request
    assert "127.0.0.1:8082/v1" in written + request.decode()
    assert way.target.peer
    head, _, body = request.partition(b"\r\n\r\n")
    assert json.loads(body)["model"].endswith(MODEL)
    assert f"Content-Length: {len(body)}".encode() in head
    for file in tmp_path.glob("*.toml"):
        tomllib.loads(file.read_text())


def test_a_peer_is_installed_once_its_installation_has_ended(tmp_path: Path) -> None:
    assert not installed("litellm", None)
    (tmp_path / "litellm").mkdir()
    assert not installed("litellm", tmp_path)
    (tmp_path / "litellm" / "installed").touch()
    assert installed("litellm", tmp_path)
