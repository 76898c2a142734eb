"""`weir why`: every end of a request has a word, and what was decided on its way stands there."""

import json
from typing import Any

import pytest

from proxy.api.explain import routing_row
from proxy.errors import KINDS
from proxy.pipeline.notes import DRAINED, HUNG_UP, LOST
from proxy.routing.wording import DEFAULT
from proxy.why import told as why
from proxy.wire.record import Candidate, Generation, Try

NOW = 1_779_474_928.0

ROUTED = Generation(
    id="gen-1-a",
    created_at=NOW,
    key_hash="ab" * 32,
    account="team",
    model="acme/large",
    requested_model="large",
    provider="acme",
    endpoint_model="large-2025",
    streamed=True,
    finish_reason="stop",
    latency_ms=120,
    generation_time_ms=900,
    prompt_tokens=10,
    completion_tokens=20,
    cached_tokens=4,
    reasoning_tokens=5,
    cost_nano=1_100_000,
    upstream_nano=1_000_000,
    house_nano=2_000,
    held_nano=50_000_000,
    waited_ms=12,
    candidates=(
        Candidate(provider="beta", model="l", price_nano=18_000_000_000),
        Candidate(provider="acme", model="large-2025", standing="slow", measured="9 tokens/s"),
        Candidate(provider="zeta", model="l", standing="out", excluded="its key was refused"),
    ),
    attempts=(
        Try(
            provider="beta", provider_name="Beta", model="l", status=429, latency_ms=7,
            error="provider_rate_limited",
        ),
        Try(
            provider="acme", provider_name="Acme AI", model="large-2025", status=200,
            latency_ms=110, began_ms=9, hedge=True, dropped=("seed", "top_k"),
        ),
    ),
)  # fmt: skip


def test_why_tells_the_whole_way() -> None:
    lines = [line.rstrip() for line in why(ROUTED, as_json=False).splitlines()]
    assert lines[:4] == [
        "gen-1-a, 2026-05-22 18:35 UTC, account team, key abababababababab",
        "asked for large, which is acme/large",
        "answered by acme (large-2025), streamed, finished with stop",
        "first content after 120 ms, generated for 900 ms, waited for credit or limits 12 ms",
    ]
    assert lines[6] == f"order: {DEFAULT}"
    assert [line.split() for line in lines[8:11]] == [
        ["1", "beta/l", "well", "18", "USD"],
        ["2", "acme/large-2025", "slow", "no", "price", "9", "tokens/s"],
        ["3", "zeta/l", "out", "not", "tried:", "its", "key", "was", "refused"],
    ]
    assert lines[12:15] == [
        "attempts",
        "  1  at 0 ms  beta/l: status 429, asked for a pause (provider_rate_limited), 7 ms",
        "  2  at 9 ms  acme/large-2025: status 200, answered, 110 ms, raced the one before,"
        " without what it does not support: seed, top_k",
    ]
    assert lines[16:] == [
        "usage, as the provider counted: 10 prompt (4 cached) + 20 completion (5 reasoning) tokens",
        "largest hold: 0.05 USD",
        "the caller pays 0.0011 USD",
        "without the margin it is 0.001 USD",
        "the house bears 0.000002 USD",
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"error": "no_price", "status": 402}, "in one piece, ended with no_price, status 402"),
        ({"cancelled": True}, "in one piece, the caller hung up"),
        ({}, "in one piece, finished with no reason given"),
        ({"usage_estimated": True}, "usage, estimated: 0 prompt"),
        ({"completion_tokens": 1}, "usage, as the provider counted: 0 prompt"),
        ({"prompt_tokens": 1}, "usage, as the provider counted: 1 prompt"),
        ({}, "\nno usage\n"),
        ({"recovered": True}, "its gateway died before the end"),
        ({"recovered": True, "provider": "acme"}, "\nits attempts were not noted\n"),
        ({"cost_nano": None, "upstream_nano": None}, "cost: nobody knows the price"),
        ({"model": "acme/large", "requested_model": "acme/large"}, "asked for acme/large\n"),
        ({"model": "acme/large"}, "asked for acme/large\n"),
        ({"preset": "calm", "model": "a/b"}, "asked for a/b with the preset calm\n"),
        (
            {"requested_model": "mine/x", "model": "a/b", "arm": "a/b:nitro"},
            "asked for mine/x, an alias whose traffic is split: this request was given a/b:nitro\n",
        ),
        (
            {"requested_model": "openrouter/auto:nitro", "model": "a/b"},
            "asked for openrouter/auto:nitro, which chose the best buy for the request: a/b\n",
        ),
        (
            {"requested_model": "openrouter/free", "model": "a/b"},
            "asked for openrouter/free, which chose one of the models that cost nothing: a/b\n",
        ),
        ({"requested_model": "~a/b-latest", "model": "a/b-2"}, "~a/b-latest, which led to a/b-2\n"),
        ({"requested_model": "openrouter/auto"}, "asked for openrouter/auto\n"),
        ({"requested_model": "a/b:free:nitro", "model": "a/b:free"}, "asked for a/b:free:nitro\n"),
        ({"requested_model": "a/b", "model": "c/d"}, "asked for a/b, which led to c/d\n"),
        (
            {"requested_model": "mine/x", "model": "a/b", "arm": "openrouter/auto"},
            "this request was given openrouter/auto, which chose the best buy for the request: a/b",
        ),
        ({"choice": "a/b: 3.0; c/d: 2.0"}, "\n  a/b: 3.0\n  c/d: 2.0\n"),
        ({"stayed": True}, "\nasked first where the conversation went before, and may be cached\n"),
        ({"saved_nano": 2_000}, "\ncached tokens saved 0.000002 USD\n"),
        ({"saved_nano": -2_000}, "\nthe caching cost 0.000002 USD more than it saved\n"),
        ({"service_tier": "flex"}, "\nserved at service_tier flex\n"),
        ({}, "account default, no key"),
        ({}, "no provider was asked"),
    ],
)  # fmt: skip
def test_why_has_a_word_for_every_end(row: dict[str, Any], said: str) -> None:
    told = why(Generation(id="g", created_at=NOW, **row), as_json=False)
    assert said in told
    assert "candidates" not in told
    assert "house" not in told
    assert " ms" not in told


@pytest.mark.parametrize(("tag", "told"), [("acme/flex", True), ("acme", False)])
def test_why_tells_where_a_tier_was_not_served_as_it_was_asked(tag: str, told: bool) -> None:
    one = Try(provider=tag, provider_name="Acme", model="l", status=200, latency_ms=7)
    row = Generation(id="g", created_at=NOW, service_tier="default", attempts=(one,))
    said = why(row, as_json=False)
    assert ("\nserved at service_tier default\n" in said) is told


def _hung_up(error: str) -> Generation:
    ends: dict[str, Any] = {"error": error, "latency_ms": 40, "status": None}
    attempts = (
        Try(provider="acme", provider_name="Acme", model="l", began_ms=50, hedge=True, **ends),
        Try(provider="beta", provider_name="Beta", model="l", began_ms=10, **ends),
    )
    return Generation(
        id="g",
        created_at=NOW,
        cancelled=True,
        provider="beta",
        endpoint_model="l",
        generation_time_ms=800,
        attempts=attempts,
    )


def test_why_calls_a_hang_up_no_answer() -> None:
    told = why(_hung_up(HUNG_UP), as_json=False)
    assert "last tried at beta (l), in one piece, the caller hung up" in told
    assert "answered" not in told
    assert (
        "\nattempts\n"
        "  1  at 10 ms  beta/l: no answer, the caller hung up (hung_up), 40 ms\n"
        "  2  at 50 ms  acme/l: no answer, the caller hung up (hung_up), 40 ms,"
        " raced the one before\n"
    ) in told


@pytest.mark.parametrize("kind", [*KINDS, LOST, HUNG_UP, DRAINED, "unheard_of"])
def test_why_says_what_went_wrong_at_a_provider(kind: str) -> None:
    one = Try(
        provider="p", provider_name="P", model="m", status=None, latency_ms=7, error=kind
    )  # fmt: skip
    line = why(Generation(id="g", created_at=NOW, attempts=(one,)), as_json=False)
    known = kind.startswith("provider_") or kind in (LOST, HUNG_UP, DRAINED)
    assert f"({kind}), 7 ms" in line or not known
    assert kind in line


def test_why_tells_each_order_and_whose_it_is() -> None:
    rows = tuple(
        Candidate(provider="acme", model=model, rule=rule, excluded=excluded)
        for model, rule, excluded in (
            ("a", "by price", None), ("a", "by price", "is full"), ("b", None, None),
            ("a", "by price", None),
        )
    )  # fmt: skip
    told = why(Generation(id="g", created_at=NOW, candidates=rows), as_json=False)
    assert f"\norder of 1, 4: by price\norder of 3: {DEFAULT}\n" in told


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"cost_nano": 0}, "the caller pays 0.00 USD"),
        ({"cost_nano": 0, "upstream_nano": 0}, "the caller pays 0.00 USD"),
        (
            {"cost_nano": 0, "upstream_nano": 1000, "house_nano": 1000},
            "the caller pays nothing: what fails or has no content is free\n"
            "its price would be 0.000001 USD\n"
            "the house bears 0.000001 USD",
        ),
    ],
)
def test_why_tells_why_nothing_is_paid(row: dict[str, Any], said: str) -> None:
    assert why(Generation(id="g", created_at=NOW, **row), as_json=False).endswith(said)


def test_why_tells_until_when_a_provider_was_heard_out() -> None:
    told = why(_hung_up(DRAINED), as_json=False)
    line = "beta/l: no answer, the caller hung up (drained), 40 ms, heard out until 800 ms\n"
    assert f"  1  at 10 ms  {line}" in told


def test_why_for_programs_is_the_row_of_the_api() -> None:
    told = json.loads(why(ROUTED, as_json=True))
    assert told == {"id": "gen-1-a", "model": "acme/large", **routing_row(ROUTED)}
