"""Providers as they are: good, slow, broken, lying; each with its own book of what it bills.

A call is a script that is drawn when it arrives. The script goes on in the provider's own time,
whether anybody listens or not: a provider that bills on generates to its end after a hang-up.
"""

import contextvars
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Final

import orjson

from proxy.simulation.loop import Loop
from proxy.simulation.network import Wire
from proxy.simulation.script import Entry, Script
from proxy.upstream.transport import Call

MOODS: Final[Mapping[str, tuple[tuple[str, int], ...]]] = {
    "well": (("good", 30), ("no usage", 2), ("no end mark", 1), ("empty", 1)),
    "odd": (
        ("good", 6),
        ("no usage", 2),
        ("absurd usage", 2),
        ("low usage", 1),
        ("deaf to max_tokens", 2),
        ("endless", 1),
        ("hangs after its end", 1),
        ("empty", 1),
    ),
    "ill": (
        ("good", 3),
        ("refuses", 3),
        ("error first", 1),
        ("error inside", 1),
        ("cut", 2),
        ("reset", 2),
        ("silent", 1),
        ("stops", 1),
        ("web page", 1),
    ),
    "gone": (("unreachable", 3), ("refuses", 1), ("silent", 1)),
}


class Provider:
    """One provider. `moods` are (from when on the loop's clock, mood), in order."""

    def __init__(
        self,
        slug: str,
        rng: Random,
        loop: Loop,
        *,
        cancels: bool,
        slow_s: float,
        moods: tuple[tuple[float, str], ...],
    ) -> None:
        self.slug = slug
        self.cancels = cancels
        self._rng = rng
        self._loop = loop
        self._slow_s = slow_s
        self._moods = moods
        self.book: list[Entry] = []

    def answer(self, call: Call, wire: "Wire") -> None:
        """Begin to answer; the rest happens in the provider's own time."""
        body = orjson.loads(call.body or b"")
        mood = [mood for since, mood in self._moods if since <= self._loop.time()][-1]
        names, weights = zip(*MOODS[mood], strict=True)
        kind = self._rng.choices(names, weights)[0]
        text = body["messages"][0]["content"]
        entry = Entry(
            provider=self.slug,
            model=body["model"],
            request=text.split()[0],
            kind=kind,
            prompt_tokens=max(1, len(text) // 5),
            cancels=self.cancels,
        )
        self.book.append(entry)
        script = Script(self._rng, self._loop, entry, body, slow_s=self._slow_s)
        task = self._loop.create_task(script.play(wire), context=contextvars.Context())

        def cut() -> None:
            entry.cut_at = self._loop.time()
            if self.cancels:
                task.cancel()

        wire.on_cut = cut
        task.add_done_callback(lambda _: self._ended(entry, wire))

    def _ended(self, entry: Entry, wire: Wire) -> None:
        entry.ended = "cancelled" if wire.cut else "ended"


def town(providers: Iterable[Provider]) -> Callable[[Call, Wire], None]:
    """All providers, each at its own host."""
    known = {one.slug: one for one in providers}

    def answer(call: Call, wire: Wire) -> None:
        known[call.url.partition("//")[2].partition(".")[0]].answer(call, wire)

    return answer
