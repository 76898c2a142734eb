"""What Weir is to reach, next to what it was measured at: medians of what each round says."""

from collections.abc import Sequence
from statistics import median
from typing import Final, Literal, NamedTuple

from bench.rows import added, markdown, number, ratios, values
from bench.visits import Visit


class Aim(NamedTuple):
    """A limit for Weir's `measure`: itself, what it adds to `base`, or how many times that of
    `base` it is; `of` is another measure of `base` to hold it against. `least` is a limit from
    below.
    """

    title: str
    measure: str
    limit: float
    way: Literal["itself", "added", "times"] = "itself"
    base: str = "direct"
    of: str | None = None
    least: bool = False
    own: str = "weir"

    def reached(self, visits: Sequence[Visit]) -> float | None:
        """What was measured; None where it was not."""
        found = list(values(visits, self.measure, self.own).values())
        if self.way == "added":
            found = added(visits, self.measure, self.own, self.base)
        elif self.way == "times":
            found = ratios(visits, self.measure, self.own, self.base, of=self.of)
        return median(found) if found else None


def _times(title: str, measure: str, base: str, limit: float, of: str | None = None) -> Aim:
    return Aim(f"{title}, × {base}", measure, limit, "times", base, of)  # noqa: RUF001


AIMS: Final = (
    _times("CPU per JSON request", "json_cpu_us", "nginx", 3.3),
    _times("CPU per JSON request", "json_cpu_us", "tensorzero", 0.5),
    _times("CPU per JSON request", "json_cpu_us", "litellm", 1 / 150),
    _times("CPU per event at 50/s", "event_cpu_us", "nginx", 1.5),
    _times("CPU per event at 50/s", "event_cpu_us", "tensorzero", 0.6),
    _times("CPU per event at 50/s", "event_cpu_us", "litellm", 1 / 20),
    _times("CPU per event at 200/s", "flood_cpu_us", "nginx", 1.4),
    _times("CPU per event, Anthropic to chat", "claude_cpu_us", "nginx", 2.5, "event_cpu_us"),
    Aim("first byte among streams, p50, added µs", "byte_p50_us", 300, "added"),
    Aim("first byte among streams, p99, added µs", "byte_p99_us", 2000, "added"),
    Aim("delay per event, p99, added µs", "event_p99_us", 1000, "added"),
    Aim("the crowd: share served", "crowd_served", 1.0, least=True),
    Aim("the crowd: delay per event, p99, µs", "crowd_p99_us", 50_000),
    Aim("the crowd: RSS, MB", "rss_crowd_mb", 300),
    Aim("RSS at start, MB", "rss_start_mb", 80),
    Aim("RSS at 500 streams, MB", "rss_many_mb", 95),
    Aim("RSS 60 s after, MB", "rss_rested_mb", 90),
    Aim("two workers, × one", "json_per_s", 1.8, "times", "weir", least=True, own="weir-x2"),  # noqa: RUF001
)


def table(visits: Sequence[Visit]) -> str:
    """Measured, target and whether it is met, in Markdown; then what was not measured."""
    rows = [["Weir complete", "measured", "target", "met"]]
    missing = []
    for aim in AIMS:
        reached = aim.reached(visits)
        if reached is None:
            missing.append(aim.title)
            continue
        met = reached >= aim.limit if aim.least else reached <= aim.limit
        limit = f"{'≥' if aim.least else '≤'} {number(aim.limit)}"
        rows.append([aim.title, number(reached), limit, "yes" if met else "no"])
    text = markdown(rows)
    return text if not missing else f"{text}\n\nNot measured: {'; '.join(missing)}."
