"""Which model is the newest of a family: what `~author/family-latest` means.

OpenRouter keeps such names by hand; here a rule reads them from the slugs. A slug is the words of
its family, in which `claude-3.5-sonnet` and `claude-sonnet-4.5` are alike, and what tells its
members apart: a version, a date, `preview` and the like. A family is all models of an author with
the same words: `gpt-5-mini` is none of `~openai/gpt-latest`, but of `~openai/gpt-mini-latest`.

The newest is the one with the highest version; of one version that which is released comes before
previews, that without a date before those with one, then the younger first. So a preview of a new
version is newer than what is released of the one before, as it is at OpenRouter, whose
`~google/gemini-pro-latest` was Gemini 3.1's preview beside a released 2.5. Variants (`:free`) and
names that move by themselves (`gemini-flash-latest`) are only meant where the family has no other.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from proxy.routing.catalogue import Catalogue, Model

_NAME: Final = re.compile(r"~([^/]+)/(.+)-latest")
_STAGES: Final = frozenset(("alpha", "beta", "exp", "experimental", "preview", "rc"))
_MOVES: Final = "latest"

# `5`, `4.1`, and with one letter before it as in `k2.6`; with one behind it (`4o`, `70b`) it is a
# word, for such models are families of their own.
_VERSION: Final = re.compile(r"[a-z]?([0-9]{1,3}(?:\.[0-9]{1,3})*)")
_GLUED: Final = re.compile(r"([a-z]+)([0-9]{1,3}(?:\.[0-9]{1,3})*)")  # `qwen3`, `o4`
_DATE: Final = re.compile(r"0[0-9]{1,7}|[0-9]{4,8}")  # or a build: `2024`, `09`, `001`
_NUMBER: Final = re.compile(r"[0-9]{1,8}")

Families = dict[tuple[str, ...], Model]
"""The newest model of each family of one author."""


class _Age(NamedTuple):
    """How new a model is among its family: the greatest is the newest."""

    concrete: bool
    version: tuple[int, ...]
    released: bool
    undated: bool
    created: int
    date: tuple[int, ...]


def latest(name: str, catalogue: Catalogue) -> Model | None:
    """The model that `~author/family-latest` means; None where `name` is no such name, or where
    the catalogue has no model of that family.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    author, family = match.groups()
    families = catalogue.families.get(author)
    if families is None:
        prefix = f"{author}/"
        models = [
            model
            for id_, model in catalogue.models.items()
            if id_.startswith(prefix) and model.endpoints
        ]
        if not models:
            return None  # nor is it remembered: callers choose names, and there is no end of them
        families = catalogue.families[author] = _newest(models)
    return families.get(tuple(family.split("-")))


def _newest(models: Iterable[Model]) -> Families:
    found: dict[tuple[str, ...], tuple[_Age, Model]] = {}
    for model in models:
        words, age = _read(model)
        if words not in found or age > found[words][0]:
            found[words] = age, model
    return {words: model for words, (_, model) in found.items()}


def _read(model: Model) -> tuple[tuple[str, ...], _Age]:
    """The words of a model's family, and its age in it."""
    slug, variant, _ = model.id.partition("/")[2].partition(":")
    words: list[str] = []
    version: tuple[int, ...] = ()
    date: list[int] = []
    released, moves = True, False
    for part in slug.split("-"):
        if part in _STAGES:
            released = False
        elif part == _MOVES:
            moves = True
        elif _DATE.fullmatch(part) or ((version or date) and _NUMBER.fullmatch(part)):
            date.append(int(part))
        elif not version and words and (found := _VERSION.fullmatch(part)):
            version = _numbers(found[1])
        elif not version and (found := _GLUED.fullmatch(part)):
            words.append(found[1])
            version = _numbers(found[2])
        else:
            words.append(part)
    return tuple(words), _Age(
        concrete=not variant and not moves,
        version=version,
        released=released,
        undated=not date or not version,
        created=model.created or 0,
        date=tuple(date),
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
