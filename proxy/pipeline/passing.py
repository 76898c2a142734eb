"""What one attempt says on its way to the caller: at once where that is possible, else it waits.

What waits is in an outlet of bounded size: when the caller reads slowly it fills, and the provider
is held back until it is empty again.
"""

from collections.abc import Callable
from typing import Protocol

from proxy.errors import GatewayError
from proxy.pipeline.clocks import Clocks
from proxy.pipeline.heard import Heard
from proxy.pipeline.outlet import Outlet
from proxy.pipeline.reading import Reading
from proxy.serving.caller import Caller
from proxy.wire.events import Content, Event, Spliced, is_content

NOBODY = -1  # the choice of what is no content
SILENCE_BYTES_MAX = 32 * 1024 * 1024  # before content: twice the longest event


class PassOn(Protocol):
    """The way to the caller of what need not wait, of the attempt that is its answer."""

    @property
    def caller(self) -> Caller:
        """Who is told, by plain calls, while it is ready for them."""

    @property
    def waiter(self) -> object:
        """None while nobody may be told, because something else is under way."""

    @property
    def covered_bytes(self) -> int:
        """How much text the account is known to pay for."""

    told_at: float
    """When the caller was last told of anything, of the loop's clock."""

    def pays(self, heard: Heard) -> bool:
        """Whether the account pays for all that was heard, asked anew."""


class Passing(Clocks):
    """The side of an attempt that its caller hears. `committed` says that content is on its way, so
    that no other endpoint may answer.
    """

    __slots__ = (
        "_clock", "_held_back", "_quiet", "_way", "committed", "heard", "outlet", "reading",
    )  # fmt: skip

    _clock: Callable[[], float]
    _held_back: bool
    _quiet: bool  # pieces of it are no news: nobody is given them
    _way: PassOn | None
    committed: bool
    heard: Heard
    outlet: Outlet
    reading: Reading

    def _tell(self, told: Spliced, data_bytes: int) -> None:
        """Hands on what was spliced; its choice has spoken before."""
        heard, outlet, way = self.heard, self.outlet, self._way
        size = sum(told.sizes)
        heard.said_bytes += size
        if heard.calls is not None:
            heard.calls.splice(told.data)
        self.content_at = now = self._clock()
        if (
            way is not None
            and way.waiter is not None
            and not outlet.pieces
            and (heard.said_bytes <= way.covered_bytes or way.pays(heard))
            and way.caller.started
            and way.caller.offer(told.data)
        ):
            way.told_at = now
            outlet.weighed_bytes = data_bytes
            return
        outlet.put(told, (), (told.choice, size, 0), data_bytes)
        if outlet.full:
            self._hold_back()
        self._ring()

    def _say(self, event: Content, way: PassOn | None) -> bool:
        """Hands on a piece of the answer; whether the caller has it already."""
        heard, outlet, data_bytes = self.heard, self.outlet, self.reading.data_bytes
        self.content_at = now = self._clock()
        size, images = heard.speak(event, now)
        self.committed = not self.whole
        if (
            way is not None
            and way.waiter is not None
            and not (outlet.pieces or images)
            and way.caller.started
            and way.caller.ready
            and (heard.said_bytes <= way.covered_bytes or way.pays(heard))
        ):
            assert outlet.encoder is not None
            outlet.weighed_bytes = data_bytes
            data = outlet.encoder.encode(event)
            if data:
                way.caller.push(data)
                way.told_at = now
            return True
        outlet.put(event, (), (event.choice, size, images), data_bytes)
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

    def show(self, event: Event) -> None:
        """Tells the caller of something that the provider did not say."""
        self._put(event, ())

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

    def answer_to(self, ring: Callable[[], None], pass_on: PassOn | None) -> None:
        """From now on its news are for `ring`, and what the caller can have at once goes the way of
        `pass_on`, without a ring.
        """
        self._ring, self._way = ring, pass_on

    def forget(self, ring: Callable[[], None]) -> None:
        """Nobody listens any more: what comes is counted, not kept, and `ring` is told of it."""
        self._ring, self._way, self._quiet = ring, None, False
        self.outlet.forget()
        self.take()
