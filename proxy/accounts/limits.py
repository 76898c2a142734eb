"""What a request may take: the claims it makes on limits, and the book of what is left of each.

A request claims a unit of every limit it falls under, all of them or none. When it ends, its slots
are freed and its tokens, estimated until then, become those that were used.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Final, Literal, TypeAlias

import msgspec

from proxy.accounts.bucket import NS_PER_MS, Bucket, Daily, Meter, Moment, Slots
from proxy.accounts.keys import Key
from proxy.errors import GatewayError
from proxy.money import NANO_PER_USD

Kind: TypeAlias = Literal["requests", "tokens", "slots", "day"]

FREE_UNLOCK_NANO: Final = 10 * NANO_PER_USD
"""Ten dollars ever bought give the larger number of free requests per day (contract, section 5)."""

KEYLESS: Final = "none"
"""Where callers show no key they share the limits of one."""

_METERS: Final[Mapping[Kind, type[Meter]]] = {
    "requests": Bucket,
    "tokens": Bucket,
    "slots": Slots,
    "day": Daily,
}
_EXCEEDED: Final = "Rate limit exceeded: "
_SCOPES: Final = {
    "key": "This is a limit of the API key.",
    "account": "This is a limit of the account, over all its keys.",
}
_NS_PER_S: Final = 10**9


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The general limits, named as in the configuration's `[limits]`; 0 is no limit."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    concurrent_requests: int = 0
    account_requests_per_minute: int = 0
    account_tokens_per_minute: int = 0
    account_concurrent_requests: int = 0
    free_requests_per_minute: int = 20
    free_requests_per_day: int = 50
    free_requests_per_day_with_credit: int = 1000


class Claim(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`amount` of what the meter `name` holds. `text` is what the caller is told when it is not
    there.
    """

    name: str
    kind: Kind
    limit: int
    amount: int
    text: str = ""


class Taken(msgspec.Struct, gc=False):
    """Claims that were granted; to be finished, once."""

    claims: tuple[Claim, ...]
    finished: bool = False


def claims(
    key: Key | None, account: str, *, rules: Rules, tokens: int, free: bool, bought_nano: int
) -> tuple[Claim, ...]:
    """What a request of about `tokens` tokens claims. `free` says whether its model is a free one,
    `bought_nano` what the account ever bought. No limit, no claim.
    """
    known = _usuals.get((KEYLESS if key is None else key.hash, account))
    if known is None or known[0] is not key or known[1] is not rules:
        known = _usual(key, account, rules)
    usual = known[2]
    if not free and not usual:
        return ()
    made = [
        Claim(one.name, "tokens", one.limit, tokens, one.text) if one.kind == "tokens" else one
        for one in usual
    ]
    if free:
        made += _free(account, rules, bought_nano)
    return tuple(made)


_Usual: TypeAlias = tuple[Key | None, Rules, list[Claim]]

_usuals: dict[tuple[str, str], _Usual] = {}


def _usual(key: Key | None, account: str, rules: Rules) -> _Usual:
    """What every request of the key claims, by units; kept until key or rules are others."""
    hash = KEYLESS if key is None else key.hash
    own: tuple[int | None, ...] = (None, None, None)
    if key is not None:
        own = (key.requests_per_minute, key.tokens_per_minute, key.concurrent_requests)
    general = (rules.requests_per_minute, rules.tokens_per_minute, rules.concurrent_requests)
    limits = [limit if mine is None else mine for mine, limit in zip(own, general, strict=True)]
    account_limits = [
        rules.account_requests_per_minute,
        rules.account_tokens_per_minute,
        rules.account_concurrent_requests,
    ]
    made = [*_own("key", hash, limits), *_own("account", account, account_limits)]
    if len(_usuals) >= 4096:
        _usuals.clear()
    known = _usuals[hash, account] = key, rules, made
    return known


def _own(scope: str, id: str, limits: Sequence[int]) -> Iterator[Claim]:
    kinds: tuple[tuple[Kind, str], ...] = (
        ("requests", "requests-per-minute"),
        ("tokens", "tokens-per-minute"),
        ("slots", "concurrent-requests"),
    )
    for (kind, words), limit in zip(kinds, limits, strict=True):
        if limit:
            text = f"{_EXCEEDED}{words}. {_SCOPES[scope]}"
            yield Claim(f"{scope}:{id}:{kind}", kind, limit, 1, text)


def _free(account: str, rules: Rules, bought_nano: int) -> Iterator[Claim]:
    """The texts are OpenRouter's, to the last space: clients match them."""
    if limit := rules.free_requests_per_minute:
        text = f"{_EXCEEDED}free-models-per-min. "
        yield Claim(f"account:{account}:free-minute", "requests", limit, 1, text)
    more = rules.free_requests_per_day_with_credit
    if bought_nano >= FREE_UNLOCK_NANO:
        limit, text = more, f"{_EXCEEDED}free-models-per-day-high-balance. "
    else:
        limit, text = rules.free_requests_per_day, f"{_EXCEEDED}free-models-per-day. "
        if more == 0 or more > limit:
            unlocked = str(more) if more else "unlimited"
            text += f"Add 10 credits to unlock {unlocked} free model requests per day"
    if limit:
        yield Claim(_free_day(account), "day", limit, 1, text)


def _free_day(account: str) -> str:
    return f"account:{account}:free-day"


def owed(claims: Sequence[Claim], tokens: int) -> list[tuple[Claim, int]]:
    """What an ended request that used `tokens` gives back of each claim; below zero it owes more.
    Requests and days are used up by having been let in.
    """
    back = []
    for claim in claims:
        if (kind := claim.kind) == "slots":
            back.append((claim, claim.amount))
        elif kind == "tokens" and claim.amount != tokens:
            back.append((claim, claim.amount - tokens))
    return back


class Book:
    """All meters by name. One that says what a new one would say is dropped in time: for each that
    is made, the two that were looked at longest ago are looked at. So the book holds hardly more
    than what is in use, and no caller ever waits while all of it is searched.
    """

    def __init__(self) -> None:
        self._meters: OrderedDict[str, Meter] = OrderedDict()
        self._unswept = 0

    def __len__(self) -> int:
        return len(self._meters)

    def load_days(self, used: Mapping[str, int], at: Moment) -> None:
        """Set how many free requests each account made today, as the store knows it."""
        for account, count in used.items():
            meter = Daily(max(1, count), at)
            meter.take(count, at)
            self._meters[_free_day(account)] = meter

    def take(self, claims: Sequence[Claim], at: Moment) -> Taken:
        """Take all claims, or none.

        Raises GatewayError `rate_limited`, for the claim that has to wait longest.
        """
        if self._unswept:
            self._sweep(at)  # first: the meters of these claims must stay until they are taken from
        meters = self._meters
        for claim in claims:
            meter = meters.get(claim.name)
            if meter is None or meter.limit != claim.limit:
                meter = self._fitting(claim, at)
            if not meter.take(claim.amount, at):
                self._untake(claims, claim, at)
                raise self._refusal(self.short(claims, at), at)
        return Taken(tuple(claims))

    def _untake(self, claims: Sequence[Claim], until: Claim, at: Moment) -> None:
        """Give back what was taken before `until`, at the same moment: as if nothing had been."""
        for claim in takewhile(lambda one: one is not until, claims):
            self._meters[claim.name].give(claim.amount, at)

    def short(self, claims: Sequence[Claim], at: Moment) -> list[Claim]:
        """The claims that can not be granted now. A limit that has changed is changed here."""
        return [one for one in claims if self._fitting(one, at).wait_ns(one.amount, at)]

    def _fitting(self, claim: Claim, at: Moment) -> Meter:
        """The meter of `claim`, by its present limit."""
        meter = self._meters.get(claim.name) or self._meter(claim, at)
        if meter.limit != claim.limit:
            meter.resize(claim.limit, at)
        return meter

    def finish(self, taken: Taken, *, tokens: int, at: Moment) -> None:
        """The request has ended and used `tokens`. Only the first call does anything."""
        if not taken.finished:
            taken.finished = True
            for claim, amount in owed(taken.claims, tokens):
                meter = self._meters.get(claim.name) or self._meter(claim, at)
                meter.give(amount, at)

    def settle(self, claim: Claim, amount: int, at: Moment) -> None:
        """Give `amount` back to the meter of `claim`; below zero, take it whatever is left."""
        self._lendable(claim, at).give(amount, at)

    def left(self, claim: Claim, at: Moment) -> int:
        """How many units the meter of `claim` has left."""
        return self._meter(claim, at).left(at)

    def lend(self, claim: Claim, amount: int, at: Moment) -> None:
        """Take `amount`, at most `left`, which may lie unused for a while."""
        self._lendable(claim, at).lend(amount, at)

    def unlend(self, claim: Claim, amount: int, at: Moment) -> None:
        """Of what was lent, `amount` lies nowhere any more; what is unused of it is settled."""
        self._lendable(claim, at).unlend(amount, at)

    def _meter(self, claim: Claim, at: Moment) -> Meter:
        meter = self._meters.get(claim.name)
        if meter is None:
            meter = self._meters[claim.name] = _METERS[claim.kind](claim.limit, at)
            self._unswept += 1
        return meter

    def _lendable(self, claim: Claim, at: Moment) -> Bucket | Slots:
        meter = self._meter(claim, at)
        assert not isinstance(meter, Daily), claim.name
        return meter

    def _sweep(self, at: Moment) -> None:
        for _ in range(min(2 * self._unswept, len(self._meters))):
            name, meter = self._meters.popitem(last=False)
            if not meter.idle(at):
                self._meters[name] = meter
        self._unswept = 0

    def _refusal(self, short: Sequence[Claim], at: Moment) -> GatewayError:
        waits = {claim: self._meters[claim.name].wait_ns(claim.amount, at) for claim in short}
        claim = max(waits, key=waits.__getitem__)
        reset_ms = at.wall_ms + -(-waits[claim] // NS_PER_MS)
        told = {
            "X-RateLimit-Limit": str(claim.limit),
            "X-RateLimit-Remaining": str(self.left(claim, at)),
            "X-RateLimit-Reset": str(reset_ms),
        }
        wait_s = -(-waits[claim] // _NS_PER_S)
        return GatewayError(
            "rate_limited",
            claim.text,
            metadata={"headers": told},
            headers={"Retry-After": str(wait_s), **told},
        )
