"""What a vendor can send wrongly: each a sentence with its place, the rest unharmed, and repaired by a later sync."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.sandbox.process import RunningSandbox
from tests.end_to_end.commands import Ended, clinic, declare, holovitals
from tests.end_to_end.conftest import EACH, PATIENTS
from tests.end_to_end.stored import held, ids_by_type, rows

TEN_MEGABYTES = 10_000_000


@dataclass(frozen=True)
class Case:
    """A fault in one resource type of one connection, and what has to come of it.

    `refused` resources are in quarantine under `code`; `arrived` of the type's 60 were committed; `line` is the line
    named. Without a code nothing is to be said at all.
    """

    name: str
    type: str
    mode: str
    fault: dict[str, Any]
    arrived: int = EACH
    code: str | None = None
    refused: int = 0
    lines: tuple[int, ...] = ()
    says: str = ""

    @property
    def connection(self) -> str:
        return self.name

    def declared_fault(self) -> dict[str, Any]:
        return {"path": f"bulk/files/{{id}}/{self.type}" if self.mode == "bulk" else self.type, **self.fault}


SURVIVED = [
    Case(
        "wrong_type", "Observation", "bulk", {"kind": "wrong_type"},
        code="resource.wrong_type", refused=1, lines=(61,),
    ),
    Case("repeated", "Condition", "bulk", {"kind": "duplicate_ids"}),
    Case(
        "ambiguous", "Encounter", "bulk", {"kind": "duplicate_ids", "changed": True},
        arrived=EACH - 1, code="extract.duplicate_id", refused=2, lines=(1, 61),
    ),
    Case(
        "long_line", "Immunization", "bulk", {"kind": "long_line", "bytes": TEN_MEGABYTES},
        code="resource.too_large", refused=1, lines=(61,),
    ),
    Case(
        "not_utf8", "Procedure", "bulk", {"kind": "invalid_utf8"},
        arrived=EACH - 1, code="json.invalid_utf8", refused=1, lines=(41,),
    ),
    Case("dropped_file", "DiagnosticReport", "bulk", {"kind": "cut"}),
    Case("throttled", "AllergyIntolerance", "search", {"kind": "throttle", "retry_after": "0", "times": 3}),
    Case("failing", "MedicationRequest", "search", {"kind": "status", "status": 502, "times": 3}),
    Case("expired_page", "CarePlan", "search", {"kind": "expire_sessions", "skip": 1}),
    Case("dropped_page", "CareTeam", "search", {"kind": "drop", "skip": 1, "times": 2}),
]  # fmt: skip
FAILED = [
    Case(
        "truncated", "Observation", "bulk", {"kind": "truncated", "fraction": 0.5},
        arrived=30, code="bulk.file_truncated", says="after line 30",
    ),
    Case("web_page_file", "Condition", "bulk", {"kind": "html"}, arrived=0, code="bulk.not_ndjson", says="web page"),
    Case("always_cut", "Encounter", "bulk", {"kind": "cut"}, arrived=0, code="bulk.file_truncated", says="dropped"),
    Case("web_page", "Immunization", "search", {"kind": "html"}, arrived=0, code="http.html", says="web page"),
    Case(
        "broken_page", "Procedure", "search", {"kind": "truncated", "skip": 1},
        arrived=20, code="search.malformed_page", says="cannot be read",
    ),
    Case(
        "always_throttled", "DiagnosticReport", "search", {"kind": "throttle", "retry_after": "0"},
        arrived=0, code="http.429", says="429",
    ),
    Case(
        "always_failing", "AllergyIntolerance", "search", {"kind": "status", "status": 502},
        arrived=0, code="http.502", says="502",
    ),
    Case(
        "always_expired", "MedicationRequest", "search", {"kind": "expire_sessions", "skip": 1},
        arrived=20, code="search.session_expired", says="expired",
    ),
    Case(
        "always_dropped", "CareTeam", "search", {"kind": "drop", "skip": 1},
        arrived=20, code="http.dropped", says="dropped",
    ),
]  # fmt: skip
CASES = [*SURVIVED, *FAILED]


@dataclass(frozen=True)
class Night:
    """What was said and stored: the same faults read by a person, and by a script in a home of its own."""

    home: Path
    text_survived: Ended
    text_failed: Ended
    json_survived: Ended
    json_failed: Ended
    repaired: Ended
    held: dict[str, list[tuple[str, bytes]]]
    arrived: dict[str, dict[str, int]]
    listed: Ended

    def report(self, case: Case) -> dict[str, Any]:
        answer = self.json_survived if case in SURVIVED else self.json_failed
        return next(report for report in answer.json() if report["connection"] == case.connection)


@pytest.fixture(scope="module")
def night(
    tmp_path_factory: pytest.TempPathFactory, vendor: RunningSandbox, order_faults: Callable[..., None]
) -> Iterator[Night]:
    connections = [
        clinic(case.connection, vendor.base_urls["fhir"], "Patient", case.type, mode=case.mode) for case in CASES
    ]
    read = declare(tmp_path_factory.mktemp("read"), *connections)
    parsed = declare(tmp_path_factory.mktemp("parsed"), *connections)

    def sync(home: Path, cases: list[Case], *options: str) -> Ended:
        always = {} if cases is SURVIVED else {"times": 0}
        order_faults(*[case.declared_fault() | always for case in cases])
        return holovitals(home, "sync", *[case.connection for case in cases], *options)

    text_survived, text_failed = sync(read, SURVIVED), sync(read, FAILED)
    json_survived, json_failed = sync(parsed, SURVIVED, "--json"), sync(parsed, FAILED, "--json")
    listed = holovitals(parsed, "quarantine", "--json")
    in_quarantine = {case.connection: held(parsed, case.connection) for case in CASES}
    arrived = {
        case.connection: {name: one["count"] for name, one in ids_by_type(parsed, case.connection).items()}
        for case in CASES
    }
    order_faults()
    repaired = holovitals(parsed, "sync", "--full", "--json")
    yield Night(
        parsed, text_survived, text_failed, json_survived, json_failed, repaired, in_quarantine, arrived, listed
    )


def test_the_exit_code_is_non_zero_exactly_where_something_could_not_be_read(night: Night) -> None:
    assert [run.code for run in (night.text_survived, night.json_survived)] == [0, 0], night.text_survived.err
    assert [run.code for run in (night.text_failed, night.json_failed)] == [1, 1]
    assert {report["status"] for report in night.json_survived.json()} == {"COMPLETED"}
    assert {report["status"] for report in night.json_failed.json()} == {"FAILED"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_rest_is_unharmed_and_everything_is_accounted_for(night: Night, case: Case) -> None:
    expected = {"Patient": PATIENTS} | ({case.type: case.arrived} if case.arrived else {})
    assert night.arrived[case.connection] == expected
    total = night.report(case)["total"]
    assert total["created"] == PATIENTS + case.arrived
    assert total["quarantined"] == case.refused
    known = ("created", "updated", "unchanged", "conflicts", "quarantined", "duplicates", "superseded")
    assert total["extracted"] == sum(total[name] for name in known)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_error_names_connection_place_line_and_remedy(night: Night, case: Case) -> None:
    said = night.report(case)["errors"]
    text = night.text_survived if case in SURVIVED else night.text_failed
    spoken = [line for line in text.err.splitlines() if f"connection {case.connection}," in line]
    if case.code is None:
        assert said == [] and spoken == [], "what was overcome is not worth a word at night"
        return
    assert {error["code"] for error in said} == {case.code}
    assert [error["line"] for error in said if error["line"]] == list(case.lines)
    assert all(error["remedy"] and error["message"] and error["source"] for error in said)
    [sentence] = spoken
    place = "GET $export-file" if case.mode == "bulk" else f"GET {case.type}"
    assert case.code in sentence and place in sentence and case.says in sentence
    if case.lines:
        assert f"line{'s' if len(case.lines) > 1 else ''} {', '.join(map(str, case.lines))}:" in sentence
    remedy = text.err.splitlines()[text.err.splitlines().index(sentence) + 1]
    assert remedy == f"  → {said[0]['remedy']}"


@pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=lambda case: case.name)
def test_quarantine_holds_the_exact_bytes_that_were_refused(night: Night, case: Case) -> None:
    found = night.held[case.connection]
    assert [rule for rule, _ in found] == [case.code] * case.refused
    bodies = [body for _, body in found]
    match case.name:
        case "wrong_type":
            assert bodies == [b'{"resourceType":"Basic","id":"wrong-type","code":{"text":"x"}}']
        case "long_line":
            [body] = bodies
            assert body.startswith(b'{"resourceType":"Immunization","id":"long-line"') and body.endswith(b'x"}')
            assert len(body) > TEN_MEGABYTES
        case "not_utf8":
            [body] = bodies
            assert b"\xff\xfe" in body and b'"id":"procedure-40"' in body
        case "ambiguous":
            assert len(set(bodies)) == 2 and all(b'"id":"encounter-0"' in body for body in bodies)
        case _:
            raise AssertionError("a case without a claim about its bytes")


def test_the_quarantine_command_lists_what_is_held_without_ids_or_contents(night: Night) -> None:
    listed = night.listed.json()
    assert night.listed.code == 0
    wanted = sorted((case.connection, case.type, case.code) for case in CASES for _ in range(case.refused))
    assert sorted((one["connection"], one["resourceType"], one["rule"]) for one in listed) == wanted
    assert all(one["source"] and one["line"] and one["remedy"] for one in listed)
    assert "encounter-0" not in night.listed.out and "long-line" not in night.listed.out


def test_a_person_is_told_where_the_refused_resources_are_and_how_to_read_them_again(night: Night) -> None:
    for case in CASES:
        hint = f"{case.refused:,} resources of {case.connection} are held in quarantine: `holovitals quarantine`"
        assert (hint in night.text_survived.err) == bool(case.refused)


def test_a_later_sync_without_the_faults_repairs_everything(night: Night) -> None:
    assert night.repaired.code == 0, night.repaired.said
    for case in CASES:
        assert {name: one["count"] for name, one in ids_by_type(night.home, case.connection).items()} == {
            "Patient": PATIENTS,
            case.type: EACH,
        }
    assert {report["status"] for report in night.repaired.json()} == {"COMPLETED"}
    # What stays held has no sound reading that could replace it: the vendor's stray resources, and bytes without an id.
    left = rows(night.home, "select distinct connection from quarantine where state = 'held'")
    assert {name for (name,) in left} == {"wrong_type", "long_line", "not_utf8"}


def test_a_known_record_leaves_quarantine_when_its_old_bytes_are_read_again(
    tmp_path: Path, vendor: RunningSandbox, order_faults: Callable[..., None]
) -> None:
    connection = clinic("twice", vendor.base_urls["fhir"], "Encounter", mode="bulk")
    home = declare(tmp_path / "home", connection)
    assert holovitals(home, "sync").code == 0
    order_faults({"kind": "duplicate_ids", "changed": True, "path": "bulk/files/{id}/Encounter"})
    assert holovitals(home, "sync", "--full").code == 0
    assert len(held(home, "twice")) == 2
    order_faults()
    [report] = holovitals(home, "sync", "--full", "--json").json()
    assert report["total"]["unchanged"] == EACH
    assert held(home, "twice") == []


def test_a_web_page_instead_of_metadata_ends_the_job_with_a_sentence_and_the_other_connections_go_on(
    tmp_path: Path, vendor: RunningSandbox, order_faults: Callable[..., None]
) -> None:
    url = vendor.base_urls["fhir"]
    home = declare(tmp_path / "home", clinic("portal", url, "Patient"), clinic("sound", url, "Patient"))
    order_faults({"kind": "html", "path": "metadata"})
    ended = holovitals(home, "sync", "--json")
    order_faults()
    assert ended.code == 1
    portal, sound = ended.json()
    assert (portal["status"], sound["status"]) == ("FAILED", "COMPLETED")
    [error] = portal["errors"]
    assert (error["severity"], error["code"]) == ("CRITICAL", "fhir.not_r4")
    assert "connection portal" in error["source"] and "web page" in error["message"] and error["remedy"]
    assert sound["total"]["created"] == PATIENTS
