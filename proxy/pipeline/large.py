"""Large requests: what takes longer than others may wait for is done in steps.

Between them the loop turns. A request is read so, and written for the endpoint that is asked first;
another, which is only asked where that one fails, has it written when its turn comes.
"""

import asyncio

from proxy.dialects.bodies import BIG_BODY_BYTES
from proxy.errors import GatewayError
from proxy.pipeline.dispatch import prepared
from proxy.pipeline.exchange import Exchange
from proxy.wire.slices import Steps, Told


async def in_turns(steps: Steps[Told]) -> Told:
    """What comes of `steps`. Raises what they raise; who is cancelled leaves the rest undone."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            told: Told = end.value
            return told
        await asyncio.sleep(0)


async def write_ahead(exchange: Exchange) -> None:
    """Writes a large request for the first endpoint of the plan. What can not be written fails when
    that one is asked.
    """
    assert exchange.ask is not None
    assert exchange.plan is not None
    if exchange.ask.text_bytes <= BIG_BODY_BYTES or not exchange.plan.attempts:
        return
    model, endpoint = exchange.plan.attempts[0]
    try:
        ask, target, dialect = prepared(exchange, model, endpoint)
        if dialect.encode_steps is not None:
            encoded = await in_turns(dialect.encode_steps(ask, target))
            exchange.ahead = endpoint, encoded
    except GatewayError:
        return
