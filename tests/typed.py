"""Commands as a user types them, run in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy import cli
from proxy.credentials import keys_looked_for

Weir = Callable[..., Result]


def typist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Weir:
    """Runs commands in `folder`, which is empty, and without any key variable."""
    monkeypatch.chdir(folder)
    for variable in (*keys_looked_for(), "WEIR_CONFIG"):
        monkeypatch.delenv(variable, raising=False)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(cli.main, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def wrong(result: Result, code: int = 2) -> str:
    """The one line that a failed command says."""
    assert result.exit_code == code
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("weir: ")
    return line.removeprefix("weir: ")
