"""Charts of one person's records and of what changed: when things happened, who tells what, when we knew it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import altair as alt
import pandas as pd

from holovitals_pipelines.workbench.chart_style import BAR, WIDTH, colours, dressed, nothing, plain
from holovitals_pipelines.workbench.charts import CONNECTIONS

AGREEMENT = {"as most": "#009E73", "differs": "#D55E00", "told by one": "#56B4E9", "not told": "#EBEBEB"}
BY = {"vendor": "#0072B2", "person": "#E69F00", "policy": "#CC79A7"}
"""Who made a change: a vendor told it, a person did it here, or a policy decided it."""

NO_RECORDS = "No records of a person yet: run «holovitals demo», or «holovitals sync»."


def timeline(frame: pd.DataFrame) -> alt.Chart:
    """`RecordDesk.timeline()`: what happened to the person, by type, a line and colour for each connection."""
    title = "What happened, and who tells it"
    dated = frame[frame["happened"].notna()]
    if dated.empty:
        return nothing(title, NO_RECORDS)
    chart: alt.Chart = (
        alt.Chart(plain(dated), title=title)
        .mark_point(filled=True, size=42, opacity=0.75)
        .encode(
            x=alt.X("happened:T", title="when it happened (UTC)"),
            y=alt.Y("resource_type:N", title=None, axis=alt.Axis(labelLimit=200, grid=True, tickBand="extent")),
            yOffset=alt.YOffset("connection:N"),
            color=_connections(dated),
            tooltip=["happened:T", "connection:N", "resource_type:N", "what:N", "status:N", "changed_by:N"],
        )
        .properties(width=WIDTH, height=alt.Step(11))
    )
    return dressed(chart)


def agreement(frame: pd.DataFrame) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    """`RecordDesk.side_by_side()`: which connection tells which element, and whether the others tell the same."""
    title = "Who agrees about the person"
    if frame.empty:
        return nothing(title, NO_RECORDS)
    base = alt.Chart(frame.fillna({"value": "–"}), title=title).encode(
        x=alt.X("connection:N", title=None, axis=alt.Axis(orient="top", labelAngle=0, labelLimit=130)),
        y=alt.Y("element:N", title=None, sort=None, axis=alt.Axis(labelLimit=200)),
        tooltip=["element:N", "connection:N", "value:N", "agreement:N"],
    )
    signs = {"as most": "✓", "differs": "≠", "told by one": "1", "not told": ""}
    sign = alt.Text("sign:N")
    cells = base.mark_rect(stroke="white", strokeWidth=2).encode(color=colours("agreement", "told", AGREEMENT))
    marks = base.transform_lookup(
        lookup="agreement",
        from_=alt.LookupData(pd.DataFrame({"told": list(signs), "sign": list(signs.values())}), "told", ["sign"]),
    ).mark_text(fontSize=12, color="white", fontWeight="bold")
    both = alt.layer(cells, marks.encode(text=sign))
    wide = min(WIDTH, 130 * max(frame["connection"].nunique(), 2))
    return dressed(both.properties(width=wide, height=alt.Step(BAR + 6)))


def known(frame: pd.DataFrame, at: datetime | None = None) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    """`RecordDesk.known()`: records known by connection over time; the dashed line is the moment `at`."""
    title = "Records known of the person"
    if frame.empty:
        return nothing(title, NO_RECORDS)
    until = max(frame["at"].max(), pd.Timestamp(at) if at is not None else frame["at"].max()) + _margin(frame)
    last = frame.groupby("connection", as_index=False).last().assign(at=until)
    steps = pd.concat([frame, last], ignore_index=True)
    lines = (
        alt.Chart(plain(steps))
        .mark_line(interpolate="step-after", strokeWidth=2.5)
        .encode(
            x=alt.X("at:T", title="known here since (UTC)", axis=alt.Axis(labelOverlap=True)),
            y=alt.Y("records:Q", title="records known"),
            color=_connections(frame),
            tooltip=["at:T", "connection:N", "records:Q"],
        )
    )
    moment = plain(pd.DataFrame({"at": pd.to_datetime([] if at is None else [at], utc=True)}))
    rule = alt.Chart(moment).mark_rule(color="#595959", strokeDash=[4, 4], strokeWidth=1.5).encode(x="at:T")
    return dressed(alt.layer(lines, rule).properties(width=WIDTH, height=220, title=title))


def changes(frame: pd.DataFrame, title: str = "What changed, by type and by whom") -> alt.Chart:
    """`RecordDesk.changes()` or `.history()`: versions made, by type and reason, each bar divided by who made them."""
    if frame.empty:
        return nothing(title, "Nothing changed. Before the first sync: run «holovitals demo», or «holovitals sync».")
    counted = frame.groupby(["resource_type", "why", "by"], as_index=False).size()
    labelled = counted.assign(what=counted["resource_type"] + " · " + counted["why"])
    chart: alt.Chart = (
        alt.Chart(labelled, title=title)
        .mark_bar(height=BAR - 4)
        .encode(
            x=alt.X("size:Q", title="changes", axis=alt.Axis(format="~s", tickMinStep=1)),
            y=alt.Y("what:N", title=None, sort="-x", axis=alt.Axis(labelLimit=360)),
            color=colours("by", "made by a", BY),
            tooltip=["resource_type:N", "why:N", "by:N", "size:Q"],
        )
        .properties(width=WIDTH - 160, height=alt.Step(BAR))
    )
    return dressed(chart)


def history(frame: pd.DataFrame, title: str = "When it changed") -> alt.Chart:
    """`RecordDesk.changes()` or `.history()`: each change at its moment, by type and who made it."""
    if frame.empty:
        return nothing(title, "Nothing changed. Before the first sync: run «holovitals demo», or «holovitals sync».")
    chart: alt.Chart = (
        alt.Chart(plain(frame), title=title)
        .mark_point(size=70, filled=True, opacity=0.8)
        .encode(
            x=alt.X("at:T", title="when it became so here (UTC)", axis=alt.Axis(labelOverlap=True)),
            y=alt.Y("resource_type:N", title=None),
            color=colours("by", "made by a", BY),
            shape=alt.Shape("by:N", title="made by a", scale=alt.Scale(domain=list(BY))),
            tooltip=[
                "at:T",
                "resource_type:N",
                "why:N",
                "actor:N",
                "strategy:N",
                "before_version:Q",
                "after_version:Q",
            ],
        )
        .properties(width=WIDTH, height=alt.Step(BAR + 6))
    )
    return dressed(chart)


def _connections(frame: pd.DataFrame) -> alt.Color:
    names: Sequence[str] = sorted(frame["connection"].unique())
    return alt.Color("connection:N", title="connection", scale=alt.Scale(domain=names, range=list(CONNECTIONS)))


def _margin(frame: pd.DataFrame) -> pd.Timedelta:
    """So that the last step is seen to stand."""
    margin: pd.Timedelta = max((frame["at"].max() - frame["at"].min()) * 0.08, pd.Timedelta(seconds=5))
    return margin
