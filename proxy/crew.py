"""The workers of a supervisor: started, attended to their end, heard and counted.

Workers are fresh interpreters (`proxy.worker`), numbered for good: a number is never used again.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from proxy.hosting import first
from proxy.metrics import Dump, lasting, merge
from proxy.serving.channel import Channel, Handler, Refused

log = logging.getLogger(__name__)

START_S: Final = 60.0
COUNTS_S: Final = 1.0


class Failed(Exception):
    """A worker did not start; `code` is what it exited with."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


class Worker:
    """One worker as the supervisor sees it."""

    channel: Channel

    def __init__(self, number: int, process: asyncio.subprocess.Process) -> None:
        self.number = number
        self.process = process
        self.began = asyncio.get_running_loop().time()
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        self.leaving = False  # another one takes its place, or has
        self.pause_s = 0.0  # what was waited before it was started
        self.dump: Dump = {}  # the last one seen
        self.failure: dict[str, Any] = {}

    @property
    def serving(self) -> bool:
        """Whether it takes new callers."""
        return self.ready.is_set() and not self.leaving and not self.channel.closed.is_set()

    async def ask(self) -> bool:
        """Whether it told its counts in time."""
        try:
            self.dump = await self.channel.request("counts", timeout_s=COUNTS_S)
        except (ConnectionError, TimeoutError, Refused):
            return False
        return True


class Crew:
    """All workers there are, by number, those that leave included.

    `configuration` gives what each is to know at its start. `handlers` answer the workers, by name,
    with the number of who asks and the payload. `on_loss` is told of each worker that stopped
    serving unasked, `on_death` the number of each that has ended, in peace or not.
    """

    def __init__(self, configuration: Callable[[], dict[str, Any]]) -> None:
        self._configuration = configuration
        self._last = 0
        self._past: Dump = {}  # what workers that are gone have counted
        self._attending: set[asyncio.Task[None]] = set()
        self.sockets: Sequence[socket.socket] = ()
        self.workers: dict[int, Worker] = {}
        self.handlers: dict[str, Callable[[int, Any], Any]] = {}
        self.on_loss: Callable[[Worker], object] = lambda _: None
        self.on_death: Callable[[int], object] = lambda _: None

    async def start(self, pause_s: float = 0.0) -> Worker:
        """A worker that serves; `pause_s` is what was waited before. Raises Failed."""
        try:
            worker = await self._spawn()
        except OSError as error:
            raise Failed(f"no worker can be started: {error}", 1) from None
        worker.pause_s = pause_s
        closed = worker.channel.closed
        await first(worker.ready.wait(), closed.wait(), timeout_s=START_S)
        if not worker.ready.is_set():
            if not closed.is_set():
                worker.process.kill()
            await worker.ended.wait()
            code = worker.process.returncode
            reason = f"worker {worker.number} ended with {code} before it served"
            raise Failed(worker.failure.get("reason", reason), worker.failure.get("code", 1))
        return worker

    async def _spawn(self) -> Worker:
        self._last += 1
        number = self._last
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as unless_it_starts:
            unless_it_starts.enter_context(ours)
            with theirs:
                files = [theirs.fileno(), *(sock.fileno() for sock in self.sockets)]
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "proxy.worker", *map(str, [number, *files]),
                    pass_fds=files, stdin=asyncio.subprocess.DEVNULL,
                )  # fmt: skip
            worker = Worker(number, process)
            worker.channel = await Channel.open(ours, self._handlers_of(worker))
            unless_it_starts.pop_all()
        self.workers[number] = worker
        task = asyncio.create_task(self._attend(worker))
        self._attending.add(task)
        task.add_done_callback(self._attending.discard)
        log.info("worker started", extra={"worker": number, "pid": process.pid})
        return worker

    def _handlers_of(self, worker: Worker) -> dict[str, Handler]:
        def ended(dump: Dump) -> None:
            worker.dump = dump

        return {
            "start": lambda _: self._configuration(),
            "ready": lambda _: worker.ready.set(),
            "failed": worker.failure.update,
            "ended": ended,
            "metrics": lambda _: self.metrics(),
            **{name: partial(handler, worker.number) for name, handler in self.handlers.items()},
        }

    async def _attend(self, worker: Worker) -> None:
        await worker.channel.closed.wait()  # all that it said has been heard
        if worker.ready.is_set() and not worker.leaving:
            self.on_loss(worker)
        code = await worker.process.wait()
        del self.workers[worker.number]
        self._past = merge([self._past, lasting(worker.dump)])
        worker.ended.set()
        level = logging.INFO if code == 0 else logging.ERROR
        log.log(level, "worker ended", extra={"worker": worker.number, "code": code})
        self.on_death(worker.number)

    def tell(self, order: str) -> None:
        """Notifies them all."""
        for worker in self.workers.values():
            worker.channel.notify(order)

    async def ask(self, name: str, payload: object, *, timeout_s: float) -> list[Any]:
        """The answers of all, or the exceptions there were instead."""
        asked = [
            worker.channel.request(name, payload, timeout_s=timeout_s)
            for worker in self.workers.values()
        ]
        return await asyncio.gather(*asked, return_exceptions=True)

    async def gone(self) -> None:
        """Returns when the last one has ended."""
        while self.workers:
            await next(iter(self.workers.values())).ended.wait()

    # Metrics.

    async def look(self) -> set[Worker]:
        """Hears what each has counted, and returns those that answered. What a worker that is
        killed has counted is known as of then.
        """
        workers = list(self.workers.values())
        answers = await asyncio.gather(*(worker.ask() for worker in workers))
        return {worker for worker, answer in zip(workers, answers, strict=True) if answer}

    async def metrics(self) -> Dump:
        """What all have counted, those that are gone included."""
        answered = await self.look()
        dumps = [self._past]
        for worker in self.workers.values():
            # Who does not answer is left out, but counters must not go backwards.
            dump = worker.dump if worker in answered else lasting(worker.dump)
            if worker.leaving:  # whether it still takes work is no longer of interest
                dump = {name: dump[name] for name in dump if name != "weir_ready"}
            dumps.append(dump)
        return merge(dumps) | {"weir_workers": [([], [len(answered)])]}
