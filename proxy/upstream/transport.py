"""Bytes to and from providers: one interface of plain calls.

A `Sink` is told what arrives; a `Sent` can hold the provider back or hang up. Nothing is awaited by
the caller of either, so bytes can be handed on from inside the callback.

    send(call, sink) ──► sink.head(status, headers) ──► sink.data(bytes)* ──► sink.end(error | None)
                         sent.pause()   sent.resume()   sent.cancel()

`client.py` is our own transport, `session.py` the one over aiohttp.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from proxy.errors import GatewayError


class Call(NamedTuple):
    """One request to a provider. `body` None means GET."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None
    connect_s: float

    def __repr__(self) -> str:
        return "Call(…)"  # its headers hold a key, its body a prompt


class Sink(Protocol):
    """Who is told what a provider answers. Calls come in order; `end` is last and comes once,
    unless the call was cancelled: then nothing comes any more.
    """

    def head(self, status: int, headers: Mapping[str, str]) -> None: ...

    def data(self, data: bytes) -> None: ...

    def end(self, error: GatewayError | None) -> None: ...


class Sent(Protocol):
    """A call under way."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None: ...


class Transport(Protocol):
    """Sends calls."""

    def send(self, call: Call, sink: Sink) -> Sent: ...

    async def close(self) -> None: ...
