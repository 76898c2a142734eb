"""What is measured: the upstream itself, and relays in front of it, each a process of its own."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

from bench import peers
from bench.processes import free_port, running
from bench.relays import WEIR, Place, Recipe, Variant, nginx, nginx_program, pipe, weir, weir_open
from bench.target import Target


def _nothing(_peers: Path | None) -> str | None:
    return None


class Kind(NamedTuple):
    """How a target is begun, None for the upstream itself; what it lacks to be measured, given the
    folder of the peers; whether it is measured unasked.
    """

    recipe: Recipe | None
    lacking: Callable[[Path | None], str | None] = _nothing
    usual: bool = True


def _no_nginx(_peers: Path | None) -> str | None:
    return None if nginx_program() else "it is not installed (Debian: nginx-light)"


def _peer(name: str) -> Kind:
    def lacking(folder: Path | None) -> str | None:
        if peers.installed(name, folder):
            return None
        return "it is not installed (python -m bench.peers FOLDER, then --peers FOLDER)"

    return Kind(peers.PEERS[name].recipe, lacking)


KINDS: dict[str, Kind] = {
    "direct": Kind(None),
    "nginx": Kind(nginx, _no_nginx),
    "pipe": Kind(pipe),
    "weir": Kind(weir(WEIR)),
    "weir-open": Kind(weir_open),
    "weir-hypercorn": Kind(weir(Variant(http1="hypercorn")), usual=False),
    "weir-aiohttp": Kind(weir(Variant(transport="aiohttp")), usual=False),
    "weir-x2": Kind(weir(Variant(workers=2)), usual=False),
    **{name: _peer(name) for name in peers.PEERS},
}
"""All targets by name; `weir-x2` is the same as `weir` by two workers on two cores."""

USUAL = [name for name, kind in KINDS.items() if kind.usual]


@contextlib.asynccontextmanager
async def target(name: str, place: Place, cores: set[int]) -> AsyncIterator[Target]:
    """One of `KINDS`, newly started on those cores at `place`; stopped at the end.

    Raises NotRunning.
    """
    recipe = KINDS[name].recipe
    if recipe is None:
        yield Target(place.upstream, "none", None)
        return
    way = await recipe(place)

    def port() -> int:
        return place.port if way.port_file is None else int(way.port_file.read_text())

    async with running(
        way.command, folder=place.folder, cores=cores, environ=way.environ, port=port
    ) as process:
        yield way.target._replace(pid=process.pid, port=port())


def place(folder: Path, upstream: int, peers: Path | None) -> Place:
    """Where a target is set up: that folder, and a port of its own."""
    return Place(folder, free_port(), upstream, peers)
