"""Frames as tables for people: whole texts, readable numbers and instants, a sentence where there is nothing to show.

pandas' own table cuts texts at 50 characters, and a remedy is longer than that. Every value is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

NOTHING_YET = "Nothing here yet."
_CELL = "padding:3px 8px;vertical-align:top"
_WRAPPED_FROM = 40
"""Cells with at least so many characters may be broken into lines; shorter ones are easier to compare unbroken."""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and cells as text; JupyterLab shows the HTML, terminals the text."""

    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    nothing: str

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<p>{escape(self.nothing)}</p>"
        sides = ["right" if numeric else "left" for numeric in self.numeric]
        head = _row("th", [name.replace("_", " ") for name in self.columns], sides)
        body = "".join(_row("td", row, sides) for row in self.rows)
        style = "font-size:12px;font-variant-numeric:tabular-nums"
        return f'<table style="{style}"><thead>{head}</thead><tbody>{body}</tbody></table>'

    def __repr__(self) -> str:
        if not self.rows:
            return self.nothing
        return pd.DataFrame(list(self.rows), columns=list(self.columns)).to_string(index=False)


def table(frame: pd.DataFrame, nothing: str = NOTHING_YET) -> Table:
    """`frame` for reading; `nothing` is what to say instead when it has no rows."""
    return Table(
        columns=tuple(str(name) for name in frame.columns),
        numeric=tuple(kind.kind in "iuf" for kind in frame.dtypes),
        rows=tuple(tuple(_text(value) for value in row) for row in frame.itertuples(index=False, name=None)),
        nothing=nothing,
    )


def _row(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    styled = (
        f'<{tag} style="{_CELL};text-align:{side};white-space:{_wrapping(cell)}">{escape(cell)}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(styled)}</tr>"


def _wrapping(cell: str) -> str:
    return "normal;min-width:16em" if len(cell) >= _WRAPPED_FROM else "nowrap"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "✓" if value else "✗ no"
    if value is None or pd.isna(value):
        return "–"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}" if value.tzinfo is None else f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int):
        return grouped(value)
    if isinstance(value, float):
        whole, _, decimals = f"{value:,.2f}".rstrip("0").partition(".")
        return whole.replace(",", "\u202f") + (f".{decimals}" if decimals else "")
    return str(value)


def grouped(count: int) -> str:
    """1 234 567, with narrow spaces that do not break."""
    return f"{count:,}".replace(",", "\u202f")
