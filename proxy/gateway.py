"""The wiring: one gateway built from its configuration, and rebuilt while it runs.

Everything that a reload may change stands in one snapshot, swapped by one assignment; requests keep
the one they began with. What can not change while it runs (addresses, store, who may call) makes a
reload fail as a whole.
"""

import asyncio
import contextlib
import logging
import os
import random
import secrets
import time
from collections.abc import Callable, Sequence

import msgspec
from starlette.requests import Request

from proxy.accounts.keys import Key
from proxy.accounts.limits import Rules
from proxy.api import inference
from proxy.api.live import Live
from proxy.app import CORS, App, metrics_of_all, refuse
from proxy.config import Config, difference
from proxy.metrics import Dump
from proxy.office import Office
from proxy.pipeline.exchange import Ids, Snapshot
from proxy.pipeline.flow import Flow
from proxy.pipeline.lag import Lag
from proxy.routes import control
from proxy.routing.catalogue import Catalogue
from proxy.routing.health import Pool
from proxy.serving.caller import Caller
from proxy.serving.channel import Channel
from proxy.serving.guard import Guard
from proxy.settings import ConfigError
from proxy.stores.aside import Aside
from proxy.stores.schema import StoreUnavailable
from proxy.stores.writer import Writer
from proxy.supply import (
    AGENT,
    build_catalogue,
    new_listings,
    new_provisioner,
    new_signing,
    new_transport,
)
from proxy.upstream.listing import Listings
from proxy.wire.listing import Listing

log = logging.getLogger(__name__)

FIRST_LISTS_S = 0.5  # so that a start takes a second at most
HURRY_S = 5.0
DRAINS_S = 5.0  # for answers that are heard out only for their usage
LAST_WORDS_S = 5.0  # for answers to end with an error, after the drain's time is up

Reread = Callable[[], Config]


class Gateway:
    """A running gateway: made by `open`, ended by `close`, both on one loop."""

    def __init__(
        self, config: Config, writer: Writer, reread: Reread, channel: Channel | None
    ) -> None:
        self.config = config
        self._writer = writer
        self._reread = reread
        self._transport = new_transport(config)
        self.office = Office(
            writer,
            wall=time.time,
            new_id=lambda: f"{os.getpid()}-{secrets.token_hex(8)}",
            rules=lambda: self.snapshot.rules,
            channel=channel,
        )
        self.pool = Pool(rng=random.random)
        self._lag = Lag()
        self._stale = asyncio.Event()
        self.listings = self._new_listings(config)
        self._signing = new_signing(config, self._transport)
        self._provisioner = new_provisioner(config)
        self.snapshot = self._new_snapshot(config, Catalogue(()))
        self._rebuilder: asyncio.Task[None] | None = None
        self._flow = Flow(
            snapshot=lambda: self.snapshot,
            books=self.office,
            gate=self.office.gate,
            pool=self.pool,
            lag_s=self._lag.seconds,
            transport=self._transport,
            clock=asyncio.get_running_loop().time,
            wall=time.time,
            rng=random.random,
            new_id=Ids(),
            agent=AGENT,
            preset=self.office.preset,
        )
        self.app = Guard(
            App(
                inference=inference.handlers(self._flow, CORS),
                routes=control(
                    self.office,
                    models=lambda: self.snapshot.catalogue,
                    providers=lambda: [one.provider for one in self.config.resolved],
                    authenticate=self._authenticate,
                    live=Live(self.pool, asyncio.get_running_loop().time),
                    enforce=lambda: self.snapshot.enforce,
                    body_bytes_max=lambda: self.snapshot.body_bytes_max,
                    aside=Aside(config.store.url),
                    wall=time.time,
                ),
                health=lambda: (200, {"status": "ok"}),
                ready=self.ready,
                metrics=lambda: metrics_of_all(self.counts, channel),
            ),
            refuse=refuse,
            client_stall_s=lambda: self.snapshot.client_stall_s,
        )

    @classmethod
    async def open(
        cls, config: Config, reread: Reread, *, channel: Channel | None = None
    ) -> "Gateway":
        """A gateway that is ready to serve; with `channel` as one of several workers.

        Raises StoreError where the store can not be opened.
        """
        writer = await asyncio.to_thread(Writer.open, config.store.url)
        gateway = cls(config, writer, reread, channel)
        try:
            gateway._lag.start()
            await gateway.office.open()
            gateway.listings.load(await writer.call(lambda store: store.listings()))
            await gateway._rebuild()
            await gateway.listings.start()
            await gateway._first_lists()
        except BaseException:
            await gateway.close()
            raise
        gateway._rebuilder = asyncio.create_task(gateway._keep_fresh())
        return gateway

    async def _first_lists(self) -> None:
        """Who was never asked before is given a moment, so that the first request finds models."""
        if all(status.source in ("provider", "store") for status in self.listings.status.values()):
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LISTS_S):
                await self.listings.asked()
        await self._rebuild()

    async def close(self) -> None:
        """Ends all that runs and writes what is still to be written."""
        if self._rebuilder is not None:
            self._rebuilder.cancel()
            await asyncio.gather(self._rebuilder, return_exceptions=True)
        await self.listings.stop()
        await self._flow.close(within_s=DRAINS_S)
        self._lag.stop()
        await self._signing.close()
        await self._transport.close()
        await self.office.close()

    # Changes while running.

    async def reload(self) -> bool:
        """Takes the configuration anew, whole or not at all; the latter is logged, and False."""
        try:
            config = await asyncio.to_thread(self._reread)
            if fixed := difference(self.config, config):
                raise ConfigError(fixed[0], "can only be changed by a restart")
        except ConfigError as error:
            log.error("reload refused", extra={"path": error.path, "reason": error.reason})
            return False
        before, signing = self.listings, self._signing
        listings = self._new_listings(config)
        listings.load(before.known)
        await before.stop()
        self.config, self.listings = config, listings
        self._signing = new_signing(config, self._transport)
        self._provisioner = new_provisioner(config)
        await self._rebuild()
        await listings.start()
        log.info("reloaded", extra={"models": len(self.snapshot.catalogue.models)})
        await signing.close(give_up=False)
        return True

    async def _keep_fresh(self) -> None:
        while True:
            await self._stale.wait()
            await self._rebuild()

    async def _rebuild(self) -> None:
        """In a thread, because a thousand models take a tenth of a second."""
        self._stale.clear()
        config, listings = self.config, dict(self.listings.rows)
        built = await asyncio.to_thread(build_catalogue, config, listings)
        if config is self.config:
            self.snapshot = self._new_snapshot(config, built)
            self.pool.forget(
                {(one.tag, one.model) for model in built.models.values() for one in model.endpoints}
            )

    def _new_snapshot(self, config: Config, built: Catalogue) -> Snapshot:
        return Snapshot(
            catalogue=built,
            signing=self._signing,
            anonymous=config.auth.mode == "none",
            body_bytes_max=config.limits.body_bytes_max,
            client_stall_s=config.timeouts.client_stall_s,
            enforce=config.credits.enforce and config.auth.mode == "keys",
            margin=config.credits.margin.as_integer_ratio(),
            rules=msgspec.convert(config.limits, Rules, from_attributes=True),
            hedge=config.routing.hedge,
            hedge_share_max=config.routing.hedge_share_max,
            provisioner=self._provisioner,
        )

    def _new_listings(self, config: Config) -> Listings:
        return new_listings(
            config,
            transport=self._transport,
            signing=lambda: self.snapshot.signing,
            put=self._put_listing,
            on_change=self._stale.set,
        )

    async def _put_listing(self, slug: str, rows: Sequence[Listing], fetched_at: float) -> None:
        """The list serves without the store; the next start begins with an older one."""
        try:
            await self._writer.call(
                lambda store: store.put_listing(slug, rows, fetched_at=fetched_at)
            )
        except StoreUnavailable as error:
            log.warning("listing of %s is not kept: %s", slug, error)

    # The end.

    async def drain(self, hurry: asyncio.Event) -> None:
        """Takes no new work and returns when the old is done, at the latest after `drain_s`, or
        `HURRY_S` after `hurry`; what is left then ends with an error, within `LAST_WORDS_S`.
        """
        self.app.draining = self._flow.draining = True
        done = asyncio.create_task(self.app.drained())
        hurried = asyncio.create_task(hurry.wait())
        try:
            await asyncio.wait(
                {done, hurried},
                timeout=self.config.timeouts.drain_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if hurried.done():
                await asyncio.wait({done}, timeout=HURRY_S)
            if not done.done():
                self._flow.stop()
                await asyncio.wait({done}, timeout=LAST_WORDS_S)
        finally:
            done.cancel()
            hurried.cancel()
            await asyncio.gather(done, hurried, return_exceptions=True)

    def ready(self) -> tuple[int, dict[str, str]]:
        """Whether the gateway takes work, as status and body of `/ready`."""
        if self.app.draining:
            return 503, {"status": "draining"}
        if not self.config.resolved:
            return 503, {"status": "no provider is configured"}
        if not self.office.healthy:
            return 503, {"status": "the store does not answer"}
        return 200, {"status": "ready"}

    def _authenticate(self, request: Request) -> Key | None:
        caller = Caller(request.scope, request.receive, _no_send)
        return self._flow.authenticate(self.snapshot, caller)

    def counts(self) -> Dump:
        """All that this process has to tell `/metrics`."""
        gauges = {
            "weir_requests_in_progress": self._flow.under_way,
            **self.office.gauges(),
            "weir_ready": float(self.ready()[0] == 200),
        }
        now = asyncio.get_running_loop().time()
        return self.office.metrics.dump(gauges) | self.pool.gauges(now)


async def _no_send(_message: object) -> None:
    raise AssertionError("a request that is only looked at is not answered")
