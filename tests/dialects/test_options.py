"""Fields for one provider alone: in its body, and in no other; and never what decides the price."""

import json
from typing import Any

import pytest

from proxy.dialects.asking import Encoded
from proxy.dialects.chat.request import decode_request
from proxy.dialects.embeddings.request import decode_request as decode_embeddings
from proxy.dialects.hosted import HOSTED_FIELDS
from proxy.dialects.messages.asked import decode_count
from proxy.dialects.messages.asked import decode_request as decode_messages
from proxy.dialects.options import PINNED, check_options, options_bytes, options_of, spread
from proxy.dialects.rerank.request import decode_request as decode_rerank
from proxy.dialects.responses.asked import decode_request as decode_responses
from proxy.errors import GatewayError

Json = dict[str, Any]
OWN: Json = {"OpenAI": {"logit_bias": {"1": 2}}, "other": {}}
LOWER: Json = {"openai": {"logit_bias": {"1": 2}}, "other": {}}

FORMATS: list[tuple[Any, Json]] = [
    (decode_request, {"messages": [{"role": "user", "content": "x"}]}),
    (decode_messages, {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5}),
    (decode_responses, {"input": "x"}),
    (decode_embeddings, {"input": "x"}),
    (decode_rerank, {"query": "x", "documents": ["y"]}),
]


@pytest.mark.parametrize(("decode", "fields"), FORMATS)
def test_every_format_has_options_by_the_provider(decode: Any, fields: Json) -> None:
    said = {"model": "a/b", "provider": {"options": OWN}} | fields
    asked = decode(json.dumps(said).encode(), ())
    assert asked.options == LOWER
    assert "provider" not in asked.body
    assert "provider" not in (asked.native or {})
    assert decode(json.dumps({"model": "a/b"} | fields).encode(), ()).options == {}


@pytest.mark.parametrize(("decode", "fields"), FORMATS)
def test_every_format_refuses_what_is_no_option(decode: Any, fields: Json) -> None:
    said = {"model": "a/b", "provider": {"options": {"openai": {"model": "dear"}}}} | fields
    with pytest.raises(GatewayError) as raised:
        decode(json.dumps(said).encode(), ())
    assert raised.value.kind == "invalid_request"
    assert raised.value.message == "provider.options.openai.model: can not be said by options"


def test_counting_needs_none() -> None:
    fields = {"model": "a/b", "messages": [{"role": "user", "content": "x"}]}
    body = json.dumps(fields | {"provider": {"options": OWN}}).encode()
    assert decode_count(body).options == {}


@pytest.mark.parametrize("name", sorted(PINNED))
def test_no_option_changes_who_answers_or_what_it_costs(name: str) -> None:
    with pytest.raises(
        GatewayError, match=rf"^provider\.options\.p0\.{name}: can not be said by options$"
    ):
        options_of({"options": {"p0": {"fine": 1, name: 1}}})


def test_what_a_provider_runs_for_money_is_no_option() -> None:
    assert HOSTED_FIELDS <= PINNED


def test_a_slug_is_shown_as_it_can_be() -> None:
    with pytest.raises(GatewayError) as raised:
        check_options({"é\n" + "x" * 200: {"mine": 1}}, {"mine"})
    assert (
        raised.value.message
        == f"provider.options.\\xe9\\n{'x' * 78}.mine: can not be said by options"
    )


@pytest.mark.parametrize("provider", [None, {}, {"options": None}, {"options": {}}])
def test_nothing_is_nothing(provider: Json | None) -> None:
    assert options_of(provider) == {}
    assert options_bytes(options_of(provider)) == 0


def test_options_are_counted_as_what_a_provider_may_read() -> None:
    assert options_bytes({"p0": {"x": "y" * 100}}) > 100
    more = {"provider": {"options": {"p0": {"instruction": "y" * 1000}}}}
    for decode, fields in FORMATS[3:]:
        plain: Json = {"model": "a/b", **fields}
        few, many = (decode(json.dumps(one).encode(), ()).most for one in (plain, plain | more))
        assert many.prompt_tokens - few.prompt_tokens >= 1000


def test_options_are_spread_into_the_body_and_win() -> None:
    encoded = Encoded(b'{"model":"m","effort":"high","x":{"a":1e400,"b":2}}', {"h": "v"}, "/path")
    told = spread(encoded, {"effort": "low", "new": [1, None]})
    assert told.body == (b'{"model":"m","effort":"low","x":{"a":1e400,"b":2},"new":[1,null]}')
    assert (told.headers, told.path) == (encoded.headers, encoded.path)
