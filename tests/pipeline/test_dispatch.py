"""What an endpoint is sent: the request in its provider's words, signed as it is sent."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.dialects import OUTBOUND
from proxy.errors import GatewayError
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.dispatch import dispatch
from proxy.pipeline.exchange import Exchange
from proxy.upstream.signing import Credential, Signing
from proxy.upstream.transport import Call
from proxy.wire.request import Ask
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
    **row: Any,
) -> tuple[Call, Attempt, Key]:
    plain = endpoint("p0", connect_s=7.0)
    provider = replace(plain.provider, **row)
    served = replace(plain, provider=provider, max_completion_tokens=limit)
    exchange = Exchange(id="gen-1", created_at=1.0, started_at=1.0, snapshot=snapshot())
    exchange.ask, exchange.provisions = ask, provisions
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
