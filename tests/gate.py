"""A simulated provider whose answers end when the test says so, however busy the machine is."""

import asyncio

from starlette.types import Message, Receive, Scope, Send

from proxy.upstream.fake import Fake


class Gate:
    """In front of `fake`: while `open` is not set, no streamed answer comes to its last words."""

    def __init__(self, fake: Fake) -> None:
        self._fake = fake
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def passed(message: Message) -> None:
            body = message.get("body", b"")
            if body.startswith(b"data:") and b'"finish_reason":"stop"' in body:
                await self.open.wait()
            await send(message)

        await self._fake(scope, receive, passed)
