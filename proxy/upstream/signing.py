"""How a call proves who we are: the gateway's own keys, one provider at a time.

Keys are the only secrets of the request path. They live here, go into one header, and can be named
by nobody else; several keys of one provider take turns. A key that was told to wait, or was
refused, is passed over until its time is up; a reload begins with new ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from proxy.routing.rules import Rules

REFUSED_S: Final = 600.0
_RULES: Final = Rules()
_NEVER: Final = float("-inf")


class Credential(msgspec.Struct, frozen=True):
    """The headers for one call, and the number of their key among the provider's."""

    headers: Mapping[str, str]
    number: int

    def __repr__(self) -> str:
        return f"Credential(number={self.number})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("number", self.number)]


class _Key:
    """One key, and until when it is not to be used, in seconds of the caller's clock."""

    __slots__ = ("limited_until", "refused_until", "value")

    def __init__(self, value: str) -> None:
        self.value = value
        self.limited_until = self.refused_until = _NEVER

    def ready(self, now: float) -> bool:
        return now >= self.ready_at

    @property
    def ready_at(self) -> float:
        return max(self.limited_until, self.refused_until)


class Signing:
    """The keys of each provider by its slug; a provider without one needs none. `addresses` are
    the base URLs, whose hosts are nobody's business either. How long a key rests after a 429 is
    said by the pool's `rules`, as it is for its endpoint. `now` is seconds of a monotonic clock.
    """

    def __init__(
        self,
        keys: Mapping[str, Sequence[str]],
        addresses: Mapping[str, str] | None = None,
        *,
        rules: Rules = _RULES,
    ) -> None:
        self._rules = rules
        hosts = {slug: urlsplit(url).netloc for slug, url in (addresses or {}).items()}
        self._hosts = {slug: (host,) for slug, host in hosts.items() if host}
        self._keys = {slug: tuple(_Key(value) for value in values) for slug, values in keys.items()}
        self._turns = dict.fromkeys(keys, 0)

    def headers(self, slug: str, now: float) -> Iterator[Credential]:
        """What to try for one request: the ready keys, beginning with the one whose turn it is.

        Where none is ready it is a single one, rather one that waits than one that was refused:
        the provider may have changed its mind. Where there is no key it is empty headers.
        """
        keys = self._keys.get(slug) or ()
        if not keys:
            yield Credential({}, 0)
            return
        turn = self._turns[slug]
        self._turns[slug] = (turn + 1) % len(keys)
        numbers = [(turn + offset) % len(keys) for offset in range(len(keys))]
        usable = [number for number in numbers if keys[number].ready(now)]
        if not usable:
            usable = [min(numbers, key=lambda number: keys[number].refused_until > now)]
        for number in usable:
            yield Credential({"Authorization": f"Bearer {keys[number].value}"}, number)

    def limited(self, slug: str, number: int, now: float, retry_after_s: float | None) -> None:
        """That key got a 429: it rests as long as the provider says, a minute at most."""
        rules = self._rules
        if key := self._key(slug, number):
            said_s = rules.limited_s if retry_after_s is None else retry_after_s
            rest_s = min(max(rules.limited_s_min, said_s), rules.limited_s_max)
            key.limited_until = max(key.limited_until, now + rest_s)

    def refused(self, slug: str, number: int, now: float) -> None:
        """The provider does not know that key, or lets it do nothing."""
        if key := self._key(slug, number):
            key.refused_until = now + REFUSED_S

    def accepted(self, slug: str, number: int) -> None:
        """That key works. A pause it has to keep goes on: this answer may be older than the 429."""
        if key := self._key(slug, number):
            key.refused_until = _NEVER

    def ready(self, slug: str, now: float) -> bool:
        """Whether the provider has a key that nothing is known against."""
        return any(key.ready(now) for key in self._keys.get(slug, ()))

    def soonest_s(self, slug: str, now: float) -> float:
        """In how many seconds a key is ready: 0 where one is, or where none is needed."""
        ready_at = min((key.ready_at for key in self._keys.get(slug, ())), default=now)
        return max(0.0, ready_at - now)

    def all_refused(self, slug: str, now: float) -> bool:
        """Whether no key is left that the provider did not refuse; so where there is none."""
        return all(now < key.refused_until for key in self._keys.get(slug, ()))

    def secrets(self, slug: str) -> tuple[str, ...]:
        """What must not be shown of this provider's answers."""
        return tuple(key.value for key in self._keys.get(slug, ()))

    def hosts(self, slug: str) -> tuple[str, ...]:
        """Where the provider lives, which must not be shown either."""
        return self._hosts.get(slug, ())

    def _key(self, slug: str, number: int) -> _Key | None:
        keys = self._keys.get(slug, ())
        return keys[number] if number < len(keys) else None
