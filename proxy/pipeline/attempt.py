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
from typing import TypeAlias

from proxy.dialects import Outbound, StreamEncoder
from proxy.errors import GatewayError
from proxy.pipeline.clocks import Clocks
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.heard import Heard
from proxy.pipeline.outlet import Outlet
from proxy.pipeline.reading import Reading
from proxy.routing.catalogue import Endpoint, Model
from proxy.wire.events import (
    CONTENT,
    Content,
    Ended,
    Event,
    Failed,
    Finished,
    Spliced,
    Started,
    UsageReport,
    Verbatim,
    is_content,
)

NOBODY = -1  # the choice of what is no content
SILENCE_BYTES_MAX = 32 * 1024 * 1024  # before content: twice the longest event

PassOn: TypeAlias = Callable[["Attempt", Content, float], bool]
"""Gives the caller a piece of an attempt's at once, which came at that time; False: it must wait.
Raises GatewayError where it can not be said."""


class Attempt(Clocks):
    """A sink of the transport. `ring` wakes whoever waits for it."""

    __slots__ = (
        "_choices", "_clock", "_exchange", "_held_back", "_pass_on", "_quiet", "committed", "heard",
        "model", "outlet", "reading",
    )  # fmt: skip

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
        self._pass_on: PassOn | None = None
        self._clock = clock
        self._held_back = False
        self._quiet = self.whole  # pieces of it are no news: nobody is given them
        self.model = model
        self.heard = Heard()
        self.committed = False  # content is on its way to the caller: no other endpoint may answer

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
        try:
            events = self.reading.feed(data)
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
        news = loud = not self._quiet
        for event in events:
            if self.error is None and (
                type(event) is Spliced or (type(event) in CONTENT and is_content(event))
            ):
                news = not self._say(event) and loud
                continue
            news = loud
            meant = event.events if isinstance(event, Verbatim) else (event,)
            for one in meant:
                if type(one) not in CONTENT:
                    self._hear(one)
                if self.over and self.error is not None:
                    return
            self._put(event, meant)
        if news or self.finished_at is not None:
            self._ring()

    def _take_whole(self, events: Iterable[Event]) -> None:
        """All of an answer that nobody is given a part of: its end is news, and nothing before."""
        heard, keep = self.heard, self.outlet.events.append
        for event in events:
            if isinstance(event, Verbatim):
                self._take((event,))
                continue
            if type(event) not in CONTENT:
                self._hear(event)
                if self.error is not None:
                    return
            elif is_content(event):
                self.content_at = now = self._clock()
                heard.speak(event, now)
            keep(event)

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
        now = self._clock()
        self.heard.finish(event)
        if self.content_at is not None:
            self.content_at = now
        if len(self.heard.done) >= self._choices and self.finished_at is None:
            self.finished_at = now

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

    def _say(self, event: Content) -> bool:
        """Hands on a piece of the answer; whether the caller has it already."""
        self.content_at = now = self._clock()
        size, images = self.heard.speak(event, now)
        self.committed = not self.whole
        outlet, pass_on = self.outlet, self._pass_on
        if pass_on is not None and not (outlet.pieces or images) and pass_on(self, event, now):
            return True
        outlet.put(event, (), (event.choice, size, images), self.reading.data_bytes)
        if outlet.full:
            self._hold_back()
        return False

    def _put(self, event: Event, meant: tuple[Event, ...]) -> None:
        """Hands on what may mean several things, or nothing, or the end."""
        choice, size, images = NOBODY, 0, 0
        for one in meant:
            if is_content(one):
                self.content_at = now = self._clock()
                more, pictures = self.heard.speak(one, now)
                choice, size, images = one.choice, size + more, images + pictures
                self.committed = not self.whole
        self.outlet.put(event, meant, (choice, size, images), self.reading.data_bytes)
        if self.outlet.full:
            self._hold_back()

    def _hold_back(self) -> None:
        """Before there is content nobody takes anything out, and it may not go on so."""
        if self.committed:
            if self.sent is not None and not self._held_back:
                self._held_back = True
                self.sent.pause()
        elif self.outlet.size_bytes > SILENCE_BYTES_MAX:
            self.fail(GatewayError("provider_malformed", "The provider talks and says nothing."))

    # What the relay does with it.

    @property
    def state(self) -> str:
        """How it goes on: `spliced` or `decoded`, or its end is `held`."""
        if self.finished_at is not None:
            return "held"
        return "spliced" if self.reading.splicing else "decoded"

    @property
    def waiting(self) -> bool:
        """Whether anything waits for the caller."""
        return bool(self.outlet.pieces)

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

    def answer_to(self, ring: Callable[[], None], pass_on: PassOn | None) -> None:
        """From now on its news are for `ring`, and what the caller can have at once for `pass_on`,
        without a ring.
        """
        self._ring, self._pass_on = ring, pass_on

    def forget(self, ring: Callable[[], None]) -> None:
        """Nobody listens any more: what comes is counted, not kept, and `ring` is told of it."""
        self._ring, self._pass_on, self._quiet = ring, None, False
        self.outlet.forget()
        self.take()
