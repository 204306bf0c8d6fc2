"""Texts as a notebook shows them: sentences, YAML as it is written, documents side by side; every value is escaped."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

_PRE = "margin:0;padding:6px 8px;font-size:12px;line-height:1.35;white-space:pre-wrap;text-align:left"


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence."""

    text: str

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.text)}</p>"

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Written:
    """Text over several lines, with its spaces."""

    text: str

    def _repr_html_(self) -> str:
        return f'<pre style="{_PRE}">{escape(self.text)}</pre>'

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Rows of texts under common heads."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    nothing: str

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<p>{escape(self.nothing)}</p>"
        head = "".join(f'<th style="text-align:left">{escape(one)}</th>' for one in self.heads)
        rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in self.rows)
        return f'<table style="width:100%"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'

    def __repr__(self) -> str:
        if not self.rows:
            return self.nothing
        parts = [f"{head}\n{text}" for row in self.rows for head, text in zip(self.heads, row, strict=True)]
        return "\n\n".join(parts)


def _cell(text: str) -> str:
    return f'<td style="vertical-align:top;text-align:left"><pre style="{_PRE}">{escape(text)}</pre></td>'
