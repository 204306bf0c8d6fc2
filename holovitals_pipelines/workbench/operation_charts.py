"""Charts of operations: where the time of jobs goes, how they end, and what becomes of webhook events."""

from __future__ import annotations

import altair as alt
import pandas as pd

from holovitals_pipelines.workbench.chart_style import BAR, WIDTH, colours, dressed, nothing, plain

PARTS = {"waits to begin": "#E69F00", "works": "#0072B2", "everything else": "#B3B3B3"}
ENDINGS = {"completed": "#009E73", "completed after a retry": "#56B4E9", "failed": "#D55E00", "cancelled": "#B3B3B3"}
EVENTS = {
    "FAILED": "#D55E00",
    "RETRYING": "#E69F00",
    "RECEIVED": "#F0E442",
    "VALIDATED": "#56B4E9",
    "PROCESSING": "#0072B2",
    "COMPLETED": "#009E73",
    "IGNORED": "#B3B3B3",
}


def parts(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.job_parts()`: the mean job of each connection and type, from the asking to its end."""
    title = "Where the time of a job goes, from the asking to the end"
    if frame.empty:
        return nothing(title)
    named = frame.rename(columns=dict(zip(("waited_seconds", "worked_seconds", "other_seconds"), PARTS, strict=True)))
    long = named.assign(what=named["connection"] + " · " + named["type"]).melt(
        id_vars=["what", "jobs", "lasted_p95_seconds"], value_vars=list(PARTS), var_name="part", value_name="seconds"
    )
    return _bars(long, title, "seconds", "seconds (mean)", "part", PARTS, ["jobs:Q", "lasted_p95_seconds:Q"])


def endings(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.job_endings()`: ended jobs by connection, each bar divided by how they ended."""
    title = "How jobs ended"
    if frame.empty:
        return nothing(title)
    told = frame.assign(what=frame["connection"])
    return _bars(told, title, "jobs", "jobs", "ending", ENDINGS, ["error_code:N", "attempts:Q"])


def events(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.webhook_events()`: events by connection and type, each bar divided by what became of them."""
    title = "Webhook events, by what became of them"
    if frame.empty:
        return nothing(title, "No webhook event has come in: «holovitals webhooks register» lets one in.")
    told = frame.assign(what=frame["connection"] + " · " + frame["event_type"])
    return _bars(told, title, "events", "events", "status", EVENTS, ["repeats:Q", "p50_seconds:Q", "p95_seconds:Q"])


def _bars(
    frame: pd.DataFrame, title: str, amount: str, unit: str, field: str, palette: dict[str, str], told: list[str]
) -> alt.Chart:
    """A bar for each `what`, the longest first, divided by `field` in the palette's order."""
    place = {name: position for position, name in enumerate(palette)}
    chart: alt.Chart = (
        alt.Chart(plain(frame.assign(position=frame[field].map(place))), title=title)
        .mark_bar(height=BAR - 4)
        .encode(
            x=alt.X(f"sum({amount}):Q", title=unit, axis=alt.Axis(format="~s")),
            y=alt.Y("what:N", title=None, sort="-x", axis=alt.Axis(labelLimit=320)),
            color=colours(field, field, palette),
            order=alt.Order("position:Q"),
            tooltip=["what:N", f"{field}:N", f"sum({amount}):Q", *told],
        )
        .properties(width=WIDTH - 120, height=alt.Step(BAR))
    )
    return dressed(chart)
