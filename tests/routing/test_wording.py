"""The rule by which endpoints are put in order is told as a user would say it."""

from typing import Any

import pytest

from proxy.routing.catalogue import Model
from proxy.routing.names import Named
from proxy.routing.wording import DEFAULT, rule
from proxy.wire import preferences
from proxy.wire.preferences import Sort
from proxy.wire.request import Speed

MODEL = Model(
    id="a/b", name="B", created=None, description=None, context_length=None,
    input_modalities=(), output_modalities=(), endpoints=(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("variants", "provider", "tier", "sort", "tooled", "words"),
    [
        ((), None, None, None, False, None),
        ((), None, "default", None, False, None),
        ((), {"sort": "price"}, None, "price", False, "by price (provider.sort)"),
        (("nitro",), None, None, "throughput", False,
         "by tokens a second, who was not measured yet last (the model's name ends in :nitro)"),
        (("free", "floor"), None, None, "price", False,
         "by price (the model's name ends in :floor)"),
        (("exacto",), None, None, "exacto", True,
         "by how well they call tools (the model's name ends in :exacto)"),
        ((), {"sort": "latency"}, None, "latency", False,
         "by time to the first token, who was not measured yet last (provider.sort)"),
        ((), None, "flex", "price", False, "by price (service_tier flex)"),
        ((), None, "priority", "throughput", False,
         "priority endpoints first, then by tokens a second, who was not measured yet last "
         "(service_tier priority)"),
        ((), {"order": ["a"]}, None, None, False,
         "those in provider.order first, then the others by price, steady ones first"),
        ((), {"order": ["a"], "sort": "price"}, None, "price", False,
         "those in provider.order first; by price (provider.sort)"),
        ((), {"order": ["a"], "allow_fallbacks": False}, None, None, False,
         "those in provider.order first"),
        ((), {"allow_fallbacks": False}, None, None, False,
         f"{DEFAULT}; only the first of them (provider.allow_fallbacks)"),
        ((), {"sort": {"partition": "none"}}, None, None, False,
         f"{DEFAULT}; all models together (provider.sort.partition)"),
        ((), None, None, None, True,
         "by how well they call tools, then by price (the request has tools)"),
        ((), {"sort": {"by": "price", "partition": "none"}}, None, "price", False,
         "by price (provider.sort); all models together (provider.sort.partition)"),
        ((), {"preferred_min_throughput": 50, "preferred_max_latency": 2}, None, None, False,
         f"{DEFAULT}; who is slower goes last (provider.preferred_min_throughput); "
         "who is slower goes last (provider.preferred_max_latency)"),
    ],
)  # fmt: skip
def test_an_order_is_told_with_what_asked_for_it(
    variants: tuple[str, ...],
    provider: dict[str, Any] | None,
    tier: Speed | None,
    sort: Sort | None,
    tooled: bool,
    words: str | None,
) -> None:
    wished = preferences.decode(provider)
    assert rule(Named(MODEL, variants), wished, tier, sort=sort, tooled=tooled) == words
