"""A streamed message for a caller: canonical events in, or the provider's own passed on.

What a provider said in these words goes to the caller as it came, byte for byte; only the events
that name the model and tell the usage are written anew, with OpenRouter's additions.
"""

from collections.abc import Iterable
from typing import Any, Final

from proxy.dialects.chat.pieces import to_json
from proxy.dialects.forms import Bill
from proxy.dialects.messages.blocks import Block
from proxy.dialects.messages.envelope import envelope
from proxy.dialects.messages.saying import STOPS, Speech, routed
from proxy.dialects.messages.tally import additions, encode_usage
from proxy.dialects.values import mapping, string
from proxy.errors import GatewayError
from proxy.wire.events import Event, Finished, Started, Verbatim
from proxy.wire.request import Ask, Head

ORDER: Final = {
    ("", "message_start"): "between",
    ("between", "content_block_start"): "within",
    ("within", "content_block_delta"): "within",
    ("within", "content_block_stop"): "between",
    ("between", "message_delta"): "ending",
    ("ending", "message_delta"): "ending",
    ("ending", "message_stop"): "over",
}
"""Which event may follow which: the state before it, its type, the state after it. A `ping` may
come anywhere and changes nothing; an `error` ends it all."""

_ORDERED: Final = frozenset(type_ for _, type_ in ORDER)
_AFTER_A_BLOCK: Final = ("content_block_start", "message_delta", "message_stop")

UNNAMED: Final = "message"  # what a frame without a name is called (`wire/frames.py`)


class Encoder:
    """One answer, streamed. Each method gives the bytes to send, which may be none."""

    def __init__(self, head: Head, ask: Ask) -> None:
        self._head = head
        self._speech = Speech(head, ask)
        self._state = ""
        self._index = 0  # of the last block
        self._own = False  # whether the provider's own events are passed on
        self._held: list[Verbatim] = []
        self._ended: Finished | None = None  # by us, whatever the provider would have said

    def encode(self, event: Event) -> bytes:
        """One event. What a provider says from its stop reason on waits for the bill."""
        if isinstance(event, Verbatim):
            if event.name is None:
                return b"".join(map(self.encode, event.events))
            return self._pass(event)
        if self._own:
            if isinstance(event, Finished):
                self._ended = event
            return b""
        return self._write(self._speech.say(event))

    def encode_end(self, bill: Bill) -> bytes:
        """The stop reason with usage and cost, and the end mark."""
        if not self._own:
            return self._write(self._speech.end(bill))
        if self._ended is not None:
            told = self._cut(self._ended, bill)
            return b"".join(_framed(one["type"], to_json(one)) for one in told)
        return self._finish(bill)

    def encode_failure(self, error: GatewayError, routing: dict[str, Any] | None = None) -> bytes:
        """The error event, after which nothing more comes."""
        return _framed("error", to_json(envelope(error, self._head.id, routing)))

    def _write(self, told: Iterable[Block]) -> bytes:
        frames = []
        for one in told:
            self._state = ORDER[self._state, one["type"]]
            frames.append(_framed(one["type"], to_json(one)))
        return b"".join(frames)

    # What the provider says itself.

    def _pass(self, event: Verbatim) -> bytes:
        self._own = True
        said, type_ = event.said, string(event.said.get("type")) or ""
        before = self._write(self._missing(type_))
        if type_ in _ORDERED and not self._follows(type_):
            return before
        ends = type_ == "message_stop" or any(isinstance(one, Finished) for one in event.events)
        if self._held or ends:
            self._held.append(event)
            return before
        if type_ == "content_block_start":
            self._index = said.get("index", 0)
        elif type_ == "message_start":
            named = {"model": self._head.model, "provider": self._head.provider}
            message = mapping(said.get("message")) | named
            return _framed(type_, to_json(said | {"message": message}))
        return before + _framed(_name(event), event.data)

    def _missing(self, type_: str) -> Iterable[Block]:
        """What a server left out before such an event; clients wait for the end of every block."""
        if self._state == "" and type_ in _AFTER_A_BLOCK:
            return self._speech.say(Started())
        return [self._close()] if self._state == "within" and type_ in _AFTER_A_BLOCK else ()

    def _follows(self, type_: str) -> bool:
        """Whether it may come now: what is told twice, or behind the stop reason, is nobody's.

        Raises GatewayError `provider_malformed` for words without a block.
        """
        after = ORDER.get((self._state, type_))
        if after is None and type_ == "content_block_delta" and self._state in ("", "between"):
            raise GatewayError("provider_malformed", "The events of the answer have no order.")
        self._state = after or self._state
        return after is not None

    def _close(self) -> Block:
        return {"type": "content_block_stop", "index": self._index}

    def _finish(self, bill: Bill) -> bytes:
        """The held end; the last event with a usage gets what the bill has more."""
        types = [one.said.get("type") for one in self._held]
        frames = []
        for place, (event, type_) in enumerate(zip(self._held, types, strict=True)):
            data, said = event.data, event.said
            if type_ == "message_delta" and type_ not in types[place + 1 :]:
                usage = mapping(said.get("usage")) or encode_usage(bill.usage, None)
                data = to_json(said | {"usage": usage | additions(bill)})
            elif type_ == "message_stop" and bill.routing is not None:
                data = to_json(said | routed(bill))
            frames.append(_framed(_name(event), data))
        if "message_stop" not in types:
            frames.append(_framed("message_stop", to_json(_stop(bill))))
        return b"".join(frames)

    def _cut(self, finished: Finished, bill: Bill) -> Iterable[Block]:
        """The end of an answer whose provider did not end it, or was not let to."""
        if self._state == "within":
            yield self._close()
        stop = STOPS.get(finished.reason, "end_turn")
        delta = {"container": None, "stop_details": None, "stop_reason": stop}
        usage = encode_usage(bill.usage, None) | additions(bill)
        yield {
            "type": "message_delta",
            "delta": delta | {"stop_sequence": None},
            "usage": usage,
        }
        yield _stop(bill)


def _stop(bill: Bill) -> Block:
    return {"type": "message_stop"} | routed(bill)


def _name(event: Verbatim) -> str:
    """That of its frame; where that had none, its type, by which clients know it."""
    return event.name if event.name and event.name != UNNAMED else str(event.said.get("type"))


def _framed(name: str, data: bytes) -> bytes:
    """One event, whose data may have lines."""
    lines = data.replace(b"\n", b"\ndata: ")
    return b"event: " + name.encode() + b"\ndata: " + lines + b"\n\n"
