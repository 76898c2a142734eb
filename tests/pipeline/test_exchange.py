"""The record of one request: what an answer repeats of it, and what a new attempt forgets."""

from proxy.pipeline.exchange import Exchange
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


def test_a_new_attempt_begins_with_nothing_but_the_request() -> None:
    exchange = _exchange()
    fresh = dict(vars(exchange))
    exchange.opened = Started(upstream_id="up-1")
    exchange.usage = Usage(prompt_tokens=1)
    exchange.said_bytes = 9
    exchange.finish_reason = exchange.native_finish_reason = "stop"
    exchange.content_at = 7.0
    exchange.begin_again()
    assert vars(exchange) == fresh
    exchange.cancelled = True
    exchange.begin_again()
    assert exchange.cancelled
