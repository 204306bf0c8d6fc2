"""Charts of how the two sides come to agree: conflicts, the queue of people, standing differences, writes."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from holovitals_pipelines.workbench.chart_style import BAR, WIDTH, colours, dressed, nothing, plain

SEVERITIES = {"CRITICAL": "#D55E00", "HIGH": "#E69F00", "MEDIUM": "#0072B2", "LOW": "#B3B3B3"}
DECIDED = {"still open": "#D55E00", "by people": "#009E73", "automatic": "#0072B2", "clean": "#B3B3B3"}
"""How a conflict ended: waits for a person, decided by a person, by policy, or merged without contradiction."""
STATES = {"failed": "#D55E00", "pending": "#E69F00", "inflight": "#56B4E9", "done": "#009E73", "superseded": "#B3B3B3"}

BEFORE_THE_FIRST = "Before the first sync: run «holovitals demo», or «holovitals sync», then bench.refresh()."


def conflicts(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.conflicts()`: conflicts by resource type and type of conflict, each bar divided by severity."""
    title = "Conflicts, by resource type and severity"
    if frame.empty:
        return _none(title, "No conflict was found.")
    labelled = frame.assign(what=frame["resource_type"] + " · " + frame["type"], severity=_graded(frame))
    return _bars(labelled, title, "conflicts", "severity", "severity", SEVERITIES, ["strategy:N", "connection:N"])


def decisions(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.decisions()`: conflicts by severity, each bar divided by who decided."""
    title = "Who decided, by severity"
    if frame.empty:
        return _none(title, "No conflict was found.")
    named = frame.assign(what=_graded(frame)).rename(columns=lambda name: name.replace("_", " "))
    labelled = named.drop(columns="conflicts").melt(
        id_vars=["what"], value_vars=list(DECIDED), var_name="decided", value_name="conflicts"
    )
    labelled = labelled[labelled["conflicts"] > 0]
    return _bars(labelled, title, "conflicts", "decided", "decided", DECIDED, [], order=list(SEVERITIES))


def contested(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.contested_elements()`: the elements that contradict each other most, by their worst severity."""
    title = "Elements most often in conflict"
    if frame.empty:
        return _none(title, "Nothing contradicted.")
    labelled = frame.assign(what=frame["resource_type"] + "." + frame["element"].fillna("–"), severity=_graded(frame))
    return _bars(labelled, title, "conflicts", "severity", "worst severity", SEVERITIES, ["still_open:Q"])


def queue(frame: pd.DataFrame) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    """`Workbench.open_conflicts()`: each open conflict by its age and the time left; below the line it is overdue."""
    title = "The queue: age against the time left"
    timed = frame[frame["due_in_hours"].notna()] if not frame.empty else frame
    if timed.empty:
        return _none(title, "No conflict waits for a person.")
    points = (
        alt.Chart(plain(timed.assign(severity=_graded(timed))))
        .mark_point(size=70, filled=True, opacity=0.8)
        .encode(
            x=alt.X("open_hours:Q", title="open for (hours)"),
            y=alt.Y("due_in_hours:Q", title="due in (hours; negative: overdue)"),
            color=colours("severity", "severity", SEVERITIES),
            shape=alt.Shape("severity:N", title="severity", scale=alt.Scale(domain=list(SEVERITIES))),
            tooltip=["connection:N", "resource_type:N", "type:N", "severity:N", "units:Q", "detected_at:T", "due_at:T"],
        )
    )
    due = alt.Chart(pd.DataFrame({"hours": [0]})).mark_rule(color="#595959", strokeDash=[4, 4]).encode(y="hours:Q")
    return dressed(alt.layer(due, points).properties(width=WIDTH, height=260, title=title))


def standing(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.standing_differences()`: what differs for good, by element, each bar divided by severity."""
    title = "Standing differences, by element"
    if frame.empty:
        return _none(title, "Both sides hold the same wherever they can.")
    labelled = frame.assign(
        what=frame["connection"] + " · " + frame["resource_type"] + "." + frame["element"], severity=_graded(frame)
    )
    return _bars(labelled, title, "differences", "severity", "severity", SEVERITIES, ["reason:N", "records:Q"])


def writes(frame: pd.DataFrame) -> alt.Chart:
    """`Workbench.writes()`: writes to vendors by resource type and operation, each bar divided by state."""
    title = "Writes to vendors, by type and state"
    if frame.empty:
        return _none(title, "Nothing was to be written.")
    labelled = frame.assign(what=frame["connection"] + " · " + frame["resource_type"] + " · " + frame["operation"])
    return _bars(labelled, title, "writes", "state", "state", STATES, ["unguarded:Q", "median_seconds:Q"])


def _bars(
    frame: pd.DataFrame,
    title: str,
    count: str,
    field: str,
    legend: str,
    palette: dict[str, str],
    told: list[str],
    order: list[str] | None = None,
) -> alt.Chart:
    """A bar for each `what`, divided by `field` in the palette's order; the longest first unless `order` is given."""
    place = {name: position for position, name in enumerate(palette)}
    sort: Any = order or "-x"
    chart: alt.Chart = (
        alt.Chart(plain(frame.assign(position=frame[field].map(place))), title=title)
        .mark_bar(height=BAR - 4)
        .encode(
            x=alt.X(f"sum({count}):Q", title=count, axis=alt.Axis(format="~s", tickMinStep=1)),
            y=alt.Y("what:N", title=None, sort=sort, axis=alt.Axis(labelLimit=320)),
            color=colours(field, legend, palette),
            order=alt.Order("position:Q"),
            tooltip=["what:N", f"{field}:N", f"sum({count}):Q", *told],
        )
        .properties(width=WIDTH - 120, height=alt.Step(BAR))
    )
    return dressed(chart)


def _graded(frame: pd.DataFrame) -> pd.Series[str]:
    """Severities; what nobody has graded counts as low."""
    graded: pd.Series[str] = frame["severity"].fillna("LOW")
    return graded


def _none(title: str, says: str) -> alt.Chart:
    return nothing(title, f"{says} {BEFORE_THE_FIRST}")
