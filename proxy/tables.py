"""How rows are printed: as a table for people, as JSON for programs."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

PIPED_WIDTH: Final = 1000  # a line that goes into another program stays a line


def dump(value: Any) -> str:
    """JSON that people can read too."""
    return json.dumps(value, indent=2)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under bold heads; on a terminal they keep within its width."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def minute(seconds: float | None) -> str:
    """A moment in UTC, to the minute; nothing for none."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def usd(nano: int) -> str:
    """Nano-dollars in USD, exact, as commands take it: at least two digits after the point."""
    sign, nano = "-" * (nano < 0), abs(nano)
    digits = f"{nano % 10**9:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{nano // 10**9}.{digits}"
