"""Two-way sync with a FHIR server nobody here wrote (PyPI sekmet-fhir): stale versions, writers on both sides, deletes.

The judge reads what the writers did and what stands in the end; it knows nothing of how the engine decided.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from holovitals_pipelines.engine.local_records import delete_record, edit_record, read_record
from holovitals_pipelines.fhir.canonical import canonical_hash
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import JobStatus, JobType, Stage
from holovitals_pipelines.store.documents import get_document
from tests.end_to_end.resources import line
from tests.end_to_end.two_way import Ours, Resource, declared, our_side
from tests.providers.test_against_sekmet import Sekmet, serving, settings

pytestmark = [pytest.mark.timeout(180), pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

PATIENTS = 8
PASSES = 4
"""Syncs that run while both writers write, each as fast as it may."""
PACE = 0.01
"""Seconds a writer rests after each write, so that a run stays small."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sekmet]:
    folder = tmp_path_factory.mktemp("sekmet")
    with serving(folder, settings(folder)) as running:
        yield running


@dataclass(frozen=True)
class Clinic:
    """The vendor's own users, over its API."""

    http: httpx.Client

    def admit(self, **more: Any) -> str:
        answer = self.http.post("Patient", json={"resourceType": "Patient", "gender": "female", **more})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def read(self, identity: str) -> tuple[Resource | None, str]:
        answer = self.http.get(f"Patient/{identity}")
        return (answer.json() if answer.status_code == 200 else None), answer.headers.get("etag", "")

    def write(self, resource: Resource, etag: str) -> bool:
        """Whether nobody else had written since."""
        answer = self.http.put(f"Patient/{resource['id']}", json=resource, headers={"If-Match": etag})
        assert answer.status_code in (200, 412, 409, 410), answer.text
        return answer.status_code == 200

    def delete(self, identity: str) -> None:
        assert self.http.delete(f"Patient/{identity}").status_code in (200, 204)

    def held(self) -> dict[str, Resource]:
        entries = self.http.get("Patient", params={"_count": 200}).json().get("entry", [])
        return {entry["resource"]["id"]: entry["resource"] for entry in entries}


@pytest.fixture
def clinic(server: Sekmet) -> Iterator[Clinic]:
    with httpx.Client(base_url=server.base_url, trust_env=False, timeout=30) as http:
        clinic = Clinic(http)
        yield clinic
        for identity in clinic.held():
            clinic.delete(identity)


@pytest.fixture
def ours(server: Sekmet, home: Path, database_url: str) -> Iterator[Ours]:
    with our_side(home, database_url, declared(server.base_url)) as side:
        yield side


def test_a_stale_if_match_is_decided_anew_and_neither_edit_is_lost(ours: Ours, clinic: Clinic) -> None:
    identity = clinic.admit()
    assert ours.sync().status is JobStatus.COMPLETED
    ours.edit("Patient", identity, lambda patient: patient.update(active=True))

    class Colleague:
        """Edits there when our decision is committed and nothing has been sent."""

        edited = False

        def advanced(self, connection: str, stage: Stage, resource_type: str, rows: int) -> None:
            if stage is Stage.WRITE_BACK and not self.edited:
                self.edited = True
                held, etag = clinic.read(identity)
                assert held is not None and clinic.write({**held, "language": "en"}, etag)

        def ended(self, connection: str, stage: Stage, resource_type: str) -> None:
            return

    ours.sync(progress=Colleague())

    held, _ = clinic.read(identity)
    assert held is not None
    for side in (held, ours.held("Patient", identity)):
        assert (side["active"], side["language"]) == (True, "en")
    assert sorted(row.state for row in ours.rows("outbox")) == ["done", "superseded"], "the first was refused"
    assert is_quiet(ours, clinic)


def test_a15_a_write_of_ours_is_one_version_there_and_its_echo_is_none(ours: Ours, clinic: Clinic) -> None:
    identity = clinic.admit()
    ours.sync()
    before, _ = clinic.read(identity)
    ours.edit("Patient", identity, lambda patient: patient.update(active=True))

    ours.sync()

    held, _ = clinic.read(identity)
    assert before is not None and held is not None
    assert int(held["meta"]["versionId"]) == int(before["meta"]["versionId"]) + 1
    assert is_quiet(ours, clinic)


# writers on both sides


@dataclass(frozen=True)
class Write:
    """What a writer put in the place of what it had seen there; `token` is None for a removal."""

    patient: str
    element: str
    token: str | None
    seen: frozenset[str]


@dataclass
class History:
    """Everything the writers did that was accepted."""

    writes: list[Write] = field(default_factory=list)
    refused: int = 0
    """Writes on top of what the writer had not seen."""


ELEMENTS = ("maritalStatus", "managingOrganization", "name", "telecom")
"""Two that are decided by policy, one that waits for a person, and a list that both may add to."""
MIX = (
    *ELEMENTS,
    "telecom",
    "telecom",
    "managingOrganization",
    "managingOrganization",
    "maritalStatus",
    "maritalStatus",
)
"""A name that waits for a person holds the rest of its patient, so there are few of them."""


def tokens_in(resource: Resource | None, element: str) -> frozenset[str]:
    value = (resource or {}).get(element)
    if element == "maritalStatus":
        return frozenset([value["text"]] if value else ())
    if element == "managingOrganization":
        return frozenset([value["display"]] if value else ())
    return frozenset(item["family" if element == "name" else "value"] for item in value or ())


def put(resource: Resource, element: str, token: str, chance: random.Random) -> Write:
    """Write the token; into the list by adding it, at times in the place of what is there."""
    seen = tokens_in(resource, element)
    if element == "maritalStatus":
        resource[element] = {"text": token}
    elif element == "managingOrganization":
        resource[element] = {"display": token}
    elif element == "name":
        resource[element] = [{"family": token}]
    else:
        kept = resource.get(element, []) if chance.random() < 0.7 else []
        resource[element] = [*kept, {"system": "other", "value": token}]
        seen = seen - tokens_in(resource, element)
    return Write(str(resource["id"]), element, token, seen)


def write_here(ours: Ours, names: list[str], history: History, chance: random.Random, stop: threading.Event) -> None:
    ids = {name: ours.record("Patient", name).record_id for name in names}
    for number in count():
        name = chance.choice(names)
        current = read_record(ours.home.database, ids[name])
        document = json.loads(current.body)
        try:
            if number % 100 == 50 and current.state == "active":
                delete_record(ours.home.database, ids[name], seen_version=current.version, actor="here")
                history.writes += [Write(name, element, None, tokens_in(document, element)) for element in ELEMENTS]
            elif current.state == "active":
                write = put(document, chance.choice(MIX), f"here-{number}", chance)
                edit_record(
                    ours.home.database, ids[name], line(document), seen_version=current.version, actor="here"
                )  # fmt: skip
                history.writes.append(write)
        except StoreError as error:
            assert error.code == "record.changed"
            history.refused += 1
        if stop.wait(PACE):
            return


def write_there(
    server: Sekmet, names: list[str], history: History, chance: random.Random, stop: threading.Event
) -> None:
    with httpx.Client(base_url=server.base_url, trust_env=False, timeout=30) as http:
        clinic = Clinic(http)
        for number in count():
            document, etag = clinic.read(chance.choice(names))
            if document is not None:
                write = put(document, chance.choice(MIX), f"there-{number}", chance)
                if clinic.write(document, etag):
                    history.writes.append(write)
                else:
                    history.refused += 1
            if stop.wait(PACE):
                return


def in_conflicts(ours: Ours) -> str:
    """The text of everything that conflict records hold: values of units, and both sides whole."""
    texts = [str(row) for row in ours.rows("sync_conflict_field")]
    with ours.home.database.read() as transaction:
        for row in ours.conflicts():
            for address in (row.local_document, row.remote_document):
                if address is not None:
                    texts.append(get_document(transaction, bytes(address)).decode())
    return "\n".join(texts)


def is_quiet(ours: Ours, clinic: Clinic) -> bool:
    """Whether a further pass changes nothing on either side, nor the log."""
    before = (clinic.held(), ours.rows("record"), ours.rows("audit_log"), ours.rows("outbox"))
    assert ours.sync(JobType.FULL_SYNC).status is JobStatus.COMPLETED
    return before == (clinic.held(), ours.rows("record"), ours.rows("audit_log"), ours.rows("outbox"))


def test_two_writers_on_each_others_heels_lose_nothing_and_both_sides_end_equal(
    ours: Ours, server: Sekmet, clinic: Clinic
) -> None:
    names = [clinic.admit(name=[{"family": f"first-{number}"}]) for number in range(PATIENTS)]
    assert ours.sync().total.created == PATIENTS
    here, there, stop = History(), History(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        writers = [
            pool.submit(write_here, ours, names, here, random.Random(1), stop),
            pool.submit(write_there, server, names, there, random.Random(2), stop),
        ]
        try:
            for _ in range(PASSES):
                assert ours.sync().status is JobStatus.COMPLETED
        finally:
            stop.set()
        for writer in writers:
            writer.result()

    for _ in range(5):
        ours.sync()
        if not ours.rows("dirty_link"):
            break
    assert is_quiet(ours, clinic)

    held = clinic.held()
    stored = {}
    for name in names:
        record = ours.record("Patient", name)
        stored[name] = json.loads(record.body) if record.state == "active" else None
    open_ones = {row.link_id for row in ours.conflicts(status="PENDING_REVIEW")}
    waiting = {row.remote_id for row in ours.rows("link") if row.link_id in open_ones}
    for name in set(names) - waiting:
        left, right = stored[name], held.get(name)
        assert (left is None) == (right is None)
        assert left is None or right is None or canonical_hash(line(left)) == canonical_hash(line(right))

    recorded = in_conflicts(ours)
    accepted = [*here.writes, *there.writes]
    overwritten = {(w.patient, w.element, token) for w in accepted for token in w.seen}
    lost = [
        write
        for write in accepted
        if write.token is not None
        and write.token not in tokens_in(stored[write.patient], write.element)
        and write.token not in tokens_in(held.get(write.patient), write.element)
        and (write.patient, write.element, write.token) not in overwritten
        and f'"{write.token}"' not in recorded
    ]
    assert lost == []
    assert ours.conflicts(), "they did meet"
    assert ours.complaints() == []
