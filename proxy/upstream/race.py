"""Which of a host's addresses answers first: happy eyeballs, as in RFC 8305.

Neither uvloop's `create_connection` nor its patience with a dead address helps here: it would try
one after the other, each for minutes.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Final

from proxy.upstream.resolver import Place

STAGGER_S: Final = 0.25


async def race(places: Sequence[Place]) -> socket.socket:
    """A socket connected to one of `places`: the next is tried when the one before failed, or has
    not answered for a while. Raises OSError, the last one's, where none can be reached.
    """
    if len(places) == 1:
        return await _connected(places[0])
    left = list(reversed(places))
    running: set[asyncio.Task[socket.socket]] = set()
    fault: BaseException = OSError("a name without an address")
    try:
        while left or running:
            if left:
                running.add(asyncio.create_task(_connected(left.pop())))
            patience_s = STAGGER_S if left else None
            await asyncio.wait(running, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            for task in [one for one in running if one.done()]:
                running.remove(task)
                failure = task.exception()
                if failure is None:
                    return task.result()
                fault = failure
        raise fault
    finally:
        for task in running:
            task.add_done_callback(_close)
            task.cancel()


async def _connected(place: Place) -> socket.socket:
    sock = socket.socket(place.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, place.address)
    except BaseException:
        sock.close()
        raise
    return sock


def _close(late: asyncio.Task[socket.socket]) -> None:
    """It lost."""
    if not late.cancelled() and late.exception() is None:
        late.result().close()
