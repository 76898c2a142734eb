"""Sellers of a model for tests of routing: what they cost, and what was seen of them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.health import Outcome, Pool, Ticket
from proxy.routing.plan import Plan, plan
from proxy.routing.waits import Timeouts
from proxy.wire.preferences import decode
from proxy.wire.request import Ask

NOW = 1000.0
MILLION = Decimal(10) ** 6


def seller(tag: str, usd: float | None = 1.0, **more: Any) -> Endpoint:
    """One whose price is `usd` for a million tokens in and a million out together. What its tag
    ends in is its service tier where there is one of this name.
    """
    half = None if usd is None else Decimal(str(usd)) / MILLION / 2
    slug, _, variant = tag.partition("/")
    tier = variant if variant in ("flex", "priority", "ultrafast") else None
    said: dict[str, Any] = {
        "provider": Provider(slug=slug, name=slug.title(), base_url=f"https://{slug}.example"),
        "model": "m",
        "context_length": None,
        "max_completion_tokens": None,
        "quantization": "unknown",
        "supported_parameters": None,
        "pricing": None if half is None else Pricing(prompt=half, completion=half),
        "timeouts": Timeouts(),
        "tag": tag,
        "tier": tier,
    }
    return Endpoint(**said | more)


def sold(id: str, *endpoints: Endpoint, **more: Any) -> Model:
    """A model and who sells it."""
    said: dict[str, Any] = {
        "id": id,
        "name": id,
        "created": None,
        "description": None,
        "context_length": None,
        "input_modalities": ("text",),
        "output_modalities": ("text",),
        "endpoints": endpoints,
    }
    return Model(**said | more)


def answered(
    pool: Pool,
    endpoint: Endpoint,
    now: float = NOW,
    *,
    latency_s: float = 1.0,
    tps: float = 50.0,
    times: int = 1,
) -> None:
    """Streamed answers that end at `now`, so fast."""
    for _ in range(times):
        tokens = 101
        content_at = now - (tokens - 1) / tps
        begun = pool.begin(
            (endpoint.tag, endpoint.model), content_at - latency_s, retry=False, last=True
        )
        assert isinstance(begun, Ticket)
        pool.content(begun, content_at)
        pool.end(begun, Outcome.GOOD, now, tokens=tokens)


def failed(pool: Pool, endpoint: Endpoint, now: float = NOW, *, times: int = 5) -> None:
    """So many failures in a row; five shut an endpoint."""
    for _ in range(times):
        begun = pool.begin((endpoint.tag, endpoint.model), now, retry=False, last=True)
        assert isinstance(begun, Ticket)
        pool.end(begun, Outcome.FAILED, now)


class Fair:
    """Models for sale, and requests for them."""

    def __init__(self, *models: Model, pool: Pool | None = None) -> None:
        self.catalogue = Catalogue(models)
        self.pool = pool or Pool()

    def plan(
        self,
        *names: str,
        now: float = NOW,
        chance: Any = lambda: 0.0,
        provider: dict[str, Any] | None = None,
        **asked: Any,
    ) -> Plan:
        """What is tried for a request for these models, or for the first there is."""
        models = names or (next(iter(self.catalogue.models)),)
        ask = Ask(models=models, body={}, preferences=decode(provider), **asked)
        return plan(ask, self.catalogue, pool=self.pool, now=now, rng=chance)

    def tags(self, *names: str, **asked: Any) -> str:
        """The same by tags alone, in one line."""
        return tags(self.plan(*names, **asked))


def tags(planned: Plan) -> str:
    """Who is tried, in one line."""
    return " ".join(endpoint.tag for _, endpoint in planned.attempts)


def all_of(models: Iterable[Model]) -> list[Endpoint]:
    """Everybody who sells any of them."""
    return [endpoint for model in models for endpoint in model.endpoints]
