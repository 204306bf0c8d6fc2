"""Charts of how syncs fare; each takes a frame as it came and answers an Altair chart that draws offline."""

from __future__ import annotations

import altair as alt
import pandas as pd

from holovitals_pipelines.workbench.chart_style import BAR, WIDTH, colours, dressed, nothing, plain

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

STAGES = {"extract": "#0072B2", "transform": "#E69F00", "reconcile": "#009E73", "write_back": "#CC79A7"}
JOBS = {"completed": "#0072B2", "failed": "#D55E00"}
CONNECTIONS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000", "#8C6D31")

SHORTEST_MS = 0.1
"""Shorter times are drawn here: a logarithmic axis has no zero."""


def trend(frame: pd.DataFrame) -> alt.Chart | alt.VConcatChart:
    """`Workbench.trend()`: resources read a day by connection, above the jobs of the day by outcome."""
    if frame.empty:
        return nothing("Resources read a day")
    day = alt.X(
        "yearmonthdate(day):T", title="day (UTC)", axis=alt.Axis(format="%b %d", tickCount="day", labelOverlap=True)
    )
    lines = (
        alt.Chart(plain(frame), title="Resources read a day, by connection")
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
        alt.Chart(plain(counts), title="Jobs a day, by how they ended")
        .mark_bar()
        .encode(
            x=day,
            y=alt.Y("count:Q", title="jobs", axis=alt.Axis(format="d", tickCount=min(most, 4))),
            color=colours("ended", "job ended", JOBS),
            tooltip=["day:T", "ended:N", "count:Q"],
        )
        .properties(width=WIDTH, height=110)
    )
    both: alt.VConcatChart = alt.vconcat(lines, bars).resolve_scale(color="independent", x="shared")
    return dressed(both)


def volumes(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.volumes()`: resources read by type, each bar divided by what became of them."""
    if frame.empty:
        return nothing("Resources read, by type and outcome")
    order = {name: position for position, name in enumerate(OUTCOMES)}
    chart: alt.Chart = (
        alt.Chart(
            plain(frame.assign(position=frame["outcome"].map(order))), title="Resources read, by type and outcome"
        )
        .mark_bar(height=BAR - 4)
        .encode(
            x=alt.X("sum(resources):Q", title="resources read"),
            y=alt.Y("resource_type:N", title=None, sort="-x"),
            color=colours("outcome", "what became of them", OUTCOMES),
            order=alt.Order("position:Q"),
            tooltip=["resource_type:N", "outcome:N", "sum(resources):Q"],
        )
        .properties(width=WIDTH, height=alt.Step(BAR))
    )
    return dressed(chart)


def stages(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.slowest_stages()`: working seconds of each stage of each resource type, the costliest first."""
    if frame.empty:
        return nothing("Slowest stages")
    labelled = frame.assign(what=frame["connection"] + " · " + frame["resource_type"] + " · " + frame["stage"])
    chart: alt.Chart = (
        alt.Chart(plain(labelled), title="Slowest stages")
        .mark_bar(height=BAR - 4)
        .encode(
            x=alt.X("seconds:Q", title="working time (seconds)"),
            y=alt.Y("what:N", title=None, sort="-x", axis=alt.Axis(labelLimit=320)),
            color=colours("stage", "stage", STAGES),
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
    return dressed(chart)


def latency(frame: pd.DataFrame) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    """`Workbench.latency()`: how long requests took by operation, from the usual (p50) to the slow (p95)."""
    if frame.empty:
        return nothing("What requests cost")
    labelled = plain(
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
    return dressed(chart)
