"""What a caller is told of its routing, however far the request has come."""

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.telling import MEDIA_CHARS_MAX, explain, shown, told
from proxy.routing.plan import Plan
from proxy.wire.record import Candidate, Try
from tests.plain import ASK
from tests.stage import endpoint, model, snapshot

ONE, TWO = endpoint("p0"), endpoint("p1")
MODEL = model("a/b", ONE, TWO)


def exchange(*names: str) -> Exchange:
    made = Exchange(id="gen-1", created_at=1.0, started_at=1.0, snapshot=snapshot(MODEL))
    made.ask = replace(ASK, models=names or ("a/b",))
    made.requested = made.ask.models[0]
    return made


def tried(provider: str, status: int | None) -> Try:
    return Try(
        provider=provider, provider_name=provider.upper(), model=f"{provider}-model",
        status=status, error=None if status == 200 else "provider_cut", began_ms=0, latency_ms=1,
    )  # fmt: skip


def test_before_anything_was_decided() -> None:
    made: dict[str, Any] = told(exchange())
    assert made["requested"] == "a/b"
    assert made["endpoints"] == {"total": 2, "available": []}
    assert (made["attempt"], made["is_byok"]) == (0, False)


def test_who_was_asked_and_who_answered() -> None:
    made = exchange()
    made.plan = Plan(((MODEL, ONE), (MODEL, TWO)))
    made.tries = [tried("p0", 500), tried("p1", 200)]
    made.endpoint = TWO
    said = told(made)
    assert said["attempt"] == 2
    assert said["endpoints"]["total"] == 2
    selected = [(one["provider"], one["selected"]) for one in said["endpoints"]["available"]]
    assert selected == [("P0", False), ("P1", True)]
    assert [one["status"] for one in said["attempts"]] == [500, 200]


def test_what_is_told_is_json_and_names_no_key() -> None:
    made = exchange("a/b", "c/d")
    made.plan = Plan(((MODEL, ONE),))
    assert set(orjson.loads(orjson.dumps(told(made)))) >= {
        "requested", "strategy", "region", "summary", "attempt", "is_byok", "endpoints",
    }  # fmt: skip


def test_nobody_is_selected_where_nobody_answered() -> None:
    made = exchange()
    made.plan, made.endpoint = Plan(((MODEL, ONE),)), ONE
    made.error = GatewayError("provider_timeout", "late")
    late = replace(tried("p0", None), error="provider_timeout")
    lost = replace(tried("p7", None), error="lost")
    made.tries = [late, lost]
    said = told(made)
    assert said["summary"] == "available=1, selected=none"
    assert said["endpoints"]["available"] == [{"provider": "P0", "model": "a/b", "selected": False}]
    assert said["attempts"] == [
        {"provider": "P0", "model": "a/b", "status": 504},
        {"provider": "P7", "model": "p7-model", "status": 502},
    ]
    assert "generation_time" not in said


def test_all_that_was_looked_at_is_counted() -> None:
    made = exchange("a/b", "c/d")
    looked = tuple(
        Candidate(provider=slug, model="m", excluded=why)
        for slug, why in (("p0", None), ("p1", "is dear"))
    )
    made.plan, made.endpoint = Plan(((MODEL, ONE),), looked), ONE
    made.tries = [tried("p0", 200)]
    made.read_bytes = 7
    said = told(made)
    assert said["endpoints"]["total"] == 2
    assert (said["strategy"], said["generation_time"]) == ("fallback", 1)
    assert [stage["name"] for stage in said["pipeline"]] == ["file-parser"]


@pytest.mark.parametrize(
    ("names", "arm", "strategy"),
    [
        (("a/b",), None, "direct"),
        (("a/b:nitro",), None, "direct"),
        (("a/b", "c/d"), None, "fallback"),
        (("openrouter/auto",), None, "auto"),
        (("openrouter/auto:floor", "c/d"), None, "auto"),
        (("openrouter/free",), None, "free"),
        (("~a/b-latest",), None, "latest"),
        (("mine/alias",), "a/b", "alias"),
    ],
)
def test_the_strategy_is_how_the_model_was_chosen(
    names: tuple[str, ...], arm: str | None, strategy: str
) -> None:
    made = exchange(*names)
    made.arm = arm
    assert told(made)["strategy"] == strategy


def test_what_was_asked_for_is_told_and_not_what_became_of_it() -> None:
    made = exchange("openrouter/auto")
    made.ask = replace(ASK, models=("a/b", "c/d"))
    assert (told(made)["requested"], told(made)["strategy"]) == ("openrouter/auto", "auto")


def test_an_error_of_who_could_answer_names_who_was_tried() -> None:
    made, error = exchange("a/b"), GatewayError("provider_timeout", "late")
    made.tries = [tried("p0/us", None), tried("p1", 500), tried("p0/eu", 500)]
    explain(made, error)
    assert error.availability is not None
    assert error.availability["affected_providers"] == ["p0", "p1"]
    assert error.availability["requested_models"] == ["a/b"]


def test_where_nobody_could_be_tried_who_was_passed_over_is_named() -> None:
    made, error = exchange("a/b"), GatewayError("provider_rate_limited", "wait")
    made.skips = [(TWO, "is paused"), (ONE, "is paused")]
    explain(made, error)
    assert error.availability is not None
    assert error.availability["affected_providers"] == ["p1", "p0"]


def test_of_a_request_that_was_not_read_nothing_is_told_of_availability() -> None:
    made, error = exchange(), GatewayError("draining", "x")
    made.ask = None
    explain(made, error)
    assert error.availability is None
    assert told(made)["strategy"] == "direct"


MEDIA = "A" * (MEDIA_CHARS_MAX + 1)
CUT = "A" * 64 + f"… ({MEDIA_CHARS_MAX + 1} characters)"
PROSE = "word " * MEDIA_CHARS_MAX


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (None, {}),
        (b"--form", {}),
        (b"[1]", {}),
        pytest.param(b'{"a":' * 1000 + b"1" + b"}" * 1000, {}, id="too deep"),
        (orjson.dumps({"a": [MEDIA, {"url": MEDIA}], "n": 1}), {"a": [CUT, {"url": CUT}], "n": 1}),
        (orjson.dumps({"text": PROSE}), {"text": PROSE}),
    ],
)
def test_what_is_shown_of_a_body(body: bytes | None, seen: dict[str, Any]) -> None:
    assert shown(body) == seen
