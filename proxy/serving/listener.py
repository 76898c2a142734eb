"""Weir's own start: sockets, connections, and an orderly end."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hypercorn.asyncio.lifespan import Lifespan
from starlette.types import ASGIApp

from proxy.serving.doors import Doors
from proxy.serving.hall import Hall, Refuse, plainly
from proxy.serving.sockets import bound, urls
from proxy.serving.stock import KEEP_ALIVE_S, Application, configured


async def listen(
    app: ASGIApp,
    *,
    bind: Sequence[str | socket.socket],
    stopping: Callable[[], Awaitable[None]],
    certificate: str | None = None,
    key: str | None = None,
    on_listening: Callable[[list[str]], None] = lambda _: None,
    doors: Doors | None = None,
    refuse: Refuse = plainly,
    http1: str = "weir",
) -> None:
    """Serves `app` on every address of `bind` until `stopping` returns, which is awaited with the
    doors still open: a drain answers `/ready` meanwhile. `on_listening` is told the URLs.

    An address may be a socket that is already bound (`bound`), and shared with other processes.
    `doors`, if given, can be closed earlier. `refuse` renders what is said to a request that the
    application must not see. `http1` is whose HTTP/1.1 it is, `weir` or `hypercorn`, which then
    also takes HTTP/2 without TLS. Raises OSError where an address can not be bound.
    """
    config = configured(certificate, key)
    wrapped: Any = Application(app, abort=None)
    loop = asyncio.get_running_loop()
    state: dict[str, Any] = {}
    lifespan = Lifespan(wrapped, config, loop, state)
    lifespan_task = loop.create_task(lifespan.handle_lifespan())
    try:
        await lifespan.wait_for_startup()
        if lifespan_task.done():
            lifespan_task.result()
        shared = [one for one in bind if isinstance(one, socket.socket)]
        with bound([one for one in bind if isinstance(one, str)]) as ours:
            served = doors or Doors()
            hall = Hall(app, state=state, refuse=refuse, keep_alive_s=KEEP_ALIVE_S)
            served.open(config, [*ours, *shared], hall, ours=http1 == "weir", shared=bool(shared))
            try:
                on_listening(urls([*ours, *shared], secure=config.ssl_enabled))
                await stopping()
            finally:
                await served.end()
        await lifespan.wait_for_shutdown()
    finally:
        lifespan_task.cancel()
        await asyncio.gather(lifespan_task, return_exceptions=True)
