"""What was used, added up by the database."""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Row, Select, cast, func, select

from proxy.stores.moves import day_of
from proxy.stores.schema import generations, keys, spend

By: TypeAlias = Literal["model", "provider", "key", "day"]


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was used under one `name`: a model, a provider, a key's name, or a day (UTC).

    `errors` are the requests that ended in one; `cost_nano` leaves out what has no price.
    """

    name: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_nano: int
    errors: int


class KeyUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What one key spent: ever, and since the three starts that were asked for."""

    total_nano: int
    daily_nano: int
    weekly_nano: int
    monthly_nano: int


def by_name(by: By, *, since: float | None, until: float | None) -> Select[Any]:
    """The query for `UsageRow`s; the order of days is time, of all else cost, the dearest first.

    Keys of one name, such as a revoked one and its successor, are one row.
    """
    row = generations.c
    names: dict[By, ColumnElement[Any]] = {
        "model": row.model,
        "provider": row.provider,
        "key": func.coalesce(keys.c.name, row.key_hash, ""),
        "day": func.date(row.created_at, "unixepoch"),
    }
    name, cost = names[by].label("name"), total(row.cost_nano).label("cost_nano")
    query = select(
        name,
        func.count(row.id).label("requests"),
        total(row.prompt_tokens).label("prompt_tokens"),
        total(row.completion_tokens).label("completion_tokens"),
        cost,
        func.count(row.error).label("errors"),
    ).group_by(name)
    if by == "key":
        query = query.select_from(generations.outerjoin(keys, keys.c.hash == row.key_hash))
    if since is not None:
        query = query.where(row.created_at >= since)
    if until is not None:
        query = query.where(row.created_at < until)
    return query.order_by(name) if by == "day" else query.order_by(cost.desc(), name)


def of_key(key_hash: str) -> Select[Any]:
    """The query for what a key spent on each day, as `since` adds it up."""
    return select(spend.c.day, spend.c.amount_nano).where(spend.c.key_hash == key_hash)


def since(days: Iterable[Row[Any]], start: float) -> int:
    """What was spent since the day that began at `start`."""
    first = day_of(start)
    return sum(row.amount_nano for row in days if row.day >= first)


def total(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The sum, 0 where there is nothing to add up.

    Added as floats, exact up to 2**53: `sum` fails as a whole where integers leave 64 bits, and
    one absurd row would hide all others. The cast stops at the largest integer.
    """
    return cast(func.total(column), BigInteger)
