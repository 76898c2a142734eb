"""One simulated world: a house of several processes, those who come to it, and all that goes wrong.

Everything is drawn from the seed and nothing from outside, so that a seed is a story that can be
told again.
"""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final

from proxy.simulation import scenario, witness
from proxy.simulation.checks import Alarm, Auditor, Broken, require
from proxy.simulation.loop import Loop
from proxy.simulation.machine import House, Machine
from proxy.simulation.market import Market
from proxy.simulation.provider import town
from proxy.simulation.supervisor import Supervisor
from proxy.simulation.trace import Trace
from proxy.simulation.twin import Twin
from proxy.simulation.vault import ModelVault
from proxy.simulation.visitors import Visitors
from proxy.stores.ledger import SqlLedger

WALL: Final = 1_750_000_000.0
REST_S: Final = 60.0
CLOSE_S: Final = 30.0
LINGER_S: Final = 3.0  # of a good answer whose provider does not end it


class World:
    """A world of `seed`, whose every transaction is followed by an auditor. With a `ledger`, which
    must be empty, the model store and the real one are used side by side.
    """

    def __init__(self, seed: int, loop: Loop, *, ledger: SqlLedger | None = None) -> None:
        self._rng = rng = Random(f"world {seed}")
        self._loop = loop
        self.trace = Trace(loop.time)
        self.vault = ModelVault()
        self._alarm = Alarm(loop)
        self._audited = (0, 0)
        self._jumped_s = 0.0
        self._boots = 0
        self._machines: list[Machine] = []  # one for each slot: the process that runs there
        self._accounts = [f"a{number}" for number in range(rng.randint(1, 3))]
        self._granted = dict.fromkeys(self._accounts, 0)
        self.span_s = rng.choice((1.0, 3.0, 6.0))
        self._weather = scenario.weather(rng, loop.time())
        self._providers = scenario.providers(rng, loop, span_s=self.span_s)
        self._secrets = scenario.keys(rng, self._accounts)
        self.auditor = Auditor(self.vault, self._secrets.values())
        self._supervisor = Supervisor(
            Random(rng.random()), loop, wall=self.wall, lossy=rng.choice((0.0, 0.0, 0.1))
        )
        self._ledger = ledger
        self._house = House(
            loop,
            vault=Twin(self.vault, ledger) if ledger else self.vault,
            model=self.vault,
            weather=self._weather,
            market=Market(Random(rng.random()), self._providers),
            answer=town(self._providers),
            supervisor=self._supervisor,
            keys={key.hash: key for key in self._secrets.values()},
            wall=self.wall,
            granted=lambda account: self._granted[account],
            noted=self._note,
        )
        self._visitors = Visitors(
            rng,
            self._house,
            keys=self._secrets,
            machines=self._machines,
            span_s=self.span_s,
            trace=self.trace,
            alarm=self._alarm,
        )

    def wall(self) -> float:
        """The calendar, which may jump."""
        return WALL + self._loop.time() + self._jumped_s

    # The story.

    async def play(self) -> None:
        """All of it. Raises Broken, Stuck, or what the house should not have raised."""
        story = self._loop.create_task(self._story())
        broken = self._alarm.rung
        await asyncio.wait({story, broken}, return_when=asyncio.FIRST_COMPLETED)
        if broken.done():
            broken.result()
        await story

    async def _story(self) -> None:
        rng = self._rng
        for account in self._accounts:
            self._house.vault.create_account(account, self.wall())
            self._grant(account)
        for _ in range(rng.randint(1, 4)):
            self._machines.append(self._boot())
        works = self._troubles()
        works += [self._visitors.caller(number) for number in range(rng.randint(3, 20))]
        works += [self._visitors.patron(number) for number in range(rng.choice((0, 10, 40)))]
        await asyncio.gather(*works)
        await self._end()

    def _troubles(self) -> list[Coroutine[Any, Any, None]]:
        rng = self._rng
        works = [self._later(self._grant, account) for account in self._accounts]
        works += [self._crash() for _ in range(rng.choice((0, 1, 1, 3)))]
        works += [self._stall() for _ in range(rng.choice((0, 0, 1, 2)))]
        works += [self._later(self._reload) for _ in range(rng.choice((0, 1, 3)))]
        if rng.random() < 0.2:
            works.append(self._later(self._jump, rng.choice(scenario.JUMPS_S)))
        return works

    async def _later(self, what: Callable[..., None], *said: Any) -> None:
        await asyncio.sleep(self._rng.uniform(0, self.span_s))
        what(*said)

    def _jump(self, by_s: float) -> None:
        self.trace.say(f"the calendar jumps by {by_s} s")
        self._jumped_s += by_s

    def _reload(self) -> None:
        self._house.version = self._house.market.reload()
        self.trace.say(f"prices {self._house.version}")

    def _grant(self, account: str) -> None:
        amount = self._rng.choice(scenario.GRANTS)
        self._granted[account] += amount
        id = f"{account} {self.trace.events}"
        self._house.vault.grant(account, amount, id=id, at=self.wall())
        self._note(f"grant {account} {amount}")

    async def _crash(self) -> None:
        await asyncio.sleep(self._rng.uniform(0, self.span_s))
        slot = self._rng.randrange(len(self._machines))
        machine = self._machines[slot]
        machine.plan_death()
        await asyncio.sleep(self._rng.uniform(0, self.span_s))
        if machine.dead and self._machines[slot] is machine:
            self._machines[slot] = self._boot()

    async def _stall(self) -> None:
        await asyncio.sleep(self._rng.uniform(0, self.span_s))
        machine = self._rng.choice(self._machines)
        long_s = self._rng.choice(scenario.STALLS_S)
        self.trace.say(f"{machine.name} stalls for {long_s} s")
        machine.stall(whole=self._rng.random() < 0.5)
        await asyncio.sleep(long_s)
        self.trace.say(f"{machine.name} goes on")
        machine.resume()

    def _boot(self) -> Machine:
        self._boots += 1
        machine = Machine(f"w{self._boots}", self._house, Random(self._rng.random()))
        machine.life.run(machine.boot())
        return machine

    # The checks.

    def _note(self, event: str) -> None:
        """Something was asked of the ledger; the books are audited when anything moved."""
        self.trace.say(event)
        moved = len(self.vault.transfers), len(self.vault.settled)
        if moved == self._audited:
            return
        self._audited = moved
        with self._alarm.noticing():
            self.auditor.step()
            for machine in self._machines:
                if not machine.dead:
                    self.auditor.compare_purses(machine.treasury)

    async def _end(self) -> None:
        """Calm, then every process ends in peace, then a new one takes back what the dead had."""
        self.trace.say("calm")
        calm_at = self._loop.time()
        self._weather.clear()
        self._supervisor.calm()
        for machine in self._machines:
            machine.spare()
        living = [machine for machine in self._machines if not machine.dead]
        await self._until(lambda: all(one.at_rest for one in living), "every process is at rest")
        for machine in living:
            await self._close(machine)
        last = self._boot()
        await self._until(lambda: last.open, "a new process begins")
        alone = [last.treasury.owner]
        await self._until(lambda: [*self.vault.beats] == alone, "the dead return their leases")
        await self._close(last)
        await asyncio.sleep(LINGER_S)
        for machine in living:
            require(not machine.network.open_calls, "no call is under way", machine.name)
        self.auditor.step()
        if self._ledger is not None:
            differences = self._ledger.verify().differences
            require(not differences, "the real store is right by itself", differences)
        require(not self._loop.faults, "nobody raises what nobody catches", self._loop.faults)
        self._check_accounts()
        book = [entry for provider in self._providers for entry in provider.book]
        self._visitors.check_answers(book, until=calm_at)
        witness.check_rates(self._supervisor)

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        give_up_at = self._loop.time() + REST_S
        while not holds():
            if self._loop.time() > give_up_at:
                raise Broken(f"{what}: {self._loop.waiting()}")
            await asyncio.sleep(0.1)

    async def _close(self, machine: Machine) -> None:
        await machine.life.run(machine.finish())
        require(machine.treasury.held_nano == 0, "no hold is left", machine.name)
        task = machine.life.run(machine.close())
        await asyncio.wait({task}, timeout=CLOSE_S)
        require(task.done(), "a process ends in peace", self._loop.waiting())
        task.result()
        left = self._loop.tasks_of(machine.life)
        require(not left, "a process that ended has no task", left)

    def _check_accounts(self) -> None:
        for account in self._accounts:
            balance = self.vault.balance(account)
            require(balance.granted_nano == self._granted[account], "grants are kept", balance)
            require(balance.leased_nano == 0, "no lease is left", balance)
            spent = balance.granted_nano - balance.available_nano
            require(spent == balance.charged_nano, "what is not there was charged", balance)
