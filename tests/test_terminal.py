"""What commands share: amounts, moments and names as people type them, and how a command ends."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import terminal
from proxy.errors import GatewayError
from proxy.settings import ConfigError
from proxy.stores.schema import StoreError
from proxy.terminal import amount, moment, past, run, visible, with_store

NOW = 1_779_474_928.0


def said(capsys: pytest.CaptureFixture[str], ended: pytest.ExceptionInfo[SystemExit]) -> str:
    """The line on standard error, without its beginning; the exit code must be 2."""
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.strip().removeprefix("weir: ")


@given(st.integers(1, 999_999_999_999_999_999))
def test_an_amount_is_taken_to_the_nano_dollar(nano: int) -> None:
    assert amount(f"{Decimal(nano) / 10**9:f}", "USD") == nano


@pytest.mark.parametrize(
    ("text", "nano"),
    [("25", 25 * 10**9), ("0.50", 500_000_000), ("007", 7 * 10**9), ("0.000000001", 1)],
)
def test_an_amount_is_what_was_typed(text: str, nano: int) -> None:
    assert amount(text, "USD") == nano


@pytest.mark.parametrize(
    "text",
    ["", "0", "0.000000000", "-1", "+1", "1e3", "1_000", "1,5", "$5", " 5", "5\n", "nan", "inf",
     ".5", "5.", "1" * 10, "0.0000000001", "\u0665", "five"],
)  # fmt: skip
def test_what_is_no_amount_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        amount(text, "--limit")
    assert said(capsys, ended).startswith(f"--limit: {text!r} is not an amount of USD above zero")


def test_a_moment_without_zone_is_utc() -> None:
    wanted = datetime(2027, 1, 31, tzinfo=UTC).timestamp()
    for text in ("2027-01-31", "2027-01-31T00:00Z", "2027-01-31T02:00:00+02:00"):
        assert moment(text, "--expires", now=NOW) == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("soon", "is not a moment such as"),
        ("", "is not a moment such as"),
        ("2027-13-01T00:00:00Z", "is not a moment such as"),
        ("9999-12-31T23:59:59-14:00", "is not a moment such as"),
        ("0001-01-01T00:00:00+14:00", "is not a moment such as"),
        ("2020-01-01T00:00:00Z", "is in the past"),
        ("2020-01-01", "is in the past"),
    ],
)
def test_an_end_must_lie_ahead(text: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        moment(text, "--expires", now=NOW)
    assert said(capsys, ended).startswith(f"--expires: '{text}' {reason}")


def test_a_beginning_must_lie_behind(capsys: pytest.CaptureFixture[str]) -> None:
    assert past("2020-01-31T02:00+02:00", "--since", now=NOW) == 1_580_428_800
    for text, reason in (("2999-01-01", "is in the future"), ("soon", "is not a moment such as")):
        with pytest.raises(SystemExit) as ended:
            past(text, "--since", now=NOW)
        assert said(capsys, ended).startswith(f"--since: '{text}' {reason}")


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "\x1b[31m", "\udcff"])
def test_a_name_must_be_seen(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        visible(text, "NAME")
    assert said(capsys, ended) == "NAME: must be printable and not empty"
    assert visible("Jos\xe9 1", "NAME") == "Jos\xe9 1"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("$.a", "is wrong"), 2),
        (OSError("no room"), 1),
        (StoreError("no store"), 1),
        (GatewayError("provider_unreachable", "nobody there"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_how_work_ends_a_command(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run(work())
    assert ended.value.code == code
    assert capsys.readouterr().err == ("" if code == 130 else f"weir: {error}\n")


def test_what_work_returns_is_returned() -> None:
    async def work() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(work()).startswith("uvloop")


def test_a_store_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEIR_CONFIG", raising=False)
    assert terminal.configured(None).store.url == "sqlite:///weir.db"
    assert with_store(None, lambda store: 1, empty=0) == 0
    assert capsys.readouterr().err == "There is no store at weir.db yet.\n"
    with pytest.raises(SystemExit) as ended:
        with_store(None, lambda store: 1)
    assert ended.value.code == 1
    assert not Path("weir.db").exists()
    assert with_store(None, lambda store: len(store.keys()), create=True) == 0
    assert with_store(None, lambda store: 1, empty=0) == 1
