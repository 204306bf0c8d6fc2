from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sandbox.loopback import Loopback, codes, lines, serving

TOO_SOON = (
    "Error processing Bulk Data Kickoff request: Request not allowed: The Client requested this Group too recently."
)


def rows(sandbox: Loopback, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for output in manifest["output"]:
        file = lines(sandbox.http.get(output["url"]))
        assert len(file) == output["count"]
        found += file
    return found


def epic_group(sandbox: Loopback) -> str:
    return f"Group/{sandbox.sites['epic'].dialect.group}"


def test_a_system_export_brings_every_resource_once(sandbox: Loopback) -> None:
    kicked, manifest = sandbox.export("fhir", "$export")
    found = rows(sandbox, manifest)
    expected = sandbox.admin("GET", "counts")["fhir"]
    del expected["Binary"]
    assert dict(Counter(r["resourceType"] for r in found)) == expected
    assert len({(r["resourceType"], r["id"]) for r in found}) == len(found)
    assert manifest["transactionTime"] and manifest["requiresAccessToken"] is False and manifest["error"] == []
    assert sandbox.http.delete(kicked.headers["content-location"]).status_code == 202
    assert sandbox.http.get(kicked.headers["content-location"]).status_code == 404
    assert sandbox.http.get(manifest["output"][0]["url"]).status_code == 404


def test_the_status_is_202_for_as_many_polls_as_configured() -> None:
    with serving(settings={"fhir": {"polls": 3, "retry_after": "7"}}) as sandbox:
        status = sandbox.kick_off("fhir", "$export").headers["content-location"]
        answers = [sandbox.http.get(status) for _ in range(4)]
        assert [a.status_code for a in answers] == [202, 202, 202, 200]
        assert answers[0].headers["retry-after"] == "7" and 0 < len(answers[0].headers["x-progress"]) <= 100


def test_types_and_files_can_be_chosen() -> None:
    with serving(settings={"fhir": {"rows_a_file": 50}}) as sandbox:
        manifest = sandbox.export("fhir", "$export?_type=Observation,Patient")[1]
        assert {o["type"] for o in manifest["output"]} == {"Observation", "Patient"}
        assert len(manifest["output"]) > 3 and all(o["count"] <= 50 for o in manifest["output"])
        ids = [r["id"] for r in rows(sandbox, manifest)]
        assert len(ids) == len(set(ids))


def test_patient_and_group_exports_bring_charts_only(sandbox: Loopback) -> None:
    one = sandbox.ids("fhir")[0]
    group = {
        "resourceType": "Group",
        "type": "person",
        "actual": True,
        "member": [{"entity": {"reference": f"Patient/{one}"}}],
    }
    sandbox.admin("PUT", "fhir/Group/g1", json=group)
    of_all = rows(sandbox, sandbox.export("fhir", "Patient/$export")[1])
    of_one = rows(sandbox, sandbox.export("fhir", "Group/g1/$export")[1])
    assert {"Organization", "Practitioner", "Location"}.isdisjoint(r["resourceType"] for r in of_all)
    assert [r["id"] for r in of_one if r["resourceType"] == "Patient"] == [one]
    assert 10 < len(of_one) < len(of_all)
    assert sandbox.kick_off("fhir", "Group/none/$export").status_code == 404


def test_since_brings_what_changed_and_names_what_was_deleted(sandbox: Loopback) -> None:
    kept, gone = sandbox.ids("fhir", "Condition")[:2]
    since = sandbox.export("fhir", "$export")[1]["transactionTime"]
    sandbox.admin("POST", "clock", json={"shift_seconds": 60})
    condition = sandbox.admin("GET", f"fhir/Condition/{kept}")
    sandbox.admin("PUT", f"fhir/Condition/{kept}", json={**condition, "note": [{"text": "edited"}]})
    sandbox.admin("DELETE", f"fhir/Condition/{gone}")
    manifest = sandbox.export("fhir", f"$export?_since={since}")[1]
    assert [r["id"] for r in rows(sandbox, manifest)] == [kept]
    deleted = lines(sandbox.http.get(manifest["deleted"][0]["url"]))
    assert [e["request"] for e in deleted[0]["entry"]] == [{"method": "DELETE", "url": f"Condition/{gone}"}]
    assert sandbox.kick_off("fhir", "$export?_since=lately").status_code == 400


def test_an_export_shows_what_was_true_at_its_kick_off(sandbox: Loopback) -> None:
    identity = sandbox.ids("fhir")[0]
    patient = sandbox.admin("GET", f"fhir/Patient/{identity}")
    sandbox.admin("PUT", f"fhir/Patient/{identity}", json={**patient, "language": "en"})
    manifest = sandbox.export("fhir", "$export?_type=Patient")[1]
    sandbox.admin("PUT", f"fhir/Patient/{identity}", json={**patient, "language": "a-much-longer-value"})
    sandbox.admin("DELETE", f"fhir/Patient/{sandbox.ids('fhir')[1]}")
    found = rows(sandbox, manifest)
    assert next(r for r in found if r["id"] == identity)["language"] == "en"


def test_a_file_can_be_fetched_from_any_byte(sandbox: Loopback) -> None:
    identity = sandbox.ids("fhir", "Observation")[3]
    observation = sandbox.admin("GET", f"fhir/Observation/{identity}")
    sandbox.admin("PUT", f"fhir/Observation/{identity}", json={**observation, "status": "corrected"})
    url = sandbox.export("fhir", "$export?_type=Observation")[1]["output"][0]["url"]
    whole = sandbox.http.get(url)
    assert whole.headers["accept-ranges"] == "bytes" and whole.content.endswith(b"}\n")
    size = len(whole.content)
    first_line = whole.content.index(b"\n")
    for start in (1, 1000, first_line, first_line + 1, size // 2, size - 1):
        part = sandbox.http.get(url, headers={"Range": f"bytes={start}-"})
        assert part.status_code == 206 and part.content == whole.content[start:], start
        assert part.headers["content-range"] == f"bytes {start}-{size - 1}/{size}"
    assert sandbox.http.get(url, headers={"Range": "bytes=10-19"}).content == whole.content[10:20]
    assert sandbox.http.get(url, headers={"Range": f"bytes={size}-"}).status_code == 416
    assert part.headers["etag"] == whole.headers["etag"]


def test_a_kick_off_must_say_that_it_will_wait(sandbox: Loopback) -> None:
    assert sandbox.get("fhir", "$export").status_code == 400
    wrong = {"Prefer": "respond-async", "Accept": "text/html"}
    assert sandbox.get("epic", f"{epic_group(sandbox)}/$export", headers=wrong).status_code == 400


def test_epic_exports_a_group_once_in_24_hours(sandbox: Loopback) -> None:
    kicked, _ = sandbox.export("epic", f"{epic_group(sandbox)}/$export")
    busy = sandbox.kick_off("epic", f"{epic_group(sandbox)}/$export")
    assert busy.status_code == 400 and TOO_SOON not in busy.text, "one job at a time comes first"
    sandbox.http.delete(kicked.headers["content-location"])
    refused = sandbox.kick_off("epic", f"{epic_group(sandbox)}/$export")
    assert refused.status_code == 400 and TOO_SOON in refused.text
    sandbox.admin("POST", "clock", json={"shift_seconds": 24 * 3600 + 1})
    again, _ = sandbox.export("epic", f"{epic_group(sandbox)}/$export")
    sandbox.http.delete(again.headers["content-location"])
    sandbox.admin("POST", "epic/bulk/reset")
    assert sandbox.kick_off("epic", f"{epic_group(sandbox)}/$export").status_code == 202


def test_epic_exports_its_types_and_an_outcome_line_among_conditions(sandbox: Loopback) -> None:
    found = rows(sandbox, sandbox.export("epic", f"{epic_group(sandbox)}/$export")[1])
    kinds = Counter(r["resourceType"] for r in found)
    counts = sandbox.admin("GET", "counts")["epic"]
    assert kinds.pop("OperationOutcome") == 1 and "Binary" not in kinds
    assert dict(kinds) == {kind: count for kind, count in counts.items() if kind != "Binary"}
    first = next(r for r in found if r["resourceType"] in ("Condition", "OperationOutcome"))
    assert codes(first) == ["4118", "4119"]


@pytest.mark.parametrize("path", ["$export?_since=2024-01-01T00:00:00Z", "$export?_type=Patient&_since=2024-01-01"])
def test_epic_knows_no_since(sandbox: Loopback, path: str) -> None:
    assert sandbox.kick_off("epic", f"{epic_group(sandbox)}/{path}").status_code == 400
    assert sandbox.kick_off("epic", "Group/other/$export").status_code == 404
