"""The supervisor of several workers: it binds, starts and tells them, and never serves itself.

    supervisor ── channel ──  worker 1 ─┐
        │      ── channel ──  worker 2 ─┤ accept on the sockets that the supervisor bound
        └─ signals, the file, metrics   └ each a gateway of its own

A worker that dies takes its own streams with it and nothing else, and is started anew. All have the
configuration that the supervisor read last and found sound: no worker starts with what the others
refused.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from proxy import hosting
from proxy.config import Config, difference
from proxy.crew import Crew, Failed, Worker
from proxy.hosting import first, on_each
from proxy.serving.sockets import bound, urls
from proxy.settings import ConfigError
from proxy.steward import keeping

log = logging.getLogger(__name__)

YOUNG_S: Final = 10.0  # who dies before that is not started again at once
PAUSE_S: Final = 1.0
PAUSE_S_MAX: Final = 30.0
RELOAD_S: Final = 60.0
LOOK_S: Final = 2.0
ENDING_S: Final = 30.0  # beyond the drain's own time; who is then still there hangs


class Supervisor:
    """Runs as many workers as the configuration at `path` says. `bind` and `workers`, where given,
    stand for the file's. What its `crew` is to answer and to tell is to be set before `run`.

    Raises ConfigError.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        wall: Callable[[], float],
        bind: tuple[str, ...] = (),
        workers: int | None = None,
    ) -> None:
        self._path = path
        self._wall = wall
        self._arguments: dict[str, Any] = {"bind": bind, "workers": workers}
        self._text = hosting.read(path)
        self._config = self._parse(self._text)
        self._orders = hosting.Orders()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gave_up = asyncio.Event()
        self._failure: Failed | None = None
        self.crew = Crew(lambda: {"text": self._text, **self._arguments})

    async def run(self, *, on_listening: Callable[[list[str]], None]) -> None:
        """Returns after the drain that SIGTERM begins.

        Raises OSError where an address can not be bound, StoreError where there can be no store,
        and Failed where no worker can be started and none lives.
        """
        self._orders.heed_signals()
        self.crew.on_loss = lambda worker: self._task(self._replace(worker))
        with bound(self._config.server.bind) as self.crew.sockets:
            async with keeping(self.crew, self._config.store.url, wall=self._wall):
                try:
                    self._task(self._begin(on_listening))
                    await first(self._orders.stop.wait(), self._gave_up.wait())
                finally:
                    await self._end()
        if self._failure is not None:
            raise self._failure

    def _parse(self, text: str) -> Config:
        return hosting.parse(text, os.environ, **self._arguments)

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin(self, on_listening: Callable[[list[str]], None]) -> None:
        starting = (self.crew.start() for _ in range(self._config.server.workers))
        for outcome in await asyncio.gather(*starting, return_exceptions=True):
            if isinstance(outcome, BaseException):
                self._give_up(outcome)
                return
        on_listening(urls(self.crew.sockets, secure=self._config.server.tls is not None))
        self._task(on_each(self._orders.reload, self._reload))
        self._task(on_each(self._orders.restart, self._restart))
        self._task(hosting.watch(self._path, self._orders.reload))
        self._task(self._look())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self.crew.look()

    def _give_up(self, failure: BaseException) -> None:
        self._failure = failure if isinstance(failure, Failed) else Failed(str(failure), 1)
        self._gave_up.set()

    async def _replace(self, lost: Worker) -> None:
        """Starts others in its place until one serves; gives up when there is no other left."""
        young = asyncio.get_running_loop().time() - lost.began < YOUNG_S
        pause_s = lost.pause_s
        while True:
            pause_s = min(PAUSE_S_MAX, max(PAUSE_S, 2 * pause_s)) if young else 0.0
            await asyncio.sleep(pause_s)
            try:
                await self.crew.start(pause_s)
                return
            except Failed as failure:
                log.error("worker did not start", extra={"reason": str(failure)})
                if not self.crew.workers:
                    self._give_up(failure)
                    return
            young = True

    async def _reload(self) -> None:
        if self._reread("reload refused"):
            await self._hand_out()

    async def _hand_out(self) -> None:
        """Has every worker take the configuration anew; each of them may refuse, and says so."""
        answers = await self.crew.ask("reload", self._text, timeout_s=RELOAD_S)
        done = sum(answer is True for answer in answers)
        log.info("workers reloaded", extra={"workers": done, "of": len(answers)})

    def _reread(self, refusal: str) -> bool:
        try:
            text = hosting.read(self._path)
            config = self._parse(text)
            if fixed := difference(self._config, config):
                raise ConfigError(fixed[0], "can only be changed by a restart")
        except ConfigError as error:
            log.error(refusal, extra={"path": error.path, "reason": error.reason})
            return False
        self._text, self._config = text, config
        return True

    async def _restart(self) -> None:
        """One by one, workers are left to finish what they have when another serves in their place;
        all stays as it is from the first new one on that does not start.
        """
        if not self._reread("restart refused"):
            return
        await self._hand_out()  # should the restart stop half-way, all still have the same
        for old in list(self.crew.workers.values()):
            if not old.serving:
                continue
            old.leaving = True
            try:
                await self.crew.start()
            except Failed as failure:
                log.error("restart given up", extra={"reason": str(failure)})
                old.leaving = False
                if old.channel.closed.is_set():  # it died meanwhile
                    self._task(self._replace(old))
                return
            old.channel.notify("retire")
        log.info("restarted")

    async def _end(self) -> None:
        """Has all workers drain; kills those that do not end in time."""
        self.crew.on_loss = lambda _: None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.crew.tell("stop")
        timeout_s = self._config.timeouts.drain_s + ENDING_S
        await first(self.crew.gone(), self._orders.hurry.wait(), timeout_s=timeout_s)
        self.crew.tell("hurry")
        await first(self.crew.gone(), timeout_s=ENDING_S)
        for worker in self.crew.workers.values():
            log.error("worker hangs and is killed", extra={"worker": worker.number})
            worker.process.kill()
        await self.crew.gone()
