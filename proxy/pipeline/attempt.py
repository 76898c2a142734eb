"""One call to one endpoint: its events are kept for the caller, and its clocks run out.

The transport's plain calls come in at one side, the waiting relay looks at the other. A piece that
the caller can have at once is passed on at once; others wait in an outlet of bounded size: when the
caller reads slowly it fills, and the provider is held back until it is empty again.

    transport ─► head/data/end ─► reading ─► events ─► outlet ─► encoder ─► relay ─► caller
                      ▲                                  │
                      └────────── pause / resume ────────┘

What an attempt hears stays its own until `keep` makes it the exchange's: two may run side by side.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from proxy.dialects import Outbound, StreamEncoder
from proxy.errors import GatewayError
from proxy.pipeline.calls import Calls
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.heard import Heard
from proxy.pipeline.outlet import Outlet
from proxy.pipeline.passing import NOBODY, Passing
from proxy.pipeline.reading import Reading
from proxy.routing.catalogue import Endpoint, Model
from proxy.wire.events import (
    CONTENT,
    Ended,
    Event,
    Failed,
    Finished,
    Started,
    UsageReport,
    Verbatim,
    is_content,
)


class Attempt(Passing):
    """A sink of the transport. `ring` wakes whoever waits for it."""

    __slots__ = ("_choices", "_exchange", "model")

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
        ask = exchange.ask
        assert ask is not None
        super().__init__(endpoint, clock(), whole=encoder is None, at_once=ask.at_once, ring=ring)
        self._exchange = exchange
        self._choices = ask.choices
        self.reading = Reading(endpoint.provider, exchange.snapshot.signing, encoder=encoder)
        self.outlet = Outlet(encoder)
        self._way = None
        self._clock = clock
        self._held_back = False
        self._quiet = self.whole
        self.model = model
        self.heard = Heard()
        if "tools" in ask.soft:
            self.heard.calls = Calls(ask.body)
        self.committed = False

    def read_as(self, dialect: Outbound) -> None:
        """In which words the provider answers: said before anything comes."""
        self.reading.dialect = dialect

    # What the transport tells.

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        try:
            self.reading.head(status, headers)
        except GatewayError as error:
            self.fail(error)

    def data(self, data: bytes) -> None:
        if self.over:
            return
        reading = self.reading
        told = None if reading.splice is None else reading.splice(data)
        if told is not None:
            reading.data_bytes += len(data)
            self._tell(told, reading.data_bytes)
            return
        try:
            events = reading.feed(data)
            if events or not self._quiet:
                self._take(events)
        except GatewayError as error:
            self.fail(error)

    def end(self, error: GatewayError | None) -> None:
        self.sent = None
        if self.over:
            return
        take = self._take_whole if self._quiet else self._take
        try:
            take(self.reading.end(broken=error is not None))
        except GatewayError as fault:
            error = fault
        finally:  # after a fault of ours as well
            if not self.over:
                self._judge(error)

    def _judge(self, error: GatewayError | None) -> None:
        """The bytes ended; a finish reason makes an answer complete, their end does not."""
        if self.heard.complete:
            self.conclude()
        else:
            self.fail(error or GatewayError("provider_cut", "The provider broke off its answer."))

    # What the events mean.

    def _take(self, events: Iterable[Event]) -> None:
        # What comes alone may be passed on by itself; several wait, and go out together.
        way = self._way if type(events) is list and len(events) == 1 else None
        news = loud = not self._quiet
        for event in events:
            kind = type(event)
            if kind in CONTENT and self.error is None and is_content(event):
                news = not self._say(event, way) and loud
                continue
            news = loud
            meant = event.events if isinstance(event, Verbatim) else (event,)
            for one in meant:
                hear = _MEANINGS.get(type(one))
                if hear is not None:
                    hear(self, one)
                if self.over and self.error is not None:
                    return
            self._put(event, meant)
        if news or self.finished_at is not None:
            self._ring()

    def _take_whole(self, events: Iterable[Event]) -> None:
        """All of an answer that nobody is given a part of: its end is news, and nothing before."""
        heard, keep = self.heard, self.outlet.events.append
        for event in events:
            kind = type(event)
            hear = _MEANINGS.get(kind)
            if hear is not None:
                hear(self, event)
                if self.error is not None:
                    return
            elif kind is Verbatim:
                self._take((event,))
                continue
            elif kind in CONTENT and is_content(event):
                self.content_at = now = self._clock()
                heard.speak(event, now)
            keep(event)

    def _begin(self, event: Started) -> None:
        self.heard.opened = event

    def _count(self, event: UsageReport) -> None:
        self.heard.usage = event.usage

    def _break_off(self, event: Failed) -> None:
        self.fail(self.reading.failure(event))

    def _finish(self, event: Finished) -> None:
        now = self._clock()
        self.heard.finish(event)
        if self.content_at is not None:
            self.content_at = now
        if len(self.heard.done) >= self._choices and self.finished_at is None:
            self.finished_at = now

    def _end_mark(self, _: Ended) -> None:
        heard = self.heard
        if not heard.done and not heard.spoken:
            self.fail(GatewayError("provider_empty", "The provider sent an empty answer."))
            return
        for choice in sorted(heard.spoken - heard.done):
            self._end_choice(choice, "stop")
        self.conclude()

    def _end_choice(self, choice: int, reason: str) -> None:
        finished = Finished(choice, reason, None)
        self._finish(finished)
        self._put(finished, (finished,))

    # What the relay does with it.

    @property
    def state(self) -> str:
        """How it goes on: `spliced` or `decoded`, or its end is `held`."""
        if self.finished_at is not None:
            return "held"
        return "spliced" if self.reading.splicing else "decoded"

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
        while self.outlet.pieces and not covered(heard.said_max):
            _, choice, size, images, _ = self.outlet.drop_last()
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


_MEANINGS: Final[dict[type[Event], Callable[[Attempt, Any], None]]] = {
    Started: Attempt._begin,
    Finished: Attempt._finish,
    UsageReport: Attempt._count,
    Failed: Attempt._break_off,
    Ended: Attempt._end_mark,
}
"""What an event that is no content means for the attempt; of others nothing."""
