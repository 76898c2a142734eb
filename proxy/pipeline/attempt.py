"""One call to one endpoint: its bytes become events, and its clocks run out.

The transport's plain calls come in at one side, the waiting relay looks at the other. Between them
stands a box of bounded size: when the caller reads slowly it fills, and the provider is held back
until it is empty again.

    transport ─► head/data/end ─► decoder ─► events ─► encoder ─► box ─► relay ─► caller
                      ▲                                             │
                      └───────────── pause / resume ────────────────┘

The end of an answer begins when every choice asked for has a finish reason. It is not put into the
box: the relay sends it only after the request is settled.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from proxy.dialects import Outbound, StreamEncoder
from proxy.errors import GatewayError, Source
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.settle import said_bytes
from proxy.routing.catalogue import Endpoint
from proxy.upstream.transport import Sent
from proxy.wire.events import Ended, Event, Failed, Finished, Started, UsageReport, is_content

BOX_BYTES_MAX = 64 * 1024
ANSWER_BYTES_MAX = 64 * 1024 * 1024  # a whole answer, decoded at once; images make them large
ERROR_BYTES_MAX = 64 * 1024
USAGE_WAIT_S = 2.0  # for usage after the last finish, and for the provider's own end after that


class Attempt:
    """A sink of the transport. `ring` wakes whoever waits for it."""

    def __init__(
        self,
        exchange: Exchange,
        endpoint: Endpoint,
        dialect: Outbound,
        *,
        encoder: StreamEncoder | None,
        ring: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        assert exchange.ask is not None
        self._exchange = exchange
        self._ask = exchange.ask
        self._endpoint = endpoint
        self._dialect = dialect
        self._encoder = encoder  # None: the caller wants the answer whole
        self._ring = ring
        self._clock = clock
        self._decoder = dialect.decoder(endpoint.provider.quirks)
        self._body: bytearray | None = None  # an answer or an error that is decoded whole
        self._unsaid = False  # neither JSON nor a stream by its head
        self._retry_after: str | None = None
        self._box: list[bytes] = []
        self._box_bytes = 0
        self._held_back = False
        self._spoken: set[int] = set()
        self._done: dict[int, Finished] = {}
        self.sent: Sent | None = None
        self.status: int | None = None
        self.began_at = clock()
        self.content_at: float | None = None  # the last content, or the last wait for the caller
        self.finished_at: float | None = None
        self.events: list[Event] = []  # of an answer that goes out whole
        self.tail: list[bytes] = []  # what is held until the request is settled
        self.committed = False  # content is on its way to the caller: no other endpoint may answer
        self.over = False
        self.error: GatewayError | None = None

    @property
    def _good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    # What the transport tells.

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        form = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not self._good:
            self._body = bytearray()
            self._retry_after = headers.get("Retry-After")
        elif headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
            self._fail(_malformed("compressed, which was not asked for"))
        elif form.endswith("json"):
            self._body = bytearray()
        elif form in ("text/html", "application/xhtml+xml"):
            self._fail(_malformed("a web page"))
        elif form != "text/event-stream":
            self._unsaid = True  # the first byte tells what it is
        self._ring()

    def data(self, data: bytes) -> None:
        if self.over:
            return
        if self._unsaid and (begin := data.lstrip()):
            self._unsaid = False
            self._body = bytearray() if begin.startswith(b"{") else None
        if self._body is not None:
            self._collect(self._body, data)
            return
        try:
            self._take(self._decoder.feed(data))
        except GatewayError as error:
            self._fail(error)

    def end(self, error: GatewayError | None) -> None:
        self.sent = None
        if self.over:
            return
        try:
            if self._body is not None and (error is None or not self._good):
                self._decode_body(bytes(self._body))
            elif self._body is None:
                self._take(self._decoder.end())
        except GatewayError as fault:
            error = fault
        self._conclude(error)

    def _conclude(self, error: GatewayError | None) -> None:
        """The bytes ended; a finish reason makes an answer complete, their end does not."""
        if self.over:
            return
        if self._done and self._spoken <= self._done.keys():
            self._close()
        elif error is not None:
            self._fail(error)
        else:
            self._fail(GatewayError("provider_cut", "The provider broke off its answer."))

    # What the events mean.

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            if is_content(event):
                self._content(event.choice, said_bytes(event))
            match event:
                case Started():
                    self._exchange.opened = event
                case Finished():
                    self._finish(event)
                case UsageReport():
                    self._exchange.usage = event.usage
                case Failed():
                    self._fail(self._as_error(self._dialect.decode_failure, event))
                case Ended():
                    self._end_mark()
            if self.over and self.error is not None:
                return
            self._put(event)
        self._ring()

    def _content(self, choice: int, size: int) -> None:
        self.content_at = self._clock()
        self.committed = self._encoder is not None
        if self._exchange.content_at is None:
            self._exchange.content_at = self.content_at
        self._exchange.said_bytes += size
        self._spoken.add(choice)

    def _finish(self, event: Finished) -> None:
        self._done[event.choice] = event
        if self.content_at is not None:
            self.content_at = self._clock()
        if event.choice == min(self._done):
            self._exchange.finish_reason = event.reason
            self._exchange.native_finish_reason = event.native
        if len(self._done) >= self._ask.choices and self.finished_at is None:
            self.finished_at = self._clock()

    def _end_mark(self) -> None:
        if not self._done and not self._spoken:
            self._fail(GatewayError("provider_empty", "The provider sent an empty answer."))
            return
        for choice in sorted(self._spoken - self._done.keys()):
            finished = Finished(choice, "stop", None)
            self._finish(finished)
            self._put(finished)
        self._close()

    def _put(self, event: Event) -> None:
        if self._encoder is None:
            self.events.append(event)
            return
        data = self._encoder.encode(event)
        if isinstance(event, Finished):
            self.tail.append(data)
        elif data:
            self._box.append(data)
            self._box_bytes += len(data)
            if self._box_bytes > BOX_BYTES_MAX and self.sent is not None and not self._held_back:
                self._held_back = True
                self.sent.pause()

    def take(self) -> bytes:
        """What waits for the caller; the provider may send again."""
        data = b"".join(self._box)
        self._box.clear()
        self._box_bytes = 0
        if self._held_back:
            self._held_back = False
            self.content_at = self._clock()  # the silence was the caller's
            if self.sent is not None:
                self.sent.resume()
        return data

    def encode_end(self, usage: dict[str, Any]) -> bytes:
        """The held end of a stream, with its usage."""
        assert self._encoder is not None
        return b"".join(self.tail) + self._encoder.encode_end(usage)

    @property
    def waiting(self) -> bool:
        """Whether anything waits for the caller."""
        return bool(self._box)

    # Bodies that are decoded whole.

    def _collect(self, body: bytearray, data: bytes) -> None:
        limit = ANSWER_BYTES_MAX if self._good else ERROR_BYTES_MAX
        if len(body) + len(data) <= limit:
            body += data
        elif self._good:
            self._fail(_malformed("too large"))

    def _decode_body(self, body: bytes) -> None:
        provider = self._endpoint.provider
        if self._good:
            self._take(self._dialect.decode_answer(body, provider.quirks))
            return
        raise self._as_error(
            self._dialect.decode_error, self.status, body, retry_after=self._retry_after
        )

    def _as_error(
        self, decode: Callable[..., GatewayError], *said: Any, **more: Any
    ) -> GatewayError:
        """A provider's words as the caller may hear them."""
        provider, signing = self._endpoint.provider, self._exchange.snapshot.signing
        secrets, hosts = signing.secrets(provider.slug), signing.hosts(provider.slug)
        return decode(*said, provider=provider.name, secrets=secrets, hosts=hosts, **more)

    # The clocks, and the ways to end.

    def deadline(self) -> tuple[float, str]:
        """When the wait is over, and what did not come by then."""
        timeouts = self._endpoint.timeouts
        if self.finished_at is not None:
            return self.finished_at + USAGE_WAIT_S, "usage"
        if self._encoder is None:
            return self.began_at + timeouts.answer_s, "the whole answer"
        if self.content_at is not None:
            return self.content_at + timeouts.between_chunks_s, "the next piece of the answer"
        first_token = self.began_at + timeouts.first_token_s
        if self.status is None:
            first_byte = self.began_at + timeouts.first_byte_s
            if first_byte < first_token:
                return first_byte, "the head of an answer"
        return first_token, "the first piece of the answer"

    def expire(self, what: str) -> None:
        """The deadline passed. An answer that lacks only its usage is complete all the same."""
        if self.finished_at is not None:
            self._close()
        else:
            self._fail(
                GatewayError("provider_timeout", f"The provider did not send {what} in time.")
            )

    def _close(self) -> None:
        self.over = True
        self._ring()

    def _fail(self, error: GatewayError) -> None:
        if error.source is Source.PROVIDER:
            error.metadata.setdefault("provider_name", self._endpoint.provider.name)
        self.error = error
        self.over = True
        self.cancel()
        self._ring()

    def cancel(self) -> None:
        """Hangs up, if the provider still talks."""
        sent, self.sent = self.sent, None
        if sent is not None:
            sent.cancel()


def _malformed(what: str) -> GatewayError:
    return GatewayError("provider_malformed", f"The provider's answer is {what}.")
