"""What athenahealth's v1 API has, as plain tables (vendors.md §5): departments, feeds and events, field limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

PRACTICE = "195900"
"""athenahealth's own sandbox practice."""

DEPARTMENTS: tuple[Mapping[str, Any], ...] = (
    {
        "departmentid": "1",
        "name": "Sandbox_East",
        "patientdepartmentname": "Sandbox East",
        "timezonename": "US/Eastern",
        "timezone": -4,
        "timezoneoffset": -5,
        "chartsharinggroupid": "1",
        "providergroupid": "1",
        "state": "MA",
        "city": "BOSTON",
        "clinicals": "ON",
        "servicedepartment": True,
        "doesnotobservedst": False,
    },
    {
        "departmentid": "2",
        "name": "Sandbox_Central",
        "patientdepartmentname": "Sandbox Central",
        "timezonename": "US/Central",
        "timezone": -5,
        "timezoneoffset": -6,
        "chartsharinggroupid": "1",
        "providergroupid": "1",
        "state": "IL",
        "city": "CHICAGO",
        "clinicals": "ON",
        "servicedepartment": True,
        "doesnotobservedst": False,
    },
)


@dataclass(frozen=True, slots=True)
class Feed:
    """A change feed: which resources' writes it tells of, under which member, and the events one can subscribe to."""

    kind: str
    items: str
    events: tuple[str, ...]
    counted: bool = True
    """Whether the list says its totalcount."""


FEEDS: Mapping[str, Feed] = MappingProxyType(
    {
        "patients": Feed("Patient", "patients", ("AddPatient", "UpdatePatient"), counted=False),
        "appointments": Feed(
            "Encounter",
            "appointments",
            (
                *("ScheduleAppointment", "CheckIn", "CheckOut", "UpdateAppointment", "CancelAppointment"),
                *("FreezeAppointment", "UnfreezeAppointment", "DeleteAppointment", "AddAppointmentSlot"),
                *("UpdateReminderCall", "UpdateSuggestedOverbooking"),
            ),
        ),
        "labresults": Feed("Observation", "labresults", ("AddLabResult", "UpdateLabResult", "CloseLabResult")),
        "prescriptions": Feed("MedicationRequest", "prescriptions", ("AddPrescription", "UpdatePrescription")),
        "chart/healthhistory/problems": Feed("Condition", "problems", ("AddProblem", "UpdateProblem")),
    }
)
"""Events but the appointments' are not documented; these are names of the sandbox's own."""

NO_SUBSCRIPTION = "Changed messages require setup (subscription) that has not been done."
NO_SERVICE = "Service not registered with API gateway."

FIELD_LIMITS: Mapping[str, int] = MappingProxyType({"lastname": 30, "address1": 100, "zip": 10, "email": 50})
OTHER_FIELDS_LIMIT = 20

APPOINTMENT_STATUS: Mapping[str, str] = MappingProxyType(
    {"planned": "f", "arrived": "2", "triaged": "2", "in-progress": "2", "finished": "3", "cancelled": "x"}
)
"""Of an encounter's status, that of the appointment it came from."""
