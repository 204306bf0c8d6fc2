"""A quality claim that holds write-back, in a Dagster run against a vendor that would take the write."""

from __future__ import annotations

from holovitals_pipelines.engine.quality_gate import HELD, accept
from tests.orchestration.installation import Installation, checks
from tests.orchestration.vendor import Vendor, patient

ONE, OTHER = "hold-one", "hold-other"
SAME = [{"system": "urn:hold", "value": "4711"}]


def test_what_quality_holds_is_not_sent_and_goes_out_once_a_person_has_accepted(
    installation: Installation, vendor: Vendor
) -> None:
    for name in (ONE, OTHER):
        vendor.put({**patient(name), "identifier": SAME})
    installation.declare("clinic", "write", enabled=True, creates=True, deletes=True)
    installation.sync()
    installation.edit("Patient", ONE, maritalStatus={"text": "married"})

    result = installation.run("clinic", "writeback")

    assert result.success, "the run goes on: only the writes of the type are held"
    assert "maritalStatus" not in vendor.held("Patient", ONE)
    errors = installation.report(result.run_id).errors
    assert [(error.code, error.resource_type) for error in errors] == [(HELD, "Patient")]
    assert "holovitals quality accept clinic Patient identifiers_name_one_patient" in errors[0].remedy
    held = checks(result)["clinic/writeback", "quality_holds_nothing_back"]
    assert not held.passed

    with installation.open() as home:
        accept(home, "clinic", "Patient", "identifiers_name_one_patient", reason="twins", actor="ann")
    result = installation.run("clinic", "writeback")

    assert vendor.held("Patient", ONE)["maritalStatus"] == {"text": "married"}
    assert checks(result)["clinic/writeback", "quality_holds_nothing_back"].passed
    for name in (ONE, OTHER):
        vendor.delete("Patient", name)
