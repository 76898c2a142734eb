"""How long each wait for a provider lasts."""

import pytest
from msgspec.structs import asdict

from proxy.routing.waits import Timeouts, TimeoutsRow, Waits

FIRST = {"first_byte_s": 300.0, "first_token_s": 300.0}
REASONING = {"first_token_s": 300.0, "between_chunks_s": 120.0}


@pytest.mark.parametrize(
    ("local", "reasons", "longer"),
    [(False, False, {}), (True, False, FIRST), (False, True, REASONING),
     (True, True, FIRST | REASONING)],
)  # fmt: skip
def test_some_endpoints_need_longer(local: bool, reasons: bool, longer: dict[str, float]) -> None:
    waits = Waits(Timeouts(), frozenset())
    found = asdict(waits.of(TimeoutsRow(), local=local, reasons=reasons))
    assert found == asdict(Timeouts()) | longer


def test_what_the_operator_chose_stays() -> None:
    waits = Waits(Timeouts(first_token_s=7.0), frozenset({"first_token_s"}))
    assert waits.of(TimeoutsRow(), local=True, reasons=True).first_token_s == 7.0


def test_an_endpoint_overrides_all() -> None:
    waits = Waits(Timeouts(), frozenset())
    found = waits.of(TimeoutsRow(answer_s=1.0), local=False, reasons=True)
    assert (found.answer_s, found.first_token_s) == (1.0, 300.0)
