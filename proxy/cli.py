"""The command line: what stands in the documentation under `weir …`, and nothing else.

Results go to standard output, hints and errors to standard error. A wrong configuration exits
with 2 and names the key path, any other failure exits with 1.
"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from proxy import __version__
from proxy.settings import ConfigError

T = TypeVar("T")

config_option = click.option(
    "--config", "path", metavar="PATH", help="Configuration; else $WEIR_CONFIG, else ./config.toml."
)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="weir")
def main() -> None:
    """One URL and one key in front of every model provider."""


@main.command()
@config_option
@click.option("--bind", multiple=True, metavar="ADDR", help="host:port or unix:/path; repeatable.")
@click.option("--workers", type=int, metavar="N", help="Worker processes.")
def serve(path: str | None, bind: tuple[str, ...], workers: int | None) -> None:
    """Run the gateway."""
    from proxy import credentials, hosting, logs

    file = hosting.locate(path, os.environ)

    def read() -> Any:
        return hosting.load(file, os.environ, bind=bind, workers=workers)

    config = _checked(read)
    logs.setup("INFO")
    if not config.resolved:
        variables = ", ".join(credentials.keys_looked_for())
        _hint(f"No provider is configured and none of these variables is set: {variables}")

    def listening(urls: list[str]) -> None:
        for url in urls:
            _hint(f"Weir {__version__} listens on {url}")

    hosted = hosting.Hosted(config, read)
    _run(_serving(hosted, config, file, listening))


@main.command()
@click.option("--bind", default="127.0.0.1:8080", metavar="ADDR", help="host:port or unix:/path.")
@click.option("--once", is_flag=True, help="Stream one answer, print it and exit.")
def demo(bind: str, once: bool) -> None:
    """Try everything: simulated providers, a throw-away store, a key."""
    from proxy import demo as demonstration

    _run(demonstration.run("127.0.0.1:0" if once else bind, once=once, say=click.echo))


@main.command()
@click.option("--bind", required=True, metavar="ADDR", help="host:port or unix:/path.")
@click.option("--scenario", metavar="FILE", help="Scripted behaviour, in TOML.")
def fake(bind: str, scenario: str | None) -> None:
    """Run the simulated provider alone."""
    from proxy import demo as demonstration
    from proxy import hosting
    from proxy.upstream.fake import Scenario, load_scenario

    _checked(lambda: hosting.load(None, {}, bind=(bind,)))
    script = Scenario()
    if scenario is not None:
        try:
            script = load_scenario(Path(scenario).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            _wrong(str(error))
    _run(demonstration.run_fake(bind, script, say=_hint))


@main.command()
@config_option
@json_option
def check(path: str | None, as_json: bool) -> None:
    """Validate the configuration and show what it amounts to."""
    from proxy import hosting, reports

    config = _checked(lambda: hosting.load(hosting.locate(path, os.environ), os.environ))
    catalogue, status = _run(reports.resolve(config))
    click.echo(reports.check(config, catalogue, status, as_json=as_json))


@main.command()
@config_option
@json_option
def models(path: str | None, as_json: bool) -> None:
    """List the models, their endpoints and prices."""
    from proxy import hosting, reports

    config = _checked(lambda: hosting.load(hosting.locate(path, os.environ), os.environ))
    catalogue, _ = _run(reports.resolve(config))
    click.echo(reports.models(catalogue, as_json=as_json))


@main.command()
@config_option
@json_option
@click.option(
    "--by", type=click.Choice(["model", "provider", "key", "day"]), default="model", help="Rows."
)
@click.option("--days", type=click.IntRange(1, 36_500), default=30, help="How far back.")
def usage(path: str | None, as_json: bool, by: Any, days: int) -> None:
    """Show requests, tokens and cost."""
    from proxy import reports

    since = time.time() - days * 86400
    rows: list[Any] = _with_store(path, lambda store: store.usage(since=since, by=by), empty=[])
    click.echo(reports.usage(rows, by=by, as_json=as_json))


@main.group()
def keys() -> None:
    """Create, list and revoke keys."""


@keys.command("create")
@click.argument("name")
@config_option
@click.option("--expires", metavar="RFC3339", help="When the key ends, such as 2027-01-31T00:00Z.")
@click.option("--limit", metavar="USD", help="Not supported yet.")
@click.option("--limit-reset", metavar="PERIOD", help="Not supported yet.")
@click.option("--rpm", metavar="N", help="Not supported yet.")
@click.option("--tpm", metavar="N", help="Not supported yet.")
@click.option("--concurrent", metavar="N", help="Not supported yet.")
@click.option("--management", is_flag=True, help="Not supported yet.")
@click.option("--account", metavar="NAME", default="default", help="Only `default` yet.")
def keys_create(name: str, path: str | None, expires: str | None, **unbuilt: Any) -> None:
    """Print a new key, alone, on standard output. It is shown once."""
    from proxy.accounts.keys import mint

    for option, value in unbuilt.items():
        if value not in (None, False) and (option, value) != ("account", "default"):
            _wrong(f"--{option.replace('_', '-')}: not supported yet")
    if not name.strip() or not name.isprintable():
        _wrong("NAME: must be printable and not empty")
    now = time.time()
    expires_at = None if expires is None else _moment(expires, now)
    secret, key = mint(name, token_hex=secrets.token_hex, now=now, expires_at=expires_at)
    _with_store(path, lambda store: store.add_key(key), create=True)
    click.echo(secret)
    _hint(f"Key {name!r} is kept as its hash {key.hash}; this is the only time it is shown.")


@keys.command("list")
@config_option
@json_option
def keys_list(path: str | None, as_json: bool) -> None:
    """List all keys, revoked ones too."""
    from proxy import reports

    rows: list[Any] = _with_store(path, lambda store: store.keys(), empty=[])
    click.echo(reports.keys(rows, now=time.time(), as_json=as_json))


@keys.command("revoke")
@click.argument("hash_or_name", metavar="HASH|NAME")
@config_option
def keys_revoke(hash_or_name: str, path: str | None) -> None:
    """Revoke a key; a running gateway refuses it within a second."""
    # What is not text no name can be, and the database takes none of it.
    wanted = hash_or_name if hash_or_name.isprintable() else ""
    key = _with_store(path, lambda store: store.revoke_key(wanted, now=time.time()))
    if key is None:
        _wrong(f"There is no active key {hash_or_name!r}.", code=1)
    _hint(f"Key {key.name!r} ({key.label}) is revoked.")


async def _serving(hosted: Any, config: Any, file: Path | None, listening: Any) -> None:
    from proxy import hosting

    stop = asyncio.Event()
    await hosting.serve(hosted, config, watched=file, on_listening=listening, stop=stop)


def _checked(read: Callable[[], T]) -> T:
    try:
        return read()
    except ConfigError as error:
        _wrong(str(error))


def _with_store(
    path: str | None,
    work: Callable[[Any], T],
    *,
    create: bool = False,
    empty: T | None = None,
) -> T:
    """What `work` makes of the store; `empty`, if given, where there is none yet."""
    from proxy import hosting
    from proxy.stores.schema import StoreError, StoreMissing
    from proxy.stores.sql import SqlStore

    config = _checked(lambda: hosting.load(hosting.locate(path, os.environ), os.environ))
    try:
        store = SqlStore.open(config.store.url, create=create)
        try:
            return work(store)
        finally:
            store.close()
    except StoreError as error:
        if empty is None or not isinstance(error, StoreMissing):
            _wrong(str(error), code=1)
        _hint(str(error))
        return empty


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Runs on uvloop; what can go wrong at a start is said in one line."""
    import uvloop

    from proxy.errors import GatewayError
    from proxy.stores.schema import StoreError

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except ConfigError as error:
        _wrong(str(error))
    except (OSError, StoreError, GatewayError) as error:
        _wrong(str(error), code=1)
    except KeyboardInterrupt:
        sys.exit(130)


def _moment(text: str, now: float) -> float:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        _wrong(f"--expires: {text!r} is not a moment such as 2027-01-31T00:00:00Z")
    if moment.timestamp() <= now:
        _wrong(f"--expires: {text!r} is in the past")
    return moment.timestamp()


def _hint(text: str) -> None:
    click.echo(text, err=True)


def _wrong(reason: str, *, code: int = 2) -> NoReturn:
    click.echo(f"weir: {reason}", err=True)
    sys.exit(code)
