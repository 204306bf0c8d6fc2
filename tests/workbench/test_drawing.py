"""Charts and cards: they draw offline, in colours everybody can tell apart, and escape what they are given."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import altair as alt
import pandas as pd
import pytest

from holovitals_pipelines.workbench import Workbench, charts, conflict_charts, rule_charts
from holovitals_pipelines.workbench.cards import Card, Cards, age, conflict_cards, overview_cards
from holovitals_pipelines.workbench.tables import table

from .seeded import NOW

DRAWINGS: list[tuple[Callable[[pd.DataFrame], Any], str]] = [
    (charts.trend, "trend"),
    (charts.volumes, "volumes"),
    (charts.stages, "slowest_stages"),
    (charts.latency, "latency"),
    (conflict_charts.conflicts, "conflicts"),
    (conflict_charts.decisions, "decisions"),
    (conflict_charts.contested, "contested_elements"),
    (conflict_charts.queue, "open_conflicts"),
    (conflict_charts.standing, "standing_differences"),
    (conflict_charts.writes, "writes"),
]
COUNTED = {
    "trend": ["resources read", "day (UTC)", "jobs"], "volumes": ["resources read"], "slowest_stages": ["seconds"],
    "latency": ["milliseconds"], "conflicts": ["conflicts"], "decisions": ["conflicts"],
    "contested_elements": ["conflicts"], "open_conflicts": ["open for (hours)", "due in (hours"],
    "standing_differences": ["differences"], "writes": ["writes"],
}  # fmt: skip
"""What the axes of each drawing say."""
OKABE_ITO = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}


def bundle_of(chart: Any) -> dict[str, Any]:
    shown = chart._repr_mimebundle_()
    return dict(shown[0] if isinstance(shown, tuple) else shown)


@pytest.mark.parametrize(("draw", "frame"), DRAWINGS)
def test_a_chart_is_shown_by_jupyterlab_itself_and_loads_nothing(
    draw: Callable[[pd.DataFrame], Any], frame: str, bench: Workbench
) -> None:
    shown = bundle_of(draw(getattr(bench, frame)()))
    assert set(shown) == {"application/vnd.vegalite.v5+json", "text/plain"}
    spec = shown["application/vnd.vegalite.v5+json"]
    assert spec.pop("$schema").endswith("/v5.json")
    assert "http" not in json.dumps(spec)


@pytest.mark.parametrize(("draw", "frame"), DRAWINGS)
def test_every_axis_has_a_title_or_names_what_its_labels_name(
    draw: Callable[[pd.DataFrame], Any], frame: str, bench: Workbench
) -> None:
    spec = draw(getattr(bench, frame)()).to_dict()
    text = json.dumps(spec)
    for unit in COUNTED[frame]:
        assert unit in text
    assert spec["config"]["background"] == "white", "a chart stays readable in JupyterLab's dark theme"


def test_the_trend_draws_the_numbers_of_the_frame(bench: Workbench) -> None:
    spec = charts.trend(bench.trend()).to_dict()
    drawn = [row for rows in spec["datasets"].values() for row in rows]
    assert sum(row.get("extracted", 0) for row in drawn) == 1500
    assert sum(row.get("count", 0) for row in drawn if row.get("ended") == "failed") == 1
    assert {row["day"][:10] for row in drawn} == {"2026-03-07", "2026-03-08", "2026-03-09"}


def test_every_outcome_of_the_volumes_has_its_own_colour(bench: Workbench) -> None:
    assert set(bench.volumes()["outcome"]) <= set(charts.OUTCOMES)
    palettes = [charts.OUTCOMES, charts.STAGES, charts.JOBS]
    palettes += [conflict_charts.SEVERITIES, conflict_charts.DECIDED, conflict_charts.STATES]
    for palette in palettes:
        assert len(set(palette.values())) == len(palette)
        assert set(palette.values()) <= OKABE_ITO | {"#B3B3B3"}


@pytest.mark.parametrize(("draw", "frame"), DRAWINGS)
def test_with_nothing_to_draw_a_chart_says_what_to_run(
    draw: Callable[[pd.DataFrame], Any], frame: str, empty_bench: Workbench
) -> None:
    chart = draw(getattr(empty_bench, frame)())
    assert isinstance(chart, alt.Chart)
    assert "holovitals demo" in json.dumps(chart.to_dict(), ensure_ascii=False)


def test_errors_of_two_versions_of_rules_are_two_bars_each_and_none_is_a_sentence() -> None:
    frame = pd.DataFrame([("birth", "not_a_date", "error", 2, 0)], columns=["place", "code", "severity", "old", "new"])
    chart = rule_charts.errors(frame)
    [drawn] = chart.to_dict()["datasets"].values()
    bars = [(row["what"], row["version"], row["records"]) for row in drawn]
    assert bars == [("birth: not_a_date", "old", 2), ("birth: not_a_date", "new", 0)]
    assert chart.to_dict()["encoding"]["x"]["title"] == "records"
    assert "application/vnd.vegalite.v5+json" in bundle_of(chart)
    assert "No rule found anything wrong." in json.dumps(rule_charts.errors(frame.iloc[:0]).to_dict())


def test_a_bar_is_as_long_as_its_frame_says(bench: Workbench) -> None:
    for draw, frame, count in (
        (conflict_charts.conflicts, bench.conflicts(), "conflicts"),
        (conflict_charts.decisions, bench.decisions(), "conflicts"),
        (conflict_charts.writes, bench.writes(), "writes"),
        (conflict_charts.standing, bench.standing_differences(), "differences"),
    ):
        drawn = [row for rows in draw(frame).to_dict()["datasets"].values() for row in rows]
        assert sum(row[count] for row in drawn) == frame[count].sum()
        assert all(row["position"] is not None for row in drawn), "every bar has its colour"


def test_the_queue_is_drawn_against_the_line_where_it_is_overdue(bench: Workbench) -> None:
    spec = conflict_charts.queue(bench.open_conflicts()).to_dict()
    drawn = [row for rows in spec["datasets"].values() for row in rows]
    assert {row["severity"] for row in drawn if "severity" in row} == {"CRITICAL", "HIGH"}
    assert {"hours": 0} in drawn


def test_the_conflict_cards_mark_what_is_overdue_and_what_was_refused(bench: Workbench) -> None:
    cards = {card.label: card for card in conflict_cards(bench.conflict_overview(), bench.headline()).cards}
    assert (cards["Decided by policy"].value, cards["Decided by policy"].note) == ("75%", "3 of 4 contradictions")
    assert cards["A person's decision takes"].value == "3.0 h"
    assert (cards["Overdue"].value, cards["Overdue"].tone) == ("1", "look")
    assert (cards["Writes refused"].value, cards["Writes refused"].tone) == ("1", "look")
    assert cards["Standing differences"].note == "1 critical"


def test_the_conflict_cards_of_an_empty_home_worry_nobody(empty_bench: Workbench) -> None:
    cards = conflict_cards(empty_bench.conflict_overview(), empty_bench.headline())
    assert {card.tone for card in cards.cards} == {"plain"}
    assert {card.value for card in cards.cards} == {"0", "–", "never"}


def test_the_cards_show_the_numbers_and_mark_what_needs_a_person(bench: Workbench) -> None:
    cards = overview_cards(bench.overview(), bench.headline(), now=NOW)
    shown = {card.label: card for card in cards.cards}
    assert shown["Linked records"].value == "13" and "1\u202f500" in shown["Linked records"].note
    assert (shown["Last sync"].value, shown["Jobs that succeeded"].value) == ("1 day ago", "75%")
    assert {label for label, card in shown.items() if card.tone == "look"} == {
        "Jobs that succeeded", "Open conflicts", "In quarantine", "Failing checks"
    }  # fmt: skip
    assert all(card.value in cards._repr_html_() and card.value in repr(cards) for card in cards.cards)


def test_before_the_first_sync_the_cards_neither_praise_nor_warn(empty_bench: Workbench) -> None:
    cards = overview_cards(empty_bench.overview(), empty_bench.headline(), now=NOW)
    assert {card.tone for card in cards.cards} == {"plain"}
    assert "never" in repr(cards)
    assert "No sync yet" in cards._repr_html_()


def test_cards_escape_everything_they_are_given() -> None:
    html = Cards((Card("<b>l</b>", "<script>v</script>", "<i>n</i>"),), "<u>h</u>")._repr_html_()
    assert not [tag for tag in ("<b>", "<script>", "<i>", "<u>") if tag in html]
    assert "&lt;script&gt;" in html


def test_cards_follow_the_theme_and_tones_differ_by_more_than_colour() -> None:
    html = Cards((Card("a", "1", tone="good"), Card("b", "2", tone="look")))._repr_html_()
    assert "var(--jp-layout-color1" in html and "var(--jp-ui-font-color1" in html
    assert "✓" in html and "!</span>" in html


@pytest.mark.parametrize(
    ("elapsed", "said"),
    [
        (timedelta(seconds=1), "1 second"),
        (timedelta(seconds=59), "59 seconds"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(hours=5, minutes=59), "5 hours"),
        (timedelta(days=2), "2 days"),
        (timedelta(seconds=-5), "0 seconds"),
    ],
)
def test_an_age_is_said_in_its_largest_whole_unit(elapsed: timedelta, said: str) -> None:
    assert age(elapsed) == said


def test_a_frame_without_zones_and_one_with_them_draw_the_same_days(bench: Workbench) -> None:
    frame = bench.trend()
    zoned = frame.assign(day=frame["day"].dt.tz_localize("UTC"))
    assert charts.trend(zoned).to_dict()["datasets"] == charts.trend(frame).to_dict()["datasets"]
    assert datetime.fromisoformat(next(iter(charts.trend(frame).to_dict()["datasets"].values()))[0]["day"]).hour == 0


def test_a_table_shows_texts_whole_and_numbers_grouped(bench: Workbench) -> None:
    remedy = (
        "Ask the vendor's support to raise the limit of the client, then start the job again from the failure. " * 2
    )
    frame = bench.errors().assign(remedy=remedy, times=1234567)
    shown = table(frame)
    assert remedy in shown._repr_html_().replace("&#x27;", "'") and "1\u202f234\u202f567" in shown._repr_html_()
    assert "+00:00" not in shown._repr_html_()
    assert "…" not in repr(shown) and "http.503" in repr(shown)


def test_a_table_tells_yes_no_and_missing_apart_by_words_and_signs() -> None:
    frame = pd.DataFrame({"passed": [True, False], "line": [7, None], "share": [2.5, float("nan")]}, dtype=object)
    assert table(frame).rows == (("✓", "7", "2.5"), ("✗ no", "–", "–"))


def test_a_table_without_rows_says_so_in_the_given_words(empty_bench: Workbench) -> None:
    empty = table(empty_bench.errors(), nothing="No errors <today>.")
    assert repr(empty) == "No errors <today>."
    assert empty._repr_html_() == "<p>No errors &lt;today&gt;.</p>"


def test_a_table_escapes_every_value_and_heading() -> None:
    html = table(pd.DataFrame({"<b>": ["<script>"]}))._repr_html_()
    assert "<script>" not in html and "<b>" not in html and "&lt;script&gt;" in html
