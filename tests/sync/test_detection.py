"""Planted truth: 20,000 resources changed on either side in known ways, through the real engine, judged by an oracle.

The oracle compares elements as text and knows nothing of hashes, merges or policies; it is told the severities.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.local_records import delete_record, edit_record, record_of
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import JobType, Provider
from holovitals_pipelines.model.writing import Absent, Concurrency, Current, Present, WriteCapability, Written
from holovitals_pipelines.settings import Settings, save_connections
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.tables import audit_log, link, record, sync_conflict
from tests.engine.ndjson_source import NdjsonSource

ROWS = 20_000
EACH = 30
"""Resources of each class; all others are left alone."""

Resource = dict[str, Any]
Change = Callable[[Resource], Any]


def line(resource: Resource) -> bytes:
    return json.dumps(resource, separators=(",", ":")).encode()


def patient(number: int) -> bytes:
    """As text, so that the decimal's digits are exactly those."""
    return (
        b'{"resourceType":"Patient","id":"p%d","meta":{"versionId":"1"},"birthDate":"1970-01-01",'
        b'"name":[{"family":"F%d"}],"maritalStatus":{"text":"agreed"},'
        b'"extension":[{"url":"urn:weight","valueDecimal":1.0}]}' % (number, number)
    )


# the classes: what a class does to the local and to the vendor's side; None deletes, KEEP leaves it alone

KEEP: Change = lambda resource: None  # noqa: E731


def sets(**elements: Any) -> Change:
    return lambda resource: resource.update(elements)


def spelled_anew(body: bytes) -> bytes:
    members = json.loads(body, parse_float=_Digits)
    return json.dumps(dict(reversed(members.items())), default=str).replace('"1.0"', "1.0").encode()


class _Digits(str):
    """A decimal's text, written back as it was."""


@dataclass(frozen=True)
class Planted:
    """A class of resources: how each side is changed. `rewrite` changes the vendor's bytes, not its content."""

    local: Change | None = KEEP
    remote: Change | None = KEEP
    rewrite: Callable[[bytes], bytes] = lambda body: body


STATUS, LANGUAGE, BIRTH = "maritalStatus", "language", "birthDate"
CLASSES: Mapping[str, Planted] = {
    "keys in another order": Planted(rewrite=spelled_anew),
    "another version and time": Planted(
        rewrite=lambda b: b.replace(b'{"versionId":"1"}', b'{"versionId":"2","lastUpdated":"2026-01-02T00:00:00Z"}')
    ),
    "another narrative": Planted(rewrite=lambda b: b[:-1] + b',"text":{"status":"generated","div":"<div/>"}}'),
    "one more digit": Planted(rewrite=lambda b: b.replace(b"1.0}", b"1.00}")),
    "changed there": Planted(remote=sets(maritalStatus={"text": "theirs"})),
    "changed here": Planted(local=sets(maritalStatus={"text": "ours"})),
    "changed here, spelled anew there": Planted(local=sets(maritalStatus={"text": "ours"}), rewrite=spelled_anew),
    "the same on both": Planted(sets(maritalStatus={"text": "same"}), sets(maritalStatus={"text": "same"})),
    "different elements": Planted(sets(maritalStatus={"text": "ours"}), sets(language="en")),
    "one element, medium": Planted(sets(maritalStatus={"text": "ours"}), sets(maritalStatus={"text": "theirs"})),
    "one element, critical": Planted(sets(birthDate="1971-01-01"), sets(birthDate="1972-01-01")),
    "one critical, others beside": Planted(
        sets(birthDate="1971-01-01", language="de"), sets(birthDate="1972-01-01", gender="male")
    ),
    "removed there": Planted(remote=lambda r: r.pop(STATUS)),
    "removed here, changed there": Planted(lambda r: r.pop(STATUS), sets(maritalStatus={"text": "theirs"})),
    "deleted there": Planted(remote=None),
    "deleted there, changed here": Planted(sets(maritalStatus={"text": "ours"}), None),
    "deleted here": Planted(local=None),
    "deleted here, changed there": Planted(None, sets(maritalStatus={"text": "theirs"})),
    "deleted on both": Planted(None, None),
}
FORMAL = ("keys in another order", "another version and time", "another narrative")
ONE_SIDED = ("one more digit", "changed there", "changed here", "changed here, spelled anew there", "removed there",
             "deleted there", "deleted here")  # fmt: skip


# the oracle


@dataclass(frozen=True)
class Truth:
    """What both sides must hold in the end, and the conflict that must stand for it."""

    local: Mapping[str, str] | None
    remote: Mapping[str, str] | None
    conflict: tuple[str, str, str, int] | None = None
    """(type, severity, status, units in contradiction)."""


NOT_CONTENT = ("meta", "text", "resourceType", "id")
GRADES = {"birthDate": "CRITICAL", "maritalStatus": "MEDIUM", "gender": "CRITICAL", "language": "MEDIUM"}


def elements(body: bytes | None) -> dict[str, str] | None:
    """Top-level elements as text, digits and all; None for an absent resource."""
    if body is None:
        return None
    members = json.loads(body, parse_float=str)
    return {name: json.dumps(value, sort_keys=True) for name, value in members.items() if name not in NOT_CONTENT}


def truth(base: bytes, local: bytes | None, remote: bytes | None) -> Truth:
    """What must follow, element by element, at a vendor that takes everything and a policy where MEDIUM is theirs."""
    before, ours, theirs = elements(base), elements(local), elements(remote)
    assert before is not None
    if ours is None and theirs is None:
        return Truth(None, None)
    if theirs is None or ours is None:
        left = ours if ours is not None else theirs
        if left == before:
            return Truth(None, None)
        kind = "UPDATE_DELETE" if theirs is None else "DELETE_UPDATE"
        return Truth(ours, theirs, (kind, "CRITICAL", "PENDING_REVIEW", 1))
    final, torn = dict(before), []
    here = there = False
    for name in before.keys() | ours.keys() | theirs.keys():
        was, left, right = before.get(name), ours.get(name), theirs.get(name)
        here, there = here or left != was, there or right != was
        if left != was and right != was and left != right:
            torn.append(name)
        kept = right if right != was else left
        final.pop(name, None)
        if kept is not None:
            final[name] = kept
    if not (here and there):
        return Truth(final, final)
    if not torn:
        return Truth(final, final, ("UPDATE_UPDATE", "LOW", "RESOLVED", 0))
    if any(GRADES[name] != "MEDIUM" for name in torn):
        return Truth(ours, theirs, ("UPDATE_UPDATE", "CRITICAL", "PENDING_REVIEW", len(torn)))
    return Truth(final, final, ("UPDATE_UPDATE", "MEDIUM", "RESOLVED", len(torn)))


# the vendor, and both sides


@dataclass
class Held(NdjsonSource):
    """The folder's resources, which can also be read and written one by one."""

    held: dict[str, bytes] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)

    def write_capability(self, resource_type: str) -> WriteCapability:
        return WriteCapability(create=True, update=True, delete=True, concurrency=Concurrency.ETAG)

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        body = self.held.get(remote_id)
        return Absent("410 Gone") if body is None else Present(remote_id, body, str(len(body)))

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        assert version == str(len(self.held[remote_id]))
        self.held[remote_id] = body
        self.writes[remote_id] += 1
        return Written(remote_id, str(len(body)), body)

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        del self.held[remote_id]
        self.writes[remote_id] += 1


@dataclass(frozen=True)
class Outcome:
    """Both sides before and after the sync that was to find the planted changes."""

    report: JobReport
    classes: Mapping[str, str]
    before: Mapping[str, tuple[bytes, bytes | None, bytes | None]]
    """(agreed, local, remote) of each id when the sync began."""
    local: Mapping[str, bytes | None]
    remote: Mapping[str, bytes]
    conflicts: Mapping[str, tuple[str, str, str, int]]
    changed: Mapping[str, int]
    """Versions that local records gained."""
    logged: int
    writes: Counter[str]

    def ids(self, classes: Sequence[str]) -> list[str]:
        return [identity for identity, name in self.classes.items() if name in classes]


CONNECTION = ConnectionConfig.model_validate(
    {
        "name": "clinic", "provider": Provider.FHIR, "base_url": "http://127.0.0.1:9/fhir",
        "write": {"enabled": True, "creates": True, "deletes": True, "delete_breaker_share": 1.0},
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Outcome]:
    root = tmp_path_factory.mktemp("detection")
    (root / "vendor").mkdir()
    save_connections(root / "connections.yaml", [CONNECTION])
    source = Held(root / "vendor", page=2000)
    base = {f"p{number}": patient(number) for number in range(ROWS)}
    with open_home(Settings(home=root, commit_rows=5000)) as home:
        yield _played(home, source, base)


def _played(home: Home, source: Held, base: Mapping[str, bytes]) -> Outcome:
    def sync() -> JobReport:
        source.folder.joinpath("Patient.ndjson").write_bytes(b"\n".join(source.held.values()) + b"\n")
        return run_sync(home, SyncRequest("clinic", JobType.FULL_SYNC), adapter_for=lambda _: source)

    source.held |= base
    assert sync().total.created == len(base)
    classes = _planted(random.Random(20261122), base)
    before: dict[str, tuple[bytes, bytes | None, bytes | None]] = {}
    for identity, name in classes.items():
        local, remote = _change_here(home, identity, CLASSES[name]), _changed(base[identity], CLASSES[name])
        before[identity] = (base[identity], local, remote)
        if remote is None:
            del source.held[identity]
            source.deletions.setdefault("Patient", []).append(identity)
        else:
            source.held[identity] = remote
    versions, entries = _versions(home), _count(home, audit_log)
    report = sync()
    local_bodies, now = _bodies(home), _versions(home)
    return Outcome(
        report, classes, before, local_bodies, source.held, _conflicts(home),
        {identity: now[identity] - versions[identity] for identity in base}, _count(home, audit_log) - entries,
        source.writes,
    )  # fmt: skip


def _planted(chance: random.Random, base: Mapping[str, bytes]) -> dict[str, str]:
    ids = chance.sample(sorted(base), EACH * len(CLASSES))
    return {identity: name for name, identity in zip(list(CLASSES) * EACH, ids, strict=True)}


def _changed(body: bytes, planted: Planted) -> bytes | None:
    if planted.remote is None:
        return None
    return planted.rewrite(body if planted.remote is KEEP else _edited(body, planted.remote))


def _edited(body: bytes, change: Change) -> bytes:
    resource = json.loads(body)
    change(resource)
    return line(resource)


def _change_here(home: Home, identity: str, planted: Planted) -> bytes | None:
    seen = record_of(home, "clinic", "Patient", identity)
    if planted.local is None:
        delete_record(home.database, seen.record_id, seen_version=1, actor="dr")
        return None
    body = seen.body if planted.local is KEEP else _edited(seen.body, planted.local)
    return edit_record(home.database, seen.record_id, body, seen_version=1, actor="dr").body


def _versions(home: Home) -> dict[str, int]:
    query = sa.select(link.c.remote_id, record.c.version).join(record, record.c.record_id == link.c.record_id)
    with home.database.read() as transaction:
        return {row.remote_id: row.version for row in transaction.execute(query)}


def _bodies(home: Home) -> dict[str, bytes | None]:
    query = sa.select(link.c.remote_id, record.c.document_hash, record.c.state).join(
        record, record.c.record_id == link.c.record_id
    )
    with home.database.read() as transaction:
        rows = transaction.execute(query).all()
        bodies = get_documents(transaction, {bytes(row.document_hash) for row in rows})
    return {row.remote_id: bodies[bytes(row.document_hash)] if row.state == "active" else None for row in rows}


def _conflicts(home: Home) -> dict[str, tuple[str, str, str, int]]:
    query = sa.select(link.c.remote_id, sync_conflict).join(link, link.c.link_id == sync_conflict.c.link_id)
    with home.database.read() as transaction:
        rows = transaction.execute(query).all()
    assert len({row.remote_id for row in rows}) == len(rows), "one conflict a link"
    return {row.remote_id: (row.type, row.severity, row.status, row.units) for row in rows}


def _count(home: Home, table: sa.Table) -> int:
    with home.database.read() as transaction:
        return transaction.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


# what must be so


def test_a1_of_everything_planted_nothing_is_decided_wrong(outcome: Outcome) -> None:
    wrong: Counter[str] = Counter()
    for identity, name in outcome.classes.items():
        expected = truth(*outcome.before[identity])
        found = Truth(
            elements(outcome.local[identity]), elements(outcome.remote.get(identity)), outcome.conflicts.get(identity)
        )
        wrong[name] += found != expected
    assert +wrong == Counter()
    assert Counter(outcome.classes.values()) == dict.fromkeys(CLASSES, EACH) and len(CLASSES) >= 15
    assert outcome.report.errors == () and outcome.report.total.unaccounted == 0


def test_a1_nobody_touches_what_nobody_changed(outcome: Outcome) -> None:
    others = outcome.changed.keys() - outcome.classes.keys()
    assert len(others) == ROWS - EACH * len(CLASSES)
    assert not any(outcome.changed[identity] for identity in others)
    assert not others & (outcome.conflicts.keys() | outcome.writes.keys())


def test_a2_what_differs_because_one_side_changed_is_no_conflict(outcome: Outcome) -> None:
    differing = [
        identity
        for identity, (_, local, remote) in outcome.before.items()
        if elements(local) != elements(remote)
    ]  # fmt: skip
    one_sided = outcome.ids(ONE_SIDED)
    assert len(set(differing) & set(one_sided)) == len(one_sided) == EACH * len(ONE_SIDED), "a two-way look sees all"
    assert not outcome.conflicts.keys() & set(one_sided)
    contradictions = [identity for identity, found in outcome.conflicts.items() if found[3] > 0]
    assert len(differing) >= 2 * len(contradictions)


def test_a3_what_is_not_content_changes_nothing_and_is_not_told(outcome: Outcome) -> None:
    formal = outcome.ids(FORMAL)
    assert len(formal) == EACH * len(FORMAL)
    assert all(outcome.before[identity][0] != outcome.before[identity][2] for identity in formal), "other bytes it is"
    assert not outcome.conflicts.keys() & set(formal) and not outcome.writes.keys() & set(formal)
    assert not any(outcome.changed[identity] for identity in formal)


def test_a4_one_more_digit_is_a_change(outcome: Outcome) -> None:
    for identity in outcome.ids(["one more digit"]):
        body = outcome.local[identity]
        assert outcome.changed[identity] == 1 and body is not None and b"1.00" in body


def test_a15_each_write_to_the_vendor_is_one_and_only_where_local_had_news(outcome: Outcome) -> None:
    assert set(outcome.writes.values()) == {1}
    news = {identity for identity, (base, local, _) in outcome.before.items() if elements(local) != elements(base)}
    assert outcome.writes.keys() <= news
    expected = [
        "changed here", "changed here, spelled anew there", "different elements", "deleted here",
    ]  # fmt: skip
    assert outcome.writes.keys() == set(outcome.ids(expected))
