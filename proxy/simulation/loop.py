"""An event loop whose clock jumps, and processes on it that can stall or be killed at any step.

Nothing sleeps and nothing is read from outside: when no callback is ready, the clock moves to the
next timer. Callbacks that are ready keep asyncio's order, which is promised; timers are late by up
to a few microseconds, by the seed, so that those of one instant come in any order.

All simulated processes share the loop. A callback belongs to the process in whose context it was
made, so that a killed process is one whose callbacks are dropped: not a line of it runs after
that, no `finally` either, as with `kill -9`.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any, Final, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START_S: Final = 1000.0
JITTER_S: Final = 5e-6
STEPS_IN_AN_INSTANT_MAX: Final = 100_000


class Stuck(Exception):
    """Everything waits and nothing is due, or something runs for ever without time passing."""


class Life:
    """A process as the loop sees it; `kill_at` is the number of the step that it does not live to
    see, `on_killed` is called then.
    """

    def __init__(self, name: str, loop: "Loop") -> None:
        self.name = name
        self._loop = loop
        self._parked: list[asyncio.Handle] = []
        self._context = contextvars.copy_context()
        self._context.run(_LIFE.set, self)
        self.steps = 0
        self.kill_at: int | None = None
        self.on_killed: Callable[[], None] = lambda: None
        self.dead = False
        self.stalled = False

    def run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of this process."""
        return self.within(self._loop.create_task, work)

    def within(self, fn: Callable[..., T], *args: Any) -> T:
        """What `fn` returns; all that it begins belongs to this process."""
        return self._context.copy().run(fn, *args)

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """A timer of this process."""
        return self._loop.call_later(delay_s, callback, context=self._context)

    def stall(self) -> None:
        """Stop, as by SIGSTOP: what is due meanwhile happens after `resume`, in its order."""
        self.stalled = True

    def resume(self) -> None:
        """Go on after a stall."""
        self.stalled = False
        parked, self._parked = self._parked, []
        self._loop.again(self, parked)

    def kill(self) -> None:
        """End it between two callbacks; nothing of it ever runs again."""
        if not self.dead:
            self.dead = True
            self._parked.clear()
            self.on_killed()

    def steps_on(self, handle: asyncio.Handle) -> bool:
        """Whether the callback may run now."""
        if self.stalled and not self.dead:
            self._parked.append(handle)
            return False
        self.steps += 1
        if self.steps == self.kill_at:
            self.kill()
        return not self.dead


_LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)


class Loop(asyncio.BaseEventLoop):
    """The loop. `faults` collects what exceptions nobody caught."""

    def __init__(self, rng: Random) -> None:
        super().__init__()
        self._rng = rng
        self._now = START_S
        self._soon: deque[tuple[Life | None, asyncio.Handle]] = deque()
        self._timers: list[tuple[float, int, Life | None, asyncio.TimerHandle]] = []
        self._count = 0
        self._steps = 0
        # Held, so that no chance of garbage collection ends one that nobody else knows.
        self.tasks: list[asyncio.Task[Any]] = []
        self._lives: list[Life | None] = []  # whose they are
        self.faults: list[str] = []
        self.set_exception_handler(self._note)
        self.set_task_factory(self._make_task)

    def _make_task(
        self, _loop: asyncio.AbstractEventLoop, work: Any, **more: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=self, **more)
        self.tasks.append(task)
        self._lives.append(more.get("context", contextvars.copy_context()).get(_LIFE))
        return task

    def tasks_of(self, life: Life) -> list[str]:
        """The tasks of a process that are not done, and where they stand."""
        both = zip(self.tasks, self._lives, strict=True)
        return [_place(task) for task, whose in both if whose is life and not task.done()]

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """As asyncio's."""
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append((context.get(_LIFE), handle))
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """As asyncio's, but for the jitter."""
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        due = max(when, self._now) + self._rng.random() * JITTER_S
        heapq.heappush(self._timers, (due, self._count, context.get(_LIFE), handle))
        return handle

    def again(self, life: Life, handles: list[asyncio.Handle]) -> None:
        """Callbacks that were held back."""
        self._soon.extend((life, handle) for handle in handles)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers leave the heap when their time comes."""

    def _run_once(self) -> None:
        if not self._soon:
            self._advance()
        for _ in range(len(self._soon)):
            life, handle = self._soon.popleft()
            if not handle.cancelled() and (life is None or life.steps_on(handle)):
                handle._run()
        self._steps += 1
        if self._steps > STEPS_IN_AN_INSTANT_MAX:
            self._steps = 0
            raise Stuck(f"time stands still: {self.waiting()}")

    def _advance(self) -> None:
        """Move the clock to the first timer that somebody still waits for."""
        while self._timers:
            due, _, life, handle = heapq.heappop(self._timers)
            if not handle.cancelled() and not (life is not None and life.dead):
                self._now = max(self._now, due)
                self._steps = 0
                self._soon.append((life, handle))
                return
        raise Stuck(f"everything waits and nothing is due: {self.waiting()}")

    def waiting(self) -> str:
        """The tasks that are not done, and where they stand."""
        places = sorted(_place(task) for task in self.tasks if not task.done())
        return "; ".join(places) or "no task"

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.append(f"{context['message']}: {context.get('exception')!r}")


def _place(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    if not frames:
        return "a task that ends"
    code = frames[0].f_code
    return f"{code.co_qualname} at {code.co_filename.rpartition('/')[2]}:{frames[0].f_lineno}"


async def bury(loop: Loop) -> None:
    """Close every other coroutine there is, as at the end of the world. What their `finally` begins
    belongs to nobody who lives, so it is not done.
    """
    nobody = Life("nobody", loop)
    nobody.kill()
    nobody.within(_close_all, loop)


def _close_all(loop: Loop) -> None:
    for task in loop.tasks:  # and what they begin
        if not task.done() and task is not asyncio.current_task(loop):
            coroutine: Any = task.get_coro()
            # asyncio would complain of a task that nobody ends.
            setattr(task, "_log_destroy_pending", False)  # noqa: B010
            with suppress(RuntimeError):  # it awaits once more on its way out
                coroutine.close()
