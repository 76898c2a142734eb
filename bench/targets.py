"""What is measured: the upstream itself, and relays in front of it, each a process of its own."""

import asyncio
import contextlib
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from bench.machine import pinned
from bench.upstream import MODEL

NAMES = ("direct", "nginx", "weir")
START_S = 20.0
STOP_S = 15.0
_ROOT = Path(__file__).parent.parent

_NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_body_buffer_size 64k;
  keepalive_requests 10000000;
  upstream provider {{
    server 127.0.0.1:{upstream};
    keepalive 1024;
    keepalive_requests 10000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""

_WEIR = """
[server]
bind = ["127.0.0.1:{port}"]

[store]
url = "sqlite:///{folder}/weir.db"

[[providers]]
slug = "canned"
name = "Canned"
base_url = "http://127.0.0.1:{upstream}/v1"
api_key = "not-a-secret"
author = "bench"

[[models]]
id = "{model}"
name = "Canned"
context_length = 32768

  [[models.endpoints]]
  provider = "canned"
  model = "{model}"
  pricing = {{ prompt = "0.000001", completion = "0.000002" }}
"""


class Target(NamedTuple):
    """Something that answers on a loopback port; `pid` is None where no relay stands between."""

    port: int
    key: str
    pid: int | None


class NotRunning(Exception):
    """A process did not start or did not stay; its text says what it wrote."""


def missing(name: str) -> bool:
    """Whether the program for that target is not installed."""
    return name == "nginx" and _nginx() is None


@contextlib.asynccontextmanager
async def upstream(core: int) -> AsyncIterator[int]:
    """The upstream on that core; gives its port."""
    with pinned(core):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.upstream", cwd=_ROOT, stdout=asyncio.subprocess.PIPE
        )
    assert process.stdout is not None
    async with _stopping(process):
        line = await asyncio.wait_for(process.stdout.readline(), START_S)
        if not line.strip():
            raise NotRunning("the upstream did not start")
        yield int(line)


@contextlib.asynccontextmanager
async def target(name: str, upstream_port: int, folder: Path, core: int) -> AsyncIterator[Target]:
    """One of `NAMES`, newly started on that core with its files in `folder`; stopped at the end.

    Raises NotRunning.
    """
    if name == "direct":
        yield Target(upstream_port, "none", None)
        return
    port, key = _free_port(), "none"
    command = [str(_nginx()), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    if name == "weir":
        command = [sys.executable, "-m", "proxy", "serve", "--config", str(folder / "weir.toml")]
    for file, text in (("nginx.conf", _NGINX), ("weir.toml", _WEIR)):
        filled = text.format(port=port, upstream=upstream_port, folder=folder, model=MODEL)
        (folder / file).write_text(filled, encoding="utf-8")
    if name == "weir":
        key = await _create_key(folder)
    with (folder / "errors").open("wb") as errors:
        with pinned(core):
            process = await asyncio.create_subprocess_exec(
                *command, cwd=_ROOT, env=_environ(), stdout=errors, stderr=errors
            )
        async with _stopping(process):
            await _listening(process, port, folder)
            yield Target(port, key, process.pid)
            if process.returncode is not None:
                raise NotRunning(f"{name} ended by itself: {_said(folder)}")


async def _create_key(folder: Path) -> str:
    """A key and credit to spend, as an operator would make them."""
    key = await _weir(folder, "keys", "create", "bench")
    await _weir(folder, "credits", "grant", "1000000")
    return key


async def _weir(folder: Path, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", *command,
        "--config", str(folder / "weir.toml"), cwd=_ROOT, env=_environ(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, said = await process.communicate()
    if process.returncode != 0:
        raise NotRunning(f"weir {' '.join(command)}: {said.decode()}")
    return out.decode().strip()


@contextlib.asynccontextmanager
async def _stopping(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_S)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int, folder: Path) -> None:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + START_S
    while loop.time() < deadline_s and process.returncode is None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.02)  # another program's start has no event to wait for
    raise NotRunning(f"it did not start: {_said(folder)}")


def _said(folder: Path) -> str:
    return (folder / "errors").read_text(errors="replace")[-2000:]


def _environ() -> dict[str, str]:
    """This environment without what would change a configuration."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("_API_KEY") and not name.startswith("WEIR_")
    }


def _nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
