"""What all commands share: how they read the configuration, reach the store, and end.

Results go to standard output, hints and errors to standard error. A wrong configuration or a wrong
argument exits with 2 and says where it is wrong, any other failure exits with 1.
"""

import asyncio
import os
import re
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NoReturn, TypeVar

import click

from proxy.config import Config
from proxy.money import NANO_PER_USD
from proxy.settings import ConfigError

T = TypeVar("T")

# Nine digits on either side: a nano-dollar is the smallest amount, and 64 bits hold the largest.
_USD: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

config_option = click.option(
    "--config", "path", metavar="PATH", help="Configuration; else $WEIR_CONFIG, else ./config.toml."
)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")
account_option = click.option("--account", metavar="NAME", default="default", help="Whose.")


def checked(read: Callable[[], T]) -> T:
    """What `read` returns; the command ends where it finds the configuration wrong."""
    try:
        return read()
    except ConfigError as error:
        wrong(str(error))


def configured(path: str | None) -> Config:
    """The configuration that a command was given, or that lies where it looks for one."""
    from proxy import hosting

    return checked(lambda: hosting.load(hosting.locate(path, os.environ), os.environ))


def with_store(
    path: str | None,
    work: Callable[[Any], T],
    *,
    create: bool = False,
    empty: T | None = None,
) -> T:
    """What `work` makes of the store; `empty`, if given, where there is none yet."""
    from proxy.stores.schema import StoreError, StoreMissing
    from proxy.stores.sql import SqlStore

    config = configured(path)
    try:
        store = SqlStore.open(config.store.url, create=create)
        try:
            return work(store)
        finally:
            store.close()
    except StoreError as error:
        if empty is None or not isinstance(error, StoreMissing):
            wrong(str(error), code=1)
        hint(str(error))
        return empty


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs on uvloop; what can go wrong at a start is said in one line."""
    import uvloop

    from proxy.errors import GatewayError
    from proxy.stores.schema import StoreError

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except ConfigError as error:
        wrong(str(error))
    except (OSError, StoreError, GatewayError) as error:
        wrong(str(error), code=1)
    except KeyboardInterrupt:
        sys.exit(130)


def amount(text: str, what: str) -> int:
    """An amount above zero in nano-dollars, exactly as it was typed in USD."""
    nano = int(Decimal(text) * NANO_PER_USD) if _USD.fullmatch(text) else 0
    if not nano:
        wrong(
            f"{what}: {text!r} is not an amount of USD above zero such as 25 or 0.50, with at most "
            "nine digits before and after the point"
        )
    return nano


def moment(text: str, what: str, *, now: float) -> float:
    """A moment after `now`, in seconds since 1970; without a zone it is UTC."""
    found = _moment(text, what)
    if found <= now:
        wrong(f"{what}: {text!r} is in the past")
    return found


def past(text: str, what: str, *, now: float) -> float:
    """A moment that is not after `now`, as `moment`."""
    found = _moment(text, what)
    if found > now:
        wrong(f"{what}: {text!r} is in the future")
    return found


def _moment(text: str, what: str) -> float:
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        wrong(f"{what}: {text!r} is not a moment such as 2027-01-31T00:00:00Z")


def visible(text: str, what: str) -> str:
    """A name, which people must be able to see."""
    if not text.strip() or not text.isprintable():
        wrong(f"{what}: must be printable and not empty")
    return text


def hint(text: str) -> None:
    """For the person at the terminal."""
    click.echo(text, err=True)


def wrong(reason: str, *, code: int = 2) -> NoReturn:
    """End with this one line."""
    hint(f"weir: {reason}")
    sys.exit(code)
