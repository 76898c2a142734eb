"""How soon a gateway is ready: the measuring works, and a start imports what it needs only."""

import re
import subprocess
import sys

import pytest

from bench.start import CASES

ELSEWHERE = (
    "aiohttp", "alembic", "authlib", "boto3", "botocore", "genai_prices", "google", "httpx",
    "multidict", "prometheus_client", "pydantic", "pypdf", "requests", "rich", "rs_bpe",
    "sqlalchemy.orm", "stripe", "tinytag", "uvicorn", "websockets", "yarl",
)  # fmt: skip
"""What no request needs, or few do: imported by the function that uses it."""


def imported(module: str) -> set[str]:
    """What the import of `module` brings along."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["proxy.gateway", "proxy.hosting", "proxy.worker"])
def test_a_gateway_imports_what_the_request_path_needs(module: str) -> None:
    assert imported(module).isdisjoint(ELSEWHERE)


def test_the_command_line_imports_no_gateway() -> None:
    parts = {"proxy.gateway", "proxy.hosting", "proxy.reports", "sqlalchemy", "uvloop", *ELSEWHERE}
    assert imported("proxy.cli").isdisjoint(parts)


@pytest.mark.slow
def test_the_short_form_starts_every_kind() -> None:
    command = [sys.executable, "-m", "bench.start", "--short"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall(r"(?m)^import of .+: \d+ ms$", done.stdout)) == 2
    for case in CASES:
        for store in ("new", "former"):
            assert re.search(rf"(?m)^\| {case.name}, {store} store \| \d+ \| \d+ \|", done.stdout)
