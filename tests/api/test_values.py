"""The values of a query: what each parameter takes, and refusals that name it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from proxy.api.values import names_of, number_of, one_of, said_of, words_of
from proxy.errors import GatewayError
from proxy.wire.preferences import LISTED_MAX

TAKEN = ("q", "limit")


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([], {}),
        ([("q", "a"), ("limit", "2")], {"q": "a", "limit": "2"}),
        ([("q", ""), ("limit", "")], {}),
        ([("q", ""), ("q", "a"), ("q", "")], {"q": "a"}),
        ([("utm", "1"), ("utm", "2")], {"utm": "2"}),
    ],
)
def test_a_query_says_what_has_a_value(pairs: list[tuple[str, str]], said: dict[str, str]) -> None:
    assert said_of(pairs, TAKEN) == said


@pytest.mark.parametrize("second", ["a", "b"])
def test_what_is_said_twice_is_refused(second: str) -> None:
    with pytest.raises(GatewayError, match=r"^q: must be said once; a list is one value") as caught:
        said_of([("q", "a"), ("limit", "1"), ("q", second)], TAKEN)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (lambda: one_of("x", "b", ("a", "b")), "b"),
        (lambda: words_of("x", "b, a", ("a", "b")), {"a", "b"}),
        (lambda: names_of("x", "Acme AI,b"), {"acme ai", "b"}),
        (lambda: number_of("x", "1e-07"), Decimal("1e-7")),
        (lambda: number_of("x", "0.20"), Decimal("0.2")),
    ],
)
def test_a_value_is_read(read: Callable[[], Any], found: Any) -> None:
    assert read() == found


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (lambda: one_of("x", "B", ("a", "b")), "must be a or b"),
        (lambda: words_of("x", "a,", ("a", "b")), "must be of a, b"),
        (lambda: words_of("x", "c", ("all", "a", "b")), "must be all, or of a, b"),
        (
            lambda: names_of("x", ",".join(map(str, range(LISTED_MAX + 1)))),
            f"must be at most {LISTED_MAX} names",
        ),
        *((lambda text=text: number_of("x", text), "must be a number from 0")
          for text in ("", "-1", ".5", "NaN", "inf", "1_0", "\u0661", "1e100", "9" * 16)),
    ],
)  # fmt: skip
def test_what_a_parameter_does_not_take_is_refused(read: Callable[[], Any], why: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read()
    assert (caught.value.kind, caught.value.message) == ("invalid_request", f"x: {why}")
