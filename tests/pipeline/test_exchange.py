"""The record of one request: what an answer repeats of it, and what a new attempt forgets."""

import re
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.pipeline.exchange import Exchange, Ids, origin
from proxy.pipeline.heard import Heard
from proxy.serving.caller import Caller
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
    ((name, id),) = exchange.server_headers
    assert (name, id) == (b"x-generation-id", exchange.id.encode())
    exchange.endpoint = endpoint("p1")
    assert exchange.server_headers == ((name, id), (b"x-provider-name", b"P1"))


def test_every_exchange_begins_with_nothing() -> None:
    one, other = _exchange(), _exchange()
    one.skips.append((endpoint("p0"), "why"))
    one.said_bytes, one.usage, one.owed_nano = 7, Usage(prompt_tokens=1), 3
    assert (other.skips, other.tries, other.lost) == ([], [], [])
    assert (other.said_bytes, other.usage, other.owed_nano, other.cover) == (0, None, None, None)
    other.on_gone()


def test_a_name_that_is_not_ascii_can_stand_in_a_header() -> None:
    exchange = _exchange()
    named = endpoint("p1")
    exchange.endpoint = replace(named, provider=replace(named.provider, name="Mü"))
    assert exchange.server_headers[1:] == ((b"x-provider-name", b"M?"),)


def test_ids_are_of_their_second_and_all_digits_are_about_as_likely() -> None:
    make = Ids()
    ids = [make(1750000000.9) for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(re.fullmatch(r"gen-1750000000-[0-9A-Za-z]{20}", id) for id in ids)
    often = Counter("".join(id[-17:] for id in ids))
    assert len(often) == 62
    assert max(often.values()) < 2 * min(often.values())
    later = [make(1750000000 + number / 1000) for number in range(2000)]
    assert later == sorted(later)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([], {}),
        ([("user-agent", "x"), ("accept", "y")], {"user_agent": "x"}),
        ([("referer", "a"), ("http-referer", "b")], {"http_referer": "b"}),
        ([("http-referer", "b"), ("referer", "a")], {"http_referer": "b"}),
        ([("http-referer", ""), ("referer", "a")], {"http_referer": "a"}),
        ([("x-title", "a")], {"title": "a"}),
        ([("x-title", "a"), ("x-openrouter-title", "b"), ("x-title", "c")], {"title": "b"}),
        ([("x-session-id", "a"), ("x-session-id", "b")], {"session_id": "a"}),
        ([("user-agent", "é" * 600)], {"user_agent": "é" * 512}),
    ],
)
def test_what_callers_say_about_themselves(
    headers: list[tuple[str, str]], said: dict[str, str]
) -> None:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    nobody: Any = None
    assert origin(Caller({"headers": pairs}, nobody, nobody)) == said
