"""One call to one endpoint: its events are kept for the caller, and its clocks run out.

The transport's plain calls come in at one side, the waiting relay looks at the other. Between them
stands a box of bounded size: when the caller reads slowly it fills, and the provider is held back
until it is empty again.

    transport ─► head/data/end ─► reading ─► events ─► box ─► encoder ─► relay ─► caller
                      ▲                                 │
                      └───────── pause / resume ────────┘

What an attempt hears stays its own until `keep` makes it the exchange's: two may run side by side.
"""

from collections.abc import Callable, Iterable, Mapping

from proxy.dialects import Outbound, StreamEncoder
from proxy.errors import GatewayError, Source
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.heard import Heard, images_in
from proxy.pipeline.outlet import Outlet
from proxy.pipeline.reading import Reading
from proxy.pipeline.settle import said_bytes
from proxy.routing.catalogue import Endpoint, Model
from proxy.upstream.transport import Sent
from proxy.wire.events import (
    Ended,
    Event,
    Failed,
    Finished,
    Started,
    UsageReport,
    Verbatim,
    is_content,
)

NOBODY = -1  # the choice of what is no content
SILENCE_BYTES_MAX = 32 * 1024 * 1024  # before content: twice the longest event
USAGE_WAIT_S = 2.0  # for usage after the last finish, and for the provider's own end after that


class Attempt:
    """A sink of the transport. `ring` wakes whoever waits for it. `first_token_s` is how long it
    may take to its first content: what is configured, or less while there are others to ask.
    """

    def __init__(
        self,
        exchange: Exchange,
        model: Model,
        endpoint: Endpoint,
        *,
        encoder: StreamEncoder | None,
        ring: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        assert exchange.ask is not None
        self._exchange = exchange
        self._choices = exchange.ask.choices
        self.reading = Reading(endpoint.provider, exchange.snapshot.signing)
        self.outlet = Outlet(encoder)
        self._ring = ring
        self._clock = clock
        self._held_back = False
        self.whole = encoder is None  # the caller wants the answer in one piece
        self.at_once = exchange.ask.at_once
        self.model = model
        self.endpoint = endpoint
        self.first_token_s = endpoint.timeouts.first_token_s
        self.heard = Heard()
        self.sent: Sent | None = None
        self.began_at = clock()
        self.content_at: float | None = None  # the last content, or the last wait for the caller
        self.finished_at: float | None = None
        self.committed = False  # content is on its way to the caller: no other endpoint may answer
        self.over = False
        self.error: GatewayError | None = None

    @property
    def status(self) -> int | None:
        """The provider's HTTP status, once it is known."""
        return self.reading.status

    def read_as(self, dialect: Outbound) -> None:
        """In which words the provider answers: said before anything comes."""
        self.reading.dialect = dialect

    # What the transport tells.

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        try:
            self.reading.head(status, headers)
        except GatewayError as error:
            self.fail(error)
        self._ring()

    def data(self, data: bytes) -> None:
        if self.over:
            return
        try:
            self._take(self.reading.feed(data))
        except GatewayError as error:
            self.fail(error)

    def end(self, error: GatewayError | None) -> None:
        self.sent = None
        if self.over:
            return
        try:
            self._take(self.reading.end(broken=error is not None))
        except GatewayError as fault:
            error = fault
        self._judge(error)

    def _judge(self, error: GatewayError | None) -> None:
        """The bytes ended; a finish reason makes an answer complete, their end does not."""
        if self.over:
            return
        if self.heard.complete:
            self.conclude()
        else:
            self.fail(error or GatewayError("provider_cut", "The provider broke off its answer."))

    # What the events mean.

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            meant = event.events if isinstance(event, Verbatim) else (event,)
            for one in meant:
                self._hear(one)
                if self.over and self.error is not None:
                    return
            self._put(event, meant)
        self._ring()

    def _hear(self, event: Event) -> None:
        match event:
            case Started():
                self.heard.opened = event
            case Finished():
                self._finish(event)
            case UsageReport():
                self.heard.usage = event.usage
            case Failed():
                self.fail(self.reading.failure(event))
            case Ended():
                self._end_mark()

    def _finish(self, event: Finished) -> None:
        self.heard.finish(event)
        if self.content_at is not None:
            self.content_at = self._clock()
        if len(self.heard.done) >= self._choices and self.finished_at is None:
            self.finished_at = self._clock()

    def _end_mark(self) -> None:
        if not self.heard.done and not self.heard.spoken:
            self.fail(GatewayError("provider_empty", "The provider sent an empty answer."))
            return
        for choice in sorted(self.heard.spoken - self.heard.done):
            self._end_choice(choice, "stop")
        self.conclude()

    def _end_choice(self, choice: int, reason: str) -> None:
        finished = Finished(choice, reason, None)
        self._finish(finished)
        self._put(finished, (finished,))

    def show(self, event: Event) -> None:
        """Tells the caller of something that the provider did not say."""
        self._put(event, ())

    def _put(self, event: Event, meant: Iterable[Event]) -> None:
        choice, size, images = NOBODY, 0, 0
        for one in meant:
            if is_content(one):
                choice, more, pictures = one.choice, said_bytes(one), images_in(one)
                size, images = size + more, images + pictures
                self.content_at = self._clock()
                self.heard.speak(one, more, pictures, self.content_at)
                self.committed = not self.whole
        self.outlet.put(event, meant, (choice, size, images), self.reading.data_bytes)
        if self.committed:
            self._hold_back()
        elif self.outlet.box.size_bytes > SILENCE_BYTES_MAX:
            self.fail(GatewayError("provider_malformed", "The provider talks and says nothing."))

    def _hold_back(self) -> None:
        """Not before there is content: until then nobody takes anything out of the box."""
        if self.outlet.full and self.sent is not None and not self._held_back:
            self._held_back = True
            self.sent.pause()

    # What the relay does with it.

    @property
    def waiting(self) -> bool:
        """Whether anything waits for the caller."""
        return bool(self.outlet.box)

    @property
    def ahead(self) -> bool:
        """Whether this is the answer, whoever else is at work."""
        return self.committed or (self.over and self.error is None)

    def take(self) -> bytes:
        """What waits for the caller; the provider may send again."""
        data = b""
        try:
            data = self.outlet.take()
        except GatewayError as error:  # a provider's own objects travel in it, however deep
            self.fail(error)
        if self._held_back:
            self._held_back = False
            self.content_at = self._clock()  # the silence was the caller's
            if self.sent is not None:
                self.sent.resume()
        return data

    def keep(self) -> None:
        """Makes this attempt, so far as it came, the answer of the exchange."""
        self._exchange.model, self._exchange.endpoint = self.model, self.endpoint
        self._exchange.heard = self.heard
        self._exchange.encoder = self.outlet.encoder

    def curtail(self, covered: Callable[[int], bool]) -> None:
        """Ends the answer where the account's money does: what waits and is not `covered` is
        dropped, and every choice that is not complete ends by its length.
        """
        heard, unfinished = self.heard, set[int]()
        while self.outlet.box and not covered(heard.said_max):
            _, choice, size, images, _ = self.outlet.box.drop_last()
            heard.said_bytes -= size
            heard.images -= images
            unfinished |= {choice} - {NOBODY}
        if not self.over:
            unfinished |= (set(range(self._choices)) | heard.spoken) - heard.done
        if unfinished:
            self.cancel()
            for choice in sorted(unfinished):
                self._end_choice(choice, "length")
            self.conclude()

    def forget(self, ring: Callable[[], None]) -> None:
        """Nobody listens any more: what comes is counted, not kept, and `ring` is told of it."""
        self._ring = ring
        self.outlet.forget()
        self.take()

    # The clocks, and the ways to end.

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
