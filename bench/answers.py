"""Judging answers: one that is wrong, cut or out of order does not count, however fast it was."""

import re
from typing import Any, Final, Protocol

import msgspec

from bench.canned import TEXT

_STAMP: Final = re.compile(rb'"content": ?" (\d+)@(\d+)"')
_decode: Final = msgspec.json.Decoder().decode


class Answer(Protocol):
    """One answer, told to it as it comes. `begun_ns` is when its first byte came, `first_ns` its
    first content, else 0.
    """

    asked_ns: int
    begun_ns: int
    first_ns: int
    status: int
    events: int

    def feed(self, data: bytes, now_ns: int) -> None:
        """The next bytes of the body."""
        ...

    def fault(self) -> str:
        """What is wrong with it, now that it is over; empty when it is complete."""
        ...


class WholeAnswer:
    """An answer that is not streamed."""

    def __init__(self) -> None:
        self.asked_ns = self.begun_ns = self.first_ns = self.status = self.events = 0
        self._body: list[bytes] = []

    def feed(self, data: bytes, now_ns: int) -> None:
        self.first_ns = self.first_ns or now_ns
        self._body.append(data)

    def fault(self) -> str:
        if self.status != 200:
            return f"status {self.status}"
        try:
            answer = _decode(b"".join(self._body))
            choice = answer["choices"][0]
            right = (choice["message"]["content"], choice["finish_reason"]) == (TEXT, "stop")
            counted = answer["usage"]["completion_tokens"] == 1
        except (ValueError, LookupError, TypeError) as error:
            return f"not an answer: {type(error).__name__}"
        return "" if right and counted else "another answer"


class StreamAnswer:
    """A streamed answer of `wanted` stamped events.

    `delays_ns` gets each event's way from the upstream's write to the read here.
    """

    def __init__(self, wanted: int, delays_ns: list[int]) -> None:
        self.asked_ns = self.begun_ns = self.first_ns = self.status = self.events = 0
        self._wanted = wanted
        self._delays_ns = delays_ns
        self._carry = b""
        self._marks: set[str] = set()
        self._wrong = ""

    def feed(self, data: bytes, now_ns: int) -> None:
        *events, self._carry = (self._carry + data).split(b"\n\n")
        for event in events:
            if found := _STAMP.search(event):
                self.first_ns = self.first_ns or now_ns
                if int(found[1]) != self.events or self._marks:
                    self._wrong = "events out of order"
                self.events += 1
                self._delays_ns.append(now_ns - int(found[2]))
            elif event.startswith(b"data:"):
                self._note(event[5:].strip())

    def _note(self, data: bytes) -> None:
        """One of the few events without text. OpenRouter repeats the finish with the usage."""
        if "done" in self._marks:
            self._wrong = "an event after the end"
        if data == b"[DONE]":
            self._marks.add("done")
            return
        try:
            chunk: dict[str, Any] = _decode(data)
        except ValueError:
            self._wrong = "an event that is not JSON"
            return
        if "error" in chunk:
            self._wrong = "an error event"
        if any(choice.get("finish_reason") == "stop" for choice in chunk.get("choices", ())):
            self._marks.add("finish")
        usage = chunk.get("usage")
        if usage and usage.get("completion_tokens") == self._wanted:
            self._marks.add("usage")

    def fault(self) -> str:
        if self.status != 200:
            return f"status {self.status}"
        if self._wrong:
            return self._wrong
        if self.events != self._wanted:
            return f"{self.events} of {self._wanted} events"
        lacking = {"finish", "usage", "done"} - self._marks
        if lacking:
            return f"without {', '.join(sorted(lacking))}"
        return "bytes after the end" if self._carry else ""
