"""One request and all that becomes of it: the record that the phases of the story hand on."""

import os
from asyncio import TimerHandle
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from proxy.accounts.keys import Key
from proxy.accounts.limits import Rules, Taken
from proxy.accounts.purse import Hold
from proxy.dialects import StreamEncoder
from proxy.errors import GatewayError
from proxy.money import NO_MARGIN, Cost
from proxy.pipeline.heard import Heard
from proxy.pipeline.provision import Provisioner, Provisions
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.plan import Plan
from proxy.serving.caller import Caller
from proxy.upstream.egress import Egress
from proxy.upstream.pdf import Reader
from proxy.upstream.signing import Signing
from proxy.wire.events import Started, Usage
from proxy.wire.record import Try
from proxy.wire.request import Ask, Head

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

TEXT_CHARS_MAX = 512  # of what callers say about themselves, which is kept


def generation_id(wall: float) -> str:
    """OpenRouter's form: `gen-`, the second, twenty digits of base 62 (119 bits of chance)."""
    number = int.from_bytes(os.urandom(16), "big")
    digits = []
    for _ in range(20):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return f"gen-{int(wall)}-{''.join(digits)}"


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


def _heard(name: str) -> Any:
    return property(
        lambda exchange: getattr(exchange.heard, name),
        lambda exchange, value: setattr(exchange.heard, name, value),
    )


class Exchange:
    """One request. `created_at` is seconds since 1970, other times are of the loop's clock."""

    def __init__(
        self, *, id: str, created_at: float, started_at: float, snapshot: Snapshot
    ) -> None:
        self.id = id
        self.created_at = created_at
        self.started_at = started_at
        self.snapshot = snapshot
        self.origin: Mapping[str, str | None] = {}
        self.key: Key | None = None
        self.ask: Ask | None = None
        self.plan: Plan | None = None
        self.provisions: Provisions | None = None  # for endpoints that can not be sent all as it is
        self.read_bytes = 0  # of text out of its files, where any is read for an endpoint
        self.hold: Hold | None = None  # of credit, where the request needs it
        self.taken: Taken | None = None  # of its limits
        self.waited_s = 0.0  # for either of them
        self.free = False  # counts for the rules of free models
        self.on_gone: Callable[[], None] = lambda: None  # what a hang-up must tell
        self.model: Model | None = None
        self.endpoint: Endpoint | None = None
        self.encoder: StreamEncoder | None = None  # of the attempt that is kept, where it streams
        self.tries: list[Try] = []
        self.cost: Cost | None = None
        self.error: GatewayError | None = None
        self.admitted = False
        self.owed_nano: int | None = None  # by the caller, once that is known
        self.house_nano = 0  # what the house bears of it
        self.cancelled = False
        self.timer: TimerHandle | None = None  # of the next note of what it has cost
        self.noted = False
        self.drained = False  # its provider is heard out though the caller is gone: settled then
        self.settled = False
        self.skips: list[tuple[Endpoint, str]] = []  # not tried though planned, and why
        self.lost: list[tuple[Endpoint, Usage]] = []  # what losers of a race may have cost
        # Whether the hold covers so many completion tokens, at once and after asking for more;
        # None where it covers all that may come.
        self.cover: Callable[[int], bool] | None = None
        self.cover_more: Callable[[int], Awaitable[bool]] | None = None
        self.heard = Heard()

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
    def server_headers(self) -> dict[str, str]:
        """Who serves the answer, for its head (contract, section 0); headers are ASCII."""
        name = self.endpoint.provider.name if self.endpoint else ""
        return {"X-Provider-Name": name.encode("ascii", "replace").decode()} if name else {}


def origin(caller: Caller) -> dict[str, str | None]:
    """What callers say about themselves (contract, section 0)."""
    named = {
        "http_referer": caller.header(b"http-referer") or caller.header(b"referer"),
        "title": caller.header(b"x-openrouter-title") or caller.header(b"x-title"),
        "user_agent": caller.header(b"user-agent"),
        "session_id": caller.header(b"x-session-id"),
    }
    return {name: value and value[:TEXT_CHARS_MAX] for name, value in named.items()}
