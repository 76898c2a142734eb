"""What the gateway counts, as plain integers, and how Prometheus reads them.

Nothing here locks or allocates per event. Labels are providers, models and statuses of the
catalogue, never anything a caller wrote. What one process counted is handed on as a `Dump`: plain
lists, so that those of several processes can be sent, added up and rendered as one.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from operator import add
from typing import Any, Final

from proxy.wire.record import Generation

NAMES: Final = {
    "weir_requests_total": "Finished requests by model, provider and HTTP status.",
    "weir_refusals_total": "Requests refused before a provider was chosen, by kind of error.",
    "weir_attempts_total": "Calls to providers by provider and outcome (ok, or the error's kind).",
    "weir_tokens_total": "Tokens by provider and kind (prompt, completion, cached, reasoning).",
    "weir_cost_usd_total": "Cost of finished requests in USD by provider.",
    "weir_prompt_tokens_total": "Prompt tokens by model.",
    "weir_cached_tokens_total": "Prompt tokens by model that a provider had in its cache.",
    "weir_cache_saved_usd_total": "What requests cost less by caching, in USD by model.",
    "weir_cache_extra_usd_total": "What requests cost more by caching (writes), in USD by model.",
    "weir_cache_stays_total": "Requests by model sent where their conversation was cached.",
    "weir_hangups_total": "Requests whose caller hung up or stopped reading.",
    "weir_first_token_seconds": "Time from a request's start to its first content.",
    "weir_request_seconds": "Time from a request's start to its end.",
    "weir_requests_in_progress": "Requests under way.",
    "weir_store_pending_rows": "Generation rows that are not yet written.",
    "weir_store_dropped_rows_total": "Generation rows given up because the store took none.",
    "weir_store_healthy": "1 while the store answers.",
    "weir_held_usd": "Credit in holds of running requests, in USD; a limited key's counts twice.",
    "weir_endpoint_in_service": "1 while an endpoint is well, 0 while it is shut or paused.",
    "weir_endpoint_success_ratio": "Share of an endpoint's latest attempts that went well.",
    "weir_endpoint_first_content_p95_seconds": "What 95 % of its latest streams took to content.",
    "weir_endpoint_tokens_per_second": "Speed of an endpoint's answers after their first content.",
    "weir_ready": "1 while the gateway takes work.",
    "weir_workers": "Worker processes that answered for these figures.",
}
"""Names that end with `_total` are counters; those of `HISTOGRAMS` apart, all others are gauges."""

HISTOGRAMS: Final = {"weir_first_token_seconds", "weir_request_seconds"}

LABELS: Final = {
    "weir_requests_total": ("model", "provider", "status"),
    "weir_refusals_total": ("kind",),
    "weir_attempts_total": ("provider", "outcome"),
    "weir_tokens_total": ("provider", "kind"),
    "weir_cost_usd_total": ("provider",),
    "weir_prompt_tokens_total": ("model",),
    "weir_cached_tokens_total": ("model",),
    "weir_cache_saved_usd_total": ("model",),
    "weir_cache_extra_usd_total": ("model",),
    "weir_cache_stays_total": ("model",),
    "weir_endpoint_in_service": ("provider", "model"),
    "weir_endpoint_success_ratio": ("provider", "model"),
    "weir_endpoint_first_content_p95_seconds": ("provider", "model"),
    "weir_endpoint_tokens_per_second": ("provider", "model"),
}
WORST: Final[Mapping[str, Callable[[float, float], float]]] = {
    "weir_ready": min,
    "weir_store_healthy": min,
    "weir_endpoint_in_service": min,
    "weir_endpoint_success_ratio": min,
    "weir_endpoint_first_content_p95_seconds": max,
    "weir_endpoint_tokens_per_second": min,
}
"""Gauges that do not add up: of several processes the worst one is shown."""

Dump = dict[str, list[tuple[list[str], list[float]]]]
"""By name, each sample's labels and values: one number, or a histogram's counts and their sum. What
is counted in USD is in nano-dollars, so that adding up stays exact.
"""

BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_BUCKETS_MS: Final = tuple(int(1000 * bucket_s) for bucket_s in BUCKETS_S)


class Histogram:
    """Counts per bucket and the sum, of seconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    @property
    def values(self) -> list[float]:
        """The counts, and after them the sum."""
        return [*self.counts, self.sum_s]


class _Sums:
    """What the requests of one model, provider and status add up to."""

    __slots__ = (
        "cached", "completion", "cost_nano", "extra_nano", "prompt", "reasoning", "requests",
        "saved_nano", "stays",
    )  # fmt: skip

    def __init__(self) -> None:
        self.requests = self.stays = self.cost_nano = self.saved_nano = self.extra_nano = 0
        self.prompt = self.completion = self.cached = self.reasoning = 0


class Metrics:
    """The counters of one process. `gauges` are read when somebody asks."""

    def __init__(self) -> None:
        self.refusals: Counter[str] = Counter()
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.hangups = 0
        self.first_token = Histogram()
        self.request = Histogram()
        self._sums: dict[tuple[str, str, int], _Sums] = {}

    def record(self, row: Generation) -> None:
        """Counts one finished request."""
        labels = row.model, row.provider, row.status
        sums = self._sums.get(labels)
        if sums is None:
            sums = self._sums[labels] = _Sums()
        sums.requests += 1
        sums.prompt += row.prompt_tokens
        sums.completion += row.completion_tokens
        if row.cached_tokens:
            sums.cached += row.cached_tokens
        if row.reasoning_tokens:
            sums.reasoning += row.reasoning_tokens
        if row.cost_nano:
            sums.cost_nano += row.cost_nano
        if row.stayed:
            sums.stays += 1
        if (saved_nano := row.saved_nano) > 0:
            sums.saved_nano += saved_nano
        elif saved_nano:
            sums.extra_nano -= saved_nano
        if row.cancelled:
            self.hangups += 1
        if (ms := row.latency_ms) is not None:
            self.first_token.counts[bisect_left(_BUCKETS_MS, ms)] += 1
            self.first_token.sum_s += ms / 1000
        if (ms := row.generation_time_ms) is not None:
            self.request.counts[bisect_left(_BUCKETS_MS, ms)] += 1
            self.request.sum_s += ms / 1000

    def dump(self, gauges: Mapping[str, float]) -> Dump:
        """All that was counted so far. `gauges` are values by name of `NAMES`."""
        counters: dict[str, Mapping[Any, float]] = {
            "weir_requests_total": {
                (model, provider, str(status)): sums.requests
                for (model, provider, status), sums in self._sums.items()
            },
            "weir_refusals_total": self.refusals,
            "weir_attempts_total": self.attempts,
            "weir_tokens_total": self._by_provider(("prompt", "completion", "cached", "reasoning")),
            "weir_cost_usd_total": {
                provider: cost for (provider, _), cost in self._by_provider(("cost_nano",)).items()
            },
            "weir_prompt_tokens_total": self._by_model("prompt"),
            "weir_cached_tokens_total": self._by_model("cached"),
            "weir_cache_saved_usd_total": self._by_model("saved_nano"),
            "weir_cache_extra_usd_total": self._by_model("extra_nano"),
            "weir_cache_stays_total": self._by_model("stays"),
            "weir_hangups_total": {(): self.hangups},
        }
        dump: Dump = {
            name: [([key] if isinstance(key, str) else list(key), [n]) for key, n in values.items()]
            for name, values in counters.items()
        }
        dump["weir_first_token_seconds"] = [([], self.first_token.values)]
        dump["weir_request_seconds"] = [([], self.request.values)]
        return dump | {name: [([], [value])] for name, value in gauges.items()}

    def _by_provider(self, names: Iterable[str]) -> dict[tuple[str, str], int]:
        """What each provider's sums of these names add up to, where that is not nothing."""
        added: Counter[tuple[str, str]] = Counter()
        for (_, provider, _), sums in self._sums.items():
            for name in names:
                if count := getattr(sums, name):
                    added[provider, name] += count
        return added

    def _by_model(self, name: str) -> dict[str, int]:
        """What each model's sums of this name add up to, where that is not nothing."""
        added: Counter[str] = Counter()
        for (model, _, _), sums in self._sums.items():
            if count := getattr(sums, name):
                added[model] += count
        return added

    def render(self, gauges: Mapping[str, float]) -> bytes:
        """What `/metrics` answers for one process."""
        return render(self.dump(gauges))


def merge(dumps: Iterable[Dump]) -> Dump:
    """The dump of them all together: the sum of each sample, or the worst where only that holds."""
    merged: dict[str, dict[tuple[str, ...], list[float]]] = {}
    for dump in dumps:
        for name, samples in dump.items():
            family = merged.setdefault(name, {})
            both: Callable[[float, float], float] = WORST.get(name, add)
            for labels, values in samples:
                known = family.get(tuple(labels))
                if known is not None:
                    values = [both(*pair) for pair in zip(known, values, strict=True)]
                family[tuple(labels)] = values
    return {
        name: [(list(labels), values) for labels, values in family.items()]
        for name, family in merged.items()
    }


def lasting(dump: Dump) -> Dump:
    """What of a dump still holds when its process is gone: all but the gauges."""
    return {
        name: samples
        for name, samples in dump.items()
        if name in HISTOGRAMS or name.endswith("_total")
    }


def render(dump: Dump) -> bytes:
    """The text format of Prometheus, 0.0.4."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class _Collector(Collector):
        def collect(self) -> Iterator[Any]:
            return (_family(name, samples) for name, samples in dump.items())

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector())
    return generate_latest(registry)


def _family(name: str, samples: list[tuple[list[str], list[float]]]) -> Any:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    help_text, label_names = NAMES[name], LABELS.get(name, ())
    family: Any
    if name in HISTOGRAMS:
        family = HistogramMetricFamily(name, help_text, labels=label_names)
        for labels, (*counts, sum_s) in samples:
            family.add_metric(labels, buckets=_cumulated(counts), sum_value=sum_s)
        return family
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    family = kind(name, help_text, labels=label_names)
    for labels, (value,) in samples:
        family.add_metric(labels, value / 1e9 if name.endswith("_usd_total") else value)
    return family


def _cumulated(counts: list[float]) -> list[tuple[str, float]]:
    bounds = [*map(str, BUCKETS_S), "+Inf"]
    return list(zip(bounds, map(float, accumulate(counts)), strict=True))
