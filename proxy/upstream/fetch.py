"""One whole answer of a provider, for whoever can wait: model lists, not inference."""

import asyncio
from collections.abc import Mapping

from proxy.errors import GatewayError
from proxy.upstream.transport import Call, Transport

FETCH_BYTES_MAX = 32 * 1024 * 1024  # OpenRouter's list of models is about 1 MiB


async def fetch(transport: Transport, call: Call, *, timeout_s: float) -> tuple[int, bytes]:
    """Status and body of the answer to `call`.

    Raises GatewayError: the transport's own, `provider_timeout`, or `provider_malformed` for an
    answer beyond `FETCH_BYTES_MAX`. The call is over when this returns, however it returns.
    """
    sink = _Whole()
    sent = transport.send(call, sink)
    try:
        async with asyncio.timeout(timeout_s):
            return await sink.done
    except TimeoutError:
        raise GatewayError("provider_timeout", "The provider did not answer in time.") from None
    finally:
        sent.cancel()


class _Whole:
    """A sink that waits for the end."""

    def __init__(self) -> None:
        self.done: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._body = bytearray()

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status

    def data(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > FETCH_BYTES_MAX and not self.done.done():
            self.done.set_exception(GatewayError("provider_malformed", "The answer is too large."))

    def end(self, error: GatewayError | None) -> None:
        if self.done.done():
            return
        if error is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result((self._status, bytes(self._body)))
