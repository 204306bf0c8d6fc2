"""Rule sets in the store, on both databases: versions that never change, at most one active, every step kept."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.rule_library import (
    activate,
    active_rule_set,
    deactivate,
    history,
    read_stored,
    save_rule_set,
    stored_version,
    versions,
)
from holovitals_pipelines.model.errors import ConfigurationError, HoloVitalsError, StoreError
from holovitals_pipelines.model.vocabulary import Direction, Provider, SourceFormat
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.tables import field_mapping, rule_set_version, transformation_rule
from holovitals_pipelines.transform.shipped_rule_sets import rule_set_for, shipped_as_written, shipped_rule_sets

RULES = """# of the clinic
ruleSet: clinic/patient
version: 1.0.0
provider: nextgen
resourceType: Patient
sourceFormat: CUSTOM_JSON
source:
  sex: sex
  first: {path: name.first}
  last: {path: name.last}
rules:
  - {id: gender, type: VALUE_MAPPING, source: sex, target: gender, map: {F: female}, required: true, priority: 50}
  - {id: whole, type: CONCATENATION, source: [first, last], separator: " ", target: "name[0].text", defaultValue: none}
  - {id: shout, type: CALCULATION, expr: upper(whole), target: "name[0].family"}
  - {id: kind, type: CALCULATION, expr: "'official'", target: "name[0].use"}
  - {id: unused, type: FIELD_MAPPING, source: sex, target: language, enabled: false}
groups:
  - id: phones
    each: phones
    into: telecom
    source: {number: digits, lab: "%record.sex"}
    rules:
      - {id: parts, type: SPLIT, source: number, separator: "-", target: [value, null, use]}
"""
ONE = (Provider.NEXTGEN, "Patient", Direction.INBOUND)
SHIPPED = rule_set_for(*ONE)


def text(version: str = "1.0.0", name: str = "clinic/patient", **others: str) -> str:
    written = RULES.replace("1.0.0", version).replace("clinic/patient", name)
    for member, value in others.items():
        [line] = [line for line in written.splitlines() if line.startswith(f"{member}: ")]
        written = written.replace(line, f"{member}: {value}", 1)
    return written


def save(database: Database, written: str = RULES, person: str = "ann", **more: Any) -> Any:
    return save_rule_set(database, written, "rules/patient.yml", person, **more)


def refusal(call: Any, *arguments: Any) -> HoloVitalsError:
    with pytest.raises(HoloVitalsError) as refused:
        call(*arguments)
    assert refused.value.remedy and refused.value.place
    return refused.value


def rows(database: Database, table: sa.Table, *order: str) -> list[dict[str, Any]]:
    with database.read() as transaction:
        return [dict(row._mapping) for row in transaction.execute(sa.select(table).order_by(*order))]


def steps(database: Database, name: str = "clinic/patient") -> list[tuple[str, str, str, str | None]]:
    return [(one.version, one.action, one.actor, one.cause) for one in history(database, name)]


# saved


def test_a_saved_version_holds_the_text_as_it_was_written_and_who_saved_it_when_and_why(database: Database) -> None:
    saved = save(database, comment="  the clinic's form of names ")
    assert saved == stored_version(database, "clinic/patient", "1.0.0")
    assert saved.text == RULES and saved.text.startswith("# of the clinic")
    assert (saved.saved_by, saved.comment, saved.active) == ("ann", "the clinic's form of names", False)
    assert saved.records == ("nextgen", "Patient", "INBOUND", "CUSTOM_JSON")
    assert saved.content_hash == read_stored(saved).hash
    assert saved.saved_at.utcoffset() is not None
    assert steps(database) == [("1.0.0", "saved", "ann", None)]


def test_saving_the_same_text_again_changes_nothing_and_other_text_is_refused(database: Database) -> None:
    first = save(database)
    assert save(database, person="bob", comment="again") == first
    error = refusal(save, database, RULES.replace("F: female", "F: male"), "bob")
    assert error.code == "rules.version_taken" and error.place == "rules/patient.yml"
    assert "1.0.1" in error.remedy and "clinic/patient@1.0.0" in error.message
    assert refusal(save, database, RULES + "# a comment\n").code == "rules.version_taken"
    assert [one.text for one in versions(database)] == [RULES]
    assert steps(database) == [("1.0.0", "saved", "ann", None)]


def test_what_cannot_be_read_is_not_saved_and_its_line_is_named(database: Database) -> None:
    error = refusal(save, database, RULES.replace("source: sex, target: gender", "source: sax, target: gender"))
    assert isinstance(error, ConfigurationError) and error.place == "rules/patient.yml:12"
    assert versions(database) == []


def test_a_name_belongs_to_rules_for_the_same_records(database: Database) -> None:
    save(database)
    error = refusal(save, database, text("1.1.0", provider="athenahealth"))
    assert error.code == "rules.name_taken" and "nextgen's Patient (INBOUND, CUSTOM_JSON)" in error.message


def test_a_shipped_version_keeps_its_name_and_may_be_saved_as_it_is(database: Database) -> None:
    assert SHIPPED is not None
    written = shipped_as_written()[SHIPPED.name].text
    changed = written.replace("preserveUnmapped: true", "preserveUnmapped: false")
    error = refusal(save, database, changed)
    assert error.code == "rules.version_taken" and "shipped" in error.message
    assert save(database, written).content_hash == SHIPPED.hash
    assert save(database, changed.replace("version: 1.0.0", "version: 1.0.1")).version == "1.0.1"


def test_versions_are_listed_by_name_and_the_newest_first(database: Database) -> None:
    for version in ("1.9.0", "1.10.0", "1.2.0"):
        save(database, text(version))
    save(database, text(name="aaa"))
    assert [one.full_name for one in versions(database)] == [
        "aaa@1.0.0",
        *(f"clinic/patient@{version}" for version in ("1.10.0", "1.9.0", "1.2.0")),
    ]
    assert [one.full_name for one in versions(database, "aaa")] == ["aaa@1.0.0"]


@pytest.mark.parametrize("person", ["", "policy:x", "a\nb"])
def test_who_acts_must_be_a_person(sqlite_database: Database, person: str) -> None:
    saved = save(sqlite_database)
    assert refusal(save, sqlite_database, text("2.0.0"), person).code == "actor.invalid"
    assert refusal(activate, sqlite_database, saved.name, saved.version, person).code == "actor.invalid"
    activate(sqlite_database, saved.name, saved.version, "ann")
    assert refusal(deactivate, sqlite_database, saved.name, person).code == "actor.invalid"
    assert [step[1] for step in steps(sqlite_database)] == ["saved", "activated"]


def test_what_is_not_there_is_told_with_what_to_do(sqlite_database: Database) -> None:
    for call, arguments in (
        (versions, ("none",)),
        (stored_version, ("none", "1.0.0")),
        (activate, ("none", "1.0.0", "ann")),
        (deactivate, ("none", "ann")),
    ):
        error = refusal(call, sqlite_database, *arguments)
        assert error.code == "rules.unknown" and "holovitals rules versions" in error.remedy
    save(sqlite_database)
    assert refusal(deactivate, sqlite_database, "clinic/patient", "ann").code == "rules.not_active"


# active


def test_an_active_version_takes_the_place_of_the_shipped_one_until_it_is_deactivated(database: Database) -> None:
    assert SHIPPED is not None
    save(database)
    assert active_rule_set(database, *ONE) is SHIPPED, "saved is not active"
    done = activate(database, "clinic/patient", "1.0.0", "bob")
    assert done.stored.active and done.replaced == ()
    ready = active_rule_set(database, *ONE)
    assert ready is not None and ready.name == "clinic/patient@1.0.0"
    assert active_rule_set(database, *ONE) is ready, "planned once"
    with database.read() as transaction:
        assert active_rule_set(transaction, *ONE, source_format=SourceFormat.CUSTOM_JSON) is ready
    assert deactivate(database, "clinic/patient", "cyd").active is False
    assert active_rule_set(database, *ONE) is SHIPPED
    assert steps(database) == [
        ("1.0.0", "saved", "ann", None),
        ("1.0.0", "activated", "bob", None),
        ("1.0.0", "deactivated", "cyd", None),
    ]


def test_one_version_for_the_same_records_is_active_and_the_history_says_what_replaced_it(database: Database) -> None:
    save(database)
    save(database, text("1.1.0"))
    save(database, text(name="other"))
    activate(database, "clinic/patient", "1.0.0", "ann")
    [replaced] = activate(database, "clinic/patient", "1.1.0", "bob").replaced
    assert replaced.version == "1.0.0"
    activate(database, "other", "1.0.0", "cyd")
    assert activate(database, "other", "1.0.0", "cyd").replaced == (), "active already"
    assert [one.full_name for one in versions(database) if one.active] == ["other@1.0.0"]
    assert steps(database)[3:] == [
        ("1.0.0", "deactivated", "bob", "clinic/patient@1.1.0"),
        ("1.1.0", "activated", "bob", None),
        ("1.1.0", "deactivated", "cyd", "other@1.0.0"),
    ]
    assert [step[1] for step in steps(database, "other")] == ["saved", "activated"]


def test_the_database_itself_holds_no_two_active_ones_for_the_same_records(database: Database) -> None:
    save(database)
    save(database, text("1.1.0"))
    with pytest.raises(StoreError), database.write() as transaction:
        transaction.execute(rule_set_version.update().values(active=True))


def test_rule_sets_for_other_records_do_not_meet(database: Database) -> None:
    save(database)
    for name, other in (("far", {"provider": "athenahealth"}), ("hl7", {"sourceFormat": "HL7_V2"})):
        save(database, text(name=name, **other))
        activate(database, name, "1.0.0", "ann")
    activate(database, "clinic/patient", "1.0.0", "ann")
    assert sum(one.active for one in versions(database)) == 3

    def active(*wanted: Any, **more: Any) -> str | None:
        found = active_rule_set(database, *wanted, **more)
        return None if found is None else found.rules.rule_set

    assert active(*ONE, source_format=SourceFormat.HL7_V2) == "hl7"
    assert active(*ONE) == "clinic/patient", "the format of the shipped one"
    assert active(Provider.ATHENAHEALTH, "Patient", Direction.INBOUND) == "far"
    assert active(Provider.NEXTGEN, "Patient", Direction.OUTBOUND) == "nextgen/patient-outbound"
    assert active(*ONE, source_format=SourceFormat.CDA) is None
    assert active(Provider.EPIC, "Patient", Direction.INBOUND) is None


def test_without_a_shipped_one_the_format_may_be_left_out_where_one_is_active(database: Database) -> None:
    wanted = (Provider.EPIC, "Patient", Direction.INBOUND)
    for name, form in (("cda", "CDA"), ("a", "FHIR_R4"), ("b", "FHIR_STU3")):
        save(database, text(name=name, provider="epic", sourceFormat=form))
        activate(database, name, "1.0.0", "ann")
        if name == "cda":
            assert active_rule_set(database, *wanted) is None
        if name == "a":
            found = active_rule_set(database, *wanted)
            assert found is not None and found.rules.rule_set == "a"
    assert refusal(active_rule_set, database, *wanted).code == "rules.ambiguous"


def test_a_version_that_this_program_cannot_read_is_named_and_the_shipped_one_does_not_slip_in(
    database: Database,
) -> None:
    save(database)
    activate(database, "clinic/patient", "1.0.0", "ann")
    with database.write() as transaction:  # as if it had been written for another program
        transaction.execute(rule_set_version.update().values(text=RULES.replace("VALUE_MAPPING", "MAGIC")))
    error = refusal(active_rule_set, database, *ONE)
    assert error.code == "rules.invalid" and error.place == "rule set clinic/patient@1.0.0:12"
    deactivate(database, "clinic/patient", "ann")
    assert refusal(activate, database, "clinic/patient", "1.0.0", "ann").place.startswith("rule set clinic/patient@")
    assert active_rule_set(database, *ONE) is SHIPPED


def test_two_who_save_at_once_do_not_both_get_the_version(database: Database) -> None:
    begin, ended = threading.Barrier(2), []

    def run(value: str) -> None:
        begin.wait()
        try:
            ended.append(save(database, RULES.replace("F: female", f"F: {value}")).version)
        except StoreError as error:
            ended.append(error.code)

    threads = [threading.Thread(target=run, args=(value,)) for value in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["1.0.0", "rules.version_taken"]


# rows for SQL


def test_the_rules_of_the_active_version_stand_in_rows_and_go_with_it(database: Database) -> None:
    save(database)
    assert rows(database, transformation_rule) == []
    activate(database, "clinic/patient", "1.0.0", "ann")
    found = rows(database, transformation_rule, "position")
    assert [(row["name"], row["type"], row["priority"], row["enabled"]) for row in found] == [
        ("gender", "VALUE_MAPPING", 50, True),
        ("whole", "CONCATENATION", 100, True),
        ("shout", "CALCULATION", 100, True),
        ("kind", "CALCULATION", 100, True),
        ("unused", "FIELD_MAPPING", 100, False),
        ("phones.parts", "SPLIT", 100, True),
    ]
    for row in found:
        assert (row["rule_set"], row["rule_set_version"]) == ("clinic/patient", "1.0.0")
        assert (row["provider"], row["resource_type"], row["direction"]) == ("nextgen", "Patient", "INBOUND")
        assert (row["source_format"], row["target_format"]) == ("CUSTOM_JSON", "FHIR_R4")
    assert found[0]["definition"]["map"] == {"F": "female"} and found[0]["definition"]["onMissing"] == "error"
    save(database, text("1.1.0"))
    activate(database, "clinic/patient", "1.1.0", "ann")
    assert {row["rule_set_version"] for row in rows(database, transformation_rule)} == {"1.1.0"}
    deactivate(database, "clinic/patient", "ann")
    assert rows(database, transformation_rule) == rows(database, field_mapping) == []
    activate(database, "clinic/patient", "1.0.0", "ann")
    assert rows(database, transformation_rule, "position") == found, "the same keys again"


def test_the_fields_and_targets_of_each_rule_stand_in_rows(database: Database) -> None:
    save(database)
    activate(database, "clinic/patient", "1.0.0", "ann")
    names = {row["rule_id"]: row["name"] for row in rows(database, transformation_rule)}
    found = [
        (names[row["rule_id"]], row["source_field"], row["target_field"], row["required"], row["default_value"])
        for row in rows(database, field_mapping)
    ]
    assert sorted(found, key=str) == [
        ("gender", "sex", "gender", True, None),
        ("kind", None, "name[0].use", False, None),
        ("phones.parts", "phones: digits", "telecom[].use", False, None),
        ("phones.parts", "phones: digits", "telecom[].value", False, None),
        ("shout", "name.first", "name[0].family", False, None),
        ("shout", "name.last", "name[0].family", False, None),
        ("unused", "sex", "language", False, None),
        ("whole", "name.first", "name[0].text", False, "none"),
        ("whole", "name.last", "name[0].text", False, "none"),
    ]


def test_every_shipped_rule_set_can_be_saved_and_activated_as_it_is(sqlite_database: Database) -> None:
    for name, written in shipped_as_written().items():
        stored = save(sqlite_database, written.text)
        assert stored.full_name == name
        activate(sqlite_database, stored.name, stored.version, "ann")
    assert sum(one.active for one in versions(sqlite_database)) == len(shipped_rule_sets())
    made = {target for row in rows(sqlite_database, field_mapping) for target in [row["target_field"]]}
    assert {"birthDate", "name[0].family"} <= made
