"""A chart of what two versions of a rule set find wrong with the same records; it draws offline."""

from __future__ import annotations

import altair as alt
import pandas as pd

from holovitals_pipelines.workbench.chart_style import BAR, WIDTH, colours, dressed, nothing, plain

VERSIONS = {"old": "#B3B3B3", "new": "#0072B2"}


def errors(frame: pd.DataFrame) -> alt.Chart:
    """`rule_trials.errors()`: two bars for each place and code, of the old version and of the new one."""
    title = "Errors by rule, in records"
    if frame.empty:
        return nothing(title, "No rule found anything wrong.")
    labelled = frame.assign(what=frame["place"] + ": " + frame["code"])
    order = list(labelled["what"])
    counted = labelled.melt(
        id_vars=["what", "severity"], value_vars=list(VERSIONS), var_name="version", value_name="records"
    )
    chart: alt.Chart = (
        alt.Chart(plain(counted), title=title)
        .mark_bar()
        .encode(
            x=alt.X("records:Q", title="records", axis=alt.Axis(format="d", tickMinStep=1)),
            y=alt.Y("what:N", title=None, sort=order, axis=alt.Axis(labelLimit=320)),
            yOffset=alt.YOffset("version:N", sort=list(VERSIONS)),
            color=colours("version", "rules", VERSIONS),
            tooltip=["what:N", "version:N", "records:Q", "severity:N"],
        )
        .properties(width=WIDTH - 120, height=alt.Step(BAR))
    )
    return dressed(chart)
