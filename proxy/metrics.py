"""What the gateway counts, as plain integers, and how Prometheus reads them.

Nothing here locks or allocates per event. Labels are providers, models and statuses of the
catalogue, never anything a caller wrote.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.wire.record import Generation

NAMES: Final = {
    "weir_requests_total": "Finished requests by model, provider and HTTP status.",
    "weir_refusals_total": "Requests refused before a provider was chosen, by kind of error.",
    "weir_attempts_total": "Calls to providers by provider and outcome (ok, or the error's kind).",
    "weir_tokens_total": "Tokens by provider and kind (prompt, completion, cached, reasoning).",
    "weir_cost_usd_total": "Cost of finished requests in USD by provider.",
    "weir_hangups_total": "Requests whose caller hung up or stopped reading.",
    "weir_first_token_seconds": "Time from a request's start to its first content.",
    "weir_request_seconds": "Time from a request's start to its end.",
    "weir_requests_in_progress": "Requests under way.",
    "weir_store_pending_rows": "Generation rows that are not yet written.",
    "weir_store_dropped_rows_total": "Generation rows given up because the store took none.",
    "weir_store_healthy": "1 while the store answers.",
    "weir_ready": "1 while the gateway takes work.",
}

BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Histogram:
    """Counts per bucket and the sum, of seconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds


class Metrics:
    """The counters of one process. `gauges` are read when somebody asks."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.tokens: Counter[tuple[str, str]] = Counter()
        self.cost_nano: Counter[str] = Counter()
        self.hangups = 0
        self.first_token = Histogram()
        self.request = Histogram()

    def record(self, row: Generation) -> None:
        """Counts one finished request."""
        self.requests[row.model, row.provider, str(row.status)] += 1
        kinds = {
            "prompt": row.prompt_tokens,
            "completion": row.completion_tokens,
            "cached": row.cached_tokens,
            "reasoning": row.reasoning_tokens,
        }
        for kind, count in kinds.items():
            if count:
                self.tokens[row.provider, kind] += count
        if row.cost_nano:
            self.cost_nano[row.provider] += row.cost_nano
        self.hangups += row.cancelled
        if row.latency_ms is not None:
            self.first_token.observe(row.latency_ms / 1000)
        if row.generation_time_ms is not None:
            self.request.observe(row.generation_time_ms / 1000)

    def render(self, gauges: dict[str, float]) -> bytes:
        """The text format of Prometheus, 0.0.4. `gauges` are values by name of `NAMES`."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.registry import Collector

        metrics = self

        class _Collector(Collector):
            def collect(self) -> Iterator[Any]:
                return metrics._families(gauges)

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector())
        return generate_latest(registry)

    def _families(self, gauges: dict[str, float]) -> Iterator[Any]:
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        def counter(name: str, labels: list[str], values: Mapping[Any, float]) -> Any:
            family = CounterMetricFamily(name, NAMES[name], labels=labels)
            for key, value in values.items():
                family.add_metric([key] if isinstance(key, str) else list(key), value)
            return family

        yield counter("weir_requests_total", ["model", "provider", "status"], self.requests)
        yield counter("weir_refusals_total", ["kind"], self.refusals)
        yield counter("weir_attempts_total", ["provider", "outcome"], self.attempts)
        yield counter("weir_tokens_total", ["provider", "kind"], self.tokens)
        cost_usd = {provider: nano / 1e9 for provider, nano in self.cost_nano.items()}
        yield counter("weir_cost_usd_total", ["provider"], cost_usd)
        yield counter("weir_hangups_total", [], {(): self.hangups})
        histograms = {
            "weir_first_token_seconds": self.first_token,
            "weir_request_seconds": self.request,
        }
        for name, histogram in histograms.items():
            family = HistogramMetricFamily(name, NAMES[name])
            family.add_metric([], buckets=_cumulated(histogram), sum_value=histogram.sum_s)
            yield family
        for name, value in gauges.items():
            if name.endswith("_total"):
                yield counter(name, [], {(): value})
            else:
                yield GaugeMetricFamily(name, NAMES[name], value=value)


def _cumulated(histogram: Histogram) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], histogram.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
