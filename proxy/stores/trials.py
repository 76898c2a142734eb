"""How the arms of an alias did, added up by the database."""

from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, case, distinct, func, or_, select

from proxy.stores.schema import feedback, generations
from proxy.stores.usage import total

_NEVER: Final = "none"
"""The finish reason of what has none: answers that never came to an end, and were no error."""

_SUMS: Final = ("cost_nano", "prompt_tokens", "completion_tokens")
_JOINED: Final = feedback.join(generations, generations.c.id == feedback.c.generation)


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """How long it took in milliseconds: half of the requests no longer than `p50`, 95 of 100 no
    longer than `p95`. None where there was none.
    """

    p50: int | None = None
    p95: int | None = None


class ArmRow(msgspec.Struct, kw_only=True):
    """What became of the requests of one arm.

    `errors` are those that ended in one, `cancelled` those whose caller hung up; `finish_reasons`
    counts how answers ended. `cost_nano` leaves out what has no price. `first` is the time to the
    first content, `whole` that of whole answers, without errors and hang-ups. `feedback` counts
    what was said by category, `remarked` the answers of which anything was said.
    """

    arm: str
    requests: int = 0
    errors: int = 0
    cancelled: int = 0
    cost_nano: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reasons: dict[str, int] = msgspec.field(default_factory=dict)
    first: Waits = Waits()
    whole: Waits = Waits()
    feedback: dict[str, int] = msgspec.field(default_factory=dict)
    remarked: int = 0


def of_alias(
    connection: Connection, alias: str, *, since: float, account: str | None = None
) -> list[ArmRow]:
    """The arms that requests of `alias` were given from `since` on (seconds since 1970), by name;
    with `account` only those of its requests.
    """
    row = generations.c
    mine = and_(
        row.created_at >= since,
        row.arm.is_not(None),
        # A suffix such as `:nitro` is no other alias. LIKE would not heed the case of letters.
        or_(
            row.requested_model == alias,
            func.substr(row.requested_model, 1, len(alias) + 1) == f"{alias}:",
        ),
    )
    if account is not None:
        mine = and_(mine, row.account == account)
    arms: dict[str, ArmRow] = {}
    for found in connection.execute(_ends(mine)):
        arm = arms.setdefault(found.arm, ArmRow(arm=found.arm))
        for name in ("requests", "errors", "cancelled", *_SUMS):
            setattr(arm, name, getattr(arm, name) + getattr(found, name))
        arm.finish_reasons[found.reason] = found.requests
    whole = and_(mine, row.error.is_(None), row.cancelled.is_(False))
    for found in connection.execute(_waits(row.latency_ms, mine)):
        arms[found.arm].first = Waits(p50=found.p50, p95=found.p95)
    for found in connection.execute(_waits(row.generation_time_ms, whole)):
        arms[found.arm].whole = Waits(p50=found.p50, p95=found.p95)
    for found in connection.execute(_said(mine)):
        arms[found.arm].feedback[found.category] = found.times
    for found in connection.execute(_remarked(mine)):
        arms[found.arm].remarked = found.answers
    return [arms[name] for name in sorted(arms)]


def _ends(mine: ColumnElement[bool]) -> Select[Any]:
    row = generations.c
    reason = func.coalesce(row.finish_reason, _NEVER).label("reason")
    return (
        select(
            row.arm,
            reason,
            func.count().label("requests"),
            func.count(row.error).label("errors"),
            func.count(case((row.cancelled, 1))).label("cancelled"),
            *(total(row[name]).label(name) for name in _SUMS),
        )
        .where(mine)
        .group_by(row.arm, reason)
        .order_by(row.arm, reason)
    )


def _waits(column: ColumnElement[Any], mine: ColumnElement[bool]) -> Select[Any]:
    """The percentiles by nearest rank: the least that so many of all are not above."""
    arm = generations.c.arm
    ranked = (
        select(
            arm,
            column.label("ms"),
            func.row_number().over(partition_by=arm, order_by=column).label("rank"),
            func.count().over(partition_by=arm).label("all"),
        )
        .where(mine, column.is_not(None))
        .subquery()
        .c
    )

    def percentile(share: int) -> ColumnElement[Any]:
        rank = (ranked.all * share + 99) // 100
        return func.max(case((ranked.rank == rank, ranked.ms)))

    return select(ranked.arm, percentile(50).label("p50"), percentile(95).label("p95")).group_by(
        ranked.arm
    )


def _said(mine: ColumnElement[bool]) -> Select[Any]:
    arm, category = generations.c.arm, feedback.c.category
    query = select(arm, category, func.count().label("times")).select_from(_JOINED).where(mine)
    return query.group_by(arm, category).order_by(category)


def _remarked(mine: ColumnElement[bool]) -> Select[Any]:
    answers = func.count(distinct(generations.c.id)).label("answers")
    query = select(generations.c.arm, answers).select_from(_JOINED).where(mine)
    return query.group_by(generations.c.arm)
