"""The table: medians over the rounds with their spread, and ratios within a round."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from bench.visits import BURST_EVENTS, EVENTS_PER_S, Load, Visit


class _Line(NamedTuple):
    """A line of the table; `added` is what a relay adds to the direct way of the same round."""

    title: str
    measure: str
    added: bool = False
    ratio: bool = False


def _lines(load: Load) -> list[_Line]:
    rate = f"{load.streams} × {EVENTS_PER_S:.0f}/s"  # noqa: RUF001 - for people
    return [
        _Line("CPU per JSON request, µs", "json_cpu_us", ratio=True),
        _Line(f"CPU per SSE event ({rate}), µs", "event_cpu_us", ratio=True),
        _Line(f"CPU per answer of {BURST_EVENTS} events at once, µs", "burst_cpu_us", ratio=True),
        _Line("first content, p50, µs", "first_p50_us", added=True),
        _Line("first content, p99, µs", "first_p99_us", added=True),
        _Line("delay per event, p50, µs", "event_p50_us", added=True),
        _Line("delay per event, p99, µs", "event_p99_us", added=True),
        _Line("JSON requests per second", "json_per_s"),
        _Line("RSS at start, MB", "rss_start_mb"),
        _Line(f"RSS at {load.streams} streams, MB", "rss_streams_mb"),
        _Line("RSS after, MB", "rss_after_mb"),
        _Line("cores taken by other programs meanwhile", "others_cores"),
    ]


def table(visits: Sequence[Visit], load: Load) -> str:
    """The whole table in Markdown. A relay's first content and delay are what it adds to `direct`,
    where that was measured; ratios to nginx are taken within each round.
    """
    names = list(dict.fromkeys(visit.target for visit in visits))
    versus = [name for name in names if name not in ("direct", "nginx") and "nginx" in names]
    heads = ["", *names, *(f"{name} × nginx" for name in versus)]  # noqa: RUF001 - for people
    rows = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    for line in _lines(load):
        cells = [_cell(visits, line, name) for name in names]
        rows.append([line.title, *cells, *(_ratio(visits, line, name) for name in versus)])
    for title, count in (("complete answers", _answers), ("answers that failed", _faults)):
        counts = [str(sum(count(one) for one in visits if one.target == name)) for name in names]
        rows.append([title, *counts, *("" for _ in versus)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def faults(visits: Sequence[Visit]) -> list[str]:
    """One line for each visit that saw answers fail."""
    return [
        f"round {visit.round + 1}, {visit.target}: {count} answers failed: {what}"
        for visit in visits
        for what, count in visit.faults.items()
    ]


def _answers(visit: Visit) -> int:
    return visit.answers


def _faults(visit: Visit) -> int:
    return sum(visit.faults.values())


def _values(visits: Sequence[Visit], measure: str, name: str) -> dict[int, float]:
    """By round."""
    return {
        visit.round: visit.measures[measure]
        for visit in visits
        if visit.target == name and measure in visit.measures
    }


def _cell(visits: Sequence[Visit], line: _Line, name: str) -> str:
    values = _values(visits, line.measure, name)
    sign = ""
    if line.added and name != "direct":
        direct = _values(visits, line.measure, "direct")
        if direct:
            values = {one: value - direct[one] for one, value in values.items() if one in direct}
            sign = "+"
    return _spread(list(values.values()), sign)


def _ratio(visits: Sequence[Visit], line: _Line, name: str) -> str:
    if not line.ratio:
        return ""
    base = _values(visits, line.measure, "nginx")
    values = _values(visits, line.measure, name)
    return _spread([value / base[one] for one, value in values.items() if base.get(one)])


def _spread(values: list[float], sign: str = "") -> str:
    """The median, and in brackets the least and the most."""
    if not values:
        return "–"  # noqa: RUF001 - a dash for people
    texts = [_number(value, sign) for value in (median(values), min(values), max(values))]
    return f"{texts[0]} ({texts[1]}–{texts[2]})" if len(values) > 1 else texts[0]  # noqa: RUF001


def _number(value: float, sign: str) -> str:
    plus = sign if value >= 0 else ""
    return (
        f"{plus}{value:,.0f}"
        if abs(value) >= 100
        else f"{plus}{value:.{1 if abs(value) >= 1 else 2}f}"
    )
