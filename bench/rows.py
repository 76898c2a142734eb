"""What visits showed, by measure, target and round; and how figures are written for people."""

from collections.abc import Sequence

from bench.visits import Visit


def values(visits: Sequence[Visit], measure: str, name: str) -> dict[int, float]:
    """By round; a later visit of the same round counts."""
    return {
        visit.round: visit.measures[measure]
        for visit in visits
        if visit.target == name and measure in visit.measures
    }


def added(visits: Sequence[Visit], measure: str, name: str, base: str) -> list[float]:
    """What `name` has more than `base` of the same round."""
    ground = values(visits, measure, base)
    own = values(visits, measure, name)
    return [value - ground[one] for one, value in own.items() if one in ground]


def ratios(
    visits: Sequence[Visit], measure: str, name: str, base: str, *, of: str | None = None
) -> list[float]:
    """How many times that of `base` in the same round; of another measure `of` where given."""
    ground = values(visits, of or measure, base)
    own = values(visits, measure, name)
    return [value / ground[one] for one, value in own.items() if ground.get(one)]


def number(value: float, sign: str = "") -> str:
    """With as many digits as mean something, and a plus where `sign` is one."""
    plus = sign if value >= 0 else ""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 4
    return f"{plus}{value:,.{digits}f}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table: its heads, then its rows; numbers to the right of a first column of words."""
    head, *rest = rows
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rest])
