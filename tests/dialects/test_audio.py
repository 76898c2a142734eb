"""Speech and transcription: the fields that they share, options for one provider, counts."""

from typing import Any

import pytest

from proxy.dialects.asked import Common
from proxy.dialects.audio import OPTIONS, decode, decode_usage, milliseconds, split, tokens_of
from proxy.dialects.forms import Bill
from proxy.errors import GatewayError
from proxy.money import Cost
from proxy.providers import Provider, Quirks
from proxy.wire.events import Usage
from proxy.wire.request import Ask


def test_fields_of_the_gateway_do_not_travel() -> None:
    fields = {"model": "a/b", "user": "me", "session_id": "s", "own": 1, "nothing": None}
    travelling, known = decode(fields, (), Common)
    assert travelling == {"own": 1, OPTIONS: {}}
    assert (known.names, known.session_id) == (("a/b",), "s")


@pytest.mark.parametrize(
    ("fields", "kind", "said"),
    [
        ({"model": 1}, "invalid_request", "model: expected"),
        ({"session_id": "x" * 257}, "invalid_request", "session_id: at most"),
        ({"provider": {"zdr": 1}}, "invalid_request", "provider.zdr"),
        ({"plugins": [{"id": "web"}]}, "not_supported", "plugins"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], kind: str, said: str) -> None:
    with pytest.raises(GatewayError, match=said) as refused:
        decode({"model": "a/b"} | fields, (), Common)
    assert refused.value.kind == kind


def test_headers_are_read_too() -> None:
    with pytest.raises(GatewayError, match="X-Provider-API-Keys"):
        decode({"model": "a/b"}, [(b"x-provider-api-keys", b"k")], Common)


def test_tools_are_no_field_of_these() -> None:
    travelling, _ = decode({"model": "a/b", "tools": ["x"]}, (), Common)
    assert travelling["tools"] == ["x"]


def test_options_are_for_one_provider() -> None:
    options = {"acme": {"depth": 1, "service_tier": "priority"}, "other": {"secret": 2}}
    body = decode({"model": "a/b", "speed": 1, "provider": {"options": options}}, (), Common)[0]
    ask = Ask(models=("a/b",), body=body)
    acme = Provider(slug="acme", name="Acme", base_url="http://a", quirks=Quirks(omits=("speed",)))
    assert split(ask, acme) == ({}, {"depth": 1})
    bolt = Provider(slug="bolt", name="Bolt", base_url="http://b")
    assert split(ask, bolt) == ({"speed": 1}, {})


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        (None, None),
        ({}, None),
        ({"input_tokens": -1, "seconds": True}, None),
        ({"type": "duration", "seconds": 3.2}, Usage(audio_ms=3200)),
        (
            {"input_tokens": 9, "output_tokens": 2, "input_token_details": {"audio_tokens": 20}},
            Usage(prompt_tokens=9, completion_tokens=2, prompt_audio_tokens=9),
        ),
        (
            {"prompt_tokens": 4, "completion_tokens": 6, "prompt_audio_seconds": 2},
            Usage(prompt_tokens=4, completion_tokens=6, audio_ms=2000),
        ),
        ({"output_tokens": 2}, Usage(completion_tokens=2)),
    ],
)
def test_counts(said: object, usage: Usage | None) -> None:
    assert decode_usage(said) == usage


@pytest.mark.parametrize(
    ("said", "expected"),
    [(1, 1000), (0.5, 500), (-1, 0), ("1", 0), (True, 0), (None, 0), (float("nan"), 0), (1e99, 0)],
)
def test_seconds(said: object, expected: int) -> None:
    assert milliseconds(said) == expected


def test_tokens_and_cost() -> None:
    usage = Usage(prompt_tokens=3, completion_tokens=4)
    told = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "cost": 0}
    assert tokens_of(Bill(usage)) == told
    cost = Cost(total_nano=1, charge_nano=2, prompt_nano=0, completion_nano=0)
    assert tokens_of(Bill(usage, cost)) == told | {"cost": 2e-9}
