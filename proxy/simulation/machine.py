"""One process of the simulated house: the real flow and treasury on a simulated disk."""

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from proxy.accounts.keys import Key
from proxy.accounts.ledger import Settlement
from proxy.dialects import INBOUND
from proxy.pipeline.admit import Gate
from proxy.pipeline.flow import Flow
from proxy.routing.health import Pool
from proxy.serving.caller import Caller
from proxy.simulation.disk import Disk, Weather
from proxy.simulation.loop import Life, Loop
from proxy.simulation.market import Market
from proxy.simulation.network import Network, Wire
from proxy.simulation.supervisor import Supervisor
from proxy.simulation.vault import ModelVault
from proxy.stores.schema import StoreUnavailable
from proxy.stores.treasury import Treasury
from proxy.upstream.transport import Call
from proxy.wire.record import Try

BOOT_PAUSE_S: Final = 0.2
IDLE_S: Final = 0.5  # a world lasts for seconds only


class House:
    """What all processes share."""

    def __init__(
        self,
        loop: Loop,
        *,
        vault: Any,
        model: ModelVault,
        weather: Weather,
        market: Market,
        answer: Callable[[Call, Wire], None],
        supervisor: Supervisor,
        keys: Mapping[str, Key],
        wall: Callable[[], float],
        granted: Callable[[str], int],
        noted: Callable[[str], None],
    ) -> None:
        self.loop = loop
        self.vault = vault
        self.model = model  # what is in it, for who may look
        self.weather = weather
        self.market = market
        self.answer = answer
        self.supervisor = supervisor
        self.keys = keys
        self.wall = wall
        self.granted = granted
        self.noted = noted
        self.version = 0  # of the prices
        self.priced: dict[str, int] = {}  # by generation, the version it began with


class Machine:
    """A process and the thread of its store. They die together; a stall may stop only the loop."""

    def __init__(self, name: str, house: House, rng: Random) -> None:
        self.name = name
        self._house = house
        self._rng = rng
        self._owners = 0
        self._ids = 0
        self.life = Life(name, house.loop)
        self.thread = Life(f"{name}'s disk", house.loop)
        self.life.on_killed = self._killed
        self.thread.on_killed = self.life.kill
        self.open = False
        self.stalled = False  # once, at least
        self.busy = 0
        self.life.within(self._furnish)

    def _furnish(self) -> None:
        house, loop = self._house, self._house.loop
        self.disk = Disk(house.vault, thread=self.thread, weather=house.weather, noted=house.noted)
        self.treasury = Treasury(
            self.disk.call,
            new_owner=self._new_owner,
            clock=loop.time,
            wall=house.wall,
            idle_s=IDLE_S,
        )
        self.limits = house.supervisor.join(self.name, self.life)
        self.network = Network(house.answer, self.life, Random(self._rng.random()))
        self.gate = Gate(self.treasury, self.limits, bought=house.granted, clock=loop.time)
        self.flow = Flow(
            snapshot=lambda: house.market.snapshot(house.version),
            books=_Books(self.disk, house.keys),
            gate=self.gate,
            pool=Pool(house.market.judging, rng=Random(self._rng.random()).random),
            transport=self.network,
            clock=loop.time,
            wall=house.wall,
            rng=Random(self._rng.random()).random,
            new_id=self._new_id,
            agent="simulated",
        )

    def _new_owner(self) -> str:
        self._owners += 1
        return f"{self.name}-{self._owners}"

    def _new_id(self, wall: float) -> str:
        self._ids += 1
        id = f"gen-{self.name}-{self._ids}"
        self._house.priced[id] = self._house.version
        return id

    def _killed(self) -> None:
        self.open = False
        self._house.noted(f"{self.name} is killed")
        self.thread.kill()
        self.network.down()
        self._house.supervisor.drop(self.name)

    @property
    def dead(self) -> bool:
        """Whether it was killed."""
        return self.life.dead

    @property
    def at_rest(self) -> bool:
        """Whether it is open and has nothing to do."""
        limits = self.limits
        busy = self.busy or self.flow.under_way or self.disk.pending
        return self.open and not (busy or limits.unfinished or limits.asking)

    async def boot(self) -> None:
        """Begin, and begin again while the disk refuses; in the life of the process."""
        while not self.open:
            try:
                await self.treasury.open()
                self.open = True
            except StoreUnavailable:
                await asyncio.sleep(BOOT_PAUSE_S)
        self._house.noted(f"{self.name} is open")

    async def serve(self, caller: Caller) -> None:
        """One request, in the life of the process."""
        await self.flow.serve(caller, INBOUND["chat"])

    async def finish(self) -> None:
        """End what callers that are gone have left, and write all that is to be written."""
        await self.flow.close()
        await self.disk.drain()

    async def close(self) -> None:
        """End in peace, after `finish`."""
        await self.limits.close()
        await self.treasury.close()
        self.open = False

    def plan_death(self) -> None:
        """Death at some near step of the loop or of the store's thread."""
        victim = self.life if self._rng.random() < 0.7 else self.thread
        victim.kill_at = victim.steps + self._rng.randrange(1, 300)

    def spare(self) -> None:
        """Live, after all."""
        self.life.kill_at = self.thread.kill_at = None

    def stall(self, *, whole: bool) -> None:
        """Stop the loop, and the store's thread as well where `whole`."""
        self.stalled = True
        self.life.stall()
        if whole:
            self.thread.stall()

    def resume(self) -> None:
        """Go on."""
        self.thread.resume()
        self.life.resume()


class _Books:
    """A flow's books, over the disk."""

    def __init__(self, disk: Disk, keys: Mapping[str, Key]) -> None:
        self._disk = disk
        self._keys = keys

    def key(self, hash: str) -> Key | None:
        return self._keys.get(hash)

    def tried(self, note: Try) -> None:
        """Nobody counts."""

    def noted(self, settlement: Settlement) -> None:
        self._disk.checkpoint(settlement)

    def finished(self, settlement: Settlement) -> None:
        self._disk.submit(settlement)

    def settled(self, settlement: Settlement) -> "asyncio.Future[None]":
        return self._disk.settle(settlement)

    def refused(self, kind: str) -> None:
        """Nobody counts."""
