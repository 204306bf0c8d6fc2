"""Working on a rule set in a notebook: a rule at a time, on what has landed; nothing is written before it is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.rule_library import activate, history, save_rule_set, versions
from holovitals_pipelines.model.errors import ConfigurationError, HoloVitalsError
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.transform.shipped_rule_sets import shipped_as_written
from holovitals_pipelines.workbench import rule_trials
from holovitals_pipelines.workbench.rule_desk import OpenedRules, RuleDesk, open_rule_desk
from holovitals_pipelines.workbench.rule_text import rule_text, with_rule, with_version
from holovitals_pipelines.workbench.shown import Said, SideBySide, Written

from .landed_persons import NAME, land_persons

SHIPPED = shipped_as_written()["nextgen/patient@1.0.0"].text
RULES = """# the clinic's
ruleSet: clinic/observation
version: "1.0.0"  # raise me
provider: nextgen
resourceType: Observation
sourceFormat: CUSTOM_JSON
source: {code: code}
rules:
  # first
  - id: status
    type: VALUE_MAPPING
    source: code
    map:
      a: b

  # second
  - {id: text, type: FIELD_MAPPING, source: code, target: code.text}
groups:
  - id: parts
    each: parts
    into: component
    source: {v: v}
    rules: [{id: value, type: FIELD_MAPPING, source: v, target: valueString}]
"""
MENDED = (
    "{id: gender_, type: VALUE_MAPPING, source: sex, map: {M: male, F: female, X: other}, ignoreCase: true, "
    "target: gender}"
)


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Only read it."""
    return land_persons(tmp_path_factory.mktemp("landed") / "home")


@pytest.fixture
def desk(landed: Settings) -> RuleDesk:
    return RuleDesk(landed)


@pytest.fixture
def empty(tmp_path: Path) -> RuleDesk:
    return open_rule_desk(tmp_path / "empty")


def mended(desk: RuleDesk) -> tuple[OpenedRules, OpenedRules]:
    old = desk.open("nextgen/patient")
    return old, desk.with_rule(old, "gender_", MENDED)


def refusal(call: Any, *arguments: Any) -> HoloVitalsError:
    with pytest.raises(HoloVitalsError) as refused:
        call(*arguments)
    return refused.value


# one rule as text


def test_a_rule_is_cut_out_as_it_is_written() -> None:
    assert rule_text(RULES, "status") == "id: status\ntype: VALUE_MAPPING\nsource: code\nmap:\n  a: b"
    assert rule_text(RULES, "parts.value") == "{id: value, type: FIELD_MAPPING, source: v, target: valueString}"
    error = refusal(rule_text, RULES, "none")
    assert "status, text, parts.value" in error.message and error.remedy


def test_a_rule_is_put_back_between_lines_that_stay_as_they_are() -> None:
    for name in ("status", "text", "parts.value"):
        assert with_rule(RULES, name, rule_text(RULES, name)) == RULES
        assert with_rule(RULES, name, "  - " + rule_text(RULES, name).replace("\n", "\n    ")) == RULES
    changed = with_rule(RULES, "status", "- id: status\n  map:\n    c: d")
    assert changed == RULES.replace("type: VALUE_MAPPING\n    source: code\n    map:\n      a: b", "map:\n      c: d")


def test_the_version_is_replaced_and_nothing_else() -> None:
    assert with_version(RULES, "2.0.0") == RULES.replace('"1.0.0"', "2.0.0")


# opened and edited


def test_without_a_store_there_are_the_shipped_rule_sets_and_looking_creates_nothing(
    empty: RuleDesk, tmp_path: Path
) -> None:
    frame = empty.rule_sets()
    assert set(frame["state"]) == {"shipped"} and "nextgen/patient" in set(frame["rule_set"])
    old, new = mended(empty)
    assert (old.state, old.text, old.ready.name) == ("shipped", SHIPPED, "nextgen/patient@1.0.0")
    assert (new.state, new.ready.name) == ("edited", "nextgen/patient@1.0.1")
    records = empty.records(old)
    assert [one.document for one in records.samples] == [one.source for one in old.examples] != []
    assert "made-up records" in repr(records) and "holovitals demo" in repr(records)
    assert "holovitals demo" in repr(empty)
    assert not (tmp_path / "empty").exists()


def test_an_edit_raises_the_version_and_leaves_all_other_lines(empty: RuleDesk) -> None:
    old, new = mended(empty)
    lines = [(a, b) for a, b in zip(old.text.splitlines(), new.text.splitlines(), strict=True) if a != b]
    assert lines[0] == ("version: 1.0.0", "version: 1.0.1")
    assert [b.strip() for _, b in lines[1:]] == [f"- {MENDED}"]
    assert empty.edited(old, old.text) is old
    own = empty.edited(old, old.text.replace("version: 1.0.0", "version: 3.0.0"))
    assert own.ready.rules.version == "3.0.0", "a version that is free stays"


def test_a_mistake_in_an_edited_rule_is_told_with_its_line(empty: RuleDesk) -> None:
    old = empty.open("nextgen/patient")
    error = refusal(empty.with_rule, old, "gender_", MENDED.replace("source: sex", "source: sax"))
    assert isinstance(error, ConfigurationError) and "'sax'" in error.message
    line = next(n for n, text in enumerate(old.text.splitlines(), start=1) if "id: gender_" in text)
    assert error.place == f"the edited rule set:{line}"


def test_an_unknown_name_is_answered_with_those_there_are(empty: RuleDesk) -> None:
    error = refusal(empty.open, "nextgen/nothing")
    assert "nextgen/patient" in error.message and error.code == "rules.unknown"


def test_a_file_is_opened_with_the_examples_beside_it(empty: RuleDesk, tmp_path: Path) -> None:
    file = tmp_path / "observation.yml"
    file.write_text(RULES.replace("    map:\n      a: b", "    map: {a: b}\n    target: status"), encoding="utf-8")
    file.with_name("observation.examples.yml").write_text("- {name: a, source: {code: a}, expect: {status: b}}\n")
    opened = empty.open_file(str(file))
    assert opened.state == "file" and rule_trials.examples(opened)["holds"].tolist() == [True]


# tried on what has landed


def test_records_are_those_the_newest_sync_landed_of_a_connection_of_the_provider(desk: RuleDesk) -> None:
    old = desk.open("nextgen/patient")
    found = desk.records(old)
    assert len(found.samples) == 4 and found == desk.records(old, "clinic")
    assert repr(found) == "4 records of connection clinic, as its newest sync landed them."
    assert len(desk.records(old, limit=1).samples) == 1
    assert "«holovitals sync" in repr(desk.records(desk.open("athenahealth/patient")))
    assert "made-up" in repr(desk.records(desk.open("allscripts/condition-outbound")))
    assert refusal(desk.records, old, "klinic").code == "settings.connection_unknown"


def test_the_frames_count_what_an_edit_changes_and_hold_no_value(desk: RuleDesk) -> None:
    old, new = mended(desk)
    records = desk.records(old)
    errors = rule_trials.errors(old, new, records)
    assert errors.to_dict("records") == [
        {"place": "gender_", "code": "not_in_map", "severity": "error", "old": 2, "new": 0}
    ]
    effects = dict(rule_trials.effects(old, new, records).itertuples(index=False))
    assert effects == {
        "records tried": 4,
        "come out otherwise": 2,
        "newly rejected": 0,
        "rejected no longer": 2,
        "another value: gender": 2,
    }
    changed = rule_trials.changes(old, new)
    assert set(changed["place"]) == {"rules.gender_", "rule set"}
    assert {"map", "ignoreCase", "version"} <= set(changed["member"])
    for frame in (errors, rule_trials.effects(old, new, records), changed):
        assert NAME not in frame.to_json()


def test_before_and_after_shows_the_record_and_what_both_versions_make_of_it(desk: RuleDesk) -> None:
    old, new = mended(desk)
    shown = rule_trials.before_and_after(old, new, desk.records(old), limit=3)
    assert shown.heads == ("record", "made by nextgen/patient@1.0.0", "made by nextgen/patient@1.0.1")
    record, was, now = shown.rows[2]
    assert json.loads(record) == {"id": "n2", "lastName": NAME, "sex": "f"}
    assert was.startswith("rejected\ngender_: not_in_map\n{") and json.loads(now)["gender"] == "female"


def test_a_failing_example_is_told_with_its_path(desk: RuleDesk) -> None:
    old, new = mended(desk)
    assert rule_trials.examples(new)["holds"].all() and len(rule_trials.examples(new)) == len(old.examples)
    worse = desk.with_rule(
        old, "family", "{id: family, type: CALCULATION, expr: upper(last_name), target: 'name[0].family'}"
    )
    [row] = [row for row in rule_trials.examples(worse).to_dict("records") if not row["holds"]]
    assert row["what_is_otherwise"] == 'name[0].family: expected "Example", found "EXAMPLE"'


# saved


def test_saving_keeps_a_version_that_jobs_do_not_use_before_it_is_activated(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    desk = RuleDesk(settings)
    old, new = mended(desk)
    said = desk.save(new, "X is other", person="ann")
    assert "holovitals rules activate nextgen/patient@1.0.1" in repr(said)
    assert desk.open("nextgen/patient").state == "shipped", "jobs use it still"
    assert desk.open("nextgen/patient@1.0.1").state == "saved"
    assert mended(desk)[1].ready.name == "nextgen/patient@1.0.1", "the same edit again is the same version"
    other = desk.with_rule(old, "gender_", MENDED.replace("X: other", "Y: other"))
    assert other.ready.name == "nextgen/patient@1.0.2"
    assert "active" in repr(desk.save(other, activated=True, person="bob"))
    opened = desk.open("nextgen/patient")
    assert (opened.state, opened.ready.name, opened.text) == ("active", "nextgen/patient@1.0.2", other.text)
    assert opened.examples == old.examples, "those of the shipped rule set of that name"
    with open_home(settings) as home:
        assert [one.comment for one in versions(home.database)] == [None, "X is other"]
        assert [one.actor for one in history(home.database, "nextgen/patient")] == ["ann", "bob", "bob"]
    assert "2 versions of rule sets in the store, 1 active" in repr(desk)
    assert desk.rule_sets()["state"].tolist()[:2] == ["active", "saved"]


def test_a_rule_set_that_is_not_shipped_opens_by_its_newest_version_until_one_is_active(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    desk = RuleDesk(settings)
    with open_home(settings) as home:
        for version in ("1.0.0", "1.1.0"):
            text = SHIPPED.replace("nextgen/patient", "clinic/patient").replace("version: 1.0.0", f"version: {version}")
            save_rule_set(home.database, text, "patient.yml", "ann")
        assert desk.open("clinic/patient").ready.name == "clinic/patient@1.1.0"
        activate(home.database, "clinic/patient", "1.0.0", "ann")
    opened = desk.open("clinic/patient")
    assert (opened.ready.name, opened.state, opened.examples) == ("clinic/patient@1.0.0", "active", ())
    assert rule_trials.before_and_after(opened, opened, desk.records(opened)).rows == ()


def test_what_is_shown_is_escaped() -> None:
    for shown in (Said("<b>x"), Written("<b>x"), SideBySide(("<b>x",), (("<b>y",),), ""), SideBySide((), (), "<b>x")):
        assert "<b>" not in shown._repr_html_() and "&lt;b&gt;" in shown._repr_html_()
        assert "<b>x" in repr(shown)
