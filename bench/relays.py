"""The relays that this project brings or configures itself: nginx, a bare pipe, and Weir.

A recipe writes what its relay needs into a folder, and says how it is begun and asked.
"""

import asyncio
import shutil
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.canned import MODEL, OTHER
from bench.processes import ROOT, NotRunning, clean_environ
from bench.target import Target

_NGINX = """
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err error;
events {{ worker_connections 20000; }}
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
    listen 127.0.0.1:{port} backlog=4096;
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
workers = {workers}
http1 = "{http1}"

[upstream]
transport = "{transport}"

[store]
url = "sqlite:///{folder}/weir.db"
"""

_PROVIDER = """
[[providers]]
slug = "{slug}"
name = "{slug}"
base_url = "http://127.0.0.1:{upstream}{base}"
api_key = "not-a-secret"
author = "bench"
dialect = "{dialect}"
auth = "{auth}"
"""

_MODEL = """
[[models]]
id = "{id}"
name = "Canned"
context_length = 32768
"""

_ENDPOINT = """
  [[models.endpoints]]
  provider = "{slug}"
  model = "{id}"
  pricing = {{ prompt = "0.000001", completion = "0.000002" }}
"""

LIMITS = """
[limits]
requests_per_minute = 1000000000
tokens_per_minute = 1000000000000
concurrent_requests = 1000000
account_requests_per_minute = 1000000000
account_tokens_per_minute = 1000000000000
account_concurrent_requests = 1000000
"""

_OPEN = """
[auth]
mode = "none"

[credits]
enforce = false
"""


class Place(NamedTuple):
    """Where a relay is set up: its folder, its port and the upstream's, and where peers are."""

    folder: Path
    port: int
    upstream: int
    peers: Path | None


class Variant(NamedTuple):
    """What stands in Weir's configuration for how it speaks HTTP, and with how many processes."""

    http1: str = "weir"
    transport: str = "weir"
    workers: int = 1


WEIR: Final = Variant()


class Way(NamedTuple):
    """How a relay is begun, and how it is asked: `target` lacks only its process. One that chooses
    its port itself writes it to `port_file`.
    """

    command: Sequence[str]
    target: Target
    environ: Mapping[str, str] = {}
    port_file: Path | None = None


Recipe = Callable[[Place], Coroutine[Any, Any, Way]]


async def nginx(place: Place) -> Way:
    """Debian's nginx, one process, nothing buffered, connections to the upstream kept."""
    file = place.folder / "nginx.conf"
    values = {"folder": place.folder, "port": place.port, "upstream": place.upstream}
    file.write_text(_NGINX.format(**values), encoding="utf-8")
    command = [str(nginx_program()), "-p", str(place.folder), "-c", str(file)]
    return Way(command, Target(place.port, "none", None))


def nginx_program() -> str | None:
    """Where nginx is; Debian keeps it where only the superuser looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


async def pipe(place: Place) -> Way:
    """Bytes handed over by Python, unread."""
    command = [sys.executable, "-m", "bench.pipe", str(place.port), str(place.upstream)]
    return Way(command, Target(place.port, "none", None))


def weir_config(place: Place, *, more: str, endpoints: int, variant: Variant = WEIR) -> Path:
    """A configuration with one model at so many providers, and one at a provider that speaks as
    Anthropic does. `more` are further tables.
    """
    upstream = place.upstream
    slugs = [f"canned-{number + 1}" for number in range(endpoints)]
    providers = [
        *((slug, "/v1", "openai", "bearer") for slug in slugs),
        ("claude", "", "anthropic", "x-api-key"),
    ]
    parts = [
        _WEIR.format(folder=place.folder, port=place.port, **variant._asdict()),
        more,
        *(
            _PROVIDER.format(slug=slug, upstream=upstream, base=base, dialect=dialect, auth=auth)
            for slug, base, dialect, auth in providers
        ),
        _MODEL.format(id=MODEL),
        *(_ENDPOINT.format(slug=slug, id=MODEL) for slug in slugs),
        _MODEL.format(id=OTHER),
        _ENDPOINT.format(slug="claude", id=OTHER),
    ]
    file = place.folder / "weir.toml"
    file.write_text("\n".join(parts), encoding="utf-8")
    return file


def weir(variant: Variant) -> Recipe:
    """Weir complete: a key with limits of every kind, credit that is enforced, three endpoints to
    choose from, a row and a durable charge for each request.
    """

    async def prepare(place: Place) -> Way:
        file = weir_config(place, more="", endpoints=3, variant=variant)
        limits = ["--rpm", "900000000", "--tpm", "900000000000", "--concurrent", "900000"]
        key = await _weir(file, "keys", "create", "bench", *limits)
        await _weir(file, "credits", "grant", "1000000")
        return _serving(place, file, key)

    return prepare


async def weir_open(place: Place) -> Way:
    """Weir as somebody runs it alone on a machine: no keys, no credit, one endpoint."""
    file = weir_config(place, more=_OPEN, endpoints=1)
    return _serving(place, file, "none")


def _serving(place: Place, file: Path, key: str) -> Way:
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
    return Way(command, Target(place.port, key, None, other=OTHER))


async def _weir(file: Path, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", *command,
        "--config", str(file), cwd=ROOT, env=clean_environ(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, said = await process.communicate()
    if process.returncode != 0:
        raise NotRunning(f"weir {' '.join(command)}: {said.decode()}")
    return out.decode().strip()
