"""The values of a list's query: each is what its parameter takes, or a refusal that names it."""

import re
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Final

from proxy.errors import GatewayError
from proxy.wire.preferences import LISTED_MAX

ALL: Final = "all"

_NUMBER: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{0,20})?(?:[eE][-+]?[0-9]{1,2})?")


def said_of(pairs: Iterable[tuple[str, str]], taken: Collection[str]) -> dict[str, str]:
    """A query by parameter; an empty value says nothing. Raises GatewayError `invalid_request` for
    one of `taken` that is said more than once: one of its values would be passed over.
    """
    query: dict[str, str] = {}
    for name, value in pairs:
        if not value:
            continue
        if name in query and name in taken:
            raise refused(name, "must be said once; a list is one value with commas")
        query[name] = value
    return query


def one_of(name: str, text: str, known: Sequence[str]) -> str:
    """One of the `known` words."""
    if text not in known:
        raise refused(name, f"must be {' or '.join(known)}")
    return text


def words_of(name: str, text: str, known: Sequence[str]) -> frozenset[str]:
    """Some of the `known` words."""
    found = frozenset(word.strip() for word in text.split(","))
    if not found.issubset(known):
        first, *others = known
        told = f"{ALL}, or of {', '.join(others)}" if first == ALL else f"of {', '.join(known)}"
        raise refused(name, f"must be {told}")
    return found


def names_of(name: str, text: str) -> frozenset[str]:
    """Names of anybody's, in lower case."""
    found = frozenset(part.strip().lower() for part in text.split(","))
    if len(found) > LISTED_MAX:
        raise refused(name, f"must be at most {LISTED_MAX} names")
    return found


def number_of(name: str, text: str) -> Decimal:
    """A number from 0."""
    if not _NUMBER.fullmatch(text):
        raise refused(name, "must be a number from 0")
    return Decimal(text)


def refused(name: str, why: str) -> GatewayError:
    """The refusal of a parameter, which the caller raises."""
    return GatewayError("invalid_request", f"{name}: {why}")
