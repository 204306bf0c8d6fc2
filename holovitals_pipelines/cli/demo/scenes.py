"""The scenes of the demo's story. Each does something, waits for a sync, and looks at both stores what came of it.

Law: what came of it is compared at the vendor and here; no value is told, only elements, versions and names of rules.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from holovitals_pipelines.cli.demo.at_vendor import Change
from holovitals_pipelines.cli.demo.stage import ACTOR, WAITING, Stage
from holovitals_pipelines.engine.conflict_view import ShownConflict
from holovitals_pipelines.engine.local_records import history_of
from holovitals_pipelines.engine.revert import revert_conflict
from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictStatus
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.store.conflicts import StoredUnit

SHORT_ID = 8


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a scene: a sentence, whether both stores bear it out, and the facts it rests on."""

    text: str
    holds: bool
    facts: Mapping[str, Any] = field(default_factory=dict)
    look: str | None = None
    """A command that shows more."""


Scene = Callable[[Stage], Generator[str, None, Came]]
"""Yields what it has done, in words, and is resumed after the sync."""


# one side changed


def edit_there(stage: Stage) -> Generator[str, None, Came]:
    record = stage.record("Patient", "pulled")
    stage.edit_there("Patient", "pulled", renamed("Remote"))
    yield "a clinician changes a patient's name at the vendor"
    here, there = stage.here(record.record_id), stage.there("Patient", "pulled")
    version = stage.record("Patient", "pulled").version
    text = f"taken over here: version {record.version} → {version}"
    facts = {"element": "name", "versionHere": [record.version, version]}
    return Came(text, here["name"] == there["name"] and version == record.version + 1, facts)


def edit_here(stage: Stage) -> Generator[str, None, Came]:
    before = stage.version_there("Patient", "pushed")
    record = stage.edit_here("Patient", "pushed", renamed("Local"))
    yield "someone changes another patient's name here"
    after = stage.version_there("Patient", "pushed")
    here, there = stage.here(record.record_id), stage.there("Patient", "pushed")
    arrived = here["name"] == there["name"] == read_document(record.body)["name"] and _next(before, after)
    return Came(
        f"written to the vendor under the version that was seen: {before} → {after} there",
        arrived and stage.last_write_was_guarded(record.record_id) is True,
        {"element": "name", "versionThere": [before, after], "guarded": True},
    )


def edit_here_without_guard(stage: Stage) -> Generator[str, None, Came]:
    record = stage.edit_here("Observation", "unguarded", _noted)
    yield "someone adds a note to an observation here"
    here, there = stage.here(record.record_id), stage.there("Observation", "unguarded")
    arrived = here.get("note") == there.get("note") == read_document(record.body)["note"]
    return Came(
        "written to the vendor, which shows no versions: read before, compared after, recorded as unguarded",
        arrived and stage.last_write_was_guarded(record.record_id) is False,
        {"element": "note", "guarded": False},
    )


def edit_that_cannot_be_written(stage: Stage) -> Generator[str, None, Came]:
    record = stage.edit_here("Condition", "standing", _noted)
    yield "someone adds a note to a problem here; this vendor lets problems be created, not changed"
    here, there = stage.here(record.record_id), stage.there("Condition", "standing")
    standing = [one for one in stage.link(record.record_id).standing if one.element == "note"]
    why = standing[0].reason.replace("_", " ") if standing else "not listed"
    return Came(
        f"a standing difference, listed as {why}: each side keeps what it has",
        here.get("note") != there.get("note") and bool(here.get("note")) and bool(standing),
        {"element": "note", "reason": why},
        "holovitals standing",
    )


# the same at vendors without FHIR, of whose resources rules make ours and back


def edit_there_in_its_own_form(stage: Stage) -> Generator[str, None, Came]:
    record = stage.record("Patient", "pulled")
    stage.edit_there("Patient", "pulled", renamed("Remote"))
    yield "a clinician changes a patient's name at the vendor"
    here, there = stage.here(record.record_id), stage.there("Patient", "pulled")
    version = stage.record("Patient", "pulled").version
    taken = _family(here) == _family(there) != _family(read_document(record.body))
    facts = {"element": "name", "versionHere": [record.version, version]}
    return Came(
        f"read in the vendor's own form and taken over: version {record.version} → {version}",
        taken and version == record.version + 1,
        facts,
    )


def edit_here_in_its_own_form(stage: Stage) -> Generator[str, None, Came]:
    record = stage.edit_here("Patient", "pushed", renamed("Local"))
    yield "someone changes another patient's name here"
    here, there = stage.here(record.record_id), stage.there("Patient", "pushed")
    arrived = _family(here) == _family(there) == _family(read_document(record.body))
    return Came(
        "written to the vendor in its own form: read before, compared after, recorded as unguarded",
        arrived and stage.last_write_was_guarded(record.record_id) is False,
        {"element": "name", "guarded": False},
    )


# both sides changed


def edits_that_meet(stage: Stage) -> Generator[str, None, Came]:
    record = stage.edit_here("Patient", "merged", _other_use)
    stage.edit_there("Patient", "merged", _other_preference)
    before = stage.version_there("Patient", "merged")
    ours, theirs = read_document(record.body), stage.there("Patient", "merged")
    yield "a patient's telecom is changed here, communication at the vendor"
    after = stage.version_there("Patient", "merged")
    here, there = stage.here(record.record_id), stage.there("Patient", "merged")
    joined = [side["telecom"] == ours["telecom"] and side["communication"] == theirs["communication"]
              for side in (here, there)]  # fmt: skip
    shown = stage.newest_conflict("Patient", record.record_id)
    clean = shown is not None and shown.conflict.status == ConflictStatus.RESOLVED and not shown.open_units
    text = f"merged, as nothing contradicts: both sides hold both changes; version {before} → {after} there"
    facts = {"elements": ["telecom", "communication"], "versionThere": [before, after]}
    return Came(text, all(joined) and clean and _next(before, after), facts)


def contradiction_for_the_policy(stage: Stage) -> Generator[str, None, Came]:
    record = stage.edit_here("Patient", "decided", _married("here"))
    stage.edit_there("Patient", "decided", _married("there"))
    before = stage.version_there("Patient", "decided")
    said = {"local": read_document(record.body), "remote": stage.there("Patient", "decided")}
    yield "a patient's maritalStatus is changed on both sides, differently"
    after = stage.version_there("Patient", "decided")
    here, there = stage.here(record.record_id), stage.there("Patient", "decided")
    shown = stage.newest_conflict("Patient", record.record_id)
    unit = _decided_unit(shown)
    if shown is None or unit is None:
        return Came("maritalStatus was not decided by policy", False)
    winner = said[unit.chosen_side or "remote"]["maritalStatus"]
    whose = "the vendor's" if unit.chosen_side == "remote" else "ours"
    severity, row = shown.conflict.severity, _row_that_decided(unit)
    return Came(
        f"severity {severity}, decided by {row} ({unit.strategy}): both sides hold {whose}",
        here["maritalStatus"] == there["maritalStatus"] == winner
        and severity == ConflictSeverity.MEDIUM
        and (before == after) == (unit.chosen_side == "remote"),
        {"element": "maritalStatus", "severity": severity, "strategy": unit.strategy, "side": unit.chosen_side,
         "row": row, "versionThere": [before, after]},
        f"holovitals conflicts show {shown.conflict.conflict_id[:SHORT_ID]}",
    )  # fmt: skip


def contradiction_for_people(stage: Stage) -> Generator[str, None, Came]:
    record = stage.edit_here("Patient", WAITING, _born(days=1))
    stage.edit_there("Patient", WAITING, _born(days=-1))
    before, theirs = stage.version_there("Patient", WAITING), stage.there("Patient", WAITING)
    yield "a patient's birthDate is changed on both sides, differently"
    after = stage.version_there("Patient", WAITING)
    here, there = stage.here(record.record_id), stage.there("Patient", WAITING)
    unmoved = here == read_document(record.body) and there == theirs and before == after
    shown = stage.newest_conflict("Patient", record.record_id)
    if shown is None:
        return Came("birthDate was recorded as no conflict", False)
    conflict = shown.conflict
    waits = conflict.status == ConflictStatus.PENDING_REVIEW and conflict.severity == ConflictSeverity.CRITICAL
    people = "two people" if conflict.two_person else "a person"
    return Came(
        f"severity {conflict.severity}: waits for {people}, and neither side has moved",
        unmoved and waits,
        {"element": "birthDate", "severity": conflict.severity, "status": conflict.status, "rule": conflict.rule,
         "conflict": conflict.conflict_id, "revision": conflict.revision},
        f"holovitals conflicts show {conflict.conflict_id[:SHORT_ID]}",
    )  # fmt: skip


def undone(stage: Stage) -> Generator[str, None, Came]:
    record = stage.record("Patient", "decided")
    shown = stage.newest_conflict("Patient", record.record_id)
    unit = _decided_unit(shown)
    before = stage.version_there("Patient", "decided")
    if shown is not None and unit is not None:
        loser = _side_of(shown, "local" if unit.chosen_side == "remote" else "remote")
        revert_conflict(stage.home.database, shown.conflict.conflict_id, actor=ACTOR, reason="the demo's story")
    yield "someone undoes the decision of the policy on maritalStatus"
    if shown is None or unit is None:
        return Came("there was no decision to undo", False)
    after = stage.version_there("Patient", "decided")
    here, there = stage.here(record.record_id), stage.there("Patient", "decided")
    return Came(
        f"both sides hold again what had given way: version {before} → {after} there",
        here["maritalStatus"] == there["maritalStatus"] == loser["maritalStatus"]
        and _next(before, after) == (unit.chosen_side == "remote"),
        {"element": "maritalStatus", "versionThere": [before, after]},
        f"holovitals audit list --record {record.record_id}",
    )


# deletes


def update_meets_delete(stage: Stage) -> Generator[str, None, Came]:
    record = stage.edit_here("Immunization", "kept", _noted)
    stage.vendor.delete("Immunization", stage.cast["kept"])
    yield "an immunization is changed here and deleted at the vendor"
    gone, link = stage.there("Immunization", "kept") is None, stage.link(record.record_id)
    shown = stage.newest_conflict("Immunization", record.record_id)
    here = stage.here(record.record_id)
    there = stage.vendor.held("Immunization", link.remote_id) if link.remote_id is not None else None
    unit = _decided_unit(shown)
    if here is None or there is None or shown is None or unit is None:
        return Came("what was changed here was not kept on both sides", False)
    row = _row_that_decided(unit)
    return Came(
        f"severity {shown.conflict.severity}, decided by {row}: created there again, under a new id",
        gone and here["note"] == there["note"] and link.state == "active" and link.remote_id != stage.cast["kept"],
        {"element": "note", "severity": shown.conflict.severity, "strategy": unit.strategy, "row": row},
        f"holovitals conflicts show {shown.conflict.conflict_id[:SHORT_ID]}",
    )


def delete_there(stage: Stage) -> Generator[str, None, Came]:
    record = stage.record("Immunization", "gone")
    stage.vendor.delete("Immunization", stage.cast["gone"])
    yield "an immunization is deleted at the vendor"
    versions = history_of(stage.home.database, record.record_id)
    deleted = stage.here(record.record_id) is None and stage.there("Immunization", "gone") is None
    return Came(
        f"confirmed by reading it, then deleted here too; version {record.version} stays readable",
        deleted and versions[1].version == record.version and versions[1].state == "active",
        {"versionHere": [record.version, versions[0].version]},
        f"holovitals records history {record.record_id[:SHORT_ID]}",
    )


WITHOUT_FHIR = ("meditech", "allscripts", "nextgen", "athenahealth")

ROLES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "fhir": {
        "Patient": ("pulled", "pushed", "merged", "decided", WAITING),
        "Immunization": ("kept", "gone"),
    },
    "epic": {"Patient": ("pulled",), "Observation": ("unguarded",), "Condition": ("standing",)},
    "cerner": {"Patient": ("pulled", "pushed")},
    "eclinicalworks": {"Patient": ("pulled", "pushed")},
    **{vendor: {"Patient": ("pulled", "pushed")} for vendor in WITHOUT_FHIR},
}
"""By vendor and resource type: who plays in its story."""

FIRST_ACT: Mapping[str, Sequence[Scene]] = {
    "fhir": (
        edit_there,
        edit_here,
        edits_that_meet,
        contradiction_for_the_policy,
        contradiction_for_people,
        update_meets_delete,
    ),
    "cerner": (edit_there, edit_here),
    "eclinicalworks": (edit_there, edit_here_in_its_own_form),
    "epic": (edit_there, edit_here_without_guard, edit_that_cannot_be_written),
    **dict.fromkeys(WITHOUT_FHIR, (edit_there_in_its_own_form, edit_here_in_its_own_form)),
}
"""Before an incremental sync."""

SECOND_ACT: Mapping[str, Sequence[Scene]] = {"fhir": (undone, delete_there)}
"""Before everything is compared."""


# the changes


def renamed(mark: str) -> Change:
    """Another family name each time: Doe → Doe-Remote1 → Doe-Remote2."""

    def change(patient: Document) -> None:
        name = patient["name"][0]
        stem, _, number = name["family"].partition(f"-{mark}")
        name["family"] = f"{stem}-{mark}{int(number or 0) + 1}"

    return change


def _other_use(patient: Document) -> None:
    contact = patient["telecom"][0]
    contact["use"] = "mobile" if contact.get("use") == "home" else "home"


def _other_preference(patient: Document) -> None:
    language = patient["communication"][0]
    language["preferred"] = not language.get("preferred", False)


def _married(side: str) -> Change:
    """Another text on each side each time."""

    def change(patient: Document) -> None:
        before = patient.get("maritalStatus", {}).get("text", "")
        number = before.rpartition(" ")[2]
        patient["maritalStatus"] = {"text": f"as said {side} {int(number) + 1 if number.isdecimal() else 1}"}

    return change


def _born(days: int) -> Change:
    def change(patient: Document) -> None:
        patient["birthDate"] = (date.fromisoformat(patient["birthDate"]) + timedelta(days)).isoformat()

    return change


def _noted(resource: Document) -> None:
    count = len(resource.get("note", ()))
    resource["note"] = [*resource.get("note", ()), {"text": f"Note {count + 1} of the demo"}]


# looking


def _family(patient: Document) -> str:
    """Vendors write names in letters of their own."""
    return str(patient["name"][0]["family"]).casefold()


def _next(before: str | None, after: str | None) -> bool:
    return before is not None and after is not None and int(after) == int(before) + 1


def _decided_unit(shown: ShownConflict | None) -> StoredUnit | None:
    """The unit that was decided by policy, where one was."""
    if shown is None or shown.conflict.status != ConflictStatus.RESOLVED:
        return None
    return next((unit for unit in shown.open_units if unit.chosen_side is not None), None)


def _row_that_decided(unit: StoredUnit) -> str:
    """`policy row default`."""
    return (unit.why or "").partition(":")[0]


def _side_of(shown: ShownConflict, side: str | None) -> Document:
    body = shown.local if side == "local" else shown.remote
    assert body is not None, "both sides were there when it was decided"
    return read_document(body)
