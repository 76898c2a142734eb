"""How settlements become rows: a whole batch in few statements, or one by one where it is odd.

A batch is usual when none of its generations is known, every lease covers its charges, and each
row says what is charged. `gather` and `post` do that case, through statements that SQLAlchemy
compiled once, and notice every other: then nothing of the batch is kept, and `book` takes the
settlements one by one, reading where each of them stands.

What can not be taken is the house's loss, and the row of the generation tells what was taken.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    bindparam,
    case,
    literal_column,
    select,
)
from sqlalchemy.dialects.sqlite import insert

from proxy.accounts.ledger import Settlement
from proxy.money import NANO_MAX
from proxy.stores import moves
from proxy.stores.hot import Hot, Odd, Rows
from proxy.stores.schema import (
    checkpoints,
    generations,
    leases,
    pots,
    spend,
    transfers,
)
from proxy.stores.sqlite import Run
from proxy.wire.record import Candidate, Generation

CHARGES: Final = "house:charges"
UNBILLED: Final = "house:unbilled"
LOSSES: Final = "house:losses"

_MOST: Final = literal_column(str(NANO_MAX), BigInteger)
_ATTEMPTS, _CANDIDATES = map(generations.c.keys().index, ("attempts", "candidates"))
# As integers: the driver looks for an adapter of every value that is no plain number or text.
_FLAGS: Final = [i for i, column in enumerate(generations.c) if isinstance(column.type, Boolean)]

_json: Final = msgspec.json.Encoder().encode

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """What a number of settlements write; amounts by (owner, pot) and, with the number of free
    requests, by (key, account, day).
    """

    generations: list[tuple[Any, ...]]
    transfers: list[tuple[Any, ...]]
    leases: dict[tuple[str, str], int]
    spend: dict[tuple[str, str, int], tuple[int, int]]


def _count_leases() -> Hot:
    sum_nano = bindparam("sum_nano", type_=BigInteger)
    settled = leases.c.settled_nano + sum_nano
    mine = leases.update().where(leases.c.owner == bindparam("o"), leases.c.pot == bindparam("p"))
    within = mine.where(leases.c.amount_nano - leases.c.settled_nano >= sum_nano)
    return Hot(within.values(settled_nano=settled), "o", "p", "sum_nano")


def _count_pots() -> Hot:
    sum_nano = bindparam("sum_nano", type_=BigInteger)
    named = pots.update().where(pots.c.name == bindparam("p"))
    within = named.where(pots.c.charged_nano <= _MOST - sum_nano)
    return Hot(within.values(charged_nano=pots.c.charged_nano + sum_nano), "p", "sum_nano")


def _count_spend() -> Rows:
    new = insert(spend)
    amount, more = spend.c.amount_nano, new.excluded.amount_nano
    summed = case((amount > _MOST - more, _MOST), else_=amount + more)
    free = spend.c.free + new.excluded.free
    key = ["key_hash", "account", "day"]
    return Rows(
        new.on_conflict_do_update(index_elements=key, set_={"amount_nano": summed, "free": free})
    )


_KEEP: Final = Rows(insert(generations).on_conflict_do_nothing())
_MOVE: Final = Rows(insert(transfers).on_conflict_do_nothing())
_LEASES: Final = _count_leases()
_POTS: Final = _count_pots()
_SPEND: Final = _count_spend()
_FORGET: Final = Rows(
    checkpoints.delete().where(checkpoints.c.generation.in_([literal_column("?")])), row="?"
)


def gather(settlements: Iterable[Settlement]) -> Batch:
    """What `settlements` write. Raises Odd where one of them is."""
    batch = Batch([], [], defaultdict(int), {})
    for each in settlements:
        row, owner, charge = each.generation, each.owner, each.charge_nano
        if (row.cost_nano or 0) != charge or row.house_nano != each.house_nano:
            raise Odd
        debit = UNBILLED
        for pot in each.pots:
            batch.leases[owner, pot] += charge
            if pot.startswith(moves.ACCOUNT):
                debit = f"lease:{owner}:{pot}"
        write(batch, each, row, debit=debit)
    amounts = [*batch.leases.values(), *(amount for amount, _ in batch.spend.values())]
    if max(amounts, default=0) > NANO_MAX:
        raise Odd
    return batch


def write(batch: Batch, settlement: Settlement, row: Generation, *, debit: str) -> None:
    """Add the rows of one generation, whose charge is its `cost_nano`, to `batch`. Raises Odd for
    an amount that no row can hold.
    """
    charge, house = row.cost_nano or 0, row.house_nano
    if not (0 <= charge <= NANO_MAX and 0 <= house <= NANO_MAX):
        raise Odd
    values = list(msgspec.structs.astuple(row))
    values[_ATTEMPTS] = _json(row.attempts).decode() if row.attempts else "[]"
    values[_CANDIDATES] = _text_of(row.candidates) if row.candidates else "[]"
    for i in _FLAGS:
        values[i] = 1 if values[i] else 0
    batch.generations.append(tuple(values))
    id, account, key, at = row.id, row.account, row.key_hash, row.created_at
    if len(settlement.pots) > 1 or debit == UNBILLED:
        at = max(at, _since(settlement.pots))
    if charge:
        kind = "unbilled" if debit == UNBILLED else "charge"
        batch.transfers.append((id, at, kind, debit, CHARGES, charge, account, key, None))
    if house:
        loss = (f"{id}:loss", at, "loss", LOSSES, CHARGES, house, account, key, None)
        batch.transfers.append(loss)
    if charge or settlement.free:
        day = (key or "", account, moves.day_of(at))
        amount, free = batch.spend.get(day, (0, 0))
        batch.spend[day] = (amount + charge, free + settlement.free)


_texts: dict[int, tuple[tuple[Candidate, ...], str]] = {}  # by the id of what is kept with it


def _text_of(candidates: tuple[Candidate, ...]) -> str:
    """As JSON; written once for each such tuple, which most requests of a model have in common."""
    known = _texts.get(id(candidates))
    if known is None:
        if len(_texts) >= 256:
            _texts.clear()
        known = _texts[id(candidates)] = candidates, _json(candidates).decode()
    return known[1]


@lru_cache(maxsize=4096)
def _since(pots: tuple[str, ...]) -> float:
    """When the latest period of the allowances among `pots` began: a charge counts in the period
    whose allowance it is held in, also where its request came just before.
    """
    since = (pot.rpartition(":")[2] for pot in pots if not moves.is_money(pot))
    return max(map(float, since), default=0.0)


def post(run: Run, batch: Batch, noted: Iterable[str]) -> None:
    """Write a whole batch, and forget the checkpoints of the generations `noted`. Raises Odd where
    it is not as usual; the transaction is lost then.
    """
    by_pot: dict[str, int] = defaultdict(int)
    for (_, pot), charge in batch.leases.items():
        by_pot[pot] += charge
    _KEEP.all(run, batch.generations)
    _MOVE.all(run, batch.transfers)
    _LEASES.run(run, [(*key, charge) for key, charge in batch.leases.items() if charge])
    _POTS.run(run, [pot for pot in by_pot.items() if pot[1]])
    _SPEND.all(run, [(*key, *sums) for key, sums in batch.spend.items()])
    _FORGET.run(run, [(id,) for id in noted])


def runs(connection: Connection) -> Run:
    """How `post` writes in a transaction of SQLAlchemy's."""

    def run(text: str, values: Sequence[Any]) -> Any:
        return connection.exec_driver_sql(text, tuple(values))

    return run


def book(connection: Connection, settlement: Settlement) -> None:
    """Write one settlement, unless its generation is known.

    Raises ValueError for a negative amount.
    """
    row = settlement.generation
    kept = generations.c
    query = select(kept.recovered, kept.cost_nano, kept.house_nano).where(kept.id == row.id)
    known = connection.execute(query).first()
    if known is not None:
        if known.recovered and not row.recovered:
            _complete(connection, settlement, known.cost_nano, known.house_nano)
        _FORGET.run(runs(connection), [(row.id,)])
        return
    if min(settlement.charge_nano, settlement.house_nano) < 0:
        raise ValueError("a settlement with a negative amount")
    asked = min(settlement.charge_nano, NANO_MAX)
    taken, debit = asked, UNBILLED
    for pot in settlement.pots:
        if moves.is_money(pot):
            taken, debit = _charge(connection, settlement, pot, asked)
    for pot in settlement.pots:
        if not moves.is_money(pot):
            _count(connection, settlement.owner, pot, taken)
    house = min(settlement.house_nano + asked - taken, NANO_MAX)
    cost = taken if asked else row.cost_nano and 0
    batch = Batch([], [], {}, {})
    row = msgspec.structs.replace(row, cost_nano=cost, house_nano=house)
    write(batch, settlement, row, debit=debit)
    post(runs(connection), batch, (row.id,))


def _complete(
    connection: Connection, settlement: Settlement, cost_nano: int | None, house_nano: int
) -> None:
    """The true end of a generation whose owner was taken for dead and was not: it was charged what
    it had noted, and what it cost beyond that is a second loss.
    """
    row = settlement.generation
    rest_nano = settlement.house_nano + max(0, settlement.charge_nano - (cost_nano or 0))
    rest_nano = min(rest_nano, NANO_MAX - house_nano)
    if rest_nano:
        sides = ("loss", LOSSES, CHARGES)
        loss = (
            f"{row.id}:rest",
            row.created_at,
            *sides,
            rest_nano,
            row.account,
            row.key_hash,
            None,
        )
        _MOVE.all(runs(connection), [loss])
    row = msgspec.structs.replace(row, cost_nano=cost_nano, house_nano=house_nano + rest_nano)
    connection.execute(generations.delete().where(generations.c.id == row.id))
    batch = Batch([], [], {}, {})
    write(batch, settlement, row, debit=UNBILLED)
    _KEEP.all(runs(connection), batch.generations)


def _charge(
    connection: Connection, settlement: Settlement, pot: str, charge_nano: int
) -> tuple[int, str]:
    """Take a charge from an account: how much of it was there, and from which side."""
    owner, id = settlement.owner, settlement.generation.id
    left = moves.available(connection, pot)
    lease = moves.held(connection, owner, pot)
    if lease is None:
        taken = min(charge_nano, left)
        if taken:
            moves.draw(connection, pot, taken, charged_nano=taken)
        return taken, pot
    missing = charge_nano - (lease.amount_nano - lease.settled_nano)
    if missing > 0:
        log.error("a charge exceeds its lease by %d nano-dollars: %s", missing, id)
        at = settlement.generation.created_at
        more = min(missing, left)
        moves.lease(connection, owner, pot, more_nano=more, at=at, id=id)
        charge_nano -= missing - more
    if charge_nano:
        moves.use(connection, owner, pot, charge_nano)
        moves.draw(connection, pot, 0, charged_nano=charge_nano)
    return charge_nano, f"lease:{owner}:{pot}"


def _count(connection: Connection, owner: str, pot: str, amount_nano: int) -> None:
    """Count a charge in an allowance, as far as its lease reaches and beyond."""
    lease = moves.held(connection, owner, pot)
    if lease is not None:
        within = min(amount_nano, lease.amount_nano - lease.settled_nano)
        moves.use(connection, owner, pot, within)
    charged = case(
        (pots.c.charged_nano > _MOST - amount_nano, _MOST), else_=pots.c.charged_nano + amount_nano
    )
    connection.execute(pots.update().where(pots.c.name == pot).values(charged_nano=charged))
    moves.recount(connection, pot)
