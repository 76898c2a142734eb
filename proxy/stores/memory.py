"""What the request path reads: keys, grants and presets, in dictionaries that follow the database.

Any process may write: the command line, or another gateway. Each such write raises a counter in
the database, and every gateway looks at it often enough to honour a change within a second. Most
looks cost one `PRAGMA data_version`, which tells whether anything at all was committed.

While the database can not be read, or its file was deleted or replaced, the last known keys stay:
a fault of ours must not turn into "your key is unknown" for every caller.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, NamedTuple

from proxy.accounts.keys import Key
from proxy.stores.presets import Held, Name
from proxy.stores.sql import SqlStore
from proxy.stores.writer import Writer
from proxy.wire.presets import Draft

CHANGES_POLL_S: Final = 0.25

log = logging.getLogger(__name__)


class _Seen(NamedTuple):
    """Where the database stood when it was last read."""

    data_version: int
    seq: int


class _Contents(NamedTuple):
    """All that is held in memory; a new kind of it is a field here and a line in `_read`."""

    keys: dict[str, Key]
    granted: dict[str, int]  # ever, by account
    presets: dict[Name, Held]


class Keyring:
    """All keys by hash, the revoked ones too; `healthy` tells whether the last look succeeded."""

    def __init__(self, *, poll_s: float = CHANGES_POLL_S) -> None:
        self._poll_s = poll_s
        self._seen: _Seen | None = None
        self._contents = _Contents(keys={}, granted={}, presets={})
        self._task: asyncio.Task[None] | None = None
        self.healthy = True

    def find(self, hash: str) -> Key | None:
        """The key whose SHA-256 is `hash` (hexadecimal)."""
        return self._contents.keys.get(hash)

    def granted(self, account: str) -> int:
        """What was ever granted to `account`, in nano-dollars."""
        return self._contents.granted.get(account, 0)

    def preset(self, account: str, slug: str) -> Draft | None:
        """What that preset of `account` says now."""
        held = self._contents.presets.get((account, slug))
        return None if held is None else held.draft

    async def start(self, writer: Writer) -> None:
        """Load, and follow the database until `stop`. Raises what the first load raises."""
        await self.refresh(writer)
        self._task = asyncio.create_task(self._follow(writer), name="weir-changes")

    async def stop(self) -> None:
        """Follow no longer; what is known stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _follow(self, writer: Writer) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.refresh(writer)
            except Exception as error:
                if self.healthy:
                    log.warning("keys can not be read, the last known stay: %s", error)
                self.healthy = False
            else:
                self.healthy = True

    async def refresh(self, writer: Writer) -> None:
        """Hear of changes now. Raises what reading the database raises."""
        seen = self._seen if self.healthy else None  # after a fault nothing is taken for granted
        known = self._contents.presets
        self._seen, contents = await writer.call(lambda store: _read(store, seen, known))
        if contents is not None:
            self._contents = contents


def _read(
    store: SqlStore, seen: _Seen | None, presets: Mapping[Name, Held]
) -> tuple[_Seen, _Contents | None]:
    """Where the database stands, and its contents unless they are the same as at `seen`; `presets`
    are those that are known.

    The marks are read before the contents: what changes in between is read once more, never missed.
    """
    store.check_place()
    version = store.data_version()
    if seen is not None and seen.data_version == version:
        return seen, None
    now = _Seen(version, store.changes_seq())
    if seen is not None and seen.seq == now.seq:
        return now, None
    known = store.keys()
    granted = store.ledger.granted()
    keys = {key.hash: key for key in known}
    return now, _Contents(keys=keys, granted=granted, presets=store.presets.held(presets))
