"""The bytes of one answer becoming events: a stream, a whole body, or a refusal.

Its head says which of them it is, and where that says nothing, its first byte. Nothing of a
provider's own words leaves here with our keys or its address in it.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from proxy.dialects import Outbound, StreamDecoder, StreamEncoder
from proxy.dialects.faults import decode_refusal, provider_error
from proxy.dialects.forms import SplicingDecoder
from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.upstream.signing import Signing
from proxy.wire.events import Event, Failed, Spliced

ANSWER_BYTES_MAX = 64 * 1024 * 1024  # a whole answer, decoded at once; images make them large
ERROR_BYTES_MAX = 64 * 1024


class Reading:
    """One answer. Every method raises the GatewayError that its bytes amount to, when the events
    before it have been taken.
    """

    __slots__ = (
        "_bare", "_body", "_decoder", "_encoder", "_good", "_headers", "_provider", "_signing",
        "_splicer", "_unsaid", "data_bytes", "dialect", "splice", "status",
    )  # fmt: skip

    def __init__(
        self,
        provider: Provider,
        signing: Signing,
        dialect: Outbound | None = None,
        encoder: StreamEncoder | None = None,
    ) -> None:
        self.dialect = dialect  # None where the provider was never asked
        self._provider = provider
        self._signing = signing
        self._encoder = encoder  # who tells a caller of it while it comes
        self._decoder: StreamDecoder | None = None
        self._splicer: SplicingDecoder | None = None
        self.splice: Callable[[bytes], Spliced | None] | None = None  # the splicer's, for each read
        self._body: bytes | bytearray | None = None  # an answer or an error that is decoded whole
        self._unsaid = False  # neither JSON nor a stream by its head
        self._bare = False  # bytes that have no end mark
        self._headers: Mapping[str, str] = {}
        self._good = False
        self.status: int | None = None
        self.data_bytes = 0

    @property
    def splicing(self) -> bool:
        """Whether pieces are told without being decoded, where they can be."""
        return self._splicer is not None and self._splicer.splicing

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Status and headers; they tell the form of what follows."""
        assert self.dialect is not None
        self.status = status
        self._good = 200 <= status < 300
        form = _form(headers.get("Content-Type", ""))
        encoding = headers.get("Content-Encoding")
        if not self._good:
            self._body = b""
            self._headers = headers
        elif encoding and encoding.lower() != "identity":
            raise _malformed("compressed, which was not asked for")
        elif form.endswith("json"):
            self._body = b""
        elif form in ("text/html", "application/xhtml+xml"):
            raise _malformed("a web page")
        elif self.dialect.raw and not form.startswith("text/"):
            self._decoder = self.dialect.raw(self._provider.quirks)
            self._bare = True
        else:
            self._unsaid = form != "text/event-stream"  # the first byte tells what it is
            self._decoder = self._stream(self.dialect)

    def _stream(self, dialect: Outbound) -> StreamDecoder:
        decoder = dialect.decoder(self._provider.quirks)
        if self._encoder is None or dialect.splice is None:
            return decoder
        splicer = dialect.splice(decoder, self._encoder)
        if splicer is None:
            return decoder
        self._splicer, self.splice = splicer, splicer.splice
        return splicer

    def feed(self, data: bytes) -> Iterable[Event]:
        """The events of one piece; none while a body is collected."""
        self.data_bytes += len(data)
        if self._unsaid and (begin := data.lstrip()):
            self._unsaid = False
            self._body = b"" if begin.startswith(b"{") else None
        body = self._body
        if body is None:
            assert self._decoder is not None
            return self._decoder.feed(data)
        if len(body) + len(data) > (ANSWER_BYTES_MAX if self._good else ERROR_BYTES_MAX):
            if self._good:
                raise _malformed("too large")
        elif not body:  # most come in one piece
            self._body = data
        else:
            self._body = bytearray(body) if isinstance(body, bytes) else body
            self._body += data
        return ()

    def end(self, *, broken: bool) -> Iterable[Event]:
        """The last events. A body that broke off is none, except that a refusal's status holds."""
        if self._body is None:
            if self._decoder is None or (self._bare and broken):
                return ()
            return self._decoder.end()
        if not self._good:
            assert self.status is not None
            raise self.failure(decode_refusal(self.status, bytes(self._body), self._headers))
        if broken:
            return ()
        assert self.dialect is not None
        return self.dialect.decode_answer(bytes(self._body), self._provider.quirks)

    def failure(self, failed: Failed) -> GatewayError:
        """What a refusal, or an error inside of an answer, amounts to; no more than a caller may
        hear of it.
        """
        slug = self._provider.slug
        secrets, hosts = self._signing.secrets(slug), self._signing.hosts(slug)
        return provider_error(failed, provider=self._provider.name, secrets=secrets, hosts=hosts)


@lru_cache(maxsize=256)
def _form(content_type: str) -> str:
    """What is usual comes again and again."""
    return content_type.partition(";")[0].strip().lower()


def _malformed(what: str) -> GatewayError:
    return GatewayError("provider_malformed", f"The provider's answer is {what}.")
