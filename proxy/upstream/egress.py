"""The one way to an address that a caller named: bounds, and the door to `visitor.py`.

That one, and aiohttp with it, is imported when the first address is fetched: most gateways never
fetch one.
"""

import asyncio
import ssl
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from proxy.upstream.addresses import Allowed
from proxy.upstream.found import FETCHES_MAX, Budget, Fetched, Resolve, lacks

if TYPE_CHECKING:
    from proxy.upstream.visitor import Visitor


class Egress:
    """Fetches. `allow` are networks and names of hosts that may be reached beyond the public
    addresses, by `http` and at any port, too; `agent` is what we call ourselves.
    """

    def __init__(
        self,
        allow: Collection[str] = (),
        *,
        agent: str = "",
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        self._allowed = Allowed(allow)
        self._given: dict[str, Any] = {"agent": agent, "resolve": resolve, "tls": tls}
        self._places = asyncio.Semaphore(FETCHES_MAX)
        self._visitor: Visitor | None = None

    async def fetch(
        self, url: str, *, bytes_max: int, timeout_s: float, budget: Budget | None = None
    ) -> Fetched:
        """What stands at `url`, within so many bytes and seconds in all.

        Raises GatewayError `provider_lacks_media`, whose message has the reason and no address.
        """
        visitor = self._visitor
        if visitor is None:
            visitor = await asyncio.to_thread(self._new_visitor)
        budget = budget or Budget(bytes_max)
        try:
            async with asyncio.timeout(timeout_s), self._places:
                return await visitor.fetch(url, bytes_max, budget)
        except TimeoutError:
            raise lacks("it takes too long") from None

    def _new_visitor(self) -> "Visitor":
        """In a thread: an import of a tenth of a second, beside which streams go on."""
        from proxy.upstream.visitor import Visitor

        self._visitor = self._visitor or Visitor(self._allowed, **self._given)
        return self._visitor
