"""Limits over several workers: the supervisor has the book, and lends workers parts of it.

A worker asks the supervisor for what a request claims. Of a large limit it gets a little more than
it asked for, a *part*, from which it serves its next requests alone:

    worker: Borrower                                   supervisor: Lender
    ask(claims), and all unused parts of them  ──►     takes them back, grants all or none
    absorb(reply)                              ◄──     granted, with new parts | wait | refused
    outbox(): parts unused for a second, freed
    slots, differences of tokens               ──►     gives or takes
    recall(names)                              ◄──     where another worker is short

What a worker may have is always taken from the book before: no order, delay or death can let more
through than the book allows. Nothing is lost either, as long as a worker lives: each message is
sent until it is answered and applied once, known by its serial. Limits too small for parts are
asked for each time, which makes them exact; so are days, since a part of one could be used on the
next. Of a dead worker the slots are free at once. What it used of its parts nobody can know, so
they count as used; the refill makes up for them within two seconds.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from proxy.accounts.bucket import Moment
from proxy.accounts.limits import Book, Claim, Taken, owed
from proxy.errors import GatewayError

PARTS: Final = 32
"""All parts of a limit together are at most one in so many of it."""

SPARED: Final = 4
"""No part is lent of what is the last quarter: who is near a limit asks each time."""

IDLE_NS: Final = 10**9


class Return(msgspec.Struct, array_like=True):
    """What goes back to one meter: `amount` is given, or owed where below zero; `lent` is how much
    of the parts a worker had from it this ends.
    """

    claim: Claim
    amount: int
    lent: int


class Message(msgspec.Struct, frozen=True, array_like=True):
    """From a worker. Those below `floor` it will not send again. `last`: do not answer `wait`."""

    serial: int
    floor: int
    returns: tuple[Return, ...] = ()
    claims: tuple[Claim, ...] = ()
    last: bool = False


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """A GatewayError on its way."""

    kind: str
    message: str
    metadata: dict[str, Any]
    headers: dict[str, str]


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """To a worker. All that was claimed is granted, with `parts` of the same meters, unless there
    is a refusal or a `wait`: parts were asked for of other workers, so ask again in a moment.
    """

    parts: tuple[int, ...] = ()
    refusal: Refusal | None = None
    wait: bool = False


class _Worker:
    """What the supervisor knows of one: answers it may ask for again, its parts, its slots."""

    def __init__(self) -> None:
        self.floor = 0
        self.replies: dict[int, Any] = {}
        self.parts: dict[str, Return] = {}
        self.slots: dict[str, Return] = {}
        self.recalled: set[str] = set()

    def count(self, claim: Claim, amount: int) -> None:
        if claim.kind == "slots":
            _add(self.slots, claim, amount=amount)

    def forget(self, floor: int) -> None:
        if floor > self.floor:
            self.floor = floor
            for serial in [serial for serial in self.replies if serial < floor]:
                del self.replies[serial]


class Lender:
    """The supervisor's side. Payloads are what msgspec can encode, whichever way they travel."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._workers: dict[str, _Worker] = {}
        self._recalls: list[tuple[str, Any]] = []

    def join(self, worker: str) -> None:
        """A worker begins. No two, living or dead, may have the same name."""
        self._workers[worker] = _Worker()

    def drop(self, worker: str, at: Moment) -> None:
        """A worker has died: its slots are free. Nothing happens for one that is not known."""
        state = self._workers.pop(worker, None)
        if state is None:
            return
        for part in state.parts.values():
            self.book.unlend(part.claim, part.lent, at)
        for slots in state.slots.values():
            self.book.settle(slots.claim, slots.amount, at)

    def handle(self, worker: str, payload: Any, at: Moment) -> Any:
        """The answer to a message of `worker`; the same one when it comes again."""
        message = msgspec.convert(payload, Message)
        state = self._workers.get(worker)
        if state is None:
            return msgspec.to_builtins(Reply(refusal=_UNKNOWN))
        state.forget(message.floor)
        if message.serial < state.floor:
            return msgspec.to_builtins(Reply())  # a late copy, which nobody waits for
        if message.serial not in state.replies:
            reply = self._apply(worker, state, message, at)
            state.replies[message.serial] = msgspec.to_builtins(reply)
        return state.replies[message.serial]

    def recalls(self) -> list[tuple[str, Any]]:
        """What must be told to which workers, for their `Borrower.recall`; each only once."""
        recalls, self._recalls = self._recalls, []
        return recalls

    def _apply(self, worker: str, state: _Worker, message: Message, at: Moment) -> Reply:
        for back in message.returns:
            self._return(state, back, at)
        claims = message.claims
        if not message.last and self._recall(worker, self.book.short(claims, at)):
            return Reply(wait=True)
        try:
            self.book.take(claims, at)
        except GatewayError as error:
            refusal = Refusal(error.kind, error.message, error.metadata, error.headers)
            return Reply(refusal=refusal)
        for claim in claims:
            state.count(claim, claim.amount)
        return Reply(parts=tuple(self._lend(state, claim, at) for claim in claims))

    def _return(self, state: _Worker, back: Return, at: Moment) -> None:
        claim = back.claim
        if back.lent:
            self.book.unlend(claim, back.lent, at)
            _add(state.parts, claim, lent=-back.lent)
            state.recalled.discard(claim.name)
        if back.amount:
            self.book.settle(claim, back.amount, at)
            state.count(claim, -back.amount)

    def _recall(self, worker: str, short: Sequence[Claim]) -> bool:
        """Whether parts of what is short are about. The asker's own come when it asks again."""
        awaited = False
        for name, state in self._workers.items():
            names = [claim.name for claim in short if claim.name in state.parts]
            awaited = awaited or bool(names)
            if fresh := [each for each in names if each not in state.recalled and name != worker]:
                state.recalled.update(fresh)
                self._recalls.append((name, fresh))
        return awaited

    def _lend(self, state: _Worker, claim: Claim, at: Moment) -> int:
        if claim.kind == "day":
            return 0
        most = claim.limit // (PARTS * len(self._workers))
        held = state.parts.get(claim.name)
        part = most - (held.lent if held else 0)
        if part <= 0 or self.book.left(claim, at) - part < claim.limit // SPARED:
            return 0
        self.book.lend(claim, part, at)
        _add(state.parts, claim, lent=part)
        state.count(claim, part)
        return part


class Borrower:
    """A worker's side. It sends nothing itself: `ask` and `outbox` give what is to be sent."""

    def __init__(self) -> None:
        self._stocks: dict[str, _Stock] = {}
        self._outbox: dict[str, Return] = {}
        self._serial = 0
        self._unanswered: dict[int, None] = {}  # ordered, the lowest first

    @property
    def lent(self) -> bool:
        """Whether there are parts that may have to go back."""
        return bool(self._stocks)

    def take(self, claims: Sequence[Claim], at: Moment) -> Taken | None:
        """Take all claims from parts, or nothing: None, to be asked for."""
        stocks = []
        for claim in claims:
            stock = self._stocks.get(claim.name)
            if stock is None or stock.spare < claim.amount or stock.claim.limit != claim.limit:
                return None
            stocks.append(stock)
        for claim, stock in zip(claims, stocks, strict=True):
            stock.spare -= claim.amount
            stock.used_ns = at.now_ns
        return Taken(tuple(claims))

    def ask(self, claims: Sequence[Claim], *, last: bool = False) -> Message:
        """The message that asks for `claims`, and returns all parts of their meters."""
        self.recall([claim.name for claim in claims])
        return self._message(tuple(claims), last=last)

    def absorb(self, message: Message, payload: Any, at: Moment) -> Taken | None:
        """Take in the reply to `message`: what was asked for, or None, to be asked for again.

        Raises GatewayError as the supervisor did.
        """
        reply = msgspec.convert(payload, Reply)
        self._unanswered.pop(message.serial, None)
        if why := reply.refusal:
            raise GatewayError(why.kind, why.message, metadata=why.metadata, headers=why.headers)
        if reply.wait:
            return None
        for claim, part in zip(message.claims, reply.parts, strict=True):
            if part:
                stock = self._stocks.setdefault(claim.name, _Stock(claim))
                stock.spare += part
                stock.lent += part
                stock.used_ns = at.now_ns
        return Taken(message.claims)

    def finish(self, taken: Taken, *, tokens: int) -> None:
        """As `Book.finish`. What comes back fills the parts up; the rest is to be sent."""
        if taken.finished:
            return
        taken.finished = True
        for claim, amount in owed(taken.claims, tokens):
            stock = self._stocks.get(claim.name)
            if stock is None:
                _add(self._outbox, claim, amount=amount)
                continue
            spare = stock.spare + amount
            stock.spare = min(max(spare, 0), stock.lent)
            _add(self._outbox, claim, amount=spare - stock.spare)

    def recall(self, names: Sequence[str]) -> None:
        """Return the parts of `names`, which another worker is short of."""
        for name in names:
            if stock := self._stocks.pop(name, None):
                _add(self._outbox, stock.claim, amount=stock.spare, lent=stock.lent)

    def return_idle(self, at: Moment) -> None:
        """Return the parts that nothing was taken from for a second."""
        before_ns = at.now_ns - IDLE_NS
        self.recall([name for name, stock in self._stocks.items() if stock.used_ns <= before_ns])

    def return_all(self) -> None:
        """Return all parts: the worker is about to end."""
        self.recall(list(self._stocks))

    def outbox(self) -> Message | None:
        """The message that returns what is to be returned, if anything is."""
        return self._message() if self._outbox else None

    def _message(self, claims: tuple[Claim, ...] = (), *, last: bool = False) -> Message:
        """All that is to be returned goes along."""
        returns, self._outbox = tuple(self._outbox.values()), {}
        self._serial += 1
        self._unanswered[self._serial] = None
        return Message(self._serial, next(iter(self._unanswered)), returns, claims, last)


class _Stock(msgspec.Struct):
    """Parts of one meter: `lent` in all, `spare` of them unused."""

    claim: Claim
    spare: int = 0
    lent: int = 0
    used_ns: int = 0


def _add(entries: dict[str, Return], claim: Claim, *, amount: int = 0, lent: int = 0) -> None:
    """Add to the entry of a claim's meter. One that comes to nothing goes."""
    entry = entries.setdefault(claim.name, Return(claim, 0, 0))
    entry.amount += amount
    entry.lent += lent
    if not entry.amount and not entry.lent:
        del entries[claim.name]


_UNKNOWN: Final = Refusal("store_unavailable", "The limits can not be checked.", {}, {})
