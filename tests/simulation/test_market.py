"""The market: prices change, what has begun keeps its own, and charges are fractions."""

from decimal import Decimal
from random import Random

import pytest

from proxy.money import cost_of
from proxy.simulation.loop import Loop
from proxy.simulation.market import FREE_MODEL, MODELS, Market
from proxy.simulation.provider import Provider
from proxy.wire.events import Usage


@pytest.fixture
def provider() -> Provider:
    loop = Loop(Random(1))
    loop.close()
    return Provider("p0", Random(1), loop, cancels=True, slow_s=0.01, moods=((0.0, "well"),))


def test_a_version_is_kept(provider: Provider) -> None:
    market = Market(Random(3), [provider])
    before = market.snapshot(0)
    versions = [market.reload() for _ in range(5)]
    assert versions == [1, 2, 3, 4, 5]
    assert market.snapshot(0) is before
    prices = {
        str(market.snapshot(v).catalogue.find("sim/one").endpoints[0].pricing) for v in versions
    }
    assert len(prices) > 1


@pytest.mark.parametrize("seed", range(20))
def test_its_reckoning_is_that_of_the_house(seed: int, provider: Provider) -> None:
    rng = Random(seed)
    market = Market(rng, [provider])
    for model in MODELS:
        (endpoint,) = market.snapshot(0).catalogue.find(model).endpoints
        assert endpoint.provider.cancel_stops_billing
        assert endpoint.pricing is not None
        usage = Usage(prompt_tokens=rng.randrange(10**6), completion_tokens=rng.randrange(10**6))
        charge = market.charge_nano(
            0, "p0", model, prompt=usage.prompt_tokens, completion=usage.completion_tokens
        )
        assert charge == cost_of(usage, endpoint.pricing, market.margin).charge_nano
        assert (charge == 0) == (model == FREE_MODEL)
        assert (endpoint.pricing.prompt == Decimal(0)) == (model == FREE_MODEL)
