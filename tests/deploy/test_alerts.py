"""deploy/prometheus: rules over metrics and labels that there are, each with words and a page that says what to do."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from holovitals_pipelines.api.metrics import Meters
from holovitals_pipelines.store.database import Database

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
OTHERS = {"up": {"job", "instance"}}
"""Metrics that Prometheus makes itself."""
BY_CONNECTION = {"holovitals_queue_oldest_seconds": {"connection"}, "holovitals_quarantine_held": {"connection"}}
"""Told once there is a row; an empty store has none."""
RECEIVER = "/api/sync/webhooks/receive/{token}"


@pytest.fixture
def told(sqlite_database: Database) -> dict[str, dict[str, set[str]]]:
    """By metric and label, the values that /metrics shows."""
    meters = Meters()
    meters.watch(sqlite_database)
    meters.answered("POST", RECEIVER, 401, 0.1)
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(meters.text().decode()):
        for sample in family.samples:
            for label, value in sample.labels.items():
                found[sample.name][label].add(value)
        if not family.samples:
            assert family.name in BY_CONNECTION or family.name.endswith(("queue_jobs", "links_marked")), family.name
            found[family.name] = defaultdict(set, {label: set() for label in BY_CONNECTION.get(family.name, ())})
    return found


def test_every_rule_is_about_metrics_labels_and_values_that_there_are(told: dict[str, dict[str, set[str]]]) -> None:
    for rule in RULES:
        named = re.findall(r"\b(holovitals_\w+|up)\b(?:\{([^}]*)\})?", rule["expr"])
        assert named, rule["alert"]
        for metric, selectors in named:
            assert metric in told or metric in OTHERS, f"{rule['alert']}: {metric}"
            for label, operator, value in re.findall(r'(\w+)(=~|=)"([^"]*)"', selectors):
                if metric in OTHERS:
                    assert label in OTHERS[metric]
                    continue
                values = told[metric][label]
                fits = re.compile(value if operator == "=~" else re.escape(value)).fullmatch
                assert value == "5.." or any(fits(one) for one in values), f"{rule['alert']}: {label} of {metric}"


def test_every_rule_says_how_grave_it_is_what_it_means_and_where_to_read_on() -> None:
    page = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    anchors = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    }
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert path == "docs/operators.md" and anchor in anchors, rule["alert"]


def test_the_page_lists_every_alert_with_what_to_do() -> None:
    page = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(HoloVitals\w+)` \| .+ \| .+ \|$", page, re.MULTILINE)
    assert sorted(listed) == sorted(rule["alert"] for rule in RULES)
