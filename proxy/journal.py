"""The one line that the log has of each finished request; many of them are written at once.

It says what a record of `logging` would say, at a fiftieth of its cost. A line waits `FLUSH_S` at
most for others, and any other record of the process is written after those that wait.
"""

import logging
from asyncio import AbstractEventLoop
from typing import Final

from proxy import logs
from proxy.wire.record import Generation

FLUSH_S: Final = 0.05
LINES_MAX: Final = 256  # some 100 KB: so many are written without waiting for the clock

_FORM: Final = (
    '{"time": "%s.%03dZ", "level": "INFO", "logger": "proxy.pipeline.notes", "message": "request", '
    '"generation": "%s", "status": %d, "error": %s, "model": %s, "provider": %s, "streamed": %s, '
    '"cancelled": %s, "latency_ms": %s, "time_ms": %s, "prompt_tokens": %d, '
    '"completion_tokens": %d, "cost_nano": %s, "house_nano": %d, "attempts": %d, "key": %s'
)
_TRUTH: Final = ("false", "true")

log = logging.getLogger("proxy.pipeline.notes")  # where refusals and failed attempts are told, too


class Journal:
    """Belongs to one event loop. Nothing is told where the log's level is above INFO."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._second = -1
        self._clock = ""

    def tell(self, row: Generation, label: str | None) -> None:
        """The line of an admitted request that is over, and of the key that has this masked form;
        never a prompt, an answer or a secret.
        """
        if not log.isEnabledFor(logging.INFO):
            return
        shown, known = logs.shown, logs.known_words.get
        error, latency, cost = row.error, row.latency_ms, row.cost_nano
        time_ms = row.generation_time_ms
        ended_ms = int(row.created_at * 1000) + (time_ms or 0)
        second = ended_ms // 1000
        if second != self._second:
            self._second, self._clock = second, logs.time_of(second)
        waiting = logs.put(
            _FORM
            % (
                self._clock,
                ended_ms - 1000 * second,
                row.id,
                row.status,
                "null" if error is None else shown(error),
                known(row.model) or shown(row.model),
                known(row.provider) or shown(row.provider),
                _TRUTH[row.streamed],
                _TRUTH[row.cancelled],
                "null" if latency is None else latency,
                "null" if time_ms is None else time_ms,
                row.prompt_tokens,
                row.completion_tokens,
                "null" if cost is None else cost,
                row.house_nano,
                len(row.attempts),
                "null" if label is None else known(label) or shown(label),
            )
        )
        if waiting == 1:
            self._loop.call_later(FLUSH_S, logs.flush)
        elif waiting >= LINES_MAX:
            logs.flush()
