"""Presets in the database: versions are added and never changed, the newest one counts.

Running gateways hold what each preset says now in memory; a new version is a change that they hear
of (`stores/memory.py`).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, Row, Select, and_, func, select
from sqlalchemy.dialects.sqlite import insert

from proxy.stores.schema import StoreError, changes, presets
from proxy.stores.sqlite import Database
from proxy.wire.presets import Draft, Preset, Version

PRESETS_MAX: Final = 1000
"""Of an account: what they say is held in memory."""

VERSIONS_MAX: Final = 1000
"""Of a preset."""

CHARACTERS_MAX: Final = 16 * 1024 * 1024
"""Of all versions of an account's presets together: any of its keys may write them."""

_KEY: Final = (presets.c.account, presets.c.slug)
_NEWEST: Final = (
    select(
        *_KEY,
        func.max(presets.c.version).label("version"),
        func.min(presets.c.created_at).label("made_at"),
    )
    .group_by(*_KEY)
    .subquery()
)
_IS_NEWEST: Final = and_(
    presets.c.account == _NEWEST.c.account,
    presets.c.slug == _NEWEST.c.slug,
    presets.c.version == _NEWEST.c.version,
)
_PRESETS: Final = select(presets, _NEWEST.c.made_at).join(_NEWEST, _IS_NEWEST)

Name: TypeAlias = tuple[str, str]
"""An account, and the slug of a preset of it."""


class Held(NamedTuple):
    """What a preset says now."""

    version: int
    draft: Draft


class SqlPresets:
    """The presets of an open store. Every method raises StoreUnavailable as the store's own do."""

    def __init__(self, database: Database) -> None:
        self._reading = database.reading
        self._writing = database.writing

    def add(self, account: str, slug: str, draft: Draft, *, creator: str, now: float) -> Preset:
        """A new version of a preset, the first one of a new preset; what it says already is none.
        Raises StoreError where there are too many.
        """
        with self._writing() as connection:
            before = _find(connection, account, slug)
            if before is not None and before.newest.draft == draft:
                return before
            _refuse_more(connection, account, draft, new=before is None)
            number = before.newest.version + 1 if before else 1
            if number > VERSIONS_MAX:
                raise StoreError(f"A preset can have at most {VERSIONS_MAX} versions.")
            newest = Version(
                account=account,
                slug=slug,
                version=number,
                creator=creator,
                created_at=now,
                draft=draft,
            )
            connection.execute(insert(presets).values(_row(newest)))
            connection.execute(changes.update().values(seq=changes.c.seq + 1))
            return Preset(created_at=before.created_at if before else now, newest=newest)

    def find(self, account: str, slug: str) -> Preset | None:
        """One preset."""
        with self._reading() as connection:
            return _find(connection, account, slug)

    def page(self, account: str, *, offset: int, limit: int) -> tuple[list[Preset], int]:
        """Some of an account's presets, those with the newest versions first, and how many there
        are.
        """
        query = _PRESETS.where(presets.c.account == account)
        order = presets.c.created_at.desc(), presets.c.slug
        with self._reading() as connection:
            rows = connection.execute(query.order_by(*order).offset(offset).limit(limit))
            return [_preset(row) for row in rows], _count(connection, query)

    def versions(
        self, account: str, slug: str, *, offset: int, limit: int
    ) -> tuple[list[Version], int]:
        """Some versions of a preset, the first one first, and how many there are."""
        query = _versions(account, slug)
        with self._reading() as connection:
            some = query.order_by(presets.c.version).offset(offset).limit(limit)
            return [_version(row) for row in connection.execute(some)], _count(connection, query)

    def version(self, account: str, slug: str, number: int) -> Version | None:
        """One version of a preset."""
        query = _versions(account, slug).where(presets.c.version == number)
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else _version(row)

    def held(self, known: Mapping[Name, Held]) -> dict[Name, Held]:
        """What every preset says now; of those in `known` only what is not the newest is read."""
        with self._reading() as connection:
            newest = connection.execute(select(_NEWEST)).all()
            found: dict[Name, Held] = {}
            for row in newest:
                name = row.account, row.slug
                before = known.get(name)
                if before is None or before.version != row.version:
                    query = _versions(*name).where(presets.c.version == row.version)
                    version = _version(connection.execute(query).one())
                    before = Held(version.version, version.draft)
                found[name] = before
            return found


def _versions(account: str, slug: str) -> Select[Any]:
    return select(presets).where(presets.c.account == account, presets.c.slug == slug)


def _find(connection: Connection, account: str, slug: str) -> Preset | None:
    query = _PRESETS.where(presets.c.account == account, presets.c.slug == slug)
    row = connection.execute(query).one_or_none()
    return None if row is None else _preset(row)


def _refuse_more(connection: Connection, account: str, draft: Draft, *, new: bool) -> None:
    query = _PRESETS.where(presets.c.account == account)
    if new and _count(connection, query) >= PRESETS_MAX:
        raise StoreError(f"An account can have at most {PRESETS_MAX} presets.")
    prompt = func.coalesce(func.length(presets.c.system_prompt), 0)
    total = func.coalesce(func.sum(func.length(presets.c.config) + prompt), 0)
    kept = connection.execute(select(total).where(presets.c.account == account)).scalar_one()
    if kept + len(draft.config) + len(draft.system_prompt or "") > CHARACTERS_MAX:
        words = f"The presets of an account can have {CHARACTERS_MAX} characters in all."
        raise StoreError(words)


def _count(connection: Connection, query: Select[Any]) -> int:
    counted = select(func.count()).select_from(query.subquery())
    return int(connection.execute(counted).scalar_one())


def _row(version: Version) -> dict[str, Any]:
    return {
        "account": version.account,
        "slug": version.slug,
        "version": version.version,
        "creator": version.creator,
        "created_at": version.created_at,
        "system_prompt": version.draft.system_prompt,
        "config": version.draft.config.decode(),
    }


def _version(row: Row[Any]) -> Version:
    return Version(
        account=row.account,
        slug=row.slug,
        version=row.version,
        creator=row.creator,
        created_at=row.created_at,
        draft=Draft(config=row.config.encode(), system_prompt=row.system_prompt),
    )


def _preset(row: Row[Any]) -> Preset:
    return Preset(created_at=row.made_at, newest=_version(row))
