"""Rows as they are printed: exact amounts, and lines that other programs can read."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich import console

from proxy.tables import dump, minute, table, usd


@given(st.integers(-(2**62), 2**62))
def test_an_amount_is_exact(nano: int) -> None:
    text = usd(nano)
    assert Decimal(text) == Decimal(nano) / 10**9
    assert len(text.partition(".")[2]) >= 2


@pytest.mark.parametrize(
    ("nano", "said"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (500_000_000, "0.50"),
        (25 * 10**9, "25.00"),
        (1_234_567_500_000_000, "1234567.50"),
    ],
)
def test_an_amount_has_two_digits_at_least(nano: int, said: str) -> None:
    assert usd(nano) == said


def test_a_moment_is_in_utc_or_nothing() -> None:
    assert minute(1_779_474_928.0) == "2026-05-22 18:35"
    assert minute(None) == ""


def test_a_line_stays_a_line_for_other_programs() -> None:
    head, first, second = table(["name"], [["n" * 300], ["[bold]not markup[/bold]"]]).splitlines()
    assert head == "name"
    assert first == "n" * 300
    assert second == "[bold]not markup[/bold]"


def test_a_terminal_is_not_overrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(console.Console, "is_terminal", True)
    lines = table(["name"], [["word " * 40]]).splitlines()
    assert len(lines) > 3
    assert all(len(line) <= 60 for line in lines[1:])


def test_what_is_dumped_can_be_read_again() -> None:
    assert json.loads(dump({"a": [1, None]})) == {"a": [1, None]}
