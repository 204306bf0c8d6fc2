"""Charts of data quality: which checks hold where, how that goes by day, and what was refused for which rule."""

from __future__ import annotations

import altair as alt
import pandas as pd

from holovitals_pipelines.workbench.chart_style import BAR, WIDTH, colours, dressed, nothing, plain
from holovitals_pipelines.workbench.charts import CONNECTIONS

HELD, EXCEPTIONS, WARNING, ERROR = "all hold", "hold, with exceptions", "a warning fails", "an error fails"
VERDICTS = {HELD: "#009E73", EXCEPTIONS: "#56B4E9", WARNING: "#E69F00", ERROR: "#D55E00"}
_ORDER = list(VERDICTS)


def checks(frame: pd.DataFrame) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    """`Workbench.quality()`: each type at each connection by the worst of its checks' newest results."""
    title = "Checks, by the worst of their newest results"
    if frame.empty:
        return nothing(title)
    judged = frame.assign(place=_places(frame), failing=(~frame["passed"].astype(bool)).astype(int))
    cells = judged.groupby(["connection", "resource_type"], as_index=False).agg(
        place=("place", "max"),
        checks=("check_name", "count"),
        failing=("failing", "sum"),
        unexpected=("unexpected", "sum"),
    )
    cells["verdict"] = [_ORDER[place] for place in cells["place"]]
    base = alt.Chart(cells, title=title).encode(
        x=alt.X("connection:N", title=None, axis=alt.Axis(orient="top", labelAngle=-30, labelLimit=130)),
        y=alt.Y("resource_type:N", title=None, axis=alt.Axis(labelLimit=200)),
        tooltip=["connection:N", "resource_type:N", "verdict:N", "checks:Q", "failing:Q", "unexpected:Q"],
    )
    rects = base.mark_rect(stroke="white", strokeWidth=2).encode(color=colours("verdict", "checks", VERDICTS))
    counts = base.transform_filter("datum.unexpected > 0").mark_text(fontSize=11, color="white", fontWeight="bold")
    both = alt.layer(rects, counts.encode(text=alt.Text("unexpected:Q", format=",d")))
    wide = 62 * max(cells["connection"].nunique(), 2)
    return dressed(both.properties(width=wide, height=alt.Step(BAR + 2)))


def trend(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.quality_trend()`: records that broke a check, in a thousand judged, by day and connection."""
    title = "Records that broke a check, in 1000 judged"
    if frame.empty:
        return nothing(title)
    chart: alt.Chart = (
        alt.Chart(plain(frame), title=title)
        .mark_line(point=alt.OverlayMarkDef(size=60))
        .encode(
            x=alt.X(
                "yearmonthdate(day):T", title="day (UTC)",
                axis=alt.Axis(format="%b %d", tickCount="day", labelOverlap=True),
            ),
            y=alt.Y("unexpected_per_1000:Q", title="in 1000 judged"),
            color=alt.Color("connection:N", title="connection", scale=alt.Scale(range=list(CONNECTIONS))),
            tooltip=["day:T", "connection:N", "checks:Q", "failed_checks:Q", "judged:Q", "unexpected:Q"],
        )
        .properties(width=WIDTH, height=200)
    )  # fmt: skip
    return dressed(chart)


def refused(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.quarantine()`: resources that are held, by the element that broke a rule and where they are from."""
    title = "Held in quarantine, by element and rule"
    if frame.empty:
        return nothing(title, "Nothing is held in quarantine.")
    labelled = frame.assign(what=frame["path"].fillna(frame["resource_type"]) + " · " + frame["rule"])
    chart: alt.Chart = (
        alt.Chart(plain(labelled), title=title)
        .mark_bar(height=BAR - 4)
        .encode(
            x=alt.X("sum(resources):Q", title="resources", axis=alt.Axis(format="~s", tickMinStep=1)),
            y=alt.Y("what:N", title=None, sort="-x", axis=alt.Axis(labelLimit=360)),
            color=alt.Color("connection:N", title="connection", scale=alt.Scale(range=list(CONNECTIONS))),
            tooltip=["what:N", "connection:N", "stage:N", "sum(resources):Q"],
        )
        .properties(width=WIDTH - 160, height=alt.Step(BAR))
    )
    return dressed(chart)


def _places(frame: pd.DataFrame) -> pd.Series[int]:
    """Of each check: its place in the order from good to bad."""
    failing = ~frame["passed"].astype(bool)
    places = (frame["unexpected"] > 0).astype(int)
    return places.mask(failing, 2).mask(failing & (frame["severity"] != "WARNING"), 3)
