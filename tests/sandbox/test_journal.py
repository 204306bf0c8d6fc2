"""A sandbox that is started again with its journal stands where it stood, whoever had written and however it ended."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.journal import read_origin
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.sandbox.server import SandboxConfig, build
from tests.local_http import LOCAL


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "demo" / "journal.ndjson"


def started(journal: Path, **more: Any) -> RunningSandbox:
    return start_sandbox(**{"patients": 6, "journal": journal, **more})


def ids(running: RunningSandbox, vendor: str, kind: str = "Patient") -> list[str]:
    return LOCAL.get(f"{running.admin_url}/{vendor}/ids/{kind}").text.split()


def everything(running: RunningSandbox) -> dict[str, Any]:
    """All that the vendors hold, byte for byte, and the histories of the plain one's patients."""
    with httpx.Client(trust_env=False) as http:
        counts = http.get(f"{running.admin_url}/counts").json()
        held = {
            (vendor, kind): http.get(f"{running.admin_url}/{vendor}/resources/{kind}").content
            for vendor, kinds in counts.items()
            for kind in kinds
        }
        patients = [*ids(running, "fhir"), "made"]
        histories = {p: http.get(f"{running.base_urls['fhir']}/Patient/{p}/_history").content for p in patients}
    return {"counts": counts, "held": held, "histories": histories}


def edit(running: RunningSandbox, vendor: str, identity: str, body: bytes) -> int:
    """A clinician writes at the vendor; returns the version."""
    url = f"{running.admin_url}/{vendor}/Patient/{identity}"
    answer = LOCAL.put(url, content=body)
    assert answer.is_success, answer.text
    return int(answer.json()["version"])


def written_by_everybody(running: RunningSandbox) -> None:
    first, second, third = ids(running, "fhir")[:3]
    api = f"{running.base_urls['fhir']}/Patient"
    body = b'{"resourceType":"Patient","id":"%s","active":true,"x_vendor":{"a":1.500,"b":[0.10,1e3]}}' % first.encode()
    with httpx.Client(trust_env=False) as http:
        assert edit(running, "fhir", first, body) == 2
        assert http.put(f"{api}/{first}", content=body.replace(b"true", b"false")).status_code == 200
        assert http.put(f"{api}/made", content=b'{"resourceType":"Patient","id":"made"}').status_code == 201
        assert http.post(api, content=b'{"resourceType":"Patient"}').status_code == 201
        assert http.delete(f"{api}/{second}").status_code == 204
        assert http.delete(f"{running.admin_url}/fhir/Patient/{third}").is_success
        assert edit(running, "fhir", third, body.replace(first.encode(), third.encode())) == 3
        retired, survivor = ids(running, "epic")[:2]
        merged = http.post(f"{running.admin_url}/epic/merge", json={"retired": retired, "survivor": survivor})
        assert merged.json()["moved"] > 0


def test_what_was_written_is_there_again_byte_for_byte_with_its_versions_and_times(journal: Path) -> None:
    with started(journal) as running:
        untouched = everything(running)
        written_by_everybody(running)
        left = everything(running)
        running.process.kill()
    with started(journal) as again:
        assert everything(again) == left
        first = ids(again, "fhir")[0]
        body = LOCAL.get(f"{again.admin_url}/fhir/Patient/{first}").content
        assert b'"x_vendor":{"a":1.500,"b":[0.10,1e3]}' in body
        assert edit(again, "fhir", first, body) == 4, "versions go on"
        retired = read_retired(again)
        assert retired.status_code == 301, "Epic still knows who was merged into whom"
    assert left != untouched


def read_retired(running: RunningSandbox) -> httpx.Response:
    """Epic's answer about the first patient of the population, who was retired."""
    first = ids(running, "epic")[0]
    return LOCAL.get(f"{running.base_urls['epic']}/Patient/{first}")


def test_without_a_journal_every_sandbox_begins_anew(journal: Path) -> None:
    with started(journal) as running:
        edit(running, "fhir", ids(running, "fhir")[0], b'{"resourceType":"Patient"}')
    with start_sandbox(patients=6) as fresh, start_sandbox(patients=6) as another:
        assert everything(fresh) == everything(another)


def test_a_vendor_that_does_not_run_keeps_its_lines(journal: Path) -> None:
    with started(journal) as running:
        patient = ids(running, "epic")[0]
        edit(running, "epic", patient, b'{"resourceType":"Patient","active":false}')
    with started(journal, dialects=["fhir"]) as running:
        edit(running, "fhir", ids(running, "fhir")[0], b'{"resourceType":"Patient","active":false}')
    with started(journal) as running:
        for vendor in ("fhir", "epic"):
            url = f"{running.admin_url}/{vendor}/Patient/{ids(running, vendor)[0]}"
            assert LOCAL.get(url).json()["active"] is False


def test_the_journal_is_its_owners_alone(journal: Path) -> None:
    with started(journal):
        assert stat.S_IMODE(journal.stat().st_mode) == 0o600


@contextmanager
def built(journal: Path, **more: Any) -> Iterator[dict[str, int]]:
    """The vendors without a server; gives how many patients each holds."""
    sandbox = build(SandboxConfig(**{"patients": 6, "journal": journal, **more}))
    try:
        yield {name: site.records.counts()["Patient"] for name, site in sandbox.sites.items()}
    finally:
        assert sandbox.journal is not None
        sandbox.journal.close()
        for site in sandbox.sites.values():
            site.records.close()


def refused(journal: Path, **more: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught, built(journal, **more):
        pass
    return caught.value


def test_a_line_that_did_not_get_into_the_file_whole_was_never_answered(journal: Path) -> None:
    with started(journal) as running:
        before = len(ids(running, "fhir"))
        for name in ("made-1", "made-2"):
            edit(running, "fhir", name, b'{"resourceType":"Patient"}')
    journal.write_bytes(journal.read_bytes()[:-20])
    with built(journal) as counts:
        assert counts["fhir"] == before + 1
    assert journal.read_bytes().endswith(b"\n")


def test_a_damaged_line_is_named_and_nothing_is_guessed(journal: Path) -> None:
    with built(journal):
        pass
    head = journal.read_bytes()
    for line in (b"nonsense", b'{"vendor":"fhir","type":"Patient","id":"x","body":{"resourceType":"Observation"}}'):
        journal.write_bytes(head + line + b"\n")
        error = refused(journal)
        assert (error.code, error.place) == ("sandbox.journal_damaged", f"{journal}:2")


def test_a_journal_of_another_population_is_refused(journal: Path, tmp_path: Path) -> None:
    assert read_origin(journal) is None
    with built(journal, seed=7):
        assert read_origin(journal) == {"patients": 6, "seed": 7}
    data = tmp_path / "data.ndjson"
    data.write_bytes(orjson.dumps({"resourceType": "Patient", "id": "a"}) + b"\n")
    for other in ({"seed": 8}, {"seed": 7, "patients": 5}, {"data": data}):
        error = refused(journal, **other)
        assert error.code == "sandbox.journal_of_others" and "seed 7" in str(error)
    with built(journal, seed=7) as counts:
        assert counts["fhir"] > 0


def test_two_sandboxes_never_write_into_one_journal(journal: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with started(journal):
        assert refused(journal).code == "sandbox.journal_in_use"
        with pytest.raises(ConfigurationError, match="exit code 2"):
            started(journal)
        assert "sandbox.journal_in_use" in capfd.readouterr().err
