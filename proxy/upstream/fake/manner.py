"""How one dialect writes: its events, its whole answers, its errors, its frames on the wire.

`manners` has a module for each. Nothing there decides what is said; `reply` does. What goes wrong
is not decided there either: `mangle` and `faults` change what a manner wrote, with the few words
that a manner has for it (where its finish reason is, where its usage is, what ends it).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple

import orjson

from proxy.upstream.fake.ask import Ask, JSONObject, Request
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.seals import Seal

SSE: Final = b"text/event-stream; charset=utf-8"
JSON: Final = b"application/json"

Headers = tuple[tuple[bytes, bytes], ...]
Kind = Literal[
    "invalid",
    "bad-key",
    "unknown-model",
    "too-long",
    "moderated",
    "rate-limit",
    "overloaded",
    "status",
]
STATUS: Final[dict[str, int]] = {
    "invalid": 400,
    "bad-key": 401,
    "unknown-model": 404,
    "too-long": 400,
    "moderated": 400,
    "rate-limit": 429,
    "overloaded": 503,
    "status": 500,
}


class Event(NamedTuple):
    """One event of a stream; `data` None is [DONE].

    Of kind `frame` are those that open and close a block, of kind `done` those that end the stream.
    """

    kind: Literal["opening", "frame", "token", "finish", "usage", "done"]
    data: JSONObject | None
    name: str = ""


class Failure(NamedTuple):
    """A refusal or an error, before it is put in a dialect's words; `message` empty is its own."""

    kind: str
    message: str = ""
    status: int = 500
    retry_after_s: int | None = None
    model: str = ""
    code: str | None = None


class Refusal(NamedTuple):
    """A refusal in a dialect's words."""

    status: int
    body: JSONObject
    headers: Headers = ()


class Manner(ABC):
    """One dialect. `contents` are the keys that hold what is said, in events and whole answers;
    one that `labels_errors` sends the JSON of an error under the content type of a stream. One that
    has `one_form` answers whole, or else streamed, whatever the request says.
    """

    name: ClassVar[str]
    stream_type: ClassVar[bytes] = SSE
    binary: ClassVar[bool] = False
    one_form: ClassVar[bool] = False
    labels_errors: ClassVar[bool] = False
    headers: ClassVar[Headers] = ()
    keep_alive: ClassVar[bytes] = b": keep-alive\n\n"
    contents: ClassVar[tuple[str, ...]]
    usages: ClassVar[tuple[str, ...]] = ("usage",)

    @abstractmethod
    def decode(self, request: Request, seal: Seal) -> Ask:
        """What `request` asks for. Raises Refused where the real provider would refuse it."""

    @abstractmethod
    def events(self, reply: Reply) -> Iterator[Event]:
        """The answer as a stream's events, made while they are taken."""

    @abstractmethod
    def whole(self, reply: Reply) -> JSONObject:
        """The answer in one object."""

    @abstractmethod
    def refusal(self, failure: Failure) -> Refusal:
        """An error before the answer began."""

    @abstractmethod
    def error_events(self) -> tuple[Event, ...]:
        """An error in the middle of a stream, and what follows it."""

    @abstractmethod
    def models(self, names: Sequence[str], created: int) -> JSONObject:
        """The list of models."""

    @abstractmethod
    def unfinished(self, data: JSONObject) -> JSONObject | None:
        """`data`, an event or a whole answer, without its finish reason; None: nothing is left."""

    @abstractmethod
    def emptied(self, body: JSONObject) -> JSONObject:
        """A whole answer without any choice."""

    def content_type(self, ask: Ask, *, stream: bool) -> bytes:
        """The content type of a healthy answer to `ask`."""
        return self.stream_type if stream else JSON

    def more_headers(self, reply: Reply) -> Headers:
        """What the head of a whole answer says of it."""
        return ()

    def error_named(self) -> tuple[Event, ...]:
        """An error in the middle of a stream in the dialect's other form, if it has one."""
        return self.error_events()

    def uncounted(self, data: JSONObject) -> JSONObject:
        """`data` without usage."""
        return {key: value for key, value in data.items() if key not in self.usages}

    def counted(self, data: JSONObject) -> bool:
        """Whether `data` has usage."""
        return any(data.get(key) for key in self.usages)

    def recounted(self, event: Event) -> Event:
        """What follows `event`, which has usage, to say the same usage again."""
        return event

    def growing(self, event: Event, reply: Reply) -> Event:
        """`event` with the usage so far, in dialects where any event may have it."""
        return event

    def nulled(self, data: JSONObject) -> JSONObject:
        """`data` with null where the content belongs."""
        return {key: None if key in self.contents else value for key, value in data.items()}

    def credential(self, request: Request, wanted: str | None) -> tuple[str, bool]:
        """What the caller sent as its own, and whether it opens what only `wanted` opens."""
        sent = bearer(request)
        return sent, wanted is None or sent == wanted

    def encode(self, data: Any) -> bytes:
        """`data` as the provider writes its JSON."""
        return orjson.dumps(data)

    def written(self, body: JSONObject, content_type: bytes) -> bytes:
        """A whole answer on the wire."""
        return self.encode(body)

    def payload(self, event: Event) -> bytes:
        """The data of `event`."""
        return b"[DONE]" if event.data is None else self.encode(event.data)

    def frame(self, name: str, data: bytes) -> bytes:
        """An event on the wire."""
        opening = b"event: " + name.encode() + b"\n" if name else b""
        return opening + b"data: " + data + b"\n\n"

    def broken(self, name: str, data: bytes) -> bytes:
        """An event that can be told apart, but not read."""
        return self.frame(name, data[:-1])

    def endless(self) -> bytes:
        """The opening of an event that never ends."""
        return b'data: {"id":"'


class Whole(Manner):
    """A dialect's way to answer what is never streamed, and ends for no reason but that it is
    whole. It stands before the dialect among the bases.
    """

    one_form = True

    def unfinished(self, data: JSONObject) -> JSONObject | None:
        """See `Manner.unfinished`."""
        return data

    def emptied(self, body: JSONObject) -> JSONObject:
        """See `Manner.emptied`."""
        return {key: type(v)() if key in self.contents else v for key, v in body.items()}


def bearer(request: Request) -> str:
    """The bearer token of `request`; empty where it has none."""
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def retry_after(failure: Failure) -> Headers:
    """The header that says how long to stay away, where the failure says it."""
    seconds = failure.retry_after_s
    return () if seconds is None else ((b"retry-after", str(seconds).encode()),)
