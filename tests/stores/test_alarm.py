"""Waking a thread: nobody is forgotten, nobody is rung for who is awake, pauses are kept."""

import threading
import time
from collections import deque

from proxy.stores.alarm import Alarm


class Sleeper:
    """A thread that does what is in `work` after each rest."""

    def __init__(self, pause_s: float) -> None:
        self.alarm = Alarm()
        self.work: deque[int] = deque()
        self.done: list[int] = []
        self.groups = 0
        self.seen = threading.Event()
        self._pause_s = pause_s
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while -1 not in self.done:
            self.alarm.rest(self._pause_s, lambda: bool(self.work))
            self.groups += 1
            while self.work:
                self.done.append(self.work.popleft())
            self.seen.set()

    def end(self) -> None:
        self.work.append(-1)
        self.alarm.hurry()
        self._thread.join(20)
        assert not self._thread.is_alive()


def test_what_is_urgent_is_done_at_once() -> None:
    sleeper = Sleeper(pause_s=60.0)
    for number in range(2000):
        sleeper.seen.clear()
        sleeper.work.append(number)
        sleeper.alarm.hurry()
        if number % 3 == 0:  # the others meet a thread that is awake, or falls asleep
            assert sleeper.seen.wait(20)
    sleeper.end()
    assert sleeper.done == [*range(2000), -1]


def test_what_is_not_urgent_waits_for_company() -> None:
    sleeper = Sleeper(pause_s=0.5)  # in which a busy machine comes to ring fifty times
    began = time.monotonic()
    for number in range(50):
        sleeper.work.append(number)
        sleeper.alarm.ring()
    assert sleeper.seen.wait(20)
    assert time.monotonic() - began >= 0.5
    assert (sleeper.groups, len(sleeper.done)) == (1, 50)
    sleeper.end()


def test_a_pause_is_cut_short_by_what_is_urgent() -> None:
    sleeper = Sleeper(pause_s=60.0)
    sleeper.work.append(1)
    sleeper.alarm.ring()
    assert not sleeper.seen.wait(0.02)
    sleeper.alarm.hurry()
    assert sleeper.seen.wait(20)
    sleeper.end()


def test_who_is_awake_is_not_rung_for() -> None:
    alarm = Alarm()
    for _ in range(5):
        alarm.ring()
        alarm.hurry()
    assert alarm._bell.empty()
    alarm.rest(60.0, lambda: False)  # it was in a hurry
    assert not alarm.urgent
    alarm.rest(0.0, lambda: True)
