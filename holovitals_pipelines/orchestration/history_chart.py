"""A small picture of the last runs, drawn into the metadata of a materialization: a row of bars for each count.

Law: it is a few hundred bytes without a reference to anything, for Dagster keeps one for every event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

COLOURS = {
    "created": "#009E73",
    "updated": "#0072B2",
    "unchanged": "#999999",
    "conflicts": "#E69F00",
    "held": "#D55E00",
    "quarantined": "#CC3311",
    "pushed": "#56B4E9",
    "refused writes": "#CC3311",
    "seconds": "#8C6BB1",
}
"""Okabe and Ito's, told apart by people with any colour vision."""
_TEXT = "#7A8594"
"""Read on Dagster's light theme and on its dark one."""

_LABEL, _STEP, _ROW, _HEIGHT = 190, 15, 26, 18
"""Bars are strokes of twelve, to the right of what they count."""
LONGEST = 1000
"""Dagster shows at once what is shorter than this, and longer texts behind a button."""
_LEFT_OUT_FIRST = ("seconds", "unchanged", "earlier runs", "updated", "created", "pushed")
"""What asks for a person is never left out; the others are plotted by Dagster too."""
_STILL_SHOWN = 6
"""Runs, once earlier ones are left out."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, and what it counted."""

    at: datetime
    counts: Mapping[str, float]


def history_chart(runs: Sequence[Run], names: Sequence[str]) -> dg.MarkdownMetadataValue:
    """`runs`: the oldest first. A count that was never anything has no row; each row has its own scale.

    Where the picture would be too long to be seen at once it is of fewer counts and runs.
    """
    shown = [name for name in names if any(run.counts.get(name) for run in runs)]
    if not shown:
        return dg.MetadataValue.md(f"nothing has been counted in the last {len(runs)} runs")
    picture = _picture(runs, shown)
    for name in _LEFT_OUT_FIRST:
        if len(picture) < LONGEST:
            break
        if name == "earlier runs":
            runs = runs[-_STILL_SHOWN:]
        shown = [one for one in shown if one != name] or shown
        picture = _picture(runs, shown)
    return dg.MetadataValue.md(picture)


def _picture(runs: Sequence[Run], names: Sequence[str]) -> str:
    alt = f"the last {len(runs)} runs, from {runs[0].at:%Y-%m-%d %H:%M} to {runs[-1].at:%Y-%m-%d %H:%M} UTC"
    drawn = _drawn(runs, names).replace("%", "%25").replace("#", "%23").replace("<", "%3C").replace(">", "%3E")
    return f"![{alt}](<data:image/svg+xml,{drawn}>)"


def _drawn(runs: Sequence[Run], names: Sequence[str]) -> str:
    foot = len(names) * _ROW + 12
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_LABEL + max(len(runs) * _STEP, 160)}' height='{foot + 6}'"
        f" font-family='sans-serif' font-size='11' fill='{_TEXT}' stroke-width='12'>"
    ]
    for place, name in enumerate(names):
        values = [run.counts.get(name, 0) for run in runs]
        base = place * _ROW + _HEIGHT + 2
        parts.append(f"<path stroke='{COLOURS[name]}' d='M{_LABEL - 9} {base}{_bars(values)}'/>")
        parts.append(f"<text y='{base - 3}'>{name}: {_number(values[-1])} now, {_number(max(values))} at most</text>")
    first, last = f"{runs[0].at:%d %b %H:%M}", f"{runs[-1].at:%d %b %H:%M} UTC"
    when = last if len(runs) == 1 else f"{first} – {last}"
    return "".join(parts) + f"<text x='{_LABEL}' y='{foot}'>{when}</text></svg>"


def _bars(values: Sequence[float]) -> str:
    """One path for a row: a bar a run, a hairline where there was nothing."""
    most = max(values)
    tall = [max(2, round(value / most * _HEIGHT)) if value else 1 for value in values]
    return "".join(f"m{_STEP} {down}v-{up}" for up, down in zip(tall, [0, *tall], strict=False))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"
