"""How a call proves who we are: the gateway's own keys, one provider at a time.

Keys are the only secrets of the request path. They live here, go into one header, and can be named
by nobody else; several keys of one provider take turns. A key that was told to wait, or was
refused, is passed over until its time is up; a reload begins with new ones.

A call is signed without waiting. Some keys sign with something that they are lent for an hour (see
`tokens.py`): whoever asks for `unready` providers can `prepare` them, and that alone may wait.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from proxy.routing.rules import Rules
from proxy.upstream.tokens import Kept, lacking

REFUSED_S: Final = 600.0
PREPARE_S: Final = 10.0  # a request waits for tokens no longer

_RULES: Final = Rules()
NEVER: Final = -inf


class Signer(Protocol):
    """One key at work. `kept` is what it is lent, None where the key is all that it needs."""

    @property
    def kept(self) -> Kept[Any] | None: ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every part of it that must not be shown, of what it is lent too."""
        ...

    def sign(self, url: str, body: bytes | None) -> Mapping[str, str]:
        """The headers for one call, exactly as it is sent; a `body` of None is a GET.

        Raises GatewayError `provider_credential` where it is lent nothing.
        """
        ...


class Header:
    """A key that goes into a header as it is."""

    kept = None

    def __init__(self, name: str, value: str, *, secret: str) -> None:
        self._headers = {name: value}
        self.secrets = (secret,)

    def sign(self, url: str, body: bytes | None) -> Mapping[str, str]:
        return self._headers


class Nobody:
    """Where no key is needed."""

    kept = None
    secrets = ()

    def sign(self, url: str, body: bytes | None) -> Mapping[str, str]:
        return {}


class _Lacking(Nobody):
    """A key without a token."""

    def sign(self, url: str, body: bytes | None) -> Mapping[str, str]:
        raise lacking()


def bearer(key: str) -> Header:
    """The usual way to show a key."""
    return Header("Authorization", f"Bearer {key}", secret=key)


class Credential:
    """What signs one call, and the number of its key among the provider's. A key that signs all
    calls alike has `known`: their headers, by whether they stream, kept by who makes the calls.
    """

    __slots__ = ("_signer", "known", "number", "refused_until")

    def __init__(self, signer: Signer, number: int) -> None:
        self._signer = signer
        self.number = number
        self.refused_until = NEVER
        alike = type(signer) in (Header, Nobody)
        self.known: dict[bool, Mapping[str, str]] | None = {} if alike else None

    def sign(self, url: str, body: bytes | None) -> Mapping[str, str]:
        """The headers that prove who we are, for a POST of `body`, or a GET where it is None. They
        are for that very call, now.

        Raises GatewayError `provider_credential` where the key has no token.
        """
        return self._signer.sign(url, body)

    def __repr__(self) -> str:
        return f"Credential(number={self.number})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("number", self.number)]


class _Key:
    """One key, and until when it is to rest, in seconds of the caller's clock."""

    __slots__ = ("credential", "lent", "limited_until", "signer")

    def __init__(self, key: str | Signer, number: int) -> None:
        self.signer = bearer(key) if isinstance(key, str) else key
        self.lent = self.signer.kept is not None
        self.credential = Credential(self.signer, number)
        self.limited_until = NEVER

    def usable(self, now: float) -> bool:
        """Whether it may be used, and can."""
        rests_until = max(self.limited_until, self.credential.refused_until)
        return now >= rests_until and not self.lacking(now)

    def ready_at(self, now: float) -> float:
        return max(self.limited_until, self.credential.refused_until, self._rests_until(now))

    def _rests_until(self, now: float) -> float:
        """Without a token it is of use again when it may be asked for."""
        return self.signer.kept.rests_until if self.lacking(now) and self.signer.kept else NEVER

    def freshen(self, now: float) -> None:
        """Has its token renewed where that is due."""
        if self.signer.kept is not None:
            self.signer.kept.freshen(now)

    def lacking(self, now: float) -> bool:
        """Whether it can not sign for want of a token."""
        return self.signer.kept is not None and not self.signer.kept.good(now)

    def refused(self, now: float) -> bool:
        return now < max(self.credential.refused_until, self._rests_until(now))


class Signing:
    """The keys of each provider by its slug; a provider without one needs none. A key that is mere
    text is shown as a bearer's. `addresses` are where the provider lives, URLs and other names,
    which are nobody's business either. How long a key rests after a 429 is said by the pool's
    `rules`, as it is for its endpoint. `now` is seconds of the loop's clock.
    """

    def __init__(
        self,
        keys: Mapping[str, Sequence[str | Signer]],
        addresses: Mapping[str, str | Iterable[str]] | None = None,
        *,
        rules: Rules = _RULES,
    ) -> None:
        self._rules = rules
        self._hosts = {slug: _hosts_of(urls) for slug, urls in (addresses or {}).items()}
        self._keys = {
            slug: tuple(_Key(one, number) for number, one in enumerate(values))
            for slug, values in keys.items()
        }
        self._no_key = (Credential(Nobody(), 0),)
        self._turns = dict.fromkeys(keys, 0)
        self.lent = {slug for slug, found in self._keys.items() if any(one.lent for one in found)}
        """Who has keys that are lent something: nobody else is ever `unready`."""
        self._only = {  # one that needs nothing is the one to try, whatever is known of it
            slug: (found[0].credential,)
            for slug, found in self._keys.items()
            if len(found) == 1 and slug not in self.lent
        }

    def credentials(self, slug: str, now: float) -> Iterator[Credential]:
        """What to try for one request: the ready keys, beginning with the one whose turn it is.

        Where none is ready it is a single one, rather one that waits than one that was refused:
        the provider may have changed its mind. Where there is no key it is one that says nothing.
        """
        if (only := self._only.get(slug)) is not None:
            return iter(only)
        keys = self._keys.get(slug)
        if not keys:
            return iter(self._no_key)
        turn = self._turns[slug]
        self._turns[slug] = (turn + 1) % len(keys)
        keys = keys[turn:] + keys[:turn]
        if slug in self.lent:
            for key in keys:
                key.freshen(now)
        usable = [key.credential for key in keys if key.usable(now)]
        if not usable:
            key = min(keys, key=lambda one: (one.lacking(now), one.refused(now)))
            said = key.credential
            usable = [Credential(_Lacking(), said.number) if key.lacking(now) else said]
        return iter(usable)

    # Tokens.

    def unready(self, slugs: Iterable[str], now: float) -> tuple[str, ...]:
        """Those providers that could be asked after a wait for a token, and not before."""
        lent = (slug for slug in dict.fromkeys(slugs) if slug in self.lent)
        return tuple(slug for slug in lent if self._wanting(slug, now))

    def _wanting(self, slug: str, now: float) -> list[Kept[Any]]:
        """The tokens to wait for, none where a key can sign without."""
        wanting = []
        for key in self._keys.get(slug, ()):
            kept = key.signer.kept
            if key.usable(now):
                return []
            if kept is not None and key.lacking(now) and now >= kept.rests_until:
                wanting.append(kept)
        return wanting

    async def prepare(
        self, slugs: Iterable[str], now: float, *, within_s: float = PREPARE_S
    ) -> None:
        """Waits until each provider that is `unready` has a token, or will have none for now; for
        `within_s` at most. A named exception of the rule that nothing is awaited before the call.
        """
        wanting = [one.renew() for slug in dict.fromkeys(slugs) for one in self._wanting(slug, now)]
        if wanting:
            await asyncio.wait(wanting, timeout=within_s)

    async def close(self, *, give_up: bool = True) -> None:
        """Ends all that is under way; without `give_up` it waits, as requests may that began before
        a reload.
        """
        kept = [key.signer.kept for keys in self._keys.values() for key in keys]
        ends = (one.close(give_up=give_up) for one in kept if one is not None)
        await asyncio.gather(*ends)

    # What answers say of a key.

    def limited(self, slug: str, number: int, now: float, retry_after_s: float | None) -> None:
        """That key got a 429: it rests as long as the provider says, a minute at most."""
        rules = self._rules
        if key := self._key(slug, number):
            said_s = rules.limited_s if retry_after_s is None else retry_after_s
            rest_s = min(max(rules.limited_s_min, said_s), rules.limited_s_max)
            key.limited_until = max(key.limited_until, now + rest_s)

    def refused(self, slug: str, number: int, now: float, *, asked_at: float = inf) -> None:
        """The provider does not know that key, or lets it do nothing. What it was lent is no good
        either, unless that came after `asked_at`: it was another that was refused. A key without
        has not been shown to anybody, and rests for that alone.
        """
        key = self._key(slug, number)
        if key is None or key.lacking(now):
            return
        kept = key.signer.kept
        if kept is not None:
            if kept.since > asked_at:
                return
            kept.drop(now)
        key.credential.refused_until = now + REFUSED_S

    def accepted(self, slug: str, number: int) -> None:
        """That key works. A pause it has to keep goes on: this answer may be older than the 429."""
        if key := self._key(slug, number):
            key.credential.refused_until = NEVER

    def ready(self, slug: str, now: float) -> bool:
        """Whether the provider has a key that nothing is known against."""
        return any(now >= key.ready_at(now) for key in self._keys.get(slug, ()))

    def soonest_s(self, slug: str, now: float) -> float:
        """In how many seconds a key is ready: 0 where one is, or where none is needed."""
        ready_at = min((key.ready_at(now) for key in self._keys.get(slug, ())), default=now)
        return max(0.0, ready_at - now)

    def all_refused(self, slug: str, now: float) -> bool:
        """Whether no key is left that was not refused, be it a token; so where there is none."""
        return all(key.refused(now) for key in self._keys.get(slug, ()))

    # What must not be shown.

    def secrets(self, slug: str) -> tuple[str, ...]:
        """What must not be shown of this provider's answers; whole before parts."""
        keys = self._keys.get(slug, ())
        return tuple(secret for key in keys for secret in key.signer.secrets)

    def hosts(self, slug: str) -> tuple[str, ...]:
        """Where the provider lives, which must not be shown either."""
        return self._hosts.get(slug, ())

    def _key(self, slug: str, number: int) -> _Key | None:
        keys = self._keys.get(slug, ())
        return keys[number] if number < len(keys) else None


def _hosts_of(urls: str | Iterable[str]) -> tuple[str, ...]:
    each = (urls,) if isinstance(urls, str) else urls
    return tuple(dict.fromkeys(host for url in each if (host := urlsplit(url).netloc or url)))
