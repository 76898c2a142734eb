"""The words of the ledger, and what a store of it must be able to do.

Money stands in pots: an account's credit, or what a limited key may still spend in its period. A
process (an *owner*) leases a part of a pot and takes holds inside its lease in memory; only leases
and settlements are in the store. Every movement of credit is one transfer row with a debit and a
credit side, in integer nano-dollars:

    grant      house:grants            -> account:A
    lease      account:A               -> lease:OWNER:account:A
    return     lease:OWNER:account:A   -> account:A
    charge     lease:OWNER:account:A   -> house:charges     id = the generation's
    unbilled   house:unbilled          -> house:charges     the same where credits are not enforced
    loss       house:losses            -> house:charges     what the house bears of a generation

A grant goes backwards where credit is taken back. A charge whose owner was fenced comes straight
from account:A. The row of a generation says what was charged, not what should have been.

An allowance (a key's limit) is no money: it has a pot and leases, and no transfers.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Protocol

import msgspec

from proxy.wire.record import Generation

PORTION: Final = 8


class Pot(msgspec.Struct, frozen=True, kw_only=True):
    """What is leased from. An allowance is made with `limit_nano` in it, less what the key spent
    since `since` (seconds since 1970), when it is first leased from; an account's pot is filled by
    grants and has neither.
    """

    name: str
    key_hash: str | None = None
    limit_nano: int | None = None
    since: int = 0


@lru_cache(maxsize=4096)
def account_pot(account: str) -> Pot:
    """The credit of an account."""
    return Pot(name=f"account:{account}")


@lru_cache(maxsize=4096)
def allowance_pot(key_hash: str, *, limit_nano: int, since: int) -> Pot:
    """What a limited key may spend in the period that began at `since` (0: ever)."""
    name = f"key:{key_hash}:{since}"
    return Pot(name=name, key_hash=key_hash, limit_nano=limit_nano, since=since)


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """How an owner's lease on a pot stands. `amount_nano` is all that was taken less what was
    returned, so it includes the `settled_nano`; `available_nano` is what is left in the pot;
    `awaited` counts the other owners that were recalled and have not answered yet.
    """

    amount_nano: int
    settled_nano: int
    available_nano: int
    awaited: int = 0


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The end of one generation. `charge_nano` is taken from the owner's lease on each of `pots`;
    `house_nano` is what the house bears beside it. Without an account's pot among `pots` the charge
    is `unbilled`. `since` of allowances is in their names; `free` counts for the free-model rules.
    """

    owner: str
    generation: Generation
    charge_nano: int = 0
    house_nano: int = 0
    pots: tuple[str, ...] = ()
    free: bool = False


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """An account: ever granted, ever charged (unbilled charges apart), in no lease, leased and not
    yet charged. granted = charged + available + leased.
    """

    account: str
    granted_nano: int
    charged_nano: int
    unbilled_nano: int
    available_nano: int
    leased_nano: int


class Fenced(Exception):
    """The owner was taken for dead and its leases were returned: it must begin as a new owner."""


class Short(Exception):
    """No process has enough of `pot` left; a hold of `affordable_nano` would have been possible."""

    def __init__(self, pot: Pot, affordable_nano: int) -> None:
        super().__init__(pot.name)
        self.pot = pot
        self.affordable_nano = affordable_nano


class Vault(Protocol):
    """A store of the ledger, as the thread that owns it calls it. Each call is one transaction,
    durable when it returns, and may be repeated with the same arguments when its outcome is
    unknown. All but `settle` and `checkpoint` raise Fenced for an owner that is not open.
    """

    def open_owner(self, owner: str, *, at: float) -> None:
        """Begin: from now on `owner` may lease. Nothing happens for one that is open."""

    def close_owner(self, owner: str, *, at: float) -> None:
        """End in peace or be reaped: every lease is returned less what it settled. Checkpoints
        that are left become charges first, with their generation row. Nothing happens for one that
        is not open.
        """

    def beat(self, owner: str) -> dict[str, int]:
        """Show life; the beats of all open owners. Whose number does not change is dead."""

    def resize(
        self, owner: str, pot: Pot, *, keep_nano: int, least_nano: int, want_nano: int, at: float
    ) -> Lease:
        """Bring the lease to an amount from `least_nano` to `want_nano`, by `portion`. Where
        `least_nano` can not be reached it becomes `keep_nano`, so that what is too little here can
        be of use elsewhere; `least_nano` 0 just gives back. It is never less than what is settled.
        It answers any recall.
        """

    def recall(self, owner: str, pot: str) -> int:
        """Ask all other owners with unsettled lease on `pot` for it; how many there are."""

    def recalled(self, owner: str) -> list[str]:
        """The names of the pots whose lease `owner` is asked for."""

    def checkpoint(self, settlements: Sequence[Settlement]) -> None:
        """Note what running generations would be charged if their owner died now."""

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Keep the generations and take their charges, each generation exactly once. For an owner
        that is fenced the charge is taken from what is available; what is not there is a loss.
        """


def portion(
    *, amount_nano: int, available_nano: int, keep_nano: int, least_nano: int, want_nano: int
) -> int:
    """The new amount of a lease that has `amount_nano`, where `available_nano` are left in the pot.

    All that is needed, or only what must be kept; beyond the need at most an eighth of what is
    left, so that no process ever holds much of a pot that runs dry.
    """
    if want_nano <= amount_nano:
        return want_nano
    missing = max(0, least_nano - amount_nano)
    if missing > available_nano:
        return min(keep_nano, amount_nano)
    more = (available_nano - missing) // PORTION
    return min(want_nano, amount_nano + missing + more)
