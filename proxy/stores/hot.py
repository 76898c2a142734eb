"""Statements that are compiled once and run past SQLAlchemy, and what they change.

The driver gives up the interpreter for each step of a statement, and waits until it has it again:
so rows are written by few statements of many rows each, and not by one for each row.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.sql.compiler import SQLCompiler

from proxy.stores.sqlite import Run

SIZES: Final = (64, 16, 4, 1)
"""So many rows stand in one statement: few enough forms of it to stay compiled in the driver."""


class Odd(Exception):
    """Not as many rows were changed as are given."""


class Hot:
    """A statement for one row at a time. `names` are its parameters in the order in which rows give
    them.
    """

    def __init__(self, statement: ClauseElement, *names: str) -> None:
        self._text, order = _compiled(statement)
        self._picks = [names.index(name) for name in order]

    def run(self, run: Run, rows: Iterable[tuple[Any, ...]]) -> None:
        """Raises Odd unless each of `rows` changes one."""
        for row in rows:
            if run(self._text, [row[i] for i in self._picks]).rowcount != 1:
                raise Odd


class Query:
    """What reads. `names` are its parameters in the order in which `rows` is given them."""

    def __init__(self, statement: ClauseElement, *names: str) -> None:
        self._text, order = _compiled(statement)
        self._picks = [names.index(name) for name in order]

    def rows(self, run: Run, *values: Any) -> list[tuple[Any, ...]]:
        """All that it finds, and nothing of it is left open."""
        return run(self._text, [values[i] for i in self._picks]).fetchall()


class Rows:
    """A statement for any number of rows. `row` is how one of them stands in its text; without it
    the statement is an insert, and they are whole rows of its table.
    """

    def __init__(self, statement: ClauseElement, row: str = "") -> None:
        text, _ = _compiled(statement)
        row = row or text[text.index("(?") : text.index("?)") + 2]
        self._texts = [(size, text.replace(row, ", ".join([row] * size))) for size in SIZES]

    def run(self, run: Run, rows: Sequence[tuple[Any, ...]]) -> int:
        """How many rows were changed."""
        changed = done = 0
        for size, text in self._texts:
            while len(rows) - done >= size:
                values = list(chain.from_iterable(rows[done : done + size]))
                changed += run(text, values).rowcount
                done += size
        return changed

    def all(self, run: Run, rows: Sequence[tuple[Any, ...]]) -> None:
        """Raises Odd unless all rows were changed."""
        if self.run(run, rows) != len(rows):
            raise Odd


def _compiled(statement: ClauseElement) -> tuple[str, Sequence[str]]:
    compiled = statement.compile(dialect=dialect())
    assert isinstance(compiled, SQLCompiler)
    return str(compiled), compiled.positiontup or ()
