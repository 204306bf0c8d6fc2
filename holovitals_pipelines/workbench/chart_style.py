"""How every chart of the workbench looks, and the way it is shown: by JupyterLab itself, without a network.

Colours are Okabe and Ito's, told apart by people with any colour vision; every axis has a title with its unit.
"""

from __future__ import annotations

from typing import Any, TypeVar

import altair as alt
import pandas as pd

Drawn = TypeVar("Drawn")

WIDTH = 680
BAR = 18

NOTHING_YET = "Nothing to draw yet: run «holovitals demo», or «holovitals sync», then bench.refresh()."


def colours(field: str, title: str, palette: dict[str, str]) -> alt.Color:
    """The colour of each value of `field`, as `palette` has it, in its order."""
    scale = alt.Scale(domain=list(palette), range=list(palette.values()))
    return alt.Color(f"{field}:N", title=title, scale=scale)


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Instants without a zone: Vega would otherwise shift days into the browser's own."""
    zoned = frame.select_dtypes("datetimetz").columns
    return frame.assign(**{name: frame[name].dt.tz_localize(None) for name in zoned})


def nothing(title: str, why: str = NOTHING_YET) -> alt.Chart:
    """What is drawn of an empty frame: a sentence."""
    chart: alt.Chart = (
        alt.Chart(pd.DataFrame({"text": [why]}), title=title)
        .mark_text(fontSize=13, color="#595959")
        .encode(text="text:N")
        .properties(width=WIDTH, height=60)
    )
    return dressed(chart)


def dressed(chart: Drawn) -> Drawn:
    """The common look, and the renderer that JupyterLab can draw without a network."""
    alt.renderers.register("holovitals", _offline)
    alt.renderers.enable("holovitals")
    bare: Any = chart
    clothed: Drawn = (
        bare.configure(background="white", padding=12)
        .configure_view(stroke=None)
        .configure_title(anchor="start", fontSize=14, offset=10)
        .configure_axis(labelFontSize=11, titleFontSize=11, titleFontWeight="normal", gridColor="#EBEBEB")
        .configure_legend(labelFontSize=11, titleFontSize=11, titleFontWeight="normal", orient="bottom")
    )
    return clothed


def _offline(spec: dict[str, Any], **_: Any) -> dict[str, Any]:
    """The chart for JupyterLab's own Vega-Lite, instead of a page that loads one from the internet.

    JupyterLab 4 draws Vega-Lite 5; Altair 6 announces version 6, which nothing there would draw. Our charts use
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
