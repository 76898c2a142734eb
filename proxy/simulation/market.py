"""What is sold, and for how much: models, providers and prices that change while they are used.

It also reckons what an answer should cost, from the prices and the rules of docs/money.md, in
fractions and by its own means.
"""

import math
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Final

from proxy.accounts.limits import Rules
from proxy.money import Pricing
from proxy.pipeline.exchange import Snapshot
from proxy.providers import Provider as Row
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.rules import Rules as Judging
from proxy.routing.waits import Timeouts
from proxy.simulation.provider import Provider
from proxy.upstream.signing import Signing

FREE_MODEL: Final = "sim/gift:free"
MODELS: Final = ("sim/one", "sim/two", FREE_MODEL)
PRICES: Final = ("0.0000000007", "0.000001", "0.00003", "0.000025000001")
TIMEOUTS: Final = Timeouts(
    connect_s=1.0, first_byte_s=3.0, first_token_s=4.0, between_chunks_s=2.0, answer_s=8.0
)
COMPLETION_TOKENS_MAX: Final = 8000
HASTY: Final = Judging(
    learned_samples_min=1,
    hedge_percentile=0.5,
    limit_s_min=0.02,
    limit_factor=1.5,
    cap_start=4,
    failures_in_a_row=2,
)
"""How a pool judges that learns from one answer."""


class Market:
    """All versions of the prices; the last one holds for requests that begin now."""

    def __init__(self, rng: Random, providers: list[Provider]) -> None:
        self._rng = rng
        self._providers = providers
        self.margin = rng.choice(((0, 1), (1, 20)))
        self.enforce = rng.random() < 0.85
        self.rules = Rules(
            requests_per_minute=rng.choice((0, 0, 30)),
            concurrent_requests=rng.choice((0, 0, 2, 8)),
            account_requests_per_minute=rng.choice((0, 0, 40)),
            account_tokens_per_minute=rng.choice((0, 0, 5000)),
            account_concurrent_requests=rng.choice((0, 0, 5)),
            free_requests_per_minute=rng.choice((2, 20)),
            free_requests_per_day=rng.choice((3, 50)),
        )
        self._hedge = rng.random() < 0.4
        self.judging = rng.choice((Judging(), HASTY))
        self._versions: list[dict[tuple[str, str], Pricing]] = []
        self._snapshots: list[Snapshot] = []
        self.reload()

    def reload(self) -> int:
        """New prices; the number of their version."""
        prices = {}
        for provider in self._providers:
            for model in MODELS:
                prices[provider.slug, model] = self._price(model)
        self._versions.append(prices)
        self._snapshots.append(self._snapshot(prices))
        return len(self._versions) - 1

    def snapshot(self, version: int) -> Snapshot:
        """All that a request begins with."""
        return self._snapshots[version]

    def _price(self, model: str) -> Pricing:
        if model == FREE_MODEL:
            return Pricing(prompt=Decimal(0), completion=Decimal(0))
        prompt, completion = (Decimal(self._rng.choice(PRICES)) for _ in range(2))
        request = Decimal(self._rng.choice(("0", "0", "0.0001")))
        return Pricing(prompt=prompt, completion=completion, request=request)

    def _snapshot(self, prices: dict[tuple[str, str], Pricing]) -> Snapshot:
        models = [
            Model(
                id=model,
                name=model,
                created=None,
                description=None,
                context_length=None,
                input_modalities=("text",),
                output_modalities=("text",),
                endpoints=tuple(self._endpoint(one, model, prices) for one in self._providers),
            )
            for model in MODELS
        ]
        return Snapshot(
            catalogue=Catalogue(models),
            signing=Signing({one.slug: ("key one", "key two") for one in self._providers}),
            anonymous=False,
            body_bytes_max=100_000,
            client_stall_s=30.0,
            enforce=self.enforce,
            margin=self.margin,
            rules=self.rules,
            hedge=self._hedge,
            hedge_share_max=1.0,
        )

    def _endpoint(
        self, provider: Provider, model: str, prices: dict[tuple[str, str], Pricing]
    ) -> Endpoint:
        row = Row(
            slug=provider.slug,
            name=provider.slug.upper(),
            base_url=f"http://{provider.slug}.sim/v1",
            cancel_stops_billing=provider.cancels,
        )
        return Endpoint(
            provider=row,
            model=model,
            context_length=None,
            max_completion_tokens=COMPLETION_TOKENS_MAX,
            quantization="unknown",
            supported_parameters=None,
            pricing=prices[provider.slug, model],
            timeouts=TIMEOUTS,
            tag=row.slug,
        )

    def charge_nano(
        self, version: int, provider: str, model: str, *, prompt: int, completion: int
    ) -> int:
        """What a caller pays for so many tokens."""
        pricing = self._versions[version][provider, model]
        usd = (
            prompt * Fraction(pricing.prompt)
            + completion * Fraction(pricing.completion)
            + Fraction(pricing.request)
        )
        return math.ceil(usd * 10**9 * (1 + Fraction(*self.margin)))
