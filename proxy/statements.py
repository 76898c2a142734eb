"""What commands print of keys and credit: one set of rows for all readers."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from proxy.accounts.keys import Key
from proxy.accounts.ledger import Balance
from proxy.api.account import Spent, limit_row
from proxy.money import to_usd
from proxy.stores.audit import Audit
from proxy.stores.schema import Transfer
from proxy.tables import dump, minute, table, usd


def keys(rows: Sequence[tuple[Key, Spent]], *, now: float, as_json: bool) -> str:
    """All keys, without their secrets, with their limits and what they spent."""
    if as_json:
        return dump([_key(key, spent) for key, spent in rows])
    lines = [
        [
            key.name,
            key.label,
            key.hash[:16],
            key.account,
            minute(key.created_at),
            minute(key.expires_at),
            ", ".join(_limits(key, spent)),
            usd(spent.total_nano),
            _state(key, now),
        ]
        for key, spent in rows
    ]
    heads = ["name", "key", "hash", "account", "created", "expires", "limits", "spent USD", "state"]
    return table(heads, lines)


def _key(key: Key, spent: Spent) -> dict[str, Any]:
    usage = {
        "usage": to_usd(spent.total_nano),
        "usage_daily": to_usd(spent.daily_nano),
        "usage_weekly": to_usd(spent.weekly_nano),
        "usage_monthly": to_usd(spent.monthly_nano),
    }
    return {**msgspec.to_builtins(key), **limit_row(key, spent), **usage}


def _limits(key: Key, spent: Spent) -> Iterator[str]:
    if key.management:
        yield "management"
    if key.limit_nano is not None:
        left = max(0, key.limit_nano - spent.since(key.limit_reset))
        yield f"{usd(key.limit_nano)} USD {key.limit_reset or 'in all'} ({usd(left)} left)"
    for count, unit in (
        (key.requests_per_minute, "requests/min"),
        (key.tokens_per_minute, "tokens/min"),
        (key.concurrent_requests, "at once"),
    ):
        if count is not None:
            yield f"{count or 'any'} {unit}"


def _state(key: Key, now: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and now >= key.expires_at:
        return "expired"
    return "disabled" if key.disabled else "active"


def accounts(rows: Iterable[Balance], *, as_json: bool) -> str:
    """All accounts and how their credit stands."""
    if as_json:
        return dump([_balance(row) for row in rows])
    lines = [
        [row.account, *map(usd, (row.granted_nano, row.charged_nano)), usd(_left(row))]
        for row in rows
    ]
    return table(["account", "granted USD", "charged USD", "left USD"], lines)


def _left(row: Balance) -> int:
    return row.available_nano + row.leased_nano


def _balance(row: Balance) -> dict[str, Any]:
    """Exact in nano-dollars, and the same as floats of USD."""
    exact = msgspec.to_builtins(row)
    amounts = {name: value for name, value in exact.items() if name.endswith("_nano")}
    return {**exact, **{name[:-5] + "_usd": to_usd(nano) for name, nano in amounts.items()}}


def credits(balance: Balance, transfers: Sequence[Transfer], *, as_json: bool) -> str:
    """An account's credit, and its last movements, the newest first."""
    if as_json:
        return dump({**_balance(balance), "transfers": [msgspec.to_builtins(t) for t in transfers]})
    rows = [
        ("granted", balance.granted_nano, ""),
        ("charged", balance.charged_nano, ""),
        ("available", balance.available_nano, ""),
        (
            "leased",
            balance.leased_nano,
            "lent to running gateways; what they do not use comes back",
        ),
        ("unbilled", balance.unbilled_nano, "used while credits were not enforced"),
    ]
    shown = [[name, usd(nano), why] for name, nano, why in rows if nano or name != "unbilled"]
    text = table([f"account {balance.account}", "USD", ""], shown)
    lines = [
        [minute(one.at), one.kind, usd(one.amount_nano), one.debit, one.credit, one.note or one.id]
        for one in transfers
    ]
    if not lines:
        return text
    return text + "\n\n" + table(["at", "kind", "USD", "from", "to", "what"], lines)


def audit(found: Audit, *, as_json: bool) -> str:
    """What deriving every balance anew from the ledger's rows found."""
    if as_json:
        return dump(msgspec.to_builtins(found))
    read = f"{found.accounts:,} accounts, {found.transfers:,} transfers, {found.generations:,} rows"
    count = len(found.differences)
    said = "all agree" if not count else f"{count} difference{'s' if count > 1 else ''}"
    return "\n".join([f"{read} of generations: {said}", *found.differences])
