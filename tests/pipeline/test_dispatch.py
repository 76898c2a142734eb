"""What an endpoint is sent: the request in its provider's words, signed as it is sent."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.dialects import OUTBOUND
from proxy.dialects.asking import Encoded
from proxy.errors import GatewayError
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.dispatch import dispatch
from proxy.pipeline.exchange import Exchange
from proxy.providers import Quirks
from proxy.upstream.signing import Credential, Signing
from proxy.upstream.transport import Call
from proxy.wire.request import Ask, Task, Thinking, Tier
from tests.plain import ASK
from tests.stage import endpoint, model, snapshot


class Key:
    """A key that tells what it signed."""

    kept = None
    secrets = ()

    def __init__(self) -> None:
        self.signed: list[tuple[str, bytes | None]] = []

    def sign(self, url: str, body: bytes | None) -> Mapping[str, str]:
        self.signed.append((url, body))
        return {"Authorization": "signed"}


class Provisions:
    """What has been fetched for endpoints that fetch nothing themselves."""

    def ask_of(self, ask: Ask, model: Any, endpoint: Any) -> Ask:
        return replace(ask, body=ask.body | {"messages": [{"role": "user", "content": "read"}]})


def sent(
    ask: Ask,
    *,
    provisions: Any = None,
    limit: int | None = None,
    credential: Credential | None = None,
    tier: Tier | None = None,
    supported: tuple[str, ...] | None = None,
    named: str = "p0-model",
    dropped: dict[tuple[str, str], tuple[str, ...]] | None = None,
    **row: Any,
) -> tuple[Call, Attempt, Key]:
    plain = endpoint("p0", connect_s=7.0)
    provider = replace(plain.provider, **row)
    served = replace(
        plain, provider=provider, max_completion_tokens=limit, tier=tier, model=named,
        supported_parameters=supported,
    )  # fmt: skip
    exchange = Exchange(id="gen-1", created_at=1.0, started_at=1.0, snapshot=snapshot())
    exchange.ask, exchange.provisions = ask, provisions
    exchange.dropped = {} if dropped is None else dropped
    attempt = Attempt(
        exchange, model("a/b", served), served,
        encoder=None, ring=lambda: None, clock=lambda: 1.0,
    )  # fmt: skip
    key = Key()
    credential = credential or Credential(key, 0)
    call = dispatch(exchange, attempt, credential, {"User-Agent": "test"})
    return call, attempt, key


def test_what_is_asked_for_may_have_a_path_and_a_form_of_its_own() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"type": "text", "text": "a weir"}, image]
    call, _, key = sent(Ask(models=("m",), body={"messages": [{"content": parts}]}, task="image"))
    assert call.url == "http://p0.test/v1/images/edits"
    assert call.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert key.signed == [(call.url, call.body)]


@pytest.mark.parametrize(
    ("stream", "accept"), [(True, "text/event-stream"), (False, "application/json")]
)
def test_a_call(stream: bool, accept: str) -> None:
    call, attempt, key = sent(replace(ASK, stream=stream))
    assert call.url == "http://p0.test/v1/chat/completions"  # one slash, where the base has one too
    assert call.headers == {
        "Accept": accept,
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": "test",
        "Authorization": "signed",
    }
    assert call.body is not None
    assert orjson.loads(call.body)["model"] == "p0-model"
    assert call.connect_s == 7.0
    assert key.signed == [(call.url, call.body)]
    assert attempt.reading.dialect is OUTBOUND["openai"]


@pytest.mark.parametrize(
    ("dialect", "path"),
    [("anthropic", "/v1/messages"), ("cohere", "/v2/chat"), ("responses", "/responses")],
)
def test_the_words_are_its_providers_and_its_answer_is_read_in_them(
    dialect: str, path: str
) -> None:
    user = [{"role": "user", "content": "hi"}]
    call, attempt, _ = sent(replace(ASK, body={"messages": user}), dialect=dialect)
    assert call.url.endswith(path)
    assert attempt.reading.dialect is OUTBOUND[dialect]


def test_the_headers_of_a_dialect_are_sent_and_signed_headers_last() -> None:
    user = [{"role": "user", "content": "hi"}]
    call, _, _ = sent(replace(ASK, body={"messages": user}), dialect="anthropic")
    assert "anthropic-version" in call.headers
    assert list(call.headers)[-1] == "Authorization"


def test_a_key_that_signs_alike_has_the_usual_headers_ready() -> None:
    """They are those that would be made anew, whatever was sent with that key before."""
    user = [{"role": "user", "content": "hi"}]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    asked: list[tuple[Ask, dict[str, Any]]] = [
        (ASK, {}),
        (replace(ASK, stream=True), {}),
        (replace(ASK, body={"messages": user}), {"dialect": "anthropic"}),
        (replace(ASK, body={"messages": user}, stream=True), {"dialect": "responses"}),
        (Ask(models=("m",), body={"messages": [{"content": [image]}]}, task="image"), {}),
    ]
    key, (fixed,) = Key(), Signing({"p0": ["key"]}).credentials("p0", 0.0)
    anew = Credential(key, 0)
    for ask, row in asked * 2:
        one, other = (sent(ask, credential=by, **row)[0].headers for by in (fixed, anew))
        form = {"Content-Type": one["Content-Type"]} if ask.task == "image" else {}
        assert one == {**other, "Authorization": "Bearer key", **form}
    assert fixed.known is not None
    assert anew.known is None
    assert len(key.signed) == len(asked) * 2
    assert sent(ASK, credential=fixed)[0].headers is sent(ASK, credential=fixed)[0].headers


def test_the_limit_of_the_endpoint_is_told() -> None:
    user = [{"role": "user", "content": "hi"}]
    call, _, _ = sent(replace(ASK, body={"messages": user}), dialect="anthropic", limit=77)
    assert orjson.loads(call.body or b"")["max_tokens"] == 77


def test_what_was_fetched_is_sent_in_place_of_what_was_named() -> None:
    call, _, _ = sent(ASK, provisions=Provisions())
    assert orjson.loads(call.body or b"")["messages"] == [{"role": "user", "content": "read"}]


def test_what_there_are_no_words_for_is_not_sent() -> None:
    with pytest.raises(GatewayError) as raised:
        sent(replace(ASK, task="rerank"), dialect="anthropic")
    assert raised.value.kind == "provider_unfit"


def test_a_parameter_that_the_endpoint_does_not_support_is_not_sent() -> None:
    user = [{"role": "user", "content": "hi"}]
    asked = replace(ASK, body={"messages": user, "temperature": 1, "seed": 3, "max_tokens": 5})
    call, _, _ = sent(asked, supported=("temperature",))
    assert orjson.loads(call.body or b"").keys() == {
        "model",
        "messages",
        "temperature",
        "max_tokens",
    }
    call, _, _ = sent(asked)
    assert orjson.loads(call.body or b"")["seed"] == 3, "nobody knows what it supports"
    embeds = Ask(models=("m",), body={"input": ["x"], "dimensions": 3}, task="embeddings")
    assert orjson.loads(sent(embeds, supported=())[0].body or b"")["dimensions"] == 3


@pytest.mark.parametrize(
    ("wish", "row", "dropped"),
    [
        (Thinking(wish={}, effort="high"), {}, ("reasoning",)),
        (Thinking(wish={}, max_tokens=2000), {}, ("reasoning",)),
        (Thinking(wish={}, effort="high"), {"supported": ("seed",)}, ("reasoning",)),
        (Thinking(wish={}, hidden=True), {}, None),  # which is ours to do
        (None, {}, None),
        (Thinking(wish={}, effort="high"), {"dialect": "gemini"}, None),
        (Thinking(wish={}, effort="low"), {"quirks": Quirks(reasoning_control="effort")}, None),
        (Thinking(wish={}, effort="low"), {"quirks": Quirks(reasoning_switch="thinking")}, None),
    ],
)
def test_a_wish_to_reason_that_can_not_be_said_is_told_as_left_out(
    wish: Thinking | None, row: dict[str, Any], dropped: tuple[str, ...] | None
) -> None:
    user = [{"role": "user", "content": "hi"}]
    told: dict[tuple[str, str], tuple[str, ...]] = {}
    sent(replace(ASK, body={"messages": user}, thinking=wish), dropped=told, **row)
    assert told.get(("p0", "p0-model")) == dropped


def test_what_one_model_of_a_provider_was_not_sent_is_not_told_of_another() -> None:
    told: dict[tuple[str, str], tuple[str, ...]] = {}
    sent(replace(ASK, body={"messages": [], "seed": 1}), supported=(), named="a", dropped=told)
    sent(
        replace(ASK, body={"messages": [], "seed": 1}), supported=("seed",), named="b", dropped=told
    )
    assert told == {("p0", "a"): ("seed",)}


@pytest.mark.parametrize(
    "dialect", ["openai", "anthropic", "gemini", "bedrock", "cohere", "responses"]
)
def test_the_options_of_its_provider_are_sent_to_no_other(dialect: str) -> None:
    user = [{"role": "user", "content": "hi"}]
    options = {"p0": {"mine": [1], "model_kind": "x"}, "p1": {"others": 2}}
    told, plain = (
        orjson.loads(
            sent(replace(ASK, body={"messages": user}, options=own), dialect=dialect)[0].body or b""
        )
        for own in (options, {"p1": {"others": 2}})
    )
    assert told == plain | {"mine": [1], "model_kind": "x"}
    assert "others" not in told


@pytest.mark.parametrize(
    ("task", "body"),
    [("embeddings", {"input": ["x"]}), ("rerank", {"query": "q", "documents": ["d"]})],
)
def test_options_of_other_tasks_are_sent_too(task: Task, body: dict[str, Any]) -> None:
    ask = Ask(models=("m",), body=body, task=task, options={"p0": {"truncate": "END"}})
    assert orjson.loads(sent(ask)[0].body or b"")["truncate"] == "END"


def test_what_was_written_ahead_is_sent_with_the_options_of_its_provider() -> None:
    plain = endpoint("p0")
    exchange = Exchange(id="gen-1", created_at=1.0, started_at=1.0, snapshot=snapshot())
    exchange.ask = replace(ASK, options={"p0": {"mine": 1}})
    exchange.ahead = plain, Encoded(b'{"model":"m","ahead":true}')
    attempt = Attempt(
        exchange, model("a/b", plain), plain,
        encoder=None, ring=lambda: None, clock=lambda: 1.0,
    )  # fmt: skip
    call = dispatch(exchange, attempt, Credential(Key(), 0), {})
    assert call.body == b'{"model":"m","ahead":true,"mine":1}'
    assert exchange.ahead is None


CLAUDE = "claude-opus-4-8"
PLACE = {"project": "p", "location": "global"}
TIERS: list[tuple[dict[str, Any], Tier, dict[str, Any], dict[str, str]]] = [
    ({"dialect": "openai"}, "priority", {"service_tier": "priority"}, {}),
    ({"dialect": "openai"}, "ultrafast", {"service_tier": "ultrafast"}, {}),
    ({"dialect": "openai"}, "flex", {"service_tier": "flex"}, {}),
    ({"dialect": "responses"}, "priority", {"service_tier": "priority"}, {}),
    ({"dialect": "bedrock"}, "priority", {"serviceTier": {"type": "priority"}}, {}),
    ({"dialect": "bedrock"}, "flex", {"serviceTier": {"type": "flex"}}, {}),
    ({"dialect": "bedrock"}, "ultrafast", {}, {}),
    ({"dialect": "gemini"}, "flex", {"serviceTier": "flex"}, {}),
    ({"dialect": "gemini"}, "priority", {"serviceTier": "priority"}, {}),
    (
        {"dialect": "vertex", "options": PLACE}, "priority",
        {}, {"X-Vertex-AI-LLM-Shared-Request-Type": "priority"},
    ),
    (
        {"dialect": "vertex", "options": PLACE}, "flex",
        {}, {"X-Vertex-AI-LLM-Shared-Request-Type": "flex"},
    ),
    ({"dialect": "vertex", "options": PLACE, "named": CLAUDE}, "priority", {"speed": "fast"}, {}),
    (
        {"dialect": "anthropic", "named": CLAUDE}, "priority",
        {"speed": "fast"}, {"anthropic-beta": "fast-mode-2026-02-01"},
    ),
    ({"dialect": "anthropic", "named": CLAUDE}, "flex", {}, {}),
    ({"dialect": "cohere"}, "priority", {}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("row", "tier", "body", "headers"), TIERS, ids=str)
@pytest.mark.parametrize("asked", [None, "default", "flex"])
def test_an_endpoint_of_a_service_tier_is_told_of_it(
    row: dict[str, Any],
    tier: Tier,
    body: dict[str, Any],
    headers: dict[str, str],
    asked: str | None,
) -> None:
    said: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
    plain = sent(replace(ASK, body=said), **row)[0]
    if asked is not None:
        said = said | {"service_tier": asked}
    call = sent(replace(ASK, body=said), tier=tier, **row)[0]
    told = orjson.loads(call.body or b"")
    assert {name: told[name] for name in body} == body
    assert headers.items() <= call.headers.items()
    ordinarily = orjson.loads(plain.body or b"")
    assert not body.keys() & ordinarily.keys()
    assert not headers.keys() & plain.headers.keys()
