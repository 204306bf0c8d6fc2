"""The vendors that are under contract: a provider without a description here fails `test_every_adapter_is_listed`."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.contract.vendor import WRITING, Resource, VendorUnderTest

SMART = {"kind": "smart_backend", "client_id": "holovitals-demo"}
"""The keys come from the sandbox's own demonstration set (`harness.py`)."""


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def amended(observation: Resource) -> None:
    observation["status"] = "amended"


FHIR = VendorUnderTest(
    provider="fhir",
    lists_patients=False,
    connection={"auth": {**SMART, "scopes": "system/*.cruds"}, "read": {"mode": "search"}},
    paged_type="Condition",
    paged_path="Condition",
    held_as="Condition",
    sandbox={"versioning": "versioned-update"},
    guarded=True,
)

EPIC = VendorUnderTest(
    provider="epic",
    connection={"auth": SMART, "read": {"mode": "search"}},
    paged_type="Condition",
    paged_path="Condition",
    held_as="Condition",
    touched=lambda: {"recordedDate": now()},
    written_type="Observation",
    change=amended,
    keeps=lambda observation: observation["status"].title().replace("Amended", "Contractname"),
    write_path="Observation/{id}",
    read_path="Observation/{id}",
    between=("issued", "2026-01-02T03:04:05Z"),
)


def _secret(**more: Any) -> dict[str, Any]:
    return {"kind": "client_secret", "client_secret": {"env": "CONTRACT_SECRET"}, **more}


ATHENAHEALTH = VendorUnderTest(
    provider="athenahealth",
    connection={"auth": _secret(client_id="holovitals-sandbox")},
    secrets={"CONTRACT_SECRET": "holovitals-sandbox-secret"},
    paged_type="Condition",
    paged_path="chart/{id}/problems",
    held_as="Condition",
    write_path="patients/{id}",
    native_body=b'{"lastname":"Contractname"}',
    read_path="patients/{id}",
)

ALLSCRIPTS = VendorUnderTest(
    provider="allscripts",
    connection={
        "auth": {
            "kind": "unity",
            "application": "HoloVitals",
            "service_user": {"env": "CONTRACT_USER"},
            "service_password": {"env": "CONTRACT_SECRET"},
            "ehr_user": "jmedici",
            "ehr_password": {"env": "CONTRACT_PASSWORD"},
        }
    },
    secrets={"CONTRACT_USER": "Sandbox-Service", "CONTRACT_SECRET": "sandbox", "CONTRACT_PASSWORD": "password01"},
    paged_type="Condition",
    paged_path="*/GetClinicalSummary",
    held_as="Condition",
    expiry="expire_sessions",
    write_path="*/SavePatient",
    write_method="POST",
    native_body=b'{"Action":"SavePatient","Parameter1":{"LastName":"Contractname"}}',
    read_path="*/GetPatient",
    read_method="POST",
)

NEXTGEN = VendorUnderTest(
    provider="nextgen",
    connection={
        "auth": _secret(client_id="sandbox-client", sent_as="form", site_id="sandbox-site"),
        "vendor": {"enterprise_id": "00002", "practice_id": "0006", "timezone": "America/New_York"},
    },
    secrets={"CONTRACT_SECRET": "sandbox"},
    sandbox={"page_rows": 2},
    paged_type="Encounter",
    paged_path="persons/{id}/chart/encounters",
    held_as="Encounter",
    expiry="expire_sessions",
    write_path="persons/{id}",
    write_method="PATCH",
    native_body=b'{"lastName":"Contractname"}',
    read_path="persons/{id}",
)

CERNER = VendorUnderTest(
    provider="cerner",
    connection={"auth": _secret(client_id="holovitals-system-account")},
    secrets={"CONTRACT_SECRET": "holovitals-system-secret"},
    paged_type="Condition",
    paged_path="Condition",
    held_as="Condition",
    write_method="PATCH",
    guarded=True,
)

ECLINICALWORKS = VendorUnderTest(
    provider="eclinicalworks",
    connection={"auth": SMART, "read": {"mode": "search"}},
    sandbox={"write_back": True, "requests_per_minute": 0},
    paged_type="Condition",
    paged_path="Condition",
    held_as="Condition",
)

_BY_MESSAGES = "MEDITECH's FHIR interface is read only; what is written goes out as messages: see meditech_hl7v2"
MEDITECH_FHIR = VendorUnderTest(
    provider="meditech",
    interface="fhir",
    base="meditech_fhir",
    connection={"format": "FHIR_R4", "auth": _secret(client_id="holovitals-sandbox")},
    secrets={"CONTRACT_SECRET": "holovitals-sandbox-secret"},
    sandbox={"entitled": True},
    paged_type="Condition",
    paged_path="*Condition",
    held_as="Condition",
    not_applicable=dict.fromkeys(WRITING, _BY_MESSAGES),
)

_numbers = itertools.count(1)
_NO_REQUESTS = (
    "nothing is asked of the vendor: it sends, one message in flight on each line, at the pace of our answers"
)
MEDITECH_HL7V2 = VendorUnderTest(
    provider="meditech",
    interface="hl7v2",
    by_messages=True,
    connection={"vendor": {"timezone": "America/New_York"}},
    paged_type="Patient",
    paged_path="",
    held_as="Patient",
    other_types=("Encounter", "Condition", "Observation", "DiagnosticReport", "Immunization", "DocumentReference"),
    lists_patients=False,
    overlap=timedelta(0),  # watermarks are by our own clock: the engine needs none either
    touched=lambda: {"address": [{"line": [f"{next(_numbers)} Touched Street"], "city": "Boston"}]},
    mark="Touched Street",
    between=("deceasedDateTime", "2024-02-03"),  # not the birth date: every message repeats who the patient is
    not_applicable={
        "test_a_throttle_is_obeyed_for_as_long_as_the_vendor_says": _NO_REQUESTS,
        "test_a_token_that_ends_between_two_pages_is_renewed_and_nothing_is_read_twice": "MLLP has no tokens",
    },
)

VENDORS = (FHIR, EPIC, CERNER, ATHENAHEALTH, ALLSCRIPTS, NEXTGEN, ECLINICALWORKS, MEDITECH_FHIR, MEDITECH_HL7V2)
