"""Statements of many rows do what as many of one row do, and count it."""

import sqlite3
from collections.abc import Iterator

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, bindparam, literal_column
from sqlalchemy.dialects.sqlite import insert

from proxy.stores.hot import SIZES, Hot, Odd, Rows

things = Table(
    "things", MetaData(), Column("id", Text, primary_key=True), Column("size", BigInteger)
)
KEEP = Rows(insert(things).on_conflict_do_nothing())
FORGET = Rows(things.delete().where(things.c.id.in_([literal_column("?")])), row="?")
GROW = Hot(
    things.update()
    .where(things.c.id == bindparam("i"))
    .values(size=things.c.size + bindparam("more", type_=BigInteger)),
    "i",
    "more",
)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    opened.execute("CREATE TABLE things (id TEXT PRIMARY KEY, size BIGINT)")
    yield opened
    opened.close()


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 16, 63, 64, 65, 2 * max(SIZES) + 21])
def test_any_number_of_rows_is_written(connection: sqlite3.Connection, count: int) -> None:
    rows = [(f"t{number:04d}", number) for number in range(count)]
    KEEP.all(connection.execute, rows)
    assert connection.execute("SELECT * FROM things ORDER BY id").fetchall() == rows
    assert FORGET.run(connection.execute, [row[:1] for row in rows[1:]]) == max(0, count - 1)
    assert connection.execute("SELECT count(*) FROM things").fetchone() == (min(count, 1),)


@pytest.mark.parametrize("count", [1, 6, 70])
def test_a_row_that_is_known_is_noticed(connection: sqlite3.Connection, count: int) -> None:
    rows = [(f"t{number}", number) for number in range(count)]
    KEEP.all(connection.execute, rows[count // 2 : count // 2 + 1])
    assert KEEP.run(connection.execute, rows) == count - 1
    with pytest.raises(Odd):
        KEEP.all(connection.execute, rows)


def test_one_at_a_time(connection: sqlite3.Connection) -> None:
    KEEP.all(connection.execute, [("a", 1), ("b", 2)])
    GROW.run(connection.execute, [("a", 10), ("b", 20)])
    assert connection.execute("SELECT size FROM things").fetchall() == [(11,), (22,)]
    with pytest.raises(Odd):
        GROW.run(connection.execute, [("a", 1), ("c", 1)])
