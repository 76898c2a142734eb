"""How long one call to an endpoint may take, and how it ends.

By what it heard last it waits for something else.
"""

from collections.abc import Callable

from proxy.errors import GatewayError, Source
from proxy.routing.catalogue import Endpoint
from proxy.upstream.transport import Sent

USAGE_WAIT_S = 2.0  # for usage after the last finish, and for the provider's own end after that


class Clocks:
    """What the waits of one call go by; all times are of the loop's clock. `first_token_s` is how
    long it may take to its first content: what is configured, or less while there are others to
    ask. `whole` answers come in one piece, as does what is made `at_once`. `ring` is told when the
    call is over.
    """

    __slots__ = (
        "_ring", "at_once", "began_at", "content_at", "endpoint", "error", "finished_at",
        "first_token_s", "over", "sent", "status", "whole",
    )  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        now: float,
        *,
        whole: bool,
        at_once: bool,
        ring: Callable[[], None],
    ) -> None:
        self.endpoint = endpoint
        self.whole = whole  # the caller wants the answer in one piece
        self.at_once = at_once
        self.first_token_s = endpoint.timeouts.first_token_s
        self.began_at = now
        self.status: int | None = None  # the provider's, of HTTP, once it is known
        self.content_at: float | None = None  # the last content, or the last wait for the caller
        self.finished_at: float | None = None  # when the last choice was complete
        self.sent: Sent | None = None  # the call, while the provider may still talk
        self.over = False
        self.error: GatewayError | None = None
        self._ring = ring

    def deadline(self) -> tuple[float, str]:
        """When the wait is over, and what did not come by then."""
        timeouts = self.endpoint.timeouts
        if self.finished_at is not None:
            return self.finished_at + USAGE_WAIT_S, "usage"
        if self.whole or (self.at_once and self.content_at is None):
            return self.began_at + timeouts.answer_s, "the whole answer"
        if self.content_at is not None:
            return self.content_at + timeouts.between_chunks_s, "the next piece of the answer"
        first_token = self.began_at + self.first_token_s
        if self.status is None:
            first_byte = self.began_at + timeouts.first_byte_s
            if first_byte < first_token:
                return first_byte, "the head of an answer"
        return first_token, "the first piece of the answer"

    def hurried(self, now: float) -> bool:
        """Whether it is late only by its own endpoint's habits."""
        waits = not self.whole and self.content_at is None and self.finished_at is None
        usual_s = self.first_token_s
        late = usual_s < self.endpoint.timeouts.first_token_s and now >= self.began_at + usual_s
        return waits and late

    # The ways to end.

    def expire(self, what: str) -> None:
        """The deadline passed. An answer that lacks only its usage is complete all the same."""
        if self.finished_at is not None:
            self.conclude()
        else:
            said = f"The provider did not send {what} in time."
            self.fail(GatewayError("provider_timeout", said))

    def conclude(self) -> None:
        """The answer is complete."""
        self.over = True
        self._ring()

    def fail(self, error: GatewayError) -> None:
        """It came to nothing, or broke off."""
        if error.source is Source.PROVIDER:
            error.metadata.setdefault("provider_name", self.endpoint.provider.name)
        self.error = error
        self.over = True
        self.cancel()
        self._ring()

    def cancel(self) -> None:
        """Hangs up, if the provider still talks."""
        sent, self.sent = self.sent, None
        if sent is not None:
            sent.cancel()
