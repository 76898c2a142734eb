"""`python -m bench.peers FOLDER`: installs other gateways beside the project, to measure them too.

From PyPI and npm only, each in an environment of its own below FOLDER; one gigabyte together. The
same module says how each is begun: one process, its log and its record of requests off.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import click

from bench.canned import MODEL
from bench.relays import Place, Recipe, Way
from bench.target import PATH, Target

LITELLM: Final = "1.108.11"
PORTKEY: Final = "1.15.2"
HONO: Final = "1.13.5"  # with later ones Portkey's streams fail
TENSORZERO: Final = "2026.6.0"
_LEFT_OUT: Final = ("litellm-enterprise", "pyroscope-io")  # no gateway needs them
_LOOSE: Final = ("certifi",)  # pinned to its newest day, which not every index has yet

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_PROXY: Final = re.compile(r"""extra == ['"]proxy['"]""")

_REQUIREMENTS: Final = """
import importlib.metadata, json
print(json.dumps(importlib.metadata.requires("litellm")))
"""

_LITELLM: Final = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: not-a-secret
litellm_settings:
  num_retries: 0
  telemetry: false
  turn_off_message_logging: true
general_settings:
  master_key: sk-bench
"""

_TENSORZERO: Final = """
[gateway]
observability.enabled = false

[models."{model}"]
routing = ["canned"]

[models."{model}".providers.canned]
type = "openai"
api_base = "http://127.0.0.1:{upstream}/v1/"
model_name = "{model}"
api_key_location = "none"
"""

_TENSORZERO_START: Final = """
import signal, sys, urllib.parse
import tensorzero
gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None,
    async_setup=False,
)
with open(sys.argv[2], "w") as file:
    file.write(str(urllib.parse.urlsplit(gateway.base_url).port))
signal.pause()
"""


class Peer(NamedTuple):
    """Another gateway: how it is installed into a folder, and its recipe."""

    install: Callable[[Path], None]
    recipe: Recipe


def _folder(place: Place, name: str) -> Path:
    assert place.peers is not None
    return place.peers.absolute() / name


async def litellm(place: Place) -> Way:
    """LiteLLM's proxy, one worker; a master key, since without one it looks for none."""
    file = place.folder / "litellm.yaml"
    file.write_text(_LITELLM.format(model=MODEL, upstream=place.upstream), encoding="utf-8")
    program = _folder(place, "litellm") / "bin" / "litellm"
    command = [str(program), "--config", str(file), "--host", "127.0.0.1",
               "--port", str(place.port), "--num_workers", "1", "--telemetry", "False"]  # fmt: skip
    environ = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return Way(command, Target(place.port, "sk-bench", None, peer=True), environ)


async def portkey(place: Place) -> Way:
    """Portkey's gateway without its console; each request says where it goes."""
    program = _folder(place, "portkey") / "node_modules/@portkey-ai/gateway/build/start-server.js"
    command = ["node", str(program), f"--port={place.port}", "--headless"]
    headers = (
        "x-portkey-provider: openai\r\n"
        f"x-portkey-custom-host: http://127.0.0.1:{place.upstream}/v1\r\n"
    )
    return Way(command, Target(place.port, "none", None, headers=headers, peer=True))


async def tensorzero(place: Place) -> Way:
    """TensorZero's gateway out of its Python package; it chooses its port itself."""
    file, port_file = place.folder / "tensorzero.toml", place.folder / "port"
    file.write_text(_TENSORZERO.format(model=MODEL, upstream=place.upstream), encoding="utf-8")
    python = _folder(place, "tensorzero") / "bin" / "python"
    command = [str(python), "-c", _TENSORZERO_START, str(file), str(port_file)]
    target = Target(
        0, "none", None, path=f"/openai{PATH}", model=f"tensorzero::model_name::{MODEL}", peer=True
    )
    return Way(command, target, port_file=port_file)


# Installing.


def _environment(folder: Path) -> tuple[str, ...]:
    """A virtual environment there, and how its pip installs."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet")


def _install_litellm(folder: Path) -> None:
    """Itself first, then all that its proxy needs, but for what no index may have."""
    pip = _environment(folder)
    subprocess.run([*pip, "--no-deps", f"litellm=={LITELLM}"], check=True)
    asked = subprocess.run([pip[0], "-c", _REQUIREMENTS], check=True, capture_output=True)
    needed = requirements(json.loads(asked.stdout))
    subprocess.run([*pip, *needed], check=True)


def requirements(said: list[str]) -> list[str]:
    """What of a package's requirements its extra `proxy` needs here."""
    needed = []
    for one in said:
        what, _, marker = one.partition(";")
        name = _NAME.findall(what)[0]
        if name in _LEFT_OUT or ("extra" in marker and not _PROXY.search(marker)):
            continue
        others = [part for part in marker.split(" and ") if part.strip() and "extra" not in part]
        what = name if name in _LOOSE else what.strip()
        needed.append(f"{what} ;{' and '.join(others)}" if others else what)
    return needed


def _install_portkey(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        "private": True,
        "dependencies": {"@portkey-ai/gateway": PORTKEY},
        "overrides": {"@hono/node-server": HONO},
    }
    (folder / "package.json").write_text(json.dumps(wanted), encoding="utf-8")
    subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=folder, check=True)


def _install_tensorzero(folder: Path) -> None:
    subprocess.run([*_environment(folder), f"tensorzero=={TENSORZERO}"], check=True)


PEERS: Final = {
    "litellm": Peer(_install_litellm, litellm),
    "portkey": Peer(_install_portkey, portkey),
    "tensorzero": Peer(_install_tensorzero, tensorzero),
}


def installed(name: str, folder: Path | None) -> bool:
    """Whether that peer is to be found in `folder`."""
    return folder is not None and (folder / name / "installed").exists()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--only", type=click.Choice(list(PEERS)), multiple=True, help="Not all of them.")
def main(folder: Path, only: tuple[str, ...]) -> None:
    """Install other gateways into FOLDER; `python -m bench --peers FOLDER` measures them."""
    for name in only or PEERS:
        if installed(name, folder):
            click.echo(f"{name} is there")
            continue
        click.echo(f"{name} …")
        try:
            PEERS[name].install(folder / name)
        except (OSError, subprocess.CalledProcessError) as error:
            click.echo(f"{name} can not be installed: {error}", err=True)
            sys.exit(1)
        (folder / name / "installed").touch()
        click.echo(f"{name} is installed")


if __name__ == "__main__":
    main()
