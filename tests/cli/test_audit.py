"""`holovitals audit`: verdicts with exit codes, closer looks, heads, and health data only where it was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from holovitals_pipelines.cli.audit_commands import audit_app
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.fhir.validation import explain
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.audit import Entry, append
from holovitals_pipelines.store.bulk import insert_rows
from holovitals_pipelines.store.documents import put_documents
from holovitals_pipelines.store.tables import audit_log, record
from tests.cli.conftest import Run

AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
BEFORE = b'{"resourceType":"Patient","id":"x","name":[{"family":"MARKER"}]}'
AFTER = '{"resourceType":"Patient","id":"x","name":[{"family":"MARKERß"}],"multipleBirthInteger":2}'.encode()


@pytest.fixture
def audit(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("DATABASE_URL", "LANDING_URL", "CONNECTIONS_FILE"):
        monkeypatch.delenv(f"HOLOVITALS_{name}", raising=False)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(audit_app, arguments, env={"HOLOVITALS_HOME": str(home)})

    return invoke


@pytest.fixture
def changed(home: Path) -> Iterator[Home]:
    """A record that was pulled and then edited by a person, whose name looks like markup."""
    before, after = content_hash(BEFORE), content_hash(AFTER)
    with open_home(Settings(home=home)) as opened:
        with opened.database.write() as transaction:
            put_documents(transaction, [(before, BEFORE), (after, AFTER)])
            row = ("r1", "Patient", "clinic", 2, "active", after, b"h" * 16, 1, "ann", AT)
            insert_rows(transaction, record, [column.name for column in record.columns], [row])
            made = [
                Entry("pull", "clinic", "r1", connection="clinic", after_document=before, after_version=1, job_id="j1"),
                Entry("edit", "[red]ann", "r1", None, None, None, before, after, 1, 2, "typo", detail={"units": 1}),
            ]
            append(transaction, made, at=AT)
        yield opened


def test_verifying_ends_with_0_for_a_whole_log_and_with_1_for_a_damaged_one(audit: Run, changed: Home) -> None:
    unsigned = audit("verify")
    assert unsigned.exit_code == 1 and "audit.never_signed" in unsigned.stdout and "audit sign" in unsigned.stdout
    assert audit("sign").exit_code == 0

    whole = audit("verify", "--records")
    assert whole.exit_code == 0 and "intact: 2 entries, 1 signed heads" in whole.stdout

    with changed.database.write() as transaction:
        transaction.execute(audit_log.update().where(audit_log.c.seq == 2).values(actor="bob"))
    damaged = audit("verify")
    assert damaged.exit_code == 1 and "audit.entry_edited entry 2:" in damaged.stdout
    told = json.loads(audit("verify", "--json").stdout)
    assert told["intact"] is False and told["findingCount"] == 1
    assert [(one["code"], one["seq"]) for one in told["findings"]] == [("audit.entry_edited", 2)]


def test_a_copy_of_heads_and_key_is_believed_instead_of_the_home(audit: Run, home: Path, changed: Home) -> None:
    audit("sign")
    [key] = (home / "audit").glob("*.pub.pem")
    elsewhere = home / "elsewhere.jsonl"
    (home / "audit" / "heads.jsonl").rename(elsewhere)
    assert "audit.heads_missing" in audit("verify").stdout
    assert audit("verify", "--heads", str(elsewhere), "--key", str(key)).exit_code == 0
    absent = audit("verify", "--key", str(home / "absent.pem"))
    assert absent.exit_code == 1 and "system.refused" in absent.stderr


def test_the_list_shows_who_did_what_and_nothing_of_the_record(audit: Run, changed: Home) -> None:
    shown = audit("list", "--record", "r1")
    assert "[red]ann" in shown.stdout and "1 → 2" in shown.stdout and "MARKER" not in shown.output
    assert [one["seq"] for one in json.loads(audit("list", "--json").stdout)] == [2, 1]
    assert [one["seq"] for one in json.loads(audit("list", "--since-seq", "0", "--json").stdout)] == [1, 2]
    assert [one["action"] for one in json.loads(audit("list", "--job", "j1", "--json").stdout)] == ["pull"]
    assert "no such entry" in audit("list", "--connection", "other").stdout


def test_bodies_are_shown_exactly_and_only_with_the_flag(audit: Run, changed: Home) -> None:
    plain = audit("show", "2")
    assert plain.exit_code == 0 and "[red]ann" in plain.stdout and "MARKER" not in plain.output
    images = audit("show", "2", "--images")
    assert f"before:\n{BEFORE.decode()}\n" in images.stdout and f"after:\n{AFTER.decode()}\n" in images.stdout
    assert "MARKER" not in images.stderr
    first = audit("show", "1", "--images", "--json")
    assert (json.loads(first.stdout)["before"], json.loads(first.stdout)["after"]) == (None, BEFORE.decode())
    assert "before:\n(absent)" in audit("show", "1", "--images").stdout
    unknown = audit("show", "9")
    assert unknown.exit_code == 1 and "audit.entry_unknown" in unknown.stderr


def test_signing_says_what_was_signed_and_refuses_what_was_signed_otherwise(audit: Run, changed: Home) -> None:
    assert json.loads(audit("sign", "--json").stdout)["seq"] == 2
    assert "Entry 2 is the newest signed one" in audit("sign").stdout
    with changed.database.write() as transaction:
        transaction.execute(audit_log.delete().where(audit_log.c.seq == 2))
    refused = audit("sign")
    assert refused.exit_code == 1 and "audit.head_disagrees" in refused.stderr
    assert "Entry 1" in audit("sign", "--begin-anew").stdout and audit("verify").exit_code == 0


def test_an_empty_log_has_nothing_to_sign(audit: Run) -> None:
    assert "nothing to sign" in audit("sign").stdout
    assert audit("verify").exit_code == 0


def test_the_export_is_a_file_for_its_owner_with_one_provenance_a_line(audit: Run, home: Path, changed: Home) -> None:
    target = home / "out.ndjson"
    ended = audit("export", "-o", str(target))
    assert ended.exit_code == 0 and "--since-seq 2" in ended.stderr
    lines = target.read_bytes().splitlines()
    assert len(lines) == 2 and all(explain(line, "Provenance") == () for line in lines)
    assert target.stat().st_mode & 0o777 == 0o600
    assert audit("export").stdout.encode().splitlines() == lines
    assert audit("export", "--since-seq", "1").stdout.encode().splitlines() == lines[1:]
    assert json.loads(audit("export", "-o", str(target), "--json").stdout) == {"count": 2, "lastSeq": 2}


def test_an_export_that_fails_leaves_no_file_behind(audit: Run, home: Path, changed: Home) -> None:
    with changed.database.write() as transaction:
        transaction.execute(record.delete())
    target = home / "out.ndjson"
    failed = audit("export", "-o", str(target))
    assert failed.exit_code == 1 and "audit.record_unknown" in failed.stderr
    assert not [path for path in home.iterdir() if "out.ndjson" in path.name]
