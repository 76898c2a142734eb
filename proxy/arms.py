"""What `weir ab show` prints: the arms of an alias side by side."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from proxy.aliases import Alias
from proxy.api.aliases import trial_row
from proxy.stores.trials import ArmRow
from proxy.tables import dump, table


def arms(rows: Sequence[tuple[Alias, Sequence[ArmRow]]], *, since: float, as_json: bool) -> str:
    """One column for each arm, one line for each figure."""
    found = [trial_row(alias, arms, since=since) for alias, arms in rows]
    if as_json:
        return dump(found)
    if not found:
        return "no alias is configured"
    return "\n\n".join(_trial(row) for row in found)


def _trial(row: dict[str, Any]) -> str:
    arms = row["arms"]
    lines = [[name, *(shown(arm) for arm in arms)] for name, shown in _FIGURES]
    for field, words in (("finish_reasons", "ended: "), ("feedback", "said: ")):
        counts = [arm[field].get("categories", arm[field]) for arm in arms]
        names = sorted({name for one in counts for name in one})
        lines += [[words + name, *(f"{one.get(name, 0):,}" for one in counts)] for name in names]
    head = f"{row['id']}   sticky: {row['sticky']}   since: {row['since']}"
    return "\n".join([head, table(["", *(arm["model"] for arm in arms)], lines)])


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _waits(arm: dict[str, Any], name: str) -> str:
    return " / ".join("?" if one is None else f"{one:,}" for one in arm[name].values())


_FIGURES: Final[tuple[tuple[str, Callable[[dict[str, Any]], str]], ...]] = (
    ("weight", lambda arm: "none now" if arm["weight"] is None else f"{arm['weight']:g}"),
    ("requests", lambda arm: f"{arm['requests']:,}"),
    ("share", lambda arm: _share(arm["share"])),
    ("errors", lambda arm: f"{arm['errors']:,}"),
    ("error rate", lambda arm: _share(arm["error_rate"])),
    ("hung up", lambda arm: f"{arm['cancelled']:,}"),
    ("cost USD", lambda arm: f"{arm['cost']:.6f}"),
    (
        "cost USD per request",
        lambda arm: "" if arm["cost_per_request"] is None else f"{arm['cost_per_request']:.6f}",
    ),
    ("prompt tokens", lambda arm: f"{arm['tokens_prompt']:,}"),
    ("completion tokens", lambda arm: f"{arm['tokens_completion']:,}"),
    ("first content ms, p50 / p95", lambda arm: _waits(arm, "latency")),
    ("whole answer ms, p50 / p95", lambda arm: _waits(arm, "generation_time")),
    ("answers with feedback", lambda arm: f"{arm['feedback']['generations']:,}"),
    ("feedback rate", lambda arm: _share(arm["feedback"]["ratio"])),
)
"""What is said of each arm, in lines."""
