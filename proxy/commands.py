"""The commands that touch the store: keys, accounts, credit, the ledger, and single requests.

All of them work while gateways run on the same store, and those follow within a second.
"""

import secrets
from typing import Any

import click

from proxy.terminal import (
    account_option,
    amount,
    config_option,
    configured,
    hint,
    json_option,
    moment,
    past,
    visible,
    with_store,
    wrong,
)

TRANSFERS_SHOWN = 20


@click.group()
def keys() -> None:
    """Create, list, disable and revoke keys."""


@keys.command("create")
@click.argument("name")
@config_option
@click.option("--expires", metavar="RFC3339", help="When the key ends, such as 2027-01-31T00:00Z.")
@click.option("--limit", metavar="USD", help="What it may spend, ever or in each period.")
@click.option(
    "--limit-reset",
    type=click.Choice(["daily", "weekly", "monthly"]),
    help="When the limit begins anew, at 00:00 UTC; weeks begin on Monday.",
)
@click.option("--rpm", type=click.IntRange(min=0), metavar="N", help="Requests per minute.")
@click.option("--tpm", type=click.IntRange(min=0), metavar="N", help="Tokens per minute.")
@click.option("--concurrent", type=click.IntRange(min=0), metavar="N", help="Requests at once.")
@click.option("--management", is_flag=True, help="For asking about accounts, not for answers.")
@account_option
@click.pass_obj
def keys_create(
    now: float, /, name: str, path: str | None, expires: str | None, account: str, **limits: Any
) -> None:
    """Print a new key, alone, on standard output. It is shown once."""
    from proxy.accounts.keys import mint

    secret, key = mint(
        visible(name, "NAME"),
        token_hex=secrets.token_hex,
        now=now,
        account=account,
        expires_at=None if expires is None else moment(expires, "--expires", now=now),
        **_limits(**limits),
    )
    with_store(path, lambda store: store.add_key(key), create=True)
    click.echo(secret)
    hint(f"Key {name!r} is kept as its hash {key.hash}; this is the only time it is shown.")


def _limits(
    *,
    limit: str | None,
    limit_reset: str | None,
    rpm: int | None,
    tpm: int | None,
    concurrent: int | None,
    management: bool,
) -> dict[str, Any]:
    """The limits of a key as its fields; what would have no effect is refused."""
    if limit_reset is not None and limit is None:
        wrong("--limit-reset: needs --limit")
    if management and any(one is not None for one in (limit, rpm, tpm, concurrent)):
        wrong("--management: such a key never asks for an answer, so limits would have no effect")
    return {
        "limit_nano": None if limit is None else amount(limit, "--limit"),
        "limit_reset": limit_reset,
        "requests_per_minute": rpm,
        "tokens_per_minute": tpm,
        "concurrent_requests": concurrent,
        "management": management,
    }


@keys.command("list")
@config_option
@json_option
@click.pass_obj
def keys_list(now: float, path: str | None, as_json: bool) -> None:
    """List all keys with limits and spend, revoked ones too."""
    from proxy import statements
    from proxy.api.account import Spent
    from proxy.stores.periods import periods

    since = periods(now)

    def read(store: Any) -> list[tuple[Any, Spent]]:
        rows = []
        for key in list(store.keys()):
            used = store.key_usage(
                key.hash, day_start=since.day, week_start=since.week, month_start=since.month
            )
            spent = Spent(used.total_nano, used.daily_nano, used.weekly_nano, used.monthly_nano)
            rows.append((key, spent))
        return rows

    rows: list[Any] = with_store(path, read, empty=[])
    click.echo(statements.keys(rows, now=now, as_json=as_json))


@keys.command("revoke")
@click.argument("hash_or_name", metavar="HASH|NAME")
@config_option
@click.pass_obj
def keys_revoke(now: float, hash_or_name: str, path: str | None) -> None:
    """Revoke a key for ever; a running gateway refuses it within a second."""
    key = _change(path, hash_or_name, lambda store, wanted: store.revoke_key(wanted, now=now))
    hint(f"Key {key.name!r} ({key.label}) is revoked.")


@keys.command("disable")
@click.argument("hash_or_name", metavar="HASH|NAME")
@config_option
def keys_disable(hash_or_name: str, path: str | None) -> None:
    """Refuse a key until it is enabled again."""
    key = _change(path, hash_or_name, lambda store, wanted: store.set_disabled(wanted, True))
    hint(f"Key {key.name!r} ({key.label}) is disabled.")


@keys.command("enable")
@click.argument("hash_or_name", metavar="HASH|NAME")
@config_option
def keys_enable(hash_or_name: str, path: str | None) -> None:
    """Take a disabled key again."""
    key = _change(path, hash_or_name, lambda store, wanted: store.set_disabled(wanted, False))
    hint(f"Key {key.name!r} ({key.label}) is enabled.")


def _change(path: str | None, hash_or_name: str, change: Any) -> Any:
    # What is not text no name can be, and the database takes none of it.
    wanted = hash_or_name if hash_or_name.isprintable() else ""
    key = with_store(path, lambda store: change(store, wanted))
    if key is None:
        wrong(f"There is no active key {hash_or_name!r}.", code=1)
    return key


@click.group()
def accounts() -> None:
    """Create and list accounts, which own keys and credit."""


@accounts.command("create")
@click.argument("name")
@config_option
@click.pass_obj
def accounts_create(now: float, name: str, path: str | None) -> None:
    """Create an account; `default` always exists."""
    account = visible(name, "NAME")
    if ":" in account:  # it parts the names of pots in the ledger
        wrong("NAME: must not contain a colon")
    with_store(path, lambda store: store.ledger.create_account(account, now), create=True)
    hint(f"Account {account!r} has no credit yet; grant it some with `weir credits grant`.")


@accounts.command("list")
@config_option
@json_option
def accounts_list(path: str | None, as_json: bool) -> None:
    """List all accounts and what is left of their credit."""
    from proxy import statements

    rows: list[Any] = with_store(path, lambda store: store.ledger.accounts(), empty=[])
    click.echo(statements.accounts(rows, as_json=as_json))


@click.group("credits")
def credit() -> None:
    """Grant credit and show what became of it."""


@credit.command("grant")
@click.argument("usd")
@config_option
@account_option
@click.option("--note", metavar="TEXT", default="", help="Kept with the grant.")
@click.pass_obj
def credits_grant(now: float, usd: str, path: str | None, account: str, note: str) -> None:
    """Add USD to an account and print its new balance, running requests included."""
    from proxy import tables

    nano = amount(usd, "USD")
    if not note.isprintable():
        wrong("--note: must be printable")
    id_ = secrets.token_hex(12)

    def grant(store: Any) -> Any:
        return store.ledger.grant(account, nano, id=id_, at=now, note=note or None)

    balance = with_store(path, grant, create=True)
    click.echo(tables.usd(balance.available_nano + balance.leased_nano))
    hint(f"Granted {tables.usd(nano)} USD to account {account!r}; above is what it has now.")


@credit.command("show")
@config_option
@account_option
@json_option
def credits_show(path: str | None, account: str, as_json: bool) -> None:
    """Show an account's credit and its last transfers."""
    from proxy import statements

    def read(store: Any) -> tuple[Any, Any]:
        books = store.ledger
        return books.balance(account), books.transfers(account, TRANSFERS_SHOWN)

    balance, transfers = with_store(path, read)
    click.echo(statements.credits(balance, transfers, as_json=as_json))


@click.group()
def ledger() -> None:
    """Look after the books."""


@ledger.command("verify")
@config_option
@json_option
@click.pass_context
def ledger_verify(context: click.Context, path: str | None, as_json: bool) -> None:
    """Derive every balance anew from the rows; exits with 1 on any difference."""
    from proxy import statements

    found = with_store(path, lambda store: store.ledger.verify())
    click.echo(statements.audit(found, as_json=as_json))
    context.exit(1 if found.differences else 0)


@click.command()
@click.argument("generation")
@config_option
@json_option
def why(generation: str, path: str | None, as_json: bool) -> None:
    """Tell how a request was routed and who paid for it."""
    from proxy.why import told

    wanted = generation if generation.isprintable() else ""
    row = with_store(path, lambda store: store.generation(wanted, key_hash=None))
    if row is None:
        wrong(f"There is no generation {generation!r}.", code=1)
    click.echo(told(row, as_json=as_json))


@click.group()
def ab() -> None:
    """Compare the models of an alias."""


@ab.command("show")
@click.argument("alias", required=False)
@config_option
@json_option
@click.option("--since", metavar="RFC3339", help="From when on; else from 30 days ago.")
@click.pass_obj
def ab_show(
    now: float, /, alias: str | None, path: str | None, as_json: bool, since: str | None
) -> None:
    """Set the models of an alias side by side; of every alias without ALIAS."""
    from proxy.api.aliases import SINCE_S
    from proxy.arms import arms

    start = now - SINCE_S if since is None else past(since, "--since", now=now)
    aliases = {one.id: one for one in configured(path).aliases}
    if alias is not None and alias not in aliases:
        wrong(f"There is no alias {alias!r}.", code=1)
    meant = list(aliases.values()) if alias is None else [aliases[alias]]

    def read(store: Any) -> list[Any]:
        return [store.trial(one.id, since=start) for one in meant]

    nothing: list[Any] = [[] for _ in meant]
    rows: list[Any] = with_store(path, read, empty=nothing)
    click.echo(arms(list(zip(meant, rows, strict=True)), since=start, as_json=as_json))


ALL: tuple[click.Command, ...] = (keys, accounts, credit, ledger, why, ab)
"""What `weir` has of these."""
