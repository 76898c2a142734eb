"""Which endpoint has a conversation's prompt in its cache, and whether it is worth to stay there.

Contract, section 4, item 14. A conversation is known by what its caller calls it, else by how it
begins. What an answer says of cached tokens is the evidence: the share of the last prompt that came
from the cache is what the next one is expected to find there, less after a while without requests.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from proxy.money import Pricing, cost_of
from proxy.routing.health import EndpointId
from proxy.wire.events import Usage

IDLE_S: Final = 600.0
"""After so long without a request nothing is known of a conversation."""

FRESH_S: Final = 300.0
"""So long providers keep what nobody asks for; some keep it longer, and all that was written for an
hour (Anthropic's `ttl`)."""

LATER: Final = 0.5
"""How likely it is still there after that."""

UNSEEN: Final = 0.5
"""The share expected of a cache where none was seen at work yet, as after a session's beginning."""

SAVING: Final = (1, 5)
"""The part of what it costs to stay that a move must save. A move is a sure loss of the cache for a
likely gain, and prices that are nearly the same would have a conversation go to and fro."""

ENTRIES_MAX: Final = 100_000
"""About 35 MB. The conversation that was answered longest ago goes first; an account that has more
of them than its share gets no new ones then, so that it does not push out those of others."""

TEXT_CHARS_MAX: Final = 4096
"""Of a longer text the beginning, the end and the length say which it is."""

OPENING_MAX: Final = 16
"""Messages among which the first of the system and the first other one are looked for."""

PARTS_MAX: Final = 8
"""Of a message, or fields of a part, that are looked at."""

_SYSTEM: Final = ("system", "developer")


class Warm(msgspec.Struct, frozen=True, gc=False):
    """Where a conversation was answered last. `share` is the part of its last prompt, of
    `prompt_tokens`, that a cache is expected to have; `lasting` says that it is kept for an hour.
    """

    endpoint: EndpointId
    share: float
    prompt_tokens: int
    completion_tokens: int
    at: float
    lasting: bool
    account: str = ""


class Warmth:
    """What one process knows of conversations, by keys of whatever kind."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._warm: dict[int, Warm] = {}  # the one that was answered longest ago first
        self._counts: Counter[str] = Counter()  # by account
        self._entries_max = entries_max

    def __len__(self) -> int:
        return len(self._warm)

    def where(self, key: int, now: float) -> Warm | None:
        """Where the conversation is warm; None where it is nowhere, or nobody asked for long."""
        warm = self._warm.get(key)
        return None if warm is None or now - warm.at >= IDLE_S else warm

    def learn(
        self,
        key: int,
        endpoint: EndpointId,
        usage: Usage,
        now: float,
        *,
        named: bool,
        account: str = "",
    ) -> None:
        """A request of the conversation, of which `account` is a part, was answered. Who named it a
        session stays where it went well, all others from the first answer on that came out of a
        cache.
        """
        before = self.where(key, now)
        if before is not None and before.endpoint != endpoint:
            before = None
        if before is None and not named and not usage.cached_tokens:
            return
        if key in self._warm:
            self._forget(key)
        elif self._greedy(account):
            self._drop(now)
            return
        self._counts[account] += 1
        self._warm[key] = Warm(
            endpoint,
            _share(before, usage),
            usage.prompt_tokens,
            usage.completion_tokens,
            now,
            usage.cache_write_1h_tokens > 0 or (before is not None and before.lasting),
            account,
        )
        self._drop(now)

    def _drop(self, now: float) -> None:
        """The oldest two, if they are too old or too many: more than ever come at once."""
        for key, warm in list(islice(self._warm.items(), 2)):
            if now - warm.at >= IDLE_S or len(self._warm) > self._entries_max:
                self._forget(key)

    def _forget(self, key: int) -> None:
        account = self._warm.pop(key).account
        self._counts[account] -= 1
        if not self._counts[account]:
            del self._counts[account]

    def _greedy(self, account: str) -> bool:
        """Whether it has more than its share of a memory that is full."""
        full, counts = len(self._warm) >= self._entries_max, self._counts
        return full and len(counts) > 1 and counts[account] * len(counts) > self._entries_max


def _share(before: Warm | None, usage: Usage) -> float:
    """Half of it is what was seen now; of a usage that is a guess nothing was."""
    cached, known = usage.cached_tokens, UNSEEN if before is None else before.share
    if usage.estimated:
        return known
    if before is None:
        return min(1.0, cached / max(1, usage.prompt_tokens)) if cached else known
    return (known + min(1.0, cached / max(1, before.prompt_tokens))) / 2


def caches(pricing: Pricing | None) -> bool:
    """Whether tokens out of the cache are cheaper there, so that staying can be worth anything."""
    if pricing is None or pricing.input_cache_read is None:
        return False
    return pricing.input_cache_read < pricing.prompt


def worth(warm: Warm, here: Pricing, there: Pricing, *, prompt_tokens: int, now: float) -> bool:
    """Whether the next request should stay `here`, where its prompt is cached, and not be the first
    `there`. `prompt_tokens` is a guess of what it has.
    """
    fresh = warm.lasting or now - warm.at < FRESH_S
    cached = int(warm.prompt_tokens * warm.share * (1.0 if fresh else LATER))
    likely = max(prompt_tokens, warm.prompt_tokens)
    cold = Usage(prompt_tokens=likely, completion_tokens=warm.completion_tokens)
    staying = cost_of(msgspec.structs.replace(cold, cached_tokens=cached), here).total_nano
    moving = cost_of(cold, there).total_nano
    part, whole = SAVING
    return moving * whole > staying * (whole - part)


def opening(messages: Iterable[Mapping[str, Any]]) -> Hashable:
    """How a conversation begins, which later requests of it repeat: the first message of the system
    and the first other one, as far as is needed to tell it from others.
    """
    system = other = None
    for message in islice(messages, OPENING_MAX):
        if message.get("role") in _SYSTEM:
            if system is None:
                system = message
        elif other is None:
            other = message
        if system is not None and other is not None:
            break
    return (
        None if system is None else _content(system.get("content")),
        None if other is None else (other.get("role"), _content(other.get("content"))),
    )


def _content(content: Any) -> Hashable:
    """The same for a text and for a list with this text alone: marks for the cache are set on the
    latest messages, so that those of the first come and go.
    """
    parts = content if isinstance(content, list) else [content]
    return tuple(map(_part, parts[:PARTS_MAX]))


def _part(part: Any) -> Hashable:
    if isinstance(part, dict) and part.get("type") == "text":
        return _mark(part.get("text"))
    return _mark(part)


def _mark(value: Any) -> Hashable:
    if isinstance(value, str):
        if len(value) <= TEXT_CHARS_MAX:
            return value
        half = TEXT_CHARS_MAX // 2
        return len(value), value[:half], value[-half:]
    if isinstance(value, list):
        return tuple(map(_mark, value[:PARTS_MAX]))
    if isinstance(value, dict):
        fields = islice(value.items(), PARTS_MAX)
        return tuple((name, _mark(one)) for name, one in fields if name != "cache_control")
    simple: Hashable = value  # a number, true, false or null
    return simple
