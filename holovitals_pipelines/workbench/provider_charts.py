"""Charts that set vendors side by side: a panel a measure, what each of them holds, whom they have in common."""

from __future__ import annotations

import altair as alt
import pandas as pd

from holovitals_pipelines.workbench.chart_style import BAR, dressed, nothing, plain

MEASURES = {
    "records": "records held",
    "resources_per_second": "resources by working second",
    "changed_percent": "changed when read (%)",
    "p50_ms": "usual request (ms)",
    "p95_ms": "slow request (ms)",
    "failed_percent": "requests that failed (%)",
    "conflicts_per_1000": "conflicts in 1000 readings",
    "quarantined_per_1000": "refused in 1000 readings",
    "waited_seconds": "waited as the vendor asked (s)",
}
"""Columns of `Workbench.providers()` that are drawn, each in a panel with a scale of its own."""
_PANEL = 170


def compared(frame: pd.DataFrame) -> alt.Chart | alt.ConcatChart:
    """`Workbench.providers()`: a panel a measure, connections in the same order in each."""
    title = "Vendors side by side"
    if frame.empty:
        return nothing(title)
    names = list(frame["connection"])
    panels = []
    for place, (measure, said) in enumerate(MEASURES.items()):
        bars = alt.Chart(plain(frame[["connection", "provider", measure]].fillna({measure: 0}))).encode(
            y=alt.Y("connection:N", title=None, sort=names, axis=alt.Axis(labels=place % 3 == 0, ticks=False)),
            x=alt.X(f"{measure}:Q", title=None, axis=None),
            tooltip=["connection:N", "provider:N", alt.Tooltip(f"{measure}:Q", format=",.6~g")],
        )
        text = bars.mark_text(align="left", dx=4, fontSize=11, color="#404040").encode(
            text=alt.Text(f"{measure}:Q", format=",.2~f")
        )
        panel = alt.layer(bars.mark_bar(height=BAR - 6, color="#0072B2"), text)
        panels.append(panel.properties(width=_PANEL, height=alt.Step(BAR), title=alt.TitleParams(said, fontSize=12)))
    together: alt.ConcatChart = alt.concat(*panels, columns=3, spacing=24, title=title)
    return dressed(together)


def coverage(frame: pd.DataFrame) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    """`Workbench.records()`: how many records of each type each connection has; an empty cell is none."""
    title = "What each connection holds"
    if frame.empty:
        return nothing(title)
    return _matrix(frame, title, "connection", "resource_type", "records", logarithmic=True)


def overlap(frame: pd.DataFrame) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    """`Workbench.person_overlap()`: how many persons each pair of connections knows both."""
    title = "Persons that two connections both know"
    if frame.empty:
        return nothing(title, "No two connections know the same person, or nothing has been synced.")
    mirrored = frame.rename(columns={"connection": "other_connection", "other_connection": "connection"})
    return _matrix(pd.concat([frame, mirrored]), title, "connection", "other_connection", "persons", logarithmic=False)


def _matrix(
    frame: pd.DataFrame, title: str, across: str, down: str, amount: str, *, logarithmic: bool
) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    scale = alt.Scale(type="symlog" if logarithmic else "linear", scheme="blues")
    most = max(float(frame[amount].max()), 1.0)
    base = alt.Chart(plain(frame), title=title).encode(
        x=alt.X(f"{across}:N", title=None, axis=alt.Axis(orient="top", labelAngle=-30, labelLimit=130)),
        y=alt.Y(f"{down}:N", title=None, axis=alt.Axis(labelLimit=200)),
        tooltip=[f"{across}:N", f"{down}:N", f"{amount}:Q"],
    )
    cells = base.mark_rect(stroke="white", strokeWidth=2).encode(
        color=alt.Color(f"{amount}:Q", scale=scale, legend=None)
    )
    # White is read on the dark half of the scheme only.
    dark = f"datum.{amount} > {most**0.7 if logarithmic else most * 0.6}"
    numbers = base.mark_text(fontSize=11).encode(
        text=alt.Text(f"{amount}:Q", format=",d"), color=alt.condition(dark, alt.value("white"), alt.value("#303030"))
    )
    wide = 62 * max(frame[across].nunique(), 2)
    return dressed(alt.layer(cells, numbers).properties(width=wide, height=alt.Step(BAR + 4)))
