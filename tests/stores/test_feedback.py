"""What people said of answers is kept, each word once."""

from msgspec.structs import replace
from sqlalchemy import select

from proxy.stores import schema
from proxy.stores.feedback import Feedback
from proxy.stores.sql import SqlStore

SAID = Feedback(
    generation="gen-1", category="latency", comment="slow", key_hash="aa", at=1_000.5
)  # fmt: skip


def kept(store: SqlStore) -> list[Feedback]:
    with store._reading() as connection:
        rows = connection.execute(select(schema.feedback).order_by(schema.feedback.c.at))
        return [schema.decode(row, Feedback) for row in rows]


def test_what_was_said_is_kept(store: SqlStore) -> None:
    bare = replace(SAID, generation="gen-2", comment=None, key_hash=None, at=1_001.0)
    store.put_feedback(SAID)
    store.put_feedback(bare)
    assert kept(store) == [SAID, bare]


def test_the_last_word_of_a_category_counts_and_other_categories_stay(store: SqlStore) -> None:
    again = replace(SAID, comment="very slow", key_hash="bb", at=1_002.0)
    other = replace(SAID, category="other", at=1_001.0)
    for said in (SAID, other, again):
        store.put_feedback(said)
    assert kept(store) == [other, again]
