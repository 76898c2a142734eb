"""What people said of answers."""

from typing import Final

import msgspec
from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite import insert

from proxy.stores import schema
from proxy.stores.schema import feedback

_KEY: Final = ["generation", "category"]


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """A word on the answer `generation`, said with the key `key_hash`, None for a caller without
    one; `at` is in seconds since 1970.
    """

    generation: str
    category: str
    comment: str | None
    key_hash: str | None
    at: float


def put(connection: Connection, said: Feedback) -> None:
    """Keep it in place of what was said of the same answer in the same category: who repeats a
    request after a lost answer is not counted twice.
    """
    row = schema.encode(said)
    new = {name: value for name, value in row.items() if name not in _KEY}
    statement = insert(feedback).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=new))
