"""A request in Anthropic's words reaches a provider of those words as its caller wrote it."""

import json
from typing import Any

import pytest

from proxy.dialects import outbound
from proxy.dialects.asking import Target
from proxy.dialects.messages.asked import decode_request
from proxy.dialects.messages.seals import sealed
from proxy.providers import Provider
from proxy.wire.request import Ask, Tier
from tests.recordings import index, load

Json = dict[str, Any]
HELLO: list[Json] = [{"role": "user", "content": "hello"}]
MARK = {"type": "ephemeral"}
TEXT: Json = {"type": "text", "text": "x"}
PLACE = {"project": "p", "location": "eu"}


def asked(headers: list[tuple[bytes, bytes]] | None = None, /, **fields: Any) -> Ask:
    body: Json = {"model": "a/b", "messages": HELLO} | fields
    return decode_request(json.dumps(body).encode(), headers or [])


def sent(
    ask: Ask, dialect: str = "anthropic", most: int | None = None, tier: Tier | None = None
) -> tuple[Json, Any, str]:
    """Body, headers and path of what is sent."""
    provider = Provider(
        slug="p", name="P", base_url="http://p.test", dialect=dialect, options=PLACE
    )
    target = Target(provider, "claude-sonnet-4-5", most, tier)
    row = outbound(provider, target.model, ask)
    encoded = row.encode_request(ask, target)
    return json.loads(encoded.body), encoded.headers, row.path(target, ask.stream)


def test_the_gateways_fields_do_not_travel() -> None:
    own: Json = {
        "models": ["a/c"], "fallbacks": None, "provider": {}, "plugins": [], "session_id": "s",
        "trace": {}, "user": "me", "route": None, "speed": "fast", "stream": True,
        "service_tier": "priority",
    }  # fmt: skip
    kept = {
        "max_tokens": 9, "unknown": {"a": None}, "context_management": {"edits": []},
        "mcp_servers": [], "container": "c",
    }  # fmt: skip
    native = asked(**own, **kept).native
    assert native == {"messages": HELLO, "metadata": {"user_id": "me"}, **kept}


@pytest.mark.parametrize(
    ("fields", "native"),
    [
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"output_config": {"effort": None, "x": 1}}, {"output_config": {"x": 1}}),
        ({"user": "x" * 257}, {}),
        ({"user": "me", "metadata": {"x": 1}}, {"metadata": {"user_id": "me", "x": 1}}),
    ],
)
def test_what_is_said_otherwise_natively(fields: Json, native: Json) -> None:
    assert asked(**fields).native == {"messages": HELLO, **native}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "x", "signature": sealed({"type": "reasoning.text"})},
        {"type": "redacted_thinking", "data": sealed({"type": "reasoning.encrypted"})},
        {"type": "tool_use", "id": "functions.f:0", "name": "f", "input": {}},
    ],
)
def test_what_is_of_another_provider_is_not_sent_as_it_is(block: Json) -> None:
    assert asked(messages=[*HELLO, {"role": "assistant", "content": [block]}]).native is None


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "x", "signature": "Claude's"},
        {"type": "thinking", "thinking": "x"},
        {"type": "redacted_thinking", "data": "Claude's"},
        {"type": "tool_use", "id": "toolu_01", "name": "f", "input": {}},
    ],
)
def test_what_is_of_its_own_is(block: Json) -> None:
    said = [*HELLO, {"role": "assistant", "content": [block]}]
    assert asked(messages=said).native == {"messages": said}


BETA = [(b"anthropic-beta", b"one-1,two-2")]


def test_at_anthropic() -> None:
    body, headers, path = sent(asked(BETA, max_tokens=9, stream=True, unknown={"a": 1}))
    assert body == {
        "model": "claude-sonnet-4-5",
        "messages": HELLO,
        "max_tokens": 9,
        "stream": True,
        "unknown": {"a": 1},
    }
    assert headers == {"anthropic-version": "2023-06-01", "anthropic-beta": "one-1,two-2"}
    assert path == "/v1/messages"
    assert "anthropic-beta" not in sent(asked())[1]


def test_at_vertex() -> None:
    body, headers, path = sent(asked(BETA, max_tokens=9), "vertex")
    assert body == {
        "anthropic_version": "vertex-2023-10-16",
        "anthropic_beta": ["one-1", "two-2"],
        "messages": HELLO,
        "max_tokens": 9,
    }
    assert headers == {}
    assert path.endswith("/publishers/anthropic/models/claude-sonnet-4-5:rawPredict")
    assert "anthropic_beta" not in sent(asked(), "vertex")[0]


@pytest.mark.parametrize(
    ("content", "marked"),
    [
        ("x", [{"type": "text", "text": "x", "cache_control": MARK}]),
        ([TEXT, TEXT], [TEXT, TEXT | {"cache_control": MARK}]),
        ([TEXT | {"cache_control": {"ttl": "1h"}}], [TEXT | {"cache_control": {"ttl": "1h"}}]),
        ([], []),
    ],
)
def test_a_mark_of_the_whole_request_at_vertex(content: Any, marked: list[Json]) -> None:
    said = [*HELLO, {"role": "assistant", "content": "y"}, {"role": "user", "content": content}]
    ask = asked(messages=said, cache_control=MARK)
    assert sent(ask)[0]["cache_control"] == MARK
    body = sent(ask, "vertex")[0]
    assert "cache_control" not in body
    assert body["messages"] == [*said[:-1], {"role": "user", "content": marked}]


@pytest.mark.parametrize(
    ("said", "most", "told"),
    [(None, None, 64_000), (None, 500, 500), (900, 500, 500), (900, None, 900)],
)
def test_the_longest_answer(said: int | None, most: int | None, told: int) -> None:
    assert sent(asked(max_tokens=said), most=most)[0]["max_tokens"] == told


def test_recorded_requests_travel_unchanged() -> None:
    """All but the fields that the gateway writes anew; a null is left out."""
    count = 0
    for row in index():
        body = load(row).request["body"] if row["api"] == "messages" else None
        if not isinstance(body, dict) or row["status"] != 200:
            continue
        anew = ("model", "max_tokens", "stream", "speed", "anthropic_version")
        kept = {name: body[name] for name in body if name not in anew and body[name] is not None}
        ask = asked(**body | {"model": "a/b"})
        told = sent(ask)[0]
        told.pop("anthropic_version", None)
        assert {name: told[name] for name in told if name not in anew} == kept
        assert (told["max_tokens"], told.get("stream", False)) == (body["max_tokens"], ask.stream)
        count += 1
    assert count > 100


def test_a_fast_endpoint_is_asked_to_be_fast_and_no_other() -> None:
    betas = [(b"anthropic-beta", b"a,fast-mode-2026-02-01")]
    for headers, told in (([], "fast-mode-2026-02-01"), (betas, "a,fast-mode-2026-02-01")):
        ask = asked(headers, max_tokens=9, speed="fast")
        assert ask.tier == "priority"
        body, sent_headers, _ = sent(ask, tier="priority")
        assert body["speed"] == "fast"
        assert sent_headers["anthropic-beta"] == told
        for dialect in ("anthropic", "vertex"):
            assert "speed" not in sent(ask, dialect)[0]
            assert "speed" not in sent(ask, dialect, tier="flex")[0]
    body, _, _ = sent(asked(max_tokens=9), "vertex", tier="priority")
    assert (body["speed"], "anthropic_beta" in body) == ("fast", False)
