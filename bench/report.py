"""The table: medians over the rounds with their spread, and ratios within a round."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from bench.loads import BURST_EVENTS, EVENTS_PER_S, FLOOD_PER_S, MANY_PER_S, Size
from bench.rows import added, markdown, number, ratios, values
from bench.visits import Visit


class _Line(NamedTuple):
    """A line of the table; `added` is what a relay adds to the direct way of the same round."""

    title: str
    measure: str
    added: bool = False
    ratio: bool = False


def _lines(size: Size) -> list[_Line]:
    rate = f"{size.streams} × {EVENTS_PER_S:.0f}/s"  # noqa: RUF001 - for people
    flood = f"{size.streams} × {FLOOD_PER_S:.0f}/s"  # noqa: RUF001
    many = f"{size.many} streams × {MANY_PER_S:.0f}/s"  # noqa: RUF001
    return [
        _Line("CPU per JSON request, µs", "json_cpu_us", ratio=True),
        _Line(f"CPU per SSE event ({rate}), µs", "event_cpu_us", ratio=True),
        _Line(f"CPU per SSE event ({flood}), µs", "flood_cpu_us", ratio=True),
        _Line("CPU per SSE event, Anthropic to chat, µs", "claude_cpu_us"),
        _Line(f"CPU per answer of {BURST_EVENTS} events at once, µs", "burst_cpu_us", ratio=True),
        _Line(f"CPU per event, {size.crowd} streams × 1/s, µs", "crowd_cpu_us", ratio=True),  # noqa: RUF001
        _Line("lone caller's first content, p50, µs", "first_p50_us", added=True),
        _Line("lone caller's first content, p99, µs", "first_p99_us", added=True),
        _Line(f"first byte among {size.streams} streams, p50, µs", "byte_p50_us", added=True),
        _Line(f"first byte among {size.streams} streams, p99, µs", "byte_p99_us", added=True),
        _Line("delay per event, p50, µs", "event_p50_us", added=True),
        _Line("delay per event, p99, µs", "event_p99_us", added=True),
        _Line(f"delay per event ({flood}), p99, µs", "flood_p99_us", added=True),
        _Line(f"delay per event, {size.crowd} streams, p99, µs", "crowd_p99_us", added=True),
        _Line("JSON requests per second", "json_per_s"),
        _Line("share of the offered events that came in time", "event_share"),
        _Line(f"the same ({flood})", "flood_share"),
        _Line(f"share of {size.crowd} streams that were served", "crowd_served"),
        _Line("RSS at start, MB", "rss_start_mb"),
        _Line(f"RSS at {size.streams} streams, MB", "rss_event_mb"),
        _Line(f"RSS at {many}, MB", "rss_many_mb"),
        _Line(f"RSS {size.rest_s:.0f} s after them, MB", "rss_rested_mb"),
        _Line(f"RSS at {size.crowd} streams, MB", "rss_crowd_mb"),
        _Line("RSS after all, MB", "rss_after_mb"),
        _Line("cores taken by other programs meanwhile", "others_cores"),
    ]


def table(visits: Sequence[Visit], size: Size) -> str:
    """The whole table in Markdown. A relay's first byte and delay are what it adds to `direct`,
    where that was measured; ratios to nginx are taken within each round.
    """
    names = list(dict.fromkeys(visit.target for visit in visits))
    lines = [
        line for line in _lines(size) if any(line.measure in visit.measures for visit in visits)
    ]
    counts = {
        "complete answers": [visit.answers for visit in visits],
        "answers that a peer did not finish in time": [visit.unfinished for visit in visits],
        "answers that failed": [sum(visit.faults.values()) for visit in visits],
    }
    return markdown([
        ["", *names],
        *([line.title, *(_cell(visits, line, name) for name in names)] for line in lines),
        *([title, *(_sum(visits, counted, name) for name in names)]
          for title, counted in counts.items()),
    ])  # fmt: skip


def _sum(visits: Sequence[Visit], counts: Sequence[int], name: str) -> str:
    found = [n for visit, n in zip(visits, counts, strict=True) if visit.target == name]
    return str(sum(found))


def faults(visits: Sequence[Visit]) -> list[str]:
    """One line for each visit that saw answers fail."""
    return [
        f"round {visit.round + 1}, {visit.target}: {count} answers failed: {what}"
        for visit in visits
        for what, count in visit.faults.items()
    ]


def _cell(visits: Sequence[Visit], line: _Line, name: str) -> str:
    if line.added and name != "direct":
        more = added(visits, line.measure, name, "direct")
        if more:
            return _spread(more, "+")
    cell = _spread(list(values(visits, line.measure, name).values()))
    times = ratios(visits, line.measure, name, "nginx") if line.ratio and name != "nginx" else []
    return f"{cell} · {number(median(times))} ×" if times else cell  # noqa: RUF001 - for people


def _spread(found: list[float], sign: str = "") -> str:
    """The median, and in brackets the least and the most."""
    if not found:
        return "–"  # noqa: RUF001 - a dash for people
    texts = [number(value, sign) for value in (median(found), min(found), max(found))]
    return f"{texts[0]} ({texts[1]}–{texts[2]})" if len(found) > 1 else texts[0]  # noqa: RUF001
