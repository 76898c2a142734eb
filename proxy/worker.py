"""One worker of several: a gateway of its own that does what its supervisor says.

The supervisor starts it as `python -m proxy.worker NUMBER CHANNEL SOCKET…`, with open files for
numbers. Signals are the supervisor's: a terminal sends Ctrl-C to every process of its group, and a
worker that heeded it as well would be hurried.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

from proxy import hosting, logs
from proxy.config import Config
from proxy.errors import GatewayError
from proxy.gateway import Gateway
from proxy.serving.channel import Channel, Handler
from proxy.serving.doors import Doors
from proxy.settings import ConfigError
from proxy.stores.schema import StoreError

log = logging.getLogger("proxy.worker")  # it is run as `__main__`

ANSWER_S: Final = 10.0  # for the supervisor to say what is configured, and to take the last words
Reload = tuple[str, asyncio.Future[bool]]
"""A new configuration, and whether it was taken."""

SUPERVISORS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)


def main(arguments: Sequence[str]) -> int:
    """Runs the worker that the arguments name, and returns its exit code."""
    import uvloop

    for number in SUPERVISORS:
        signal.signal(number, signal.SIG_IGN)
    worker, channel, *sockets = map(int, arguments)
    logs.setup("INFO", worker=worker)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work(_inherited(channel), [_inherited(one) for one in sockets]))


def _inherited(number: int) -> socket.socket:
    sock = socket.socket(fileno=number)
    sock.set_inheritable(False)
    return sock


async def work(end: socket.socket, sockets: Sequence[socket.socket]) -> int:
    """Serves on the sockets until the supervisor, at the other end of `end`, says otherwise or is
    gone; returns the exit code.
    """
    orders = hosting.Orders()
    reloads = asyncio.Queue[Reload]()
    # All of them before the first word: what a worker is told while it starts, it does later.
    handlers: dict[str, Handler] = {
        "stop": lambda _: orders.stop.set(),
        "hurry": lambda _: orders.hurry.set(),
        "retire": lambda _: orders.retire.set(),
        "reload": lambda text: _put(reloads, text),
    }
    channel = await Channel.open(end, handlers)
    try:
        await _Work(channel, orders, reloads).serve(sockets)
    except Exception as error:
        if not isinstance(error, ConfigError | OSError | StoreError | GatewayError):
            log.exception("internal error")
        code = 2 if isinstance(error, ConfigError) else 1
        channel.notify("failed", {"reason": str(error), "code": code})
        return code
    finally:
        await channel.close()
    return 0


def _put(reloads: asyncio.Queue[Reload], text: str) -> asyncio.Future[bool]:
    done = asyncio.get_running_loop().create_future()
    reloads.put_nowait((text, done))
    return done


class _Work:
    """What a worker does between its first word with the supervisor and its last."""

    def __init__(
        self, channel: Channel, orders: hosting.Orders, reloads: asyncio.Queue[Reload]
    ) -> None:
        self._channel = channel
        self._orders = orders
        self._doors = Doors()
        self._told: dict[str, Any] = {}
        self._hosted: hosting.Hosted
        self._reloads = reloads

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        self._told = await self._channel.request("start", timeout_s=ANSWER_S)
        config = self._reread()
        self._hosted = hosting.Hosted(config, self._reread, self._channel)
        await hosting.host(
            self._hosted,
            config,
            bind=sockets,
            orders=self._orders,
            doors=self._doors,
            on_listening=self._listening,
            beside=[self._reloading, self._orphaned],
        )
        self._channel.notify("ended", self._gateway.counts())

    @property
    def _gateway(self) -> Gateway:
        assert self._hosted.gateway is not None, "it is not open yet"
        return self._hosted.gateway

    def _reread(self) -> Config:
        told = self._told
        return hosting.parse(
            told["text"], os.environ, bind=tuple(told["bind"]), workers=told["workers"]
        )

    def _listening(self, _: list[str]) -> None:
        hosting.settle()
        self._channel.handlers["counts"] = lambda _: self._gateway.counts()
        self._channel.notify("ready")

    async def _reloading(self) -> None:
        """One after the other, and none once the gateway closes: whoever asked is then left."""
        while True:
            text, done = await self._reloads.get()
            before, self._told["text"] = self._told["text"], text
            reloaded = await self._gateway.reload()
            if not reloaded:
                self._told["text"] = before
            done.set_result(reloaded)

    async def _orphaned(self) -> None:
        """Without its supervisor nobody lends it anything, and the next one wants its address."""
        await self._channel.closed.wait()
        log.error("the supervisor is gone")
        self._doors.close()
        self._orders.stop.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
