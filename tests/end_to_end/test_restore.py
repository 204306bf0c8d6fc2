"""The operational store restored from yesterday's backup: the runbook of docs/operators.md, step by step."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.engine.auditing import list_entries, sign_head, verify
from holovitals_pipelines.engine.local_records import create_record
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from tests.end_to_end.resources import line
from tests.end_to_end.two_way import Resource, Site, declared, our_side, setting, simulated_vendor

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with simulated_vendor(tmp_path_factory.mktemp("vendor")) as running:
        vendor = Site(running)
        vendor.as_new()
        yield vendor


def patient(identity: str, **more: Any) -> Resource:
    return {"resourceType": "Patient", "id": identity, "name": [{"family": "Doe"}], **more}


def copy_of(store: Path, to: Path) -> None:
    """`sqlite3 operational.sqlite ".backup copy.sqlite"`."""
    with sqlite3.connect(store) as source, sqlite3.connect(to) as target:
        source.backup(target)
    source.close()
    target.close()


def test_f23_after_a_restore_the_vendors_newer_values_are_pulled_and_none_is_overwritten(
    site: Site, home: Path, tmp_path: Path
) -> None:
    store, backup = home / "operational.sqlite", tmp_path / "backup.sqlite"
    for identity in ("theirs", "pushed", "local"):
        site.put(patient(identity))
    connection = declared(site.base_url)
    with our_side(home, f"sqlite:///{store}", connection) as ours:
        ours.sync()
        made = line({"resourceType": "Patient", "name": [{"family": "Made"}]})
        create_record(ours.home.database, "Patient", made, connections=["clinic"], actor="dr")
        copy_of(store, backup)
        at_backup = ours.entries()

        site.edit("Patient", "theirs", setting(gender="female"))
        ours.edit("Patient", "pushed", setting(gender="male"))
        ours.sync()
        ours.edit("Patient", "local", setting(gender="other"))
        sign_head(ours.home)
        mirror = [entry for entry in list_entries(ours.home, since_seq=at_backup) if entry.actor == "dr"]
        assert site.held("Patient", "pushed")["gender"] == "male" and len(site.ids("Patient")) == 4

    for leftover in home.glob("operational.sqlite*"):
        leftover.unlink()
    copy_of(backup, store)
    site.forget_requests()
    before = {name: site.version("Patient", name) for name in ("theirs", "pushed", "local")}

    with our_side(home, f"sqlite:///{store}", connection) as ours:
        assert {finding.code for finding in verify(ours.home).findings} == {"audit.tail_cut"}
        with pytest.raises(StoreError, match="no head was signed"):
            sign_head(ours.home)
        lost = [entry.record_id for entry in mirror if not _is_in(ours.rows("audit_log"), entry.entry_hash)]
        assert ours.record("Patient", "local").record_id in lost, "the mirror lists what was only here"

        sign_head(ours.home, begin_anew=True)
        assert ours.sync(JobType.FULL_SYNC).status is JobStatus.COMPLETED

        assert ours.held("Patient", "theirs")["gender"] == "female"
        assert ours.held("Patient", "pushed")["gender"] == "male", "what had been pushed returns from the vendor"
        assert "gender" not in ours.held("Patient", "local")
        assert {name: site.version("Patient", name) for name in before} == before
        assert len(site.ids("Patient")) == 4, "a create that had been sent is found by our identifier, not repeated"
        assert [write["method"] for write in site.writes()] in ([], ["POST"])
        assert len(ours.rows("record")) == len(ours.rows("link", state="active")) == 5  # four and the seed
        assert ours.conflicts() == [] and ours.complaints() == []


def _is_in(rows: list[Any], entry_hash: bytes) -> bool:
    return any(bytes(row.entry_hash) == bytes(entry_hash) for row in rows)
