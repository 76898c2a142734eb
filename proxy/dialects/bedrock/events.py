"""Bedrock's Converse, the answer: bytes in, canonical events out.

A stream is binary; one that begins like text is read as server-sent events with the same objects,
which is how mocks and some gateways hand it on. Source: "ConverseStream" in the API reference of
Amazon Bedrock, and recorded traffic.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import orjson

from proxy.dialects.bedrock.blocks import Block, Writing
from proxy.dialects.bedrock.counts import decode_usage
from proxy.dialects.bedrock.frames import Broken, Message, Splitter
from proxy.dialects.faults import text_of
from proxy.dialects.reading import Decoder, broken_off, parse
from proxy.dialects.values import json_text, mapping, objects, string
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Ended, Event, Failed, Finished, Started, UsageReport

REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}
"""Bedrock's stop reasons in OpenRouter's words; an unknown one reads as `stop`."""

STATUSES: Final = {
    "accessdeniedexception": 403,
    "expiredtokenexception": 403,
    "unrecognizedclientexception": 403,
    "validationexception": 400,
    "resourcenotfoundexception": 404,
    "modeltimeoutexception": 408,
    "throttlingexception": 429,
    "modelnotreadyexception": 429,
    "servicequotaexceededexception": 429,
    "internalserverexception": 500,
    "modelerrorexception": 502,  # 424 on their side: the model failed, not the request
    "modelstreamerrorexception": 502,
    "serviceunavailableexception": 503,
}
"""The status of an exception in a stream, by its name in lower case."""

_Object = dict[str, Any]


class Stream:
    """A stream of ConverseStream. The events do not depend on how the bytes were sliced; it has
    ended when both the stop reason and the usage have come.

    Raises GatewayError `provider_malformed` for what is no event stream.
    """

    def __init__(self) -> None:
        self._reader = Reader()
        self._splitter = Splitter()
        self._decoder: Decoder | None = None
        self._begun = False

    def feed(self, data: bytes) -> Iterable[Event]:
        """The events that `data` completes, those before a fault included."""
        if data and not self._begun:
            self._begun = True
            if data[0] != 0:  # no message is so long that its length begins with anything else
                self._decoder = Decoder(self._reader.read_named)
        return self._binary(data) if self._decoder is None else self._decoder.feed(data)

    def end(self) -> Iterator[Event]:
        """What was left: half a message is none, but a failure may wait for its usage."""
        if self._decoder is not None:
            yield from self._decoder.end()
        events: list[Event] = []
        self._reader.fail(events)
        yield from events

    def _binary(self, data: bytes) -> Iterable[Event]:
        fault: GatewayError | None = None
        try:
            messages = self._splitter.feed(data)
        except Broken as broken:
            messages = broken.messages
            fault = GatewayError("provider_malformed", f"In the answer {broken}.")
        reader, told = self._reader, list[Event]()
        for message in messages:
            if reader.ended:
                return told
            events: list[Event] = []
            try:
                _read_message(reader, message, events)
            except GatewayError as error:
                return broken_off(told, error)
            told += events
        return told if fault is None or reader.ended else broken_off(told, fault)


def decoder(quirks: Quirks) -> Stream:
    """A stream of Bedrock's."""
    return Stream()


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The events of a whole answer; a whole JSON object is its own end mark.

    Raises GatewayError `provider_malformed` for what is no answer.
    """
    events: list[Event] = []
    Reader().read_whole(parse(body), events)
    if not events:
        raise GatewayError("provider_malformed", "The answer has no message.")
    return events


def _read_message(reader: "Reader", message: Message, events: list[Event]) -> None:
    headers, payload = message
    if headers.get(":message-type", "event") != "event":
        reader.ended = True
        events.append(_failed(message))
    elif (kind := headers.get(":event-type")) in reader.kinds:
        reader.read(str(kind), parse(payload, reader.halves), events)


def _failed(message: Message) -> Failed:
    """An exception, which the API declares, or an error, which it does not."""
    headers, payload = message
    raw = payload.decode("utf-8", "replace")
    said: object = raw
    with contextlib.suppress(orjson.JSONDecodeError):
        said = orjson.loads(payload)
    name = headers.get(":exception-type") or headers.get(":error-code")
    code = name if isinstance(name, str) else None
    told = headers.get(":error-message") or text_of(said) or code
    return Failed(STATUSES.get((code or "").lower()), str(told or ""), code, raw)


class Reader:
    """Turns objects into events and remembers what later ones need."""

    def __init__(self) -> None:
        self.ended = False
        self.halves: list[bytes] = []  # of characters that were cut in two
        self.kinds: dict[str, Callable[[_Object, list[Event]], None]] = {
            "contentBlockDelta": self._delta,
            "contentBlockStart": self._begin,
            "contentBlockStop": self._stop,
            "messageStart": lambda said, events: None,
            "messageStop": self._finish,
            "metadata": self._count,
        }
        self._writing = Writing()
        self._blocks: dict[int, Block] = {}
        self._started = False
        self._finished = False
        self._counted = False
        self._failure: Failed | None = None

    def read(self, kind: str, said: _Object, events: list[Event]) -> None:
        """Appends the events of one message of a stream."""
        if not self._started:
            self._start(None, events)
        self.kinds[kind](said, events)
        if self._finished and self._counted and not self.ended:
            self.fail(events)
            self.ended = True
            events.append(Ended())

    def read_named(self, name: str, said: _Object, events: list[Event]) -> None:
        """Appends those of one server-sent event, which names its message by a key."""
        for kind, told in said.items():
            if kind in self.kinds and isinstance(told, dict):
                self.read(kind, told, events)
            elif kind.endswith("Exception"):
                payload = json_text(told).encode()
                events.append(_failed(Message({":exception-type": kind}, payload)))

    def read_whole(self, answer: _Object, events: list[Event]) -> None:
        """Appends the events of a whole answer; none where it is none."""
        message = mapping(mapping(answer.get("output")).get("message"))
        if not isinstance(message.get("content"), list):
            if told := text_of(answer.get("message") or answer.get("Message")):
                code = string(answer.get("__type"))
                status = STATUSES.get((code or "").rpartition("#")[2].lower())
                events.append(Failed(status, told, code, ""))
            return
        self._start(_tier(answer), events)
        for content in objects(message["content"]):
            self._writing.whole(content, events)
        self._finish(answer, events)
        self._count({"usage": answer.get("usage")}, events)
        self.fail(events)
        events.append(Ended())

    def fail(self, events: list[Event]) -> None:
        """Appends the failure that waited for the usage, which comes after the stop reason."""
        if self._failure is not None:
            events.append(self._failure)
            self._failure = None

    def _start(self, tier: str | None, events: list[Event]) -> None:
        self._started = True
        events.append(Started(service_tier=tier))

    def _begin(self, said: _Object, events: list[Event]) -> None:
        block = self._block(said)
        for kind, told in mapping(said.get("start")).items():
            block.begin(kind, mapping(told), events)

    def _delta(self, said: _Object, events: list[Event]) -> None:
        block = self._block(said)
        for kind, told in mapping(said.get("delta")).items():
            block.add(kind, told, events)

    def _stop(self, said: _Object, events: list[Event]) -> None:
        if (block := self._blocks.pop(_index(said), None)) is not None:
            block.close(events)

    def _block(self, said: _Object) -> Block:
        index = _index(said)
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = Block(self._writing)
        return block

    def _finish(self, said: _Object, events: list[Event]) -> None:
        for block in self._blocks.values():
            block.close(events)
        self._blocks.clear()
        self._writing.finish(events)
        native = string(said.get("stopReason"))
        reason = REASONS.get(native or "end_turn", "stop")
        if reason in ("stop", "tool_calls"):
            reason = "tool_calls" if self._writing.calls else "stop"
        self._finished = True
        if reason == "error":
            told = f"The provider ended the answer with {native!r}."
            self._failure = Failed(None, told, native, "")
        else:
            events.append(Finished(0, reason, native))

    def _count(self, said: _Object, events: list[Event]) -> None:
        self._counted = True
        if (tier := _tier(said)) is not None:
            self._start(tier, events)
        if (usage := decode_usage(said.get("usage"))) is not None:
            events.append(UsageReport(usage))


def _tier(said: _Object) -> str | None:
    return string(mapping(said.get("serviceTier")).get("type"))


def _index(said: _Object) -> int:
    index = said.get("contentBlockIndex")
    return index if isinstance(index, int) else 0
