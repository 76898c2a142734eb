"""`python -m bench.sampler FILE serve …`: Weir, with a look at what it does every few milliseconds.

Looks are taken by a timer of the process's CPU time, so an idle gateway is not looked at, and one
that is looked at does little more than before. Each signal `NEXT` begins a new section; all of them
are in FILE at the end, as JSON.
"""

import atexit
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, Final

NEXT: Final = signal.SIGRTMIN
EVERY_S: Final = 0.001  # kernels round it up to their tick


class _Section:
    """Looks by the function that ran, and by every function that was under way."""

    def __init__(self) -> None:
        self.own: Counter[tuple[str, str]] = Counter()
        self.within: Counter[tuple[str, str]] = Counter()

    def look(self, frame: FrameType | None) -> None:
        """One look."""
        if frame is not None:
            self.own[_name(frame)] += 1
        seen = set()
        while frame is not None:
            seen.add(_name(frame))
            frame = frame.f_back
        self.within.update(seen)

    def told(self) -> dict[str, list[Any]]:
        """For JSON."""
        return {
            kind: [[*name, count] for name, count in counts.most_common()]
            for kind, counts in (("own", self.own), ("within", self.within))
        }


def _name(frame: FrameType) -> tuple[str, str]:
    return frame.f_code.co_filename, frame.f_code.co_qualname


def watch(file: Path) -> None:
    """Looks from now on, and writes at the end of the process."""
    sections = [_Section()]

    def look(_number: int, frame: FrameType | None) -> None:
        sections[-1].look(frame)

    def turn(_number: int, _frame: FrameType | None) -> None:
        sections.append(_Section())

    def write() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        file.write_text(json.dumps([section.told() for section in sections]))

    signal.signal(signal.SIGPROF, look)
    signal.signal(NEXT, turn)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
    atexit.register(write)


if __name__ == "__main__":
    watch(Path(sys.argv.pop(1)))
    from proxy.cli import main

    main()
