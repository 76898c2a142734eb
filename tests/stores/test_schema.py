"""Rows and structs are the same thing twice: what is written is what is read."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.accounts.keys import Key
from proxy.money import NANO_MAX, PriceOverride, Pricing
from proxy.stores import schema
from proxy.stores.sql import SqlStore
from proxy.wire.listing import Listing
from proxy.wire.record import Candidate, Generation, Try
from tests.stores.vault import unbilled

# Text without surrogates: what the gateway decodes never has them, and UTF-8 can not carry them.
st.register_type_strategy(str, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
PRICE = st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**6)


def structs(kind: type[Any], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any `kind`, with every field drawn by its type where `given` says nothing."""
    fields = {
        field.name: given.get(field.name, st.from_type(field.type))
        for field in msgspec.structs.fields(kind)
    }
    return st.builds(kind, **fields)


def prices(kind: type[Any], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    optional = {
        field.name: PRICE if field.required else st.none() | PRICE
        for field in msgspec.structs.fields(kind)
        if field.name != "request"
    }
    return structs(kind, **({"request": PRICE} | optional | given))


AMOUNT = st.integers(0, NANO_MAX)
GENERATIONS = structs(
    Generation,
    created_at=st.floats(0, 1e11),
    cost_nano=st.none() | AMOUNT,
    house_nano=AMOUNT,
    attempts=st.lists(structs(Try), max_size=3).map(tuple),
    candidates=st.lists(structs(Candidate), max_size=3).map(tuple),
)
KEYS = structs(Key, account=st.just("default"))
OVERRIDES = prices(PriceOverride, min_prompt_tokens=st.integers(0, 10**9))
PRICING = prices(Pricing, overrides=st.lists(OVERRIDES, max_size=2).map(tuple))
LISTINGS = st.lists(structs(Listing, pricing=st.none() | PRICING), max_size=3)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    path: Path = tmp_path_factory.mktemp("roundtrip") / "weir.db"
    opened = SqlStore.open(f"sqlite:///{path}")
    with opened._writing() as connection:
        connection.exec_driver_sql("DROP INDEX keys_active_name")  # any two names may be equal
    yield opened
    opened.close()


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(GENERATIONS, max_size=3, unique_by=lambda row: row.id))
def test_generations_come_back_equal(shared: SqlStore, rows: list[Generation]) -> None:
    with shared._writing() as connection:
        for table in (schema.generations, schema.transfers, schema.spend):
            connection.execute(table.delete())
    shared.ledger.settle([unbilled(row) for row in rows])
    assert [shared.generation(row.id, key_hash=None) for row in rows] == rows


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        structs(Key, account=st.just("default")), max_size=3, unique_by=lambda key: key.hash
    )
)
def test_keys_come_back_equal(shared: SqlStore, rows: list[Key]) -> None:
    with shared._writing() as connection:
        connection.execute(schema.keys.delete())
    for key in rows:
        shared.add_key(key)
    found = shared.keys()
    assert {key.hash: key for key in found} == {key.hash: key for key in rows}


@settings(max_examples=60, deadline=None)
@given(provider=st.from_type(str), rows=LISTINGS, at=st.from_type(float))
def test_listings_come_back_equal(
    shared: SqlStore, provider: str, rows: list[Listing], at: float
) -> None:
    shared.put_listing(provider, rows, fetched_at=at)
    assert shared.listings()[provider] == (at, tuple(rows))


def test_every_field_has_a_column_and_only_optional_ones_may_be_null(
    new_key: Callable[..., Key],
) -> None:
    for table, kind in ((schema.keys, Key), (schema.generations, Generation)):
        optional = {f.name: "None" in str(f.type) for f in msgspec.structs.fields(kind)}
        assert {column.name: column.nullable for column in table.c} == optional
    assert set(schema.encode(new_key("a"))) == set(schema.keys.c.keys())


def test_a_listing_of_another_version_is_not_read() -> None:
    assert schema.decode_listings('[{"model": 5}]') is None
    assert schema.decode_listings('[{"model": "m", "new": 1}]') == (Listing(model="m"),)
