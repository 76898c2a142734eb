"""The record of one request: what an answer repeats of it, and what a new attempt forgets."""

from proxy.pipeline.exchange import Exchange
from proxy.pipeline.heard import Heard
from proxy.wire.events import Started, Usage
from tests.stage import endpoint, model, snapshot


def _exchange() -> Exchange:
    return Exchange(id="gen-1", created_at=1750000000.9, started_at=5.0, snapshot=snapshot())


def test_the_head_before_and_after_a_provider_was_chosen() -> None:
    exchange = _exchange()
    head = exchange.head
    assert (head.id, head.created, head.model, head.provider) == ("gen-1", 1750000000, "", "")
    exchange.endpoint = endpoint("p0")
    exchange.model = model("test/one", exchange.endpoint)
    assert (exchange.head.model, exchange.head.provider) == ("test/one", "P0")


def test_what_was_heard_shows_live_and_can_be_replaced() -> None:
    exchange = _exchange()
    heard = exchange.heard = Heard()
    heard.opened = Started(upstream_id="up-1")
    heard.usage = Usage(prompt_tokens=1)
    heard.said_bytes = 9
    heard.finish_reason, heard.native_finish_reason = "stop", "end"
    heard.content_at = 7.0
    for name in ("opened", "usage", "said_bytes", "finish_reason", "content_at"):
        assert getattr(exchange, name) == getattr(heard, name)
    assert exchange.native_finish_reason == "end"
    exchange.heard = Heard()
    assert (exchange.said_bytes, exchange.content_at) == (0, None)
    exchange.said_bytes = 5
    assert exchange.heard.said_bytes == 5


def test_the_head_of_another_endpoint() -> None:
    other = endpoint("p1")
    head = _exchange().head_of(model("test/two", other), other)
    assert (head.model, head.provider) == ("test/two", "P1")


def test_who_serves_is_named_in_the_head() -> None:
    exchange = _exchange()
    assert exchange.server_headers == {}
    exchange.endpoint = endpoint("p1")
    assert exchange.server_headers == {"X-Provider-Name": "P1"}
