"""Charts of the workbench's frames; each takes a frame as it came and answers an Altair chart that draws offline.

Colours are Okabe and Ito's, told apart by people with any colour vision; every axis has a title with its unit.
"""

from __future__ import annotations

from typing import Any, TypeVar

import altair as alt
import pandas as pd

OUTCOMES = {
    "created": "#009E73",
    "updated": "#0072B2",
    "unchanged": "#B3B3B3",
    "conflicts": "#D55E00",
    "quarantined": "#CC79A7",
    "duplicates": "#F0E442",
    "superseded": "#56B4E9",
}
"""What became of a reading, in the order in which bars stack, and its colour."""

STAGES = {"extract": "#0072B2", "transform": "#E69F00", "reconcile": "#009E73"}
JOBS = {"completed": "#0072B2", "failed": "#D55E00"}
CONNECTIONS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000", "#8C6D31")

Drawn = TypeVar("Drawn")

WIDTH = 680
BAR = 18

SHORTEST_MS = 0.1
"""Shorter times are drawn here: a logarithmic axis has no zero."""

NOTHING_YET = "Nothing to draw yet: run «holovitals demo», or «holovitals sync», then bench.refresh()."


def trend(frame: pd.DataFrame) -> alt.Chart | alt.VConcatChart:
    """`Workbench.trend()`: resources read a day by connection, above the jobs of the day by outcome."""
    if frame.empty:
        return _nothing("Resources read a day")
    day = alt.X(
        "yearmonthdate(day):T", title="day (UTC)", axis=alt.Axis(format="%b %d", tickCount="day", labelOverlap=True)
    )
    lines = (
        alt.Chart(_plain(frame), title="Resources read a day, by connection")
        .mark_line(point=alt.OverlayMarkDef(size=60))
        .encode(
            x=day,
            y=alt.Y("extracted:Q", title="resources read"),
            color=alt.Color("connection:N", title="connection", scale=alt.Scale(range=list(CONNECTIONS))),
            tooltip=["day:T", "connection:N", "extracted:Q", "created:Q", "updated:Q", "conflicts:Q", "quarantined:Q"],
        )
        .properties(width=WIDTH, height=220)
    )
    jobs = frame.assign(completed=frame["jobs"] - frame["failed_jobs"], failed=frame["failed_jobs"]).melt(
        id_vars=["day"], value_vars=list(JOBS), var_name="ended", value_name="count"
    )
    counts = jobs.groupby(["day", "ended"], as_index=False).sum()
    most = int(counts.groupby("day")["count"].sum().max())
    bars = (
        alt.Chart(_plain(counts), title="Jobs a day, by how they ended")
        .mark_bar()
        .encode(
            x=day,
            y=alt.Y("count:Q", title="jobs", axis=alt.Axis(format="d", tickCount=min(most, 4))),
            color=_colours("ended", "job ended", JOBS),
            tooltip=["day:T", "ended:N", "count:Q"],
        )
        .properties(width=WIDTH, height=110)
    )
    both: alt.VConcatChart = alt.vconcat(lines, bars).resolve_scale(color="independent", x="shared")
    return _dressed(both)


def volumes(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.volumes()`: resources read by type, each bar divided by what became of them."""
    if frame.empty:
        return _nothing("Resources read, by type and outcome")
    order = {name: position for position, name in enumerate(OUTCOMES)}
    chart: alt.Chart = (
        alt.Chart(
            _plain(frame.assign(position=frame["outcome"].map(order))), title="Resources read, by type and outcome"
        )
        .mark_bar(height=BAR - 4)
        .encode(
            x=alt.X("sum(resources):Q", title="resources read"),
            y=alt.Y("resource_type:N", title=None, sort="-x"),
            color=_colours("outcome", "what became of them", OUTCOMES),
            order=alt.Order("position:Q"),
            tooltip=["resource_type:N", "outcome:N", "sum(resources):Q"],
        )
        .properties(width=WIDTH, height=alt.Step(BAR))
    )
    return _dressed(chart)


def stages(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.slowest_stages()`: working seconds of each stage of each resource type, the costliest first."""
    if frame.empty:
        return _nothing("Slowest stages")
    labelled = frame.assign(what=frame["connection"] + " · " + frame["resource_type"] + " · " + frame["stage"])
    chart: alt.Chart = (
        alt.Chart(_plain(labelled), title="Slowest stages")
        .mark_bar(height=BAR - 4)
        .encode(
            x=alt.X("seconds:Q", title="working time (seconds)"),
            y=alt.Y("what:N", title=None, sort="-x", axis=alt.Axis(labelLimit=320)),
            color=_colours("stage", "stage", STAGES),
            tooltip=[
                "connection:N",
                "resource_type:N",
                "stage:N",
                "jobs:Q",
                alt.Tooltip("seconds:Q", format=",.2f"),
                alt.Tooltip("resources_per_second:Q", format=",.0f"),
            ],
        )
        .properties(width=WIDTH - 120, height=alt.Step(BAR))
    )
    return _dressed(chart)


def latency(frame: pd.DataFrame) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    """`Workbench.latency()`: how long requests took by operation, from the usual (p50) to the slow (p95)."""
    if frame.empty:
        return _nothing("What requests cost")
    labelled = _plain(
        frame.assign(
            what=frame["connection"] + " · " + frame["operation"],
            usual=frame["p50_ms"].clip(lower=SHORTEST_MS),
            slow=frame["p95_ms"].clip(lower=SHORTEST_MS),
        )
    )
    base = alt.Chart(labelled, title="What requests cost: usual (p50, filled) to slow (p95, open)").encode(
        y=alt.Y("what:N", title=None, sort=alt.SortField("p95_ms", "descending"), axis=alt.Axis(labelLimit=320)),
        tooltip=[
            "connection:N",
            "operation:N",
            "requests:Q",
            "failures:Q",
            "retries:Q",
            alt.Tooltip("p50_ms:Q", format=",.1f"),
            alt.Tooltip("p95_ms:Q", format=",.1f"),
            alt.Tooltip("max_ms:Q", format=",.1f"),
        ],
    )
    scale = alt.Scale(type="log", nice=True)
    axis = alt.Axis(format="~g", tickCount=6)
    chart = alt.layer(
        base.mark_rule(strokeWidth=2, color="#8C8C8C").encode(
            x=alt.X("usual:Q", title="time to answer (milliseconds, logarithmic)", scale=scale, axis=axis), x2="slow:Q"
        ),
        base.mark_point(size=70, filled=True, opacity=1, color="#0072B2").encode(x=alt.X("usual:Q", scale=scale)),
        base.mark_point(size=70, filled=False, strokeWidth=2, opacity=1, color="#D55E00").encode(
            x=alt.X("slow:Q", scale=scale)
        ),
    ).properties(width=WIDTH - 120, height=alt.Step(BAR + 4))
    return _dressed(chart)


def _colours(field: str, title: str, palette: dict[str, str]) -> alt.Color:
    scale = alt.Scale(domain=list(palette), range=list(palette.values()))
    return alt.Color(f"{field}:N", title=title, scale=scale)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Instants without a zone: Vega would otherwise shift days into the browser's own."""
    zoned = frame.select_dtypes("datetimetz").columns
    return frame.assign(**{name: frame[name].dt.tz_localize(None) for name in zoned})


def _nothing(title: str) -> alt.Chart:
    chart: alt.Chart = (
        alt.Chart(pd.DataFrame({"text": [NOTHING_YET]}), title=title)
        .mark_text(fontSize=13, color="#595959")
        .encode(text="text:N")
        .properties(width=WIDTH, height=60)
    )
    return _dressed(chart)


def _dressed(chart: Drawn) -> Drawn:
    """The common look, and the renderer that JupyterLab can draw without a network."""
    alt.renderers.register("holovitals", _offline)
    alt.renderers.enable("holovitals")
    plain: Any = chart
    dressed: Drawn = (
        plain.configure(background="white", padding=12)
        .configure_view(stroke=None)
        .configure_title(anchor="start", fontSize=14, offset=10)
        .configure_axis(labelFontSize=11, titleFontSize=11, titleFontWeight="normal", gridColor="#EBEBEB")
        .configure_legend(labelFontSize=11, titleFontSize=11, titleFontWeight="normal", orient="bottom")
    )
    return dressed


def _offline(spec: dict[str, Any], **_: Any) -> dict[str, Any]:
    """The chart for JupyterLab's own Vega-Lite, instead of a page that loads one from the internet.

    JupyterLab 4 draws Vega-Lite 5; Altair 6 announces version 6, which nothing there would draw. The charts above use
    nothing that came after version 5.
    """
    schema = "https://vega.github.io/schema/vega-lite/v5.json"
    return {
        "application/vnd.vegalite.v5+json": {**spec, "$schema": schema},
        "text/plain": f"<chart: {_title(spec)}>",
    }


def _title(spec: dict[str, Any]) -> str:
    for part in (spec, *spec.get("vconcat", []), *spec.get("layer", [])):
        if "title" in part:
            title = part["title"]
            return str(title["text"] if isinstance(title, dict) else title)
    return "untitled"
