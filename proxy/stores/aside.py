"""Questions that take long, asked beside the writer's thread."""

import asyncio

from proxy.stores.schema import StoreError, StoreUnavailable
from proxy.stores.sql import SqlStore
from proxy.stores.trials import ArmRow


class Aside:
    """Reads the store at `url`, one question at a time, while the writer goes on writing. Every
    method raises StoreUnavailable where there is no store, or SQLite can not do its part.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._turn = asyncio.Lock()

    async def trial(self, alias: str, since: float, account: str) -> list[ArmRow]:
        """How the arms of `alias` did; see `stores.trials`."""

        def ask() -> list[ArmRow]:
            try:
                store = SqlStore.open(self._url, create=False)
            except StoreError as error:  # it was there as the gateway began
                raise StoreUnavailable(str(error)) from error
            try:
                return store.trial(alias, since=since, account=account)
            finally:
                store.close()

        async with self._turn:
            return await asyncio.to_thread(ask)
