"""Those who come to a simulated house, where they go, and what they are told to expect."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

from proxy.accounts.keys import Key
from proxy.accounts.ledger import Pot, account_pot, allowance_pot
from proxy.simulation import patrons, witness
from proxy.simulation.caller import Client, wish
from proxy.simulation.checks import Alarm, require
from proxy.simulation.machine import House, Machine
from proxy.simulation.market import MODELS
from proxy.simulation.script import Entry
from proxy.simulation.trace import Trace
from proxy.stores.periods import start_of


class Visitors:
    """Callers of the whole house, and patrons of its till. `keys` are by their secrets, `machines`
    the processes of now; each comes within `span_s`.
    """

    def __init__(
        self,
        rng: Random,
        house: House,
        *,
        keys: Mapping[str, Key],
        machines: Sequence[Machine],
        span_s: float,
        trace: Trace,
        alarm: Alarm,
    ) -> None:
        self._rng = rng
        self._house = house
        self._keys = keys
        self._machines = machines
        self._span_s = span_s
        self._trace = trace
        self._alarm = alarm
        self._clients: list[tuple[Client, Machine]] = []

    async def caller(self, number: int) -> None:
        """One request from its beginning, whatever becomes of it."""
        rng = self._rng
        await asyncio.sleep(rng.uniform(0, self._span_s))
        machine = rng.choice(self._machines)
        if not machine.open:
            return
        wanted = wish(rng, f"r{number}", secret=rng.choice(list(self._keys)), models=MODELS)
        client = machine.life.within(lambda: Client(wanted, self._house.loop, on_end=self._ended))
        self._clients.append((client, machine))
        self._trace.say(f"{wanted.name} comes to {machine.name}")
        task = machine.life.run(machine.serve(client.caller))
        task.add_done_callback(lambda task: self._served(client, task))

    def _ended(self, client: Client) -> None:
        """A caller sees the end of its answer: what is taken of its credit is durable by now."""
        self._trace.say(f"{client.wish.name} saw the end of {client.generation}")
        key = self._keys[client.wish.secret]
        billed = self._house.market.enforce or key.limit_nano is not None
        if billed and client.status == 200 and client.generation is not None:
            with self._alarm.noticing():
                seen = witness.Seen(client)
                if seen.complete and seen.usage and seen.usage["cost"]:
                    kept = client.generation in self._house.model.settled
                    require(kept, "a charge is durable before the end is seen", client.generation)

    def _served(self, client: Client, task: "asyncio.Task[None]") -> None:
        self._trace.say(f"{client.wish.name} is served: {client.status}")
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._alarm.ring(error)

    async def patron(self, number: int) -> None:
        """One visit to the till."""
        rng = self._rng
        await asyncio.sleep(rng.uniform(0, self._span_s))
        machine = rng.choice(self._machines)
        if not machine.open:
            return
        key = rng.choice(list(self._keys.values()))
        wanted = patrons.purpose(
            rng, f"till-{number}", at=self._house.wall(), key=key, pots=self._pots(key)
        )
        task = machine.life.run(patrons.come(machine, wanted))
        machine.busy += 1
        task.add_done_callback(lambda task: self._left(machine, wanted.id, task))
        if rng.random() < 0.2:
            await asyncio.sleep(rng.choice((0.0, 0.01, 0.2)))
            if not machine.dead:
                machine.life.within(task.cancel)

    def _pots(self, key: Key) -> tuple[Pot, ...]:
        pot = account_pot(key.account)
        if key.limit_nano is None:
            return (pot,)
        since = start_of(key.limit_reset, self._house.wall())
        return pot, allowance_pot(key.hash, limit_nano=key.limit_nano, since=since)

    def _left(self, machine: Machine, id: str, task: "asyncio.Task[patrons.Seen]") -> None:
        machine.busy -= 1
        if task.cancelled():
            return
        with self._alarm.noticing():
            seen = task.result()
            self._trace.say(f"{id} {seen.end} {seen.charge_nano}")
            if seen.end == "saw":
                kept = self._house.model.settled.get(id)
                require(kept is not None, "a charge is durable before the end is seen", id)
                assert kept is not None
                same = kept.charge_nano == seen.charge_nano
                excused = kept.generation.recovered or id in self._house.model.late
                require(same or excused, "charged what was said", kept, seen.charge_nano)

    def check_answers(self, book: Sequence[Entry], *, until: float) -> None:
        """What callers saw against what the providers' books and the ledger say. `until` is when
        the world began to end. Raises Broken.
        """
        vault = self._house.model
        for client, machine in self._clients:
            id = client.generation
            kept = None if id is None else vault.settled.get(id)
            if id is None or kept is None or kept.generation.recovered or id in vault.late:
                whole = client.ended and client.status == 200 and not machine.dead
                require(kept is not None or not whole, "an answer has its row", id)
                continue
            row, version = kept.generation, self._house.priced[id]
            mine = [entry for entry in book if entry.request == client.wish.name]
            market = self._house.market
            witness.check_answer(client, row, mine, market=market, version=version)
            won = [one for one in mine if one.provider == row.provider]
            if won and row.cancelled and not machine.stalled:
                priced = market.charge_nano(
                    version, row.provider, row.endpoint_model, prompt=10**6, completion=10**6
                )
                witness.check_hang_up(
                    client,
                    won[-1],
                    content=witness.Seen(client).text_bytes > 0,
                    priced=priced > 0,
                    until=until,
                )
