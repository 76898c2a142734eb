"""What is counted of a finished request, and how Prometheus reads it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from proxy.metrics import BUCKETS_S, LABELS, NAMES, Dump, Metrics, lasting, merge, render
from proxy.wire.record import Generation

GAUGES = {
    "weir_requests_in_progress": 3.0,
    "weir_store_pending_rows": 2.0,
    "weir_store_dropped_rows_total": 1.0,
    "weir_store_healthy": 1.0,
    "weir_held_usd": 0.5,
    "weir_ready": 0.0,
    "weir_workers": 1.0,
}
ENDPOINTS: Dump = {
    "weir_endpoint_in_service": [(["acme", "m"], [1.0]), (["acme", "n"], [0.5])],
    "weir_endpoint_success_ratio": [(["acme", "m"], [0.9])],
    "weir_endpoint_first_content_p95_seconds": [(["acme", "m"], [2.5])],
    "weir_endpoint_tokens_per_second": [(["acme", "m"], [70.0])],
}


def row(**more: Any) -> Generation:
    usual: dict[str, Any] = {
        "id": "gen-1",
        "created_at": 0.0,
        "model": "acme/large",
        "provider": "acme",
    }
    return Generation(**usual | more)


def samples(metrics: Metrics, gauges: dict[str, float] | None = None) -> dict[str, float]:
    """Every sample by its name and labels, as a scraper reads them."""
    text = metrics.render(gauges or {}).decode()
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())):
            float(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }  # fmt: skip


def test_every_name_is_rendered_with_its_meaning_and_no_other() -> None:
    metrics = Metrics()
    metrics.record(row(cost_nano=1, prompt_tokens=1, latency_ms=1, generation_time_ms=1))
    metrics.attempts["acme", "ok"] += 1
    text = render(metrics.dump(GAUGES) | ENDPOINTS).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    named = {
        f"{name}_total" if family.type == "counter" else name: family.documentation
        for name, family in families.items()
    }
    assert named == NAMES
    kinds = {family.type for family in families.values()}
    assert kinds == {"counter", "gauge", "histogram"}
    assert "_created" not in text


def test_a_finished_request_is_counted() -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.record(
            row(
                prompt_tokens=10,
                completion_tokens=20,
                cached_tokens=4,
                reasoning_tokens=5,
                cost_nano=1_500_000_000,
                latency_ms=80,
                generation_time_ms=700,
            )
        )
    metrics.record(row(model="", provider="", status=499, cancelled=True, cost_nano=None))
    found = samples(metrics)
    assert found["weir_requests_total model=acme/large provider=acme status=200"] == 2
    assert found["weir_requests_total model= provider= status=499"] == 1
    assert found["weir_tokens_total kind=prompt provider=acme"] == 20
    assert found["weir_tokens_total kind=completion provider=acme"] == 40
    assert found["weir_tokens_total kind=cached provider=acme"] == 8
    assert found["weir_tokens_total kind=reasoning provider=acme"] == 10
    assert found["weir_cost_usd_total provider=acme"] == 3
    assert found["weir_hangups_total"] == 1
    assert found["weir_first_token_seconds_count"] == 2
    assert found["weir_first_token_seconds_sum"] == pytest.approx(0.16)
    assert found["weir_first_token_seconds_bucket le=0.05"] == 0
    assert found["weir_first_token_seconds_bucket le=0.1"] == 2
    assert found["weir_request_seconds_sum"] == pytest.approx(1.4)
    assert "weir_tokens_total kind=prompt provider=" not in found, "nothing is no label"


def test_what_caches_give_is_counted_by_model_whoever_served_it() -> None:
    metrics = Metrics()
    for provider, cached, saved_nano, stayed in (
        ("acme", 0, -2_000_000_000, False),
        ("acme", 80, 5_000_000_000, True),
        ("other", 40, 1_500_000_000, True),
    ):
        metrics.record(
            row(
                provider=provider,
                prompt_tokens=100,
                cached_tokens=cached,
                saved_nano=saved_nano,
                stayed=stayed,
            )
        )
    metrics.record(row(model="acme/small", prompt_tokens=7))
    metrics.record(row(model="", provider="", status=404))
    found = samples(metrics)
    by_model = {name: value for name, value in found.items() if "_total model=" in name}
    assert {name: n for name, n in by_model.items() if "requests" not in name} == {
        "weir_prompt_tokens_total model=acme/large": 300,
        "weir_prompt_tokens_total model=acme/small": 7,
        "weir_cached_tokens_total model=acme/large": 120,
        "weir_cache_saved_usd_total model=acme/large": 6.5,
        "weir_cache_extra_usd_total model=acme/large": 2,
        "weir_cache_stays_total model=acme/large": 2,
    }


def test_attempts_and_gauges_are_what_they_are_told() -> None:
    metrics = Metrics()
    metrics.attempts["acme", "provider_cut"] += 2
    found = samples(metrics, GAUGES)
    assert found["weir_attempts_total outcome=provider_cut provider=acme"] == 2
    assert {name: found[name] for name in GAUGES} == GAUGES


def test_a_label_can_not_break_out_of_its_quotes() -> None:
    metrics = Metrics()
    metrics.record(row(model='a"} 1\nweir_ready 1\n\\'))
    (family,) = (
        one
        for one in text_string_to_metric_families(metrics.render({}).decode())
        if one.name == "weir_requests"
    )
    assert family.samples[0].labels["model"] == 'a"} 1\nweir_ready 1\n\\'


LIMITS_MS = [int(1000 * bound) + more for bound in BUCKETS_S for more in (-1, 0, 1)]


@pytest.mark.parametrize("name", ["weir_request_seconds", "weir_first_token_seconds"])
@given(st.lists(st.integers(0, 10**6) | st.sampled_from(LIMITS_MS), max_size=30))
def test_buckets_count_what_is_not_longer(name: str, times_ms: list[int]) -> None:
    metrics = Metrics()
    for ms in times_ms:
        other = None if name == "weir_request_seconds" else ms
        metrics.record(row(latency_ms=other, generation_time_ms=ms))
    found = samples(metrics)
    for bound in BUCKETS_S:
        counted = sum(ms <= 1000 * bound for ms in times_ms)
        assert found[f"{name}_bucket le={bound}"] == counted
    assert found[f"{name}_bucket le=+Inf"] == len(times_ms)
    assert found[f"{name}_count"] == len(times_ms)
    assert found[f"{name}_sum"] == pytest.approx(sum(times_ms) / 1000)


# Several processes.

drawn = st.builds(
    row,
    model=st.sampled_from("ab"),
    status=st.sampled_from([200, 502]),
    cost_nano=st.integers(0, 10**12),
    latency_ms=st.sampled_from([None, 1000, 7000]),  # whose sums are exact
)


def counted(rows: list[Generation]) -> Metrics:
    metrics = Metrics()
    for one in rows:
        metrics.record(one)
        metrics.attempts[one.provider, "ok"] += 1
        metrics.refusals["draining"] += 1
    return metrics


def sent(dump: Dump) -> Dump:
    """As it comes out at another process."""
    received: Dump = msgspec.msgpack.decode(msgspec.msgpack.encode(dump))
    return received


def lines(dump: Dump) -> list[str]:
    return sorted(render(dump).decode().splitlines())


@given(st.lists(st.lists(drawn, max_size=4), min_size=1, max_size=3))
def test_what_several_counted_is_what_one_would_have(parts: list[list[Generation]]) -> None:
    together = counted([one for part in parts for one in part])
    dumps = [sent(counted(part).dump({})) for part in parts]
    merged = sent(merge(dumps))
    assert lines(merged) == lines(together.dump({}))
    assert lines(merge([merge(dumps[:1]), merge(dumps[1:])])) == lines(merged)
    assert lines(lasting(merged)) == lines(merged)


def test_gauges_add_up_but_for_those_that_hold_for_each() -> None:
    unwell = GAUGES | {"weir_store_healthy": 0.0, "weir_ready": 1.0}
    merged = merge([Metrics().dump(GAUGES), Metrics().dump(unwell)])
    assert {name: merged[name][0][1] for name in GAUGES} == {
        name: [0.0 if name in ("weir_store_healthy", "weir_ready") else 2 * value]
        for name, value in GAUGES.items()
    }


def test_of_an_endpoint_the_worst_view_is_shown() -> None:
    other: Dump = {
        "weir_endpoint_in_service": [(["acme", "m"], [0.0]), (["zeta", "m"], [1.0])],
        "weir_endpoint_success_ratio": [(["acme", "m"], [0.95])],
        "weir_endpoint_first_content_p95_seconds": [(["acme", "m"], [4.0])],
        "weir_endpoint_tokens_per_second": [(["acme", "m"], [60.0])],
    }
    assert merge([ENDPOINTS, sent(other)]) == {
        "weir_endpoint_in_service": [
            (["acme", "m"], [0.0]),
            (["acme", "n"], [0.5]),
            (["zeta", "m"], [1.0]),
        ],
        "weir_endpoint_success_ratio": [(["acme", "m"], [0.9])],
        "weir_endpoint_first_content_p95_seconds": [(["acme", "m"], [4.0])],
        "weir_endpoint_tokens_per_second": [(["acme", "m"], [60.0])],
    }


def test_only_counters_last() -> None:
    kept = lasting(Metrics().dump(GAUGES) | ENDPOINTS)
    assert set(GAUGES) & set(kept) == {"weir_store_dropped_rows_total"}
    assert set(LABELS) - set(ENDPOINTS) <= set(kept)
    assert not set(ENDPOINTS) & set(kept)
    assert set(NAMES) - set(GAUGES) - set(ENDPOINTS) <= set(kept)
    assert merge([]) == {}


def test_a_merge_changes_none_of_its_parts() -> None:
    one, other = counted([row()]).dump(GAUGES), counted([row(), row(model="b")]).dump(GAUGES)
    before = msgspec.msgpack.encode([one, other])
    merge([one, other])
    assert msgspec.msgpack.encode([one, other]) == before
