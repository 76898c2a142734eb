"""Keeps what each provider lists fresh: asked every hour, sooner again while it can not be asked.

A provider that is down keeps the models it had; one that never answered has those of the price
table. Where the bytes come from, how they are read and where they are kept are handed in, so that
this file is only about when and what then.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

import msgspec

from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.wire.listing import Listing

RETRY_S = 30.0
RETRY_S_MAX = 300.0
"""How soon a provider that failed is asked again: twice as long each time, up to the maximum."""

ANSWER_S = 60.0
"""How long one answer may take; the transport has its own, shorter clocks."""

Source = Literal["provider", "store", "price table", "none"]
Rows = tuple[Listing, ...]
Fetch = Callable[[Provider], Awaitable[bytes]]
Decode = Callable[[Provider, bytes], Sequence[Listing]]
Fallback = Callable[[Provider], Sequence[Listing]]
Put = Callable[[str, Sequence[Listing], float], Awaitable[None]]
Stored = Mapping[str, tuple[float, Sequence[Listing]]]

_log = logging.getLogger(__name__)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Where a provider's list came from. `fetched_at` is when the provider last gave it, seconds
    since 1970; `error` is why the last attempt failed, without any secret.
    """

    source: Source = "none"
    fetched_at: float | None = None
    models: int = 0
    error: str | None = None


class Listings:
    """The lists of `providers`, by slug.

    `fetch` asks a provider and may raise GatewayError; `decode` reads the answer; `fallback` gives
    the rows of the price table; `put` keeps a list in the store; `on_change` is told the slug of a
    provider whose list is another than before. `clock` gives seconds since 1970, `sleep` waits, and
    `jitter` is a factor near 1 for each wait, so that many gateways do not ask at once. A
    provider that does not list its models, says `lists`, is not asked.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        fetch: Fetch,
        decode: Decode,
        fallback: Fallback,
        put: Put,
        on_change: Callable[[str], None],
        clock: Callable[[], float],
        jitter: Callable[[], float],
        refresh_s: float = 3600.0,
        lists: Callable[[Provider], bool] = lambda _: True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._providers = tuple(providers)
        self._fetch = fetch
        self._decode = decode
        self._fallback = fallback
        self._put = put
        self._on_change = on_change
        self._clock = clock
        self._jitter = jitter
        self._refresh_s = refresh_s
        self._sleep = sleep
        self._rows: dict[str, Rows] = {provider.slug: () for provider in providers}
        self._status = {provider.slug: Status() for provider in providers}
        self._tasks: list[asyncio.Task[None]] = []
        self._listing = tuple(provider for provider in providers if lists(provider))
        self._unasked = {provider.slug for provider in self._listing}
        self._asked = asyncio.Event()

    async def asked(self) -> None:
        """Returns when every provider was asked once, whatever it said."""
        if self._unasked:
            await self._asked.wait()

    @property
    def rows(self) -> Mapping[str, Rows]:
        """What each provider lists, as far as is known."""
        return self._rows

    @property
    def known(self) -> Stored:
        """What providers themselves gave, in the form that `load` takes."""
        return {
            slug: (status.fetched_at, self._rows[slug])
            for slug, status in self._status.items()
            if status.fetched_at is not None
        }

    @property
    def status(self) -> Mapping[str, Status]:
        """Where each list came from, in the providers' order."""
        return self._status

    def load(self, stored: Stored) -> None:
        """Begin with what the store has, else with the price table; nobody is told."""
        for provider in self._providers:
            fetched_at, rows = stored.get(provider.slug, (None, ()))
            source: Source = "none" if fetched_at is None else "store"
            if source == "none" and (rows := self._fallback(provider)):
                source = "price table"
            self._rows[provider.slug] = tuple(rows)
            self._status[provider.slug] = Status(
                source=source, fetched_at=fetched_at, models=len(rows)
            )

    async def start(self) -> None:
        """Ask every provider now and from then on, each at its own pace; returns at once."""
        assert not self._tasks
        self._tasks = [asyncio.create_task(self._keep(one)) for one in self._listing]

    async def stop(self) -> None:
        """End all asking; what is known stays."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def refresh_all(self) -> None:
        """Ask every provider once, all at the same time; for a command that needs one answer."""
        await asyncio.gather(*(self.refresh(provider) for provider in self._listing))

    async def refresh(self, provider: Provider) -> Status:
        """Ask one provider; what fails is in the status it returns and leaves the list as it is."""
        slug = provider.slug
        try:
            async with asyncio.timeout(ANSWER_S):
                body = await self._fetch(provider)
            rows = tuple(self._decode(provider, body))
        except (GatewayError, OSError) as error:
            self._fail(slug, _reason(error))
        except Exception as error:
            # A bug in reading one provider's answer must not end the asking of it.
            _log.exception("listing of %s", slug)
            self._fail(slug, type(error).__name__)
        else:
            await self._take(slug, rows)
        self._unasked.discard(slug)
        if not self._unasked:
            self._asked.set()
        return self._status[slug]

    async def _keep(self, provider: Provider) -> None:
        retry_s = RETRY_S
        while True:
            status = await self.refresh(provider)
            wait_s = self._refresh_s if status.error is None else min(retry_s, self._refresh_s)
            retry_s = RETRY_S if status.error is None else min(2 * retry_s, RETRY_S_MAX)
            await self._sleep(wait_s * self._jitter())

    async def _take(self, slug: str, rows: Rows) -> None:
        now = self._clock()
        if self._status[slug].error is not None:
            _log.info("listing of %s: %d models again", slug, len(rows))
        self._status[slug] = Status(source="provider", fetched_at=now, models=len(rows))
        changed, self._rows[slug] = self._rows[slug] != rows, rows
        if changed:
            self._on_change(slug)
        try:
            await self._put(slug, rows, now)
        except Exception:
            # The list serves without the store; the next start begins with an older one.
            _log.exception("listing of %s can not be kept", slug)

    def _fail(self, slug: str, reason: str) -> None:
        before = self._status[slug]
        if before.error != reason:  # said once, not every half minute
            _log.warning("listing of %s: %s", slug, reason)
        self._status[slug] = msgspec.structs.replace(before, error=reason)


def _reason(error: GatewayError | OSError) -> str:
    if isinstance(error, GatewayError):
        return error.message
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
