"""What must be waited for between a request's admission and its first provider.

Tokens that providers lend for a time, attachments that some endpoint can not be sent as they are,
and turns of the loop while a large request is written. Most requests wait for nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from proxy.dialects.bodies import BIG_BODY_BYTES
from proxy.errors import CallerGone, GatewayError
from proxy.pipeline.admit import Gate
from proxy.pipeline.exchange import Exchange, nothing
from proxy.pipeline.large import write_ahead
from proxy.pipeline.provision import Provisions, needed
from proxy.serving.caller import Caller
from proxy.upstream.signing import PREPARE_S

CLOSING: Final = "The gateway is shutting down."
SPARE_S: Final = 1.0
"""How long the token of a provider is waited for that is only asked where others fail. Usually it
takes a fraction of that; where nobody gives it, those others must not be late for it."""


class Errands:
    """Those that are under way; `stop` ends them."""

    def __init__(self, gate: Gate, clock: Callable[[], float]) -> None:
        self._gate = gate
        self._clock = clock
        self._under_way: set[asyncio.Task[None]] = set()

    def any(self, exchange: Exchange) -> bool:
        """Whether there may be something to wait for."""
        ask, plan = exchange.ask, exchange.plan
        assert ask is not None
        assert plan is not None
        if ask.media_prompt or ask.text_bytes > BIG_BODY_BYTES:
            return True
        signing = exchange.snapshot.signing
        if not signing.lent:
            return False
        slugs = [endpoint.provider.slug for _, endpoint in plan.attempts]
        return bool(signing.unready(slugs, self._clock()))

    async def run(self, exchange: Exchange, caller: Caller) -> None:
        """Returns when the endpoints of the plan can be asked; what failed fails them later.

        Raises CallerGone, and GatewayError: `draining`, or what `Gate.hold_anew` raises.
        """
        if caller.gone:
            raise CallerGone
        ask, plan = exchange.ask, exchange.plan
        assert ask is not None
        assert plan is not None
        slugs = (endpoint.provider.slug for _, endpoint in plan.attempts)
        unready = exchange.snapshot.signing.unready(slugs, self._clock())
        provisions = needed(ask, plan)
        if unready or provisions is not None:
            await self._wait(exchange, caller, unready, provisions)
        if provisions is not None:
            exchange.provisions = provisions
            await self._hold(exchange, provisions.read_bytes)
        await write_ahead(exchange)
        if caller.gone:
            raise CallerGone

    async def _wait(
        self,
        exchange: Exchange,
        caller: Caller,
        unready: tuple[str, ...],
        provisions: Provisions | None,
    ) -> None:
        """Does both at the same time; a hang-up ends it at once."""
        task = asyncio.create_task(self._do(exchange, unready, provisions))
        self._under_way.add(task)
        exchange.on_gone = _canceller(task)
        try:
            await asyncio.wait([task])
        finally:
            exchange.on_gone = nothing
            self._under_way.discard(task)
            task.cancel()
        if caller.gone:
            raise CallerGone
        if task.cancelled():
            raise GatewayError("draining", CLOSING)
        task.result()

    async def _do(
        self, exchange: Exchange, unready: tuple[str, ...], provisions: Provisions | None
    ) -> None:
        snapshot = exchange.snapshot
        async with asyncio.TaskGroup() as group:
            if unready:
                assert exchange.plan is not None
                first = exchange.plan.attempts[0][1].provider.slug
                within_s = PREPARE_S if first in unready else SPARE_S
                prepared = snapshot.signing.prepare(unready, self._clock(), within_s=within_s)
                group.create_task(prepared)
            if provisions is not None:
                group.create_task(snapshot.provisioner.provide(provisions))

    async def _hold(self, exchange: Exchange, read_bytes: int) -> None:
        """A file that became text may be more than its hold assumed of a file."""
        if read_bytes:
            assert exchange.ask is not None
            exchange.read_bytes = read_bytes
            ask, most = exchange.ask, exchange.ask.most
            if most is not None:
                most = replace(most, prompt_tokens=most.prompt_tokens + read_bytes)
            exchange.ask = replace(ask, text_bytes=ask.text_bytes + read_bytes, most=most)
            await self._gate.hold_anew(exchange)

    def stop(self) -> None:
        """Ends all of them with `draining`."""
        for task in self._under_way:
            task.cancel()


def _canceller(task: asyncio.Task[None]) -> Callable[[], None]:
    def cancel() -> None:
        task.cancel()

    return cancel
