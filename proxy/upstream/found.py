"""What was found at an address that a caller named, how much it may be, and why it is not taken."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from proxy.errors import GatewayError

FETCHES_MAX: Final = 32  # at the same time in one process

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Fetched(NamedTuple):
    """What stands at a URL. `mime` is None where neither its sender nor its bytes tell it; `url`
    is where the redirects led.
    """

    mime: str | None
    data: bytes
    url: str


class Budget:
    """How many bytes several fetches may bring together."""

    def __init__(self, bytes_max: int) -> None:
        self.left_bytes = bytes_max

    def take(self, size_bytes: int) -> None:
        """Raises GatewayError `provider_lacks_media` where they are used up."""
        self.left_bytes -= size_bytes
        if self.left_bytes < 0:
            raise lacks("all attachments together are too large")


def lacks(reason: str) -> GatewayError:
    """Why nothing is fetched from a URL."""
    return GatewayError("provider_lacks_media", f"The URL can not be fetched: {reason}.")
