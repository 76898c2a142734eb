"""What an alias is: a name for models that share its traffic, each by its weight.

It is both what `[[aliases]]` of the configuration may say and what `routing.trials` goes by.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

WEIGHT_MAX: Final = 1_000_000

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*", re.IGNORECASE)


class Arm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that takes part, under any name that a caller may give it, and its share of the
    traffic in proportion to the others' weights.
    """

    model: Annotated[str, Meta(min_length=1)]
    weight: Annotated[float, Meta(gt=0, le=WEIGHT_MAX)]


class Alias(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name that callers ask for. `sticky` says whose requests all go to one arm: those of a
    session, of a user, or nobody's.
    """

    id: str
    sticky: Literal["session", "user", "none"] = "session"
    split: Annotated[tuple[Arm, ...], Meta(min_length=1)]


def faults(aliases: Sequence[Alias], models: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with `aliases` beside `models`, the ids of `[[models]]`: key path and reason.

    An arm may be a model that nobody knows yet: what providers list is heard of later.
    """
    seen = {id_: f"$.models[{number}].id" for number, id_ in enumerate(models)}
    names = {alias.id for alias in aliases}
    for number, alias in enumerate(aliases):
        path = f"$.aliases[{number}]"
        if not _ID.fullmatch(alias.id):
            yield f"{path}.id", f'expected "author/name", got "{alias.id}"'
        if alias.id in seen:
            yield f"{path}.id", f'"{alias.id}" is given twice, first at {seen[alias.id]}'
        seen[alias.id] = f"{path}.id"
        arms: dict[str, str] = {}
        for index, arm in enumerate(alias.split):
            at = f"{path}.split[{index}].model"
            if arm.model.partition(":")[0] in names:
                yield at, f'"{arm.model}" is an alias itself'
            if arm.model in arms:
                yield at, f'"{arm.model}" is given twice, first at {arms[arm.model]}'
            arms[arm.model] = at
