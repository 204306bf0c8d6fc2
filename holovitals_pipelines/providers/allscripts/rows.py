"""What Unity's rows are called and where they come from: a row becomes a record that says whose it is.

Law: a row's own bytes stay as they came; a record's id leads back to the place where it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from holovitals_pipelines.model.extract import Named, Problem
from holovitals_pipelines.providers.allscripts.unity import Rows, is_blank, text_of
from holovitals_pipelines.providers.fhir_rest import Found

SECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AllergyIntolerance": ("Allergies",),
        "Condition": ("Problems",),
        "MedicationRequest": ("Medications",),
        "Immunization": ("Immunizations",),
        "Observation": ("Vitals", "Results"),
    }
)
"""Parameter1 of GetClinicalSummary. unverified: public clients name these sections, one a call."""

TYPES = ("Patient", "Practitioner", *SECTIONS)


def chart_id(patient: str, transid: str) -> str:
    """The id of a chart's row. Unity numbers them, but reads them by their patient only: the id names both."""
    return f"{patient}.{transid}"


def split_chart_id(remote_id: str) -> tuple[str, str]:
    """(patient, number of the row); the patient is "" in an id that is not a chart's."""
    patient, _, transid = remote_id.rpartition(".")
    return patient, transid


def of_patient(patient: str, row: bytes) -> bytes:
    """The record of a row of GetPatient or of a chart: the row does not say whose it is."""
    return b'{"patient":{"patientid":%s},"item":%s}' % (msgspec.json.encode(patient), row)


def is_no_patient(row: bytes) -> bool:
    """Whether GetPatient's row stands for "there is none"; a row that cannot be read is somebody's."""
    try:
        named = any(text_of(row, name) for name in ("LastName", "lastname", "Firstname", "FirstName"))
    except ValueError:
        return False
    return is_blank(row) or not named


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of rows of one type: the member that numbers them, and the one without which a row says nothing."""

    resource_type: str
    number: str
    word: str
    source: str

    def found(self, rows: Rows, patient: str | None) -> Found:
        """The rows as records, of a patient or of nobody; a row without a number is a problem with its bytes."""
        bodies: list[bytes] = []
        named: list[Named] = []
        problems: list[Problem] = []
        for row in rows.rows:
            try:
                number = text_of(row, self.number)
                nothing = is_blank(row) or (number in ("", "0") and not text_of(row, self.word))
            except ValueError:
                number, nothing = "", False
            if nothing:
                continue
            if number in ("", "0"):
                problems.append(self._unnamed(row if patient is None else of_patient(patient, row)))
                continue
            named.append(Named(number if patient is None else chart_id(patient, number)))
            bodies.append(row if patient is None else of_patient(patient, row))
        # What a row without a number is about may be what another read misses: then nothing proves an absence.
        return Found(bodies, problems, (), rows.served_at, rows.received_bytes, partial=bool(problems), named=named)

    def _unnamed(self, body: bytes) -> Problem:
        return Problem(
            code="extract.no_id",
            message=f"a row has no {self.number}",
            remedy="report it to the site: without its number a record can neither be told from others nor read again",
            source=self.source,
            resource_type=self.resource_type,
            body=body,
        )


def chart_listing(resource_type: str) -> Listing:
    return Listing(resource_type, "transid", "description", "MagicJson GetClinicalSummary")


PROVIDERS = Listing("Practitioner", "personid", "LastName", "MagicJson GetProviders")
