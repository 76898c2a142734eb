"""The command line: what stands in the documentation under `weir …`, and nothing else.

Results go to standard output, hints and errors to standard error. A wrong configuration exits
with 2 and names the key path, any other failure exits with 1.
"""

import asyncio
import gc
import os
import time
from pathlib import Path
from typing import Any

import click

from proxy import __version__, commands
from proxy.terminal import (
    checked,
    config_option,
    configured,
    hint,
    json_option,
    run,
    with_store,
    wrong,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="weir")
@click.pass_context
def main(context: click.Context) -> None:
    """One URL and one key in front of every model provider."""
    context.obj = time.time()  # the moment at which the command began


for command in commands.ALL:
    main.add_command(command)


@main.command()
@config_option
@click.option("--bind", multiple=True, metavar="ADDR", help="host:port or unix:/path; repeatable.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Worker processes.")
def serve(path: str | None, bind: tuple[str, ...], workers: int | None) -> None:
    """Run the gateway."""
    gc.disable()  # what a start makes is kept; `settle` enables it again
    click.get_current_context().call_on_close(gc.enable)
    from proxy import credentials, hosting, logs

    file = hosting.locate(path, os.environ)

    def read() -> Any:
        return hosting.load(file, os.environ, bind=bind, workers=workers)

    config = checked(read)
    logs.setup("INFO")
    if not config.resolved:
        variables = ", ".join(credentials.keys_looked_for())
        hint(f"No provider is configured and none of these variables is set: {variables}")

    def listening(urls: list[str]) -> None:
        hosting.settle()
        for url in urls:
            hint(f"Weir {__version__} listens on {url}")

    if config.server.workers > 1:
        _supervise(file, bind, workers, listening)
        return
    hosted = hosting.Hosted(config, read)
    run(_serving(hosted, config, file, listening))


@main.command()
@click.option("--bind", default="127.0.0.1:8080", metavar="ADDR", help="host:port or unix:/path.")
@click.option("--once", is_flag=True, help="Stream one answer, print it and exit.")
def demo(bind: str, once: bool) -> None:
    """Try everything: simulated providers, a throw-away store, a key."""
    from proxy import demo as demonstration

    run(demonstration.run("127.0.0.1:0" if once else bind, once=once, say=click.echo))


@main.command()
@click.option("--bind", required=True, metavar="ADDR", help="host:port or unix:/path.")
@click.option("--scenario", metavar="FILE", help="Scripted behaviour, in TOML.")
def fake(bind: str, scenario: str | None) -> None:
    """Run the simulated provider alone."""
    from proxy import demo as demonstration
    from proxy import hosting
    from proxy.upstream.fake import Scenario, load_scenario

    checked(lambda: hosting.load(None, {}, bind=(bind,)))
    script = Scenario()
    if scenario is not None:
        try:
            script = load_scenario(Path(scenario).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            wrong(str(error))
    run(demonstration.run_fake(bind, script, say=hint))


@main.command()
@click.option("--seeds", type=click.IntRange(1, 10**9), default=1, metavar="N", help="How many.")
@click.option("--seed", type=click.IntRange(0, 2**63), default=0, metavar="S", help="The first.")
@click.pass_context
def simulate(context: click.Context, seeds: int, seed: int) -> None:
    """Run the money path under a simulated clock, network and disk, with crashes."""
    from proxy.simulation import campaign

    failures = campaign.run(range(seed, seed + seeds), say=click.echo)
    click.echo(f"{seeds - len(failures)} of {seeds} seeds from {seed} on kept every rule")
    for failure in failures:
        hint(f"again: weir simulate --seeds 1 --seed {failure.seed}")
    context.exit(1 if failures else 0)


@main.command()
@config_option
@json_option
def check(path: str | None, as_json: bool) -> None:
    """Validate the configuration and show what it amounts to."""
    from proxy import reports

    config = configured(path)
    catalogue, status = run(reports.resolve(config))
    click.echo(reports.check(config, catalogue, status, as_json=as_json))


@main.command()
@config_option
@json_option
def models(path: str | None, as_json: bool) -> None:
    """List the models, their endpoints and prices."""
    from proxy import reports

    config = configured(path)
    catalogue, _ = run(reports.resolve(config))
    click.echo(reports.models(catalogue, as_json=as_json))


@main.command()
@config_option
@json_option
@click.option(
    "--by", type=click.Choice(["model", "provider", "key", "day"]), default="model", help="Rows."
)
@click.option("--days", type=click.IntRange(1, 36_500), default=30, help="How far back.")
@click.pass_obj
def usage(now: float, path: str | None, as_json: bool, by: Any, days: int) -> None:
    """Show requests, tokens and cost."""
    from proxy import reports

    since = now - days * 86400
    rows: list[Any] = with_store(path, lambda store: store.usage(since=since, by=by), empty=[])
    click.echo(reports.usage(rows, by=by, as_json=as_json))


def _supervise(file: Path | None, bind: tuple[str, ...], count: int | None, listening: Any) -> None:
    from proxy.crew import Failed
    from proxy.workers import Supervisor

    supervisor = checked(lambda: Supervisor(file, wall=time.time, bind=bind, workers=count))
    try:
        run(supervisor.run(on_listening=listening))
    except Failed as failure:
        wrong(str(failure), code=failure.code)


async def _serving(hosted: Any, config: Any, file: Path | None, listening: Any) -> None:
    from proxy import hosting

    stop = asyncio.Event()
    await hosting.serve(hosted, config, watched=file, on_listening=listening, stop=stop)
