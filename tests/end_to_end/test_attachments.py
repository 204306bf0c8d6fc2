"""Documents' contents from simulated vendors: fetched with the records, listed and handed out by the command."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from holovitals_pipelines.cli.app import app
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from tests.end_to_end.test_vendors_without_fhir import SECRETS, VENDORS
from tests.end_to_end.two_way import Ours, our_side
from tests.local_http import LOCAL

pytestmark = pytest.mark.timeout(120)
DIALECTS = ["fhir", "epic", "athenahealth"]


@pytest.fixture(scope="module")
def sandbox() -> Any:
    with start_sandbox(dialects=DIALECTS, patients=12, settings={"fhir": {"polls": 0}}) as running:
        yield running


def _connection(name: str, sandbox: RunningSandbox, root: Path) -> ConnectionConfig:
    listed = root / "patients.txt"
    listed.write_text("\n".join(sandbox.patient_ids(name)))
    population = {} if name == "fhir" else {"patient_ids": {"file": str(listed)}}
    return ConnectionConfig.model_validate(
        {
            "name": "clinic",
            "provider": name,
            "base_url": sandbox.base_urls[name],
            "resource_types": ["Patient", "DocumentReference"],
            "read": {"mode": "search", "max_retries": 0, **population},
            **VENDORS.get(name, {}),
        }
    )


def _synced(name: str, sandbox: RunningSandbox, root: Path, template: Path) -> Any:
    database = shutil.copyfile(template, root / "operational.sqlite")
    return our_side(root, f"sqlite:///{database}", _connection(name, sandbox, root))


def _command(home: Path, *arguments: str) -> str:
    ended = CliRunner().invoke(app, ["records", *arguments], env={"HOLOVITALS_HOME": str(home)})
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def _binaries(sandbox: RunningSandbox, name: str) -> dict[str, bytes]:
    """What the vendor holds, by its id."""
    lines = LOCAL.get(f"{sandbox.admin_url}/{name}/resources/Binary").text.splitlines()
    held = [json.loads(line) for line in lines]
    return {binary["id"]: b64decode(binary["data"]) for binary in held}


@pytest.mark.parametrize("name", ["fhir", "epic"])
def test_a_document_is_fetched_with_its_record_and_written_into_a_file(
    name: str, sandbox: RunningSandbox, home: Path, sqlite_template: Path
) -> None:
    side: Ours
    with _synced(name, sandbox, home, sqlite_template) as side:
        report = side.sync(JobType.FULL_SYNC)
        rows = side.rows("attachment")
        links = {row.link_id: row.record_id for row in side.rows("link")}
        [record_id, *_] = [links[row.link_id] for row in rows]
        record = side.rows("record", record_id=record_id)[0]
        [url] = [
            content["attachment"]["url"]
            for content in side.held("DocumentReference", side.rows("link", record_id=record_id)[0].remote_id)[
                "content"
            ]
        ]

    assert (report.status, report.error_count, record.resource_type) == (JobStatus.COMPLETED, 0, "DocumentReference")
    assert rows and {(row.state, row.code) for row in rows} == {("held", None)}
    out = home / "note.txt"
    [listed] = json.loads(_command(home, "attachments", record_id, "--json"))
    _command(home, "content", record_id, listed["place"], "--out", str(out))
    assert (listed["state"], listed["content_type"]) == ("held", "text/plain")
    assert out.read_bytes() == _binaries(sandbox, name)[url.removeprefix("Binary/")]
    assert listed["place"] in _command(home, "attachments", record_id)


def test_a_vendor_without_a_call_for_contents_says_so(
    sandbox: RunningSandbox, home: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in SECRETS["athenahealth"].items():
        monkeypatch.setenv(variable, value)
    side: Ours
    with _synced("athenahealth", sandbox, home, sqlite_template) as side:
        report = side.sync(JobType.FULL_SYNC)
        rows = side.rows("attachment")

    assert (report.status, report.error_count) == (JobStatus.COMPLETED, 0)
    assert rows and {(row.state, row.code) for row in rows} == {("refused", "attachment.no_address")}
