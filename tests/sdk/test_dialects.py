"""Every scenario with a provider that speaks each dialect, asked by the asynchronous `openai`.

    WEIR_ROUNDS=1 pytest tests/sdk

runs all of them with all callers; an ordinary run takes a third, another one for each provider.
"""

from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet

from tests.running import Running
from tests.sdk.dialects import DIALECTS
from tests.sdk.scenarios import SCENARIOS, Scenario, abroad
from tests.sdk.test_openai import Asynchronous
from tests.sdk.upstreams import KINDS, LACKS, Spoken, Upstream
from tests.sdk.world import World

pytestmark = pytest.mark.sdk

ALL = [Spoken(kind, dialect) for dialect in DIALECTS for kind in KINDS]


def _rows() -> Iterator[ParameterSet]:
    """All pairs; what is known to fail must fail, and the report of the run says why."""
    for place, spoken in enumerate(ALL):
        if spoken.dialect == "openai":
            continue  # runs with every SDK, in its own file
        for scenario in abroad(place):
            reason = LACKS.get((spoken, scenario.name))
            fails = pytest.mark.xfail(
                reason=f"{spoken.kind} as {spoken.dialect}: {reason}",
                raises=AssertionError,
                strict=True,
            )
            yield pytest.param(
                spoken,
                scenario,
                id="-".join((*spoken, scenario.name)),
                marks=[fails] if reason else [],
            )


@pytest.mark.parametrize(("upstream", "scenario"), list(_rows()), indirect=["upstream"])
async def test_scenario(scenario: Scenario, gateway: Running, upstream: Upstream) -> None:
    await scenario.run(World.meet(Asynchronous, gateway, upstream))


def test_what_is_lacking_is_known() -> None:
    """The table names what there is, and is not longer than when it was last looked at."""
    assert {spoken for spoken, _ in LACKS} <= set(ALL)
    assert {name for _, name in LACKS} <= {scenario.name for scenario in SCENARIOS}
    assert len(LACKS) <= 3
