"""`python -m bench.chart RESULT.json`: what each relay costs, as bars in SVG.

One panel for requests and one for events, on a logarithmic scale. It is text: every figure stands
beside its bar, and the colours follow the reader's scheme.
"""

import os
from collections.abc import Sequence
from math import ceil, floor, log10
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import escape

import click
import msgspec

from bench.rows import number, values
from bench.visits import Visit

OUT: Final = Path(__file__).with_suffix(".svg")
PANELS: Final = {
    "json_cpu_us": "CPU per request, µs",
    "event_cpu_us": "CPU per streamed event, µs (100 streams × 50/s)",  # noqa: RUF001 - for people
}
NAMES: Final = {
    "nginx": "nginx",
    "pipe": "raw pipe in Python",
    "weir": "Weir, complete",
    "weir-open": "Weir, without keys",
    "tensorzero": "TensorZero",
    "portkey": "Portkey",
    "litellm": "LiteLLM",
}
WIDTH: Final = 760
_LEFT, _RIGHT, _BAR, _GAP, _HEAD, _FOOT = 150, 90, 18, 9, 34, 26
_STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .head { font-weight: 600; }
  .tick { font-size: 11px; fill: #57606a; }
  .grid { stroke: #d0d7de; stroke-width: 1; }
  .bar { fill: #8c959f; }
  .own { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .tick { fill: #9198a1; }
    .grid { stroke: #3d444d; }
    .bar { fill: #656c76; }
    .own { fill: #4493f8; }
  }"""


class Bar(NamedTuple):
    """One relay's figure."""

    name: str
    micros: float

    @property
    def label(self) -> str:
        """For people."""
        return NAMES.get(self.name, self.name)


def bars(visits: Sequence[Visit], measure: str) -> list[Bar]:
    """The median of every relay that has that figure, the cheapest first."""
    found = {name: values(visits, measure, name) for name in {one.target for one in visits}}
    medians = [Bar(name, median(by.values())) for name, by in found.items() if by]
    return sorted((bar for bar in medians if bar.micros > 0), key=lambda bar: bar.micros)


def drawn(visits: Sequence[Visit], about: str) -> str:
    """The whole picture."""
    panels = {title: bars(visits, measure) for measure, title in PANELS.items()}
    panels = {title: found for title, found in panels.items() if found}
    said = "; ".join(
        f"{title}: " + ", ".join(f"{bar.label} {number(bar.micros)}" for bar in found)
        for title, found in panels.items()
    )
    parts, top = list[str](), 0
    for title, found in panels.items():
        parts.append(_panel(title, found, top))
        top += _HEAD + len(found) * (_BAR + _GAP) + _FOOT
    height = top + 22
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="title desc">',
        '<title id="title">What each gateway costs in CPU time</title>',
        f'<desc id="desc">{escape(said)}. Shorter is better; the scale is logarithmic.</desc>',
        f"<style>{_STYLE}\n</style>",
        *parts,
        f'<text class="tick" x="8" y="{height - 7}">'
        f"Shorter is better; logarithmic. {escape(about)}</text>",
        "</svg>\n",
    ])  # fmt: skip


def _panel(title: str, found: Sequence[Bar], top: int) -> str:
    low = floor(log10(found[0].micros))
    high = max(ceil(log10(found[-1].micros)), low + 1)
    bottom = top + _HEAD + len(found) * (_BAR + _GAP)
    room = WIDTH - _LEFT - _RIGHT

    def x(micros: float) -> float:
        return _LEFT + room * (log10(micros) - low) / (high - low)

    parts = [f'<text class="head" x="8" y="{top + 22}">{escape(title)}</text>']
    for power in range(low, high + 1):
        at = f"{x(10.0**power):.1f}"
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{top + _HEAD}" y2="{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{at}" y="{bottom + 14}" text-anchor="middle">'
            f"{10.0**power:,g}</text>"
        )
    for place, bar in enumerate(found):
        y = top + _HEAD + place * (_BAR + _GAP) + _GAP // 2
        end, kind = x(bar.micros), "own" if bar.name.startswith("weir") else "bar"
        parts += [
            f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{max(2.0, end - _LEFT):.1f}" '
            f'height="{_BAR}" rx="2"/>',
            f'<text x="{max(_LEFT + 2.0, end) + 6:.1f}" y="{y + 14}">{number(bar.micros)}</text>',
        ]
    return "\n".join(parts)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("result", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path), default=OUT, help="Where it is written.")
def main(result: Path, out: Path) -> None:
    """Draw the raw rows of a run of the bench."""
    raw: dict[str, Any] = msgspec.json.decode(result.read_bytes())
    visits = msgspec.convert(raw["visits"], list[Visit])
    if not any(bars(visits, measure) for measure in PANELS):
        raise click.ClickException("no relay has a figure of these in that run")
    out.write_text(drawn(visits, str(raw["machine"])), encoding="utf-8")
    click.echo(f"written: {os.path.relpath(out)}")


if __name__ == "__main__":
    main()
