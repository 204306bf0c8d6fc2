"""Overviews as cards: a few large numbers, each with the word that says whether to worry; every value is escaped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

import pandas as pd

from holovitals_pipelines.workbench.tables import grouped

_TONES = {
    "good": ("#009E73", "✓"),
    "look": ("#D55E00", "!"),
    "plain": ("#8C8C8C", ""),
}
"""A border colour and a sign each: the colour is never the only difference."""


@dataclass(frozen=True, slots=True)
class Card:
    """One number. `tone` is good, look (a person should look at it) or plain."""

    label: str
    value: str
    note: str = ""
    tone: str = "plain"


@dataclass(frozen=True, slots=True)
class Cards:
    """A row of cards; JupyterLab shows the HTML, terminals the text."""

    cards: tuple[Card, ...]
    headline: str = ""

    def _repr_html_(self) -> str:
        return (
            f'<p style="margin:0 0 8px 0">{escape(self.headline)}</p>'
            f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(map(_html, self.cards))}</div>'
        )

    def __repr__(self) -> str:
        width = max((len(card.label) for card in self.cards), default=0)
        lines = [f"{card.label:<{width}}  {card.value}  {card.note}".rstrip() for card in self.cards]
        return "\n".join([self.headline, *lines])


def _html(card: Card) -> str:
    colour, sign = _TONES[card.tone]
    marked = f' <span style="color:{colour}">{sign}</span>' if sign else ""
    # JupyterLab's own variables follow its light or dark theme; the system colours do so elsewhere.
    return (
        f'<div style="min-width:136px;padding:10px 14px;border:1px solid var(--jp-border-color2, GrayText);'
        f"border-left:5px solid {colour};border-radius:4px;background:var(--jp-layout-color1, Canvas);"
        f'color:var(--jp-ui-font-color1, CanvasText)">'
        f'<div style="font-size:12px;opacity:.8">{escape(card.label)}</div>'
        f'<div style="font-size:24px;line-height:1.3;font-variant-numeric:tabular-nums">'
        f"{escape(card.value)}{marked}</div>"
        f'<div style="font-size:12px;opacity:.8">{escape(card.note)}&nbsp;</div></div>'
    )


def overview_cards(overview: pd.DataFrame, headline: str, now: datetime | None = None) -> Cards:
    """The cards of `Workbench.overview()`, whose single row they read."""
    row: dict[str, Any] = {str(name): overview.iloc[0][name] for name in overview.columns}
    ended = row["completed_jobs"] + row["failed_jobs"]

    def waiting(label: str, name: str, note: str) -> Card:
        return Card(label, _count(row[name]), note, _tone(row[name], ended))

    rate = f"{row['success_rate']:.0%}" if ended else "–"
    succeeded = f"{_count(row['completed_jobs'])} of {_count(ended)}"
    return Cards(
        (
            Card("Connections", _count(row["connections"])),
            Card("Linked records", _count(row["linked_records"]), f"from {_count(row['resources_read'])} readings"),
            Card("Last sync", *_last_sync(row["last_sync_at"], now or datetime.now(UTC))),
            Card("Jobs that succeeded", rate, succeeded, _tone(row["failed_jobs"], ended)),
            Card("Jobs under way", _count(row["active_jobs"])),
            waiting("Open conflicts", "open_conflicts", "wait for a decision"),
            waiting("In quarantine", "quarantined", "resources refused, kept"),
            waiting("Failing checks", "failing_checks", "in the newest results"),
        ),
        headline,
    )


def conflict_cards(overview: pd.DataFrame, headline: str) -> Cards:
    """The cards of `Workbench.conflict_overview()`, whose single row they read."""
    row: dict[str, Any] = {str(name): overview.iloc[0][name] for name in overview.columns}
    decided = row["automatic"] + row["by_people"]

    def waiting(label: str, name: str, note: str) -> Card:
        return Card(label, _count(row[name]), note, _tone(row[name], row["conflicts"] + row["written"] + row[name]))

    share = f"{row['automatic_share']:.0%}" if decided else "–"
    median = "–" if pd.isna(row["median_hours"]) else f"{row['median_hours']:,.1f} h"
    compared = "never" if pd.isna(row["compared_at"]) else f"{pd.Timestamp(row['compared_at']):%Y-%m-%d %H:%M}"
    return Cards(
        (
            Card("Conflicts", _count(row["conflicts"]), f"{_count(row['clean'])} merged without contradiction"),
            Card("Decided by policy", share, f"{_count(row['automatic'])} of {_count(decided)} contradictions"),
            Card("A person's decision takes", median, "half of them no longer"),
            waiting("Open", "open_conflicts", f"{_count(row['open_critical'])} critical"),
            waiting("Overdue", "overdue", "past the time they should be decided by"),
            waiting("Reviews due", "reviews_due", "decided by policy, to be looked at"),
            Card("Standing differences", _count(row["standing"]), f"{_count(row['standing_critical'])} critical"),
            Card("Written", _count(row["written"]), f"{_count(row['waiting_writes'])} wait"),
            waiting("Writes refused", "failed_writes", "by the vendor"),
            Card("Sides compared in full", compared, "UTC"),
        ),
        headline,
    )


def operations_cards(overview: pd.DataFrame, headline: str) -> Cards:
    """The cards of `Workbench.operations_overview()`, whose single row they read."""
    row: dict[str, Any] = {str(name): overview.iloc[0][name] for name in overview.columns}
    any_job = row["ended_jobs"] + row["waiting_jobs"] + row["running_jobs"]

    def seconds(name: str) -> str:
        return "–" if pd.isna(row[name]) else f"{row[name]:,.1f} s"

    return Cards(
        (
            Card("Jobs that wait", _count(row["waiting_jobs"]), f"the oldest for {row['oldest_minutes']:,.0f} min"),
            Card("Jobs under way", _count(row["running_jobs"])),
            Card("To be tried again", _count(row["retrying_jobs"]), "after an error that may pass"),
            Card("Failed today", _count(row["failed_today"]), "in 24 hours", _tone(row["failed_today"], any_job)),
            Card("A job begins within", seconds("wait_p95_seconds"), "19 of 20 do"),
            Card("Webhook events", _count(row["events"]), f"{_count(row['waiting_events'])} not done yet"),
            Card("An event is done within", seconds("event_p95_seconds"), "19 of 20 are"),
            Card("Dead letters", _count(row["dead_letters"]), "given up", _tone(row["dead_letters"], row["events"])),
        ),
        headline,
    )


def _tone(problems: int, ended: int) -> str:
    if not ended:
        return "plain"
    return "look" if problems else "good"


def _count(value: Any) -> str:
    return grouped(int(value))


def _last_sync(at: Any, now: datetime) -> tuple[str, str]:
    if pd.isna(at):
        return "never", "no job has completed"
    instant = pd.Timestamp(at)
    instant = instant.tz_localize("UTC") if instant.tzinfo is None else instant.tz_convert("UTC")
    return f"{age(now - instant.to_pydatetime())} ago", f"{instant:%Y-%m-%d %H:%M} UTC"


def age(elapsed: Any) -> str:
    """«3 minutes», «2 days»: a timedelta in its largest whole unit."""
    seconds = max(int(elapsed.total_seconds()), 0)
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            whole = seconds // size
            return f"{whole} {unit}{'s' if whole > 1 else ''}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
