"""What is told of a request's way: nothing is left out, and nothing has an ambiguous unit."""

from msgspec.structs import fields, replace

from proxy.api.explain import routing_row
from proxy.wire.record import Candidate, Generation, Try

ROW = Generation(
    id="gen-1-a",
    created_at=0.0,
    model="acme/large",
    requested_model="large",
    cost_nano=1_100_000,
    upstream_nano=1_000_000,
    house_nano=2_000,
    held_nano=50_000_000,
    waited_ms=12,
    arm="acme/large-2",
    preset="calm",
    choice="the best",
    stayed=True,
    saved_nano=-3_000,
    candidates=(
        Candidate(
            provider="acme", model="large", price_nano=18_000_000_000, rule="by speed",
            measured="9 tokens/s",
        ),
        Candidate(provider="beta", model="l", standing="out", excluded="is dear", by="max_price"),
    ),
    attempts=(
        Try(
            provider="acme", provider_name="Acme AI", model="large", status=200, latency_ms=110,
            began_ms=3, hedge=True, dropped=("seed",),
        ),
    ),
)  # fmt: skip


def test_the_way_of_a_request() -> None:
    assert routing_row(ROW) == {
        "requested_model": "large",
        "arm": "acme/large-2",
        "preset": "calm",
        "choice": "the best",
        "candidates": [
            {
                "provider": "acme", "model": "large", "standing": "well", "price": 18.0,
                "excluded": None, "by": None, "rule": "by speed", "measured": "9 tokens/s",
            },
            {
                "provider": "beta", "model": "l", "standing": "out", "price": None,
                "excluded": "is dear", "by": "max_price", "rule": None, "measured": None,
            },
        ],
        "attempts": [
            {
                "provider": "acme", "model": "large", "began_ms": 3, "latency_ms": 110,
                "status": 200, "error": None, "hedge": True, "dropped": ["seed"],
            },
        ],
        "stayed": True,
        "saved": -0.000003,
        "waited_ms": 12,
        "held": 0.05,
        "cost": 0.0011,
        "upstream_cost": 0.001,
        "house_cost": 0.000002,
        "recovered": False,
    }  # fmt: skip


def test_attempts_stand_in_the_order_in_which_they_began() -> None:
    (one,) = ROW.attempts
    ended = tuple(replace(one, began_ms=began_ms) for began_ms in (7, 0, 7, 3))
    row = routing_row(replace(ROW, attempts=ended))
    assert [told["began_ms"] for told in row["attempts"]] == [0, 3, 7, 7]


def test_what_nobody_knows_is_null() -> None:
    row = routing_row(Generation(id="g", created_at=0.0, cost_nano=None, upstream_nano=None))
    assert (row["requested_model"], row["cost"], row["upstream_cost"]) == (None, None, None)
    assert (row["candidates"], row["attempts"]) == ([], [])
    assert (row["arm"], row["preset"], row["stayed"], row["saved"]) == (None, None, False, 0)


def test_every_field_of_a_candidate_and_of_an_attempt_is_told() -> None:
    row = routing_row(ROW)
    told = {name.removesuffix("_nano") for name in (one.name for one in fields(Candidate))}
    assert set(row["candidates"][0]) == told
    # The endpoint is named by its slug here, as everywhere in the configuration.
    assert set(row["attempts"][0]) == {one.name for one in fields(Try)} - {"provider_name"}
