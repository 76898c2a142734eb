"""Efforts and budgets, each said in terms of the other."""

from typing import Any

import pytest

from proxy.dialects.thinking import EFFORT_RATIOS, budget_of, check_optional, effort_of, wish_of
from proxy.errors import GatewayError
from proxy.wire.request import Ask, Effort, Thinking


def thinking(**wish: Any) -> Thinking:
    return Thinking(wish=wish, effort=wish.get("effort"), max_tokens=wish.get("max_tokens"))


BUDGETS: list[tuple[dict[str, Any], int, int | None]] = [
    ({}, 1000, None),
    ({"effort": "none"}, 1000, 0),
    ({"effort": "high"}, 10_000, 8000),
    ({"effort": "xhigh"}, 10_000, 9500),
    ({"effort": "medium"}, 64_000, 32_000),
    ({"effort": "minimal"}, 4096, 1024),
    ({"effort": "max"}, 1_000_000, 128_000),
    ({"max_tokens": 5}, 64_000, 1024),
    ({"max_tokens": 3000, "effort": "low"}, 64_000, 3000),
    ({"max_tokens": 10**9}, 64_000, 128_000),
]


@pytest.mark.parametrize(("wish", "completion_max", "budget"), BUDGETS, ids=str)
def test_budgets(wish: dict[str, Any], completion_max: int, budget: int | None) -> None:
    assert budget_of(thinking(**wish), completion_max) == budget


@pytest.mark.parametrize(
    ("effort", "ratio"),
    [
        ("max", 0.95),
        ("xhigh", 0.95),
        ("high", 0.8),
        ("medium", 0.5),
        ("low", 0.2),
        ("minimal", 0.1),
    ],
)
@pytest.mark.parametrize("completion_max", [1, 2_000, 10_240, 64_000, 10**6])
def test_a_budget_is_the_share_that_an_effort_is_of_the_limit_within_its_bounds(
    effort: Effort, ratio: float, completion_max: int
) -> None:
    assert EFFORT_RATIOS[effort] == ratio
    told = budget_of(thinking(effort=effort), completion_max)
    assert told == max(min(int(completion_max * ratio), 128_000), 1024)


EFFORTS: list[tuple[dict[str, Any], int | None, Effort | None]] = [
    ({}, None, None),
    ({"effort": "xhigh"}, None, "xhigh"),
    ({"max_tokens": 2000}, None, "medium"),
    ({"max_tokens": 2000}, 20_000, "minimal"),
    ({"max_tokens": 16_000}, 20_000, "high"),
]


@pytest.mark.parametrize(("wish", "completion_max", "effort"), EFFORTS, ids=str)
def test_efforts(wish: dict[str, Any], completion_max: int | None, effort: Effort | None) -> None:
    assert effort_of(thinking(**wish), completion_max) == effort


@pytest.mark.parametrize(
    ("effort", "nearest"), [("max", "high"), ("minimal", "low"), ("none", "low"), ("low", "low")]
)
def test_an_effort_that_is_not_known_becomes_the_nearest(effort: Effort, nearest: Effort) -> None:
    assert effort_of(thinking(effort=effort), None, known=("low", "high")) == nearest


WISHES: list[tuple[Thinking | None, object, Thinking | None]] = [
    (None, None, None),
    (None, "low", thinking(effort="low")),
    (None, "much", None),
    (None, ["low"], None),
    (thinking(effort="none"), "high", thinking(effort="none")),
    (thinking(max_tokens=2000), "high", thinking(max_tokens=2000)),
]


@pytest.mark.parametrize(("said", "effort", "wish"), WISHES, ids=str)
def test_an_effort_beside_the_wish_counts_where_nothing_else_says_how_much(
    said: Thinking | None, effort: object, wish: Thinking | None
) -> None:
    found = wish_of(Ask(models=("m",), body={"reasoning_effort": effort}, thinking=said))
    assert (found and (found.effort, found.max_tokens)) == (wish and (wish.effort, wish.max_tokens))


def test_a_wish_that_says_not_how_much_keeps_what_it_says() -> None:
    said = Thinking(wish={"exclude": True}, hidden=True)
    found = wish_of(Ask(models=("m",), body={"reasoning_effort": "low"}, thinking=said))
    assert found == Thinking(wish={"exclude": True}, effort="low", hidden=True)


def test_a_wish_to_think_never_becomes_none() -> None:
    known: tuple[Effort, ...] = ("none", "high")
    assert effort_of(thinking(effort="minimal"), None, known=known) == "high"
    assert effort_of(thinking(effort="minimal"), None, known=("none",)) is None


@pytest.mark.parametrize(
    ("models", "wish", "body", "refused"),
    [
        (("m",), {"effort": "none"}, {}, True),
        (("m",), {}, {"reasoning_effort": "none"}, True),
        (("a/b", "m"), {"effort": "none"}, {}, True),
        (("~a/b-latest",), {"effort": "none"}, {}, False),
        (("m",), {"effort": "low"}, {"reasoning_effort": "none"}, False),
        (("m",), {"max_tokens": 2000}, {}, False),
        (("m",), {}, {}, False),
    ],
    ids=str,
)
def test_only_who_will_have_no_thoughts_is_told_that_they_are_mandatory(
    models: tuple[str, ...], wish: dict[str, Any], body: dict[str, Any], refused: bool
) -> None:
    asked = Ask(models=models, body=body, thinking=thinking(**wish))
    if not refused:
        check_optional(asked)
        return
    with pytest.raises(GatewayError) as raised:
        check_optional(asked)
    assert (raised.value.kind, raised.value.status) == ("provider_unfit", 400)
    assert raised.value.message.startswith("reasoning: ")
