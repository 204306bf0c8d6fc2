"""The vendors that are under contract: a provider without a description here fails `test_every_adapter_is_listed`."""

from __future__ import annotations

from datetime import UTC, datetime
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

_BY_MESSAGES = "MEDITECH is written to by HL7 v2 messages; their contract is tests/end_to_end/test_meditech.py"
MEDITECH = VendorUnderTest(
    provider="meditech",
    base="meditech_fhir",
    connection={"format": "FHIR_R4", "auth": _secret(client_id="holovitals-sandbox")},
    secrets={"CONTRACT_SECRET": "holovitals-sandbox-secret"},
    sandbox={"entitled": True},
    paged_type="Condition",
    paged_path="*Condition",
    held_as="Condition",
    not_applicable=dict.fromkeys(WRITING, _BY_MESSAGES),
)
"""Its FHIR interface, which is read only; what its messages tell is tested with the feed."""

VENDORS = (FHIR, EPIC, CERNER, ATHENAHEALTH, ALLSCRIPTS, NEXTGEN, ECLINICALWORKS, MEDITECH)
