"""One request and all that becomes of it: the record that the phases of the story hand on."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from proxy.accounts.keys import Key
from proxy.errors import GatewayError
from proxy.money import Cost
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.plan import Plan
from proxy.upstream.signing import Signing
from proxy.wire.events import Started, Usage
from proxy.wire.record import Try
from proxy.wire.request import Ask, Head

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


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
    with. `anonymous` is `auth.mode = "none"`.
    """

    catalogue: Catalogue
    signing: Signing
    anonymous: bool
    body_bytes_max: int
    client_stall_s: float


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
        self.model: Model | None = None
        self.endpoint: Endpoint | None = None
        self.tries: list[Try] = []
        self.cost: Cost | None = None
        self.error: GatewayError | None = None
        self.cancelled = False
        self.settled = False
        self.begin_again()

    def begin_again(self) -> None:
        """Forgets what an attempt left behind; the next one begins with nothing."""
        self.opened = Started()
        self.usage: Usage | None = None
        self.said_bytes = 0  # of the answer's text, for an estimate where usage is missing
        self.finish_reason: str | None = None
        self.native_finish_reason: str | None = None
        self.content_at: float | None = None

    @property
    def head(self) -> Head:
        """What the answer repeats; before a provider was chosen it names none."""
        return Head(
            id=self.id,
            created=int(self.created_at),
            model=self.model.id if self.model else "",
            provider=self.endpoint.provider.name if self.endpoint else "",
        )
