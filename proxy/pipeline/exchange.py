"""One request and all that becomes of it: the record that the phases of the story hand on."""

import os
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from proxy.accounts.keys import Key
from proxy.accounts.limits import Rules, Taken
from proxy.accounts.purse import Hold
from proxy.dialects import StreamEncoder
from proxy.dialects.asking import Encoded
from proxy.errors import GatewayError
from proxy.money import NO_MARGIN, Cost
from proxy.pipeline.heard import Heard
from proxy.pipeline.provision import Provisioner, Provisions
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.health import EndpointId
from proxy.routing.plan import Plan
from proxy.serving.caller import Caller
from proxy.upstream.egress import Egress
from proxy.upstream.pdf import Reader
from proxy.upstream.signing import Signing
from proxy.wire.events import Started, Usage
from proxy.wire.record import Try
from proxy.wire.request import Ask, Head

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_PARTS = 62**3  # of a second
_CHANCE_BYTES = 17  # one for each digit of an id that is chance
_DIGIT_OF = (_DIGITS * 5)[:256].encode()  # of each byte; the first eight come a bit more often

TEXT_CHARS_MAX = 512  # of what callers say about themselves, which is kept

ORIGIN = "weir.origin"  # what is kept of a head by that name

_SAID = {
    b"http-referer": "http_referer",
    b"x-openrouter-title": "title",
    b"user-agent": "user_agent",
    b"x-session-id": "session_id",
}
_SAID_ELSE = {b"referer": "http_referer", b"x-title": "title"}
"""Names that count where the other one for the same is not there, or empty."""


class Ids:
    """Makes generation ids in OpenRouter's form: `gen-`, the second, twenty digits of base 62.

    The first three of them are the fraction of the second, the others are chance (101 bits): rows
    whose ids come in their order stand side by side in the store, where each else had a page of its
    own to be written. Chance is drawn for many at once, because each draw would give the
    interpreter's lock to another thread. `draw` gives so many random bytes.
    """

    def __init__(self, draw: Callable[[int], bytes] = os.urandom) -> None:
        self._draw = draw
        self._drawn = ""
        self._used = 0

    def __call__(self, wall: float) -> str:
        """A new one, of the second `wall`."""
        second, part = divmod(int(wall * _PARTS), _PARTS)
        begin = self._used
        if begin == len(self._drawn):
            drawn = self._draw(_CHANCE_BYTES * 64)
            self._drawn, begin = drawn.translate(_DIGIT_OF).decode(), 0
        self._used = end = begin + _CHANCE_BYTES
        return f"gen-{second}-{_PAIRS[part // 62]}{_DIGITS[part % 62]}{self._drawn[begin:end]}"


class Snapshot(NamedTuple):
    """All that a reload may change, swapped by one assignment; a request keeps the one it began
    with. `anonymous` is `auth.mode = "none"`, `enforce` whether a request needs credit, `margin`
    what callers pay above the provider's price, as a fraction, `provisioner` who fetches what
    providers do not.
    """

    catalogue: Catalogue
    signing: Signing
    anonymous: bool
    body_bytes_max: int
    client_stall_s: float
    enforce: bool = False
    margin: tuple[int, int] = NO_MARGIN
    rules: Rules = Rules()
    hedge: bool = False
    hedge_share_max: float = 0.05
    provisioner: Provisioner = Provisioner(Egress(), Reader())


def nothing() -> None:
    """For whom there is nothing to tell."""


def _heard(name: str) -> Any:
    def put(exchange: "Exchange", value: object) -> None:
        setattr(exchange.heard, name, value)

    return property(attrgetter(f"heard.{name}"), put)


class Exchange:
    """One request. `created_at` is seconds since 1970, other times are of the loop's clock."""

    key: Key | None = None
    ask: Ask | None = None
    requested = ""  # the model that the caller named first
    arm: str | None = None  # the model that it was given of an alias
    preset: str | None = None  # the slug of the one that it used
    choice: str | None = None  # why a router chose its model, in words
    conversation: int | None = None  # the key of what is known of it, where a cache is worth it
    stayed = False  # it is asked where its conversation's prompt is cached
    saved_nano = 0  # by cached tokens
    plan: Plan | None = None
    provisions: Provisions | None = None  # for endpoints that can not be sent all as it is
    ahead: tuple[Endpoint, Encoded] | None = None  # a large request, written in steps
    read_bytes = 0  # of text out of its files, where any is read for an endpoint
    hold: Hold | None = None  # of credit, where the request needs it
    taken: Taken | None = None  # of its limits
    waited_s = 0.0  # for either of them
    free = False  # counts for the rules of free models
    model: Model | None = None
    endpoint: Endpoint | None = None
    encoder: StreamEncoder | None = None  # of the attempt that is kept, where it streams
    cost: Cost | None = None
    error: GatewayError | None = None
    admitted = False
    owed_nano: int | None = None  # by the caller, once that is known
    house_nano = 0  # what the house bears of it
    cancelled = False
    noted = False
    drained = False  # its provider is heard out though the caller is gone: settled then
    settled = False
    # Whether the hold covers so many completion tokens, at once and after asking for more;
    # None where it covers all that may come.
    cover: Callable[[int], bool] | None = None
    cover_more: Callable[[int], Awaitable[bool]] | None = None

    def __init__(
        self, *, id: str, created_at: float, started_at: float, snapshot: Snapshot
    ) -> None:
        self.id = id
        self.created_at = created_at
        self.started_at = started_at
        self.snapshot = snapshot
        self.origin: Mapping[str, str] = {}
        self.on_gone: Callable[[], None] = nothing  # what a hang-up must tell
        self.tries: list[Try] = []
        self.skips: list[tuple[Endpoint, str]] = []  # not tried though planned, and why
        self.dropped: dict[EndpointId, tuple[str, ...]] = {}  # what endpoints were not sent
        self.lost: list[tuple[Endpoint, Usage]] = []  # what losers of a race may have cost
        self.heard = Heard()

    def lose(self) -> None:
        """The caller hung up."""
        self.on_gone()

    # What was heard of the answer, live: `heard` is replaced when another attempt answers.
    opened: Started = _heard("opened")
    usage: Usage | None = _heard("usage")
    said_bytes: int = _heard("said_bytes")
    finish_reason: str | None = _heard("finish_reason")
    native_finish_reason: str | None = _heard("native_finish_reason")
    content_at: float | None = _heard("content_at")

    @property
    def head(self) -> Head:
        """What the answer repeats; before a provider was chosen it names none."""
        return self.head_of(self.model, self.endpoint)

    def head_of(self, model: Model | None, endpoint: Endpoint | None) -> Head:
        """What an answer of that endpoint repeats."""
        return Head(
            id=self.id,
            created=int(self.created_at),
            model=model.id if model else "",
            provider=endpoint.provider.name if endpoint else "",
        )

    @property
    def server_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Which answer it is and who serves it, for its head (contract, section 0)."""
        endpoint = self.endpoint
        serves = _serves(endpoint.provider.name) if endpoint is not None else ()
        return ((b"x-generation-id", self.id.encode()), *serves)


@lru_cache(maxsize=1024)
def _serves(name: str) -> tuple[tuple[bytes, bytes], ...]:
    """Headers are ASCII."""
    return ((b"x-provider-name", name.encode("ascii", "replace")),) if name else ()


def origin(caller: Caller) -> dict[str, str]:
    """What callers say about themselves (contract, section 0), the first word for each; it is kept
    with the request's head.
    """
    said: dict[str, str] = {}
    aside: dict[str, str] = {}
    for name, value in caller.scope["headers"]:
        if name in _SAID and value:
            said.setdefault(_SAID[name], value[:TEXT_CHARS_MAX].decode("latin-1"))
        elif name in _SAID_ELSE:
            aside.setdefault(_SAID_ELSE[name], value[:TEXT_CHARS_MAX].decode("latin-1"))
    caller.kept[ORIGIN] = said = aside | said if aside else said
    return said
