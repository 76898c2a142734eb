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
from proxy.serving.listener import Doors
from proxy.settings import ConfigError
from proxy.stores.schema import StoreError

log = logging.getLogger(__name__)

ANSWER_S: Final = 10.0  # for the supervisor to say what is configured, and to take the last words
SUPERVISORS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)


def main(arguments: Sequence[str]) -> int:
    """Runs the worker that the arguments name, and returns its exit code."""
    import uvloop

    for number in SUPERVISORS:
        signal.signal(number, signal.SIG_IGN)
    worker, channel, *sockets = map(int, arguments)
    logs.setup("INFO")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_numbered(worker))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work(_inherited(channel), [_inherited(one) for one in sockets]))


def _inherited(number: int) -> socket.socket:
    sock = socket.socket(fileno=number)
    sock.set_inheritable(False)
    return sock


def _numbered(worker: int) -> Any:
    def number(record: logging.LogRecord) -> bool:
        record.worker = worker
        return True

    return number


async def work(end: socket.socket, sockets: Sequence[socket.socket]) -> int:
    """Serves on the sockets until the supervisor, at the other end of `end`, says otherwise or is
    gone; returns the exit code.
    """
    orders, doors = hosting.Orders(), Doors()
    handlers: dict[str, Handler] = {
        "stop": lambda _: orders.stop.set(),
        "hurry": lambda _: orders.hurry.set(),
        "retire": lambda _: orders.retire.set(),
    }
    channel = await Channel.open(end, handlers)
    try:
        await _serve(channel, sockets, orders=orders, doors=doors)
    except Exception as error:
        if not isinstance(error, ConfigError | OSError | StoreError | GatewayError):
            log.exception("internal error")
        code = 2 if isinstance(error, ConfigError) else 1
        channel.notify("failed", {"reason": str(error), "code": code})
        return code
    finally:
        await channel.close()
    return 0


async def _serve(
    channel: Channel, sockets: Sequence[socket.socket], *, orders: hosting.Orders, doors: Doors
) -> None:
    told: dict[str, Any] = {}
    wanted: asyncio.Queue[tuple[str, asyncio.Future[bool]]] = asyncio.Queue()

    def reread() -> Config:
        return hosting.parse(
            told["text"], os.environ, bind=tuple(told["bind"]), workers=told["workers"]
        )

    async def reload(text: str) -> bool:
        done = asyncio.get_running_loop().create_future()
        wanted.put_nowait((text, done))
        return await done

    channel.handlers["reload"] = reload
    told |= await channel.request("start", timeout_s=ANSWER_S)
    config = reread()
    hosted = hosting.Hosted(config, reread, channel)

    def open_gateway() -> Gateway:
        assert hosted.gateway is not None
        return hosted.gateway

    async def reloading() -> None:
        """One after the other, and none once the gateway closes: whoever asks is then left."""
        while True:
            text, done = await wanted.get()
            before, told["text"] = told["text"], text
            reloaded = await open_gateway().reload()
            if not reloaded:
                told["text"] = before
            done.set_result(reloaded)

    def listening(_: list[str]) -> None:
        channel.handlers["counts"] = lambda _: open_gateway().counts()
        channel.notify("ready")

    async def orphaned() -> None:
        """Without its supervisor nobody lends it anything, and the next one wants its address."""
        await channel.closed.wait()
        log.error("the supervisor is gone")
        await doors.close()
        orders.stop.set()

    await hosting.host(
        hosted,
        config,
        bind=sockets,
        orders=orders,
        doors=doors,
        on_listening=listening,
        beside=[reloading, orphaned],
    )
    channel.notify("ended", open_gateway().counts())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
