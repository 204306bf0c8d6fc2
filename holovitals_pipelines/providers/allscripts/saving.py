"""A write as Unity takes it: the arguments the outbound rules made, with XML where an action wants XML.

Law: which record is written is said by the caller, never by what a resource carries along from another system.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import msgspec

from holovitals_pipelines.model.errors import NotPermittedError
from holovitals_pipelines.model.writing import UnitWrite
from holovitals_pipelines.providers.allscripts.rows import split_chart_id
from holovitals_pipelines.providers.allscripts.unity import Action


@dataclass(frozen=True, slots=True)
class Saving:
    """The action that saves a type, and what of an existing record no action changes."""

    action: str
    elements: Mapping[str, UnitWrite]


SAVED: Mapping[str, Saving] = MappingProxyType(
    {
        "Patient": Saving("SavePatient", MappingProxyType({})),
        "Condition": Saving("SaveProblemsData", MappingProxyType({"subject": UnitWrite.IMMUTABLE})),
        "AllergyIntolerance": Saving(
            "SaveAllergy", MappingProxyType(dict.fromkeys(("patient", "code", "note"), UnitWrite.IMMUTABLE))
        ),
    }
)
"""unverified: that SavePatient creates, that SaveProblemsData changes the problem whose number is its `setid`, and
SavePatient's XML. SaveRX and SaveHistoricalRx exist, but the names of their fields are not public."""


_ACTIVE = "Active"


def save_action(resource_type: str, body: bytes, remote_id: str | None) -> Action:
    """The call that saves a body of the outbound rules; without an id it makes a new record of the patient it names."""
    told: dict[str, Any] = msgspec.json.decode(body)
    name = SAVED[resource_type].action
    assert told.get("Action") == name, "the body is another type's"
    if resource_type == "AllergyIntolerance" and remote_id is not None:
        return _status_change(told, remote_id)
    if resource_type == "Patient":
        patient, number = remote_id or "", ""
    elif remote_id is None:
        patient, number = str(told["PatientID"]), ""
    else:
        patient, number = split_chart_id(remote_id)
    parameters = {
        member: _as_text(name.lower(), _numbered(value, number))
        for member, value in told.items()
        if member.startswith("Parameter")
    }
    return Action(name, patient, parameters)


def after_create(resource_type: str, body: bytes, remote_id: str) -> Action | None:
    """What is to follow a create: SaveAllergy makes active allergies only."""
    if resource_type != "AllergyIntolerance":
        return None
    told: dict[str, Any] = msgspec.json.decode(body)
    return None if told.get("Status", _ACTIVE) == _ACTIVE else _status_change(told, remote_id)


def _status_change(told: Mapping[str, Any], remote_id: str) -> Action:
    """SaveAllergy only adds; the status of an allergy is changed by DoSendback. unverified: its words."""
    patient, number = split_chart_id(remote_id)
    status = told.get("Status")
    if status is None:
        raise NotPermittedError(
            "Unity changes nothing of an allergy but its status, and there is none to send",
            code="write.no_status",
            place="MagicJson DoSendback",
            remedy="give the allergy a clinicalStatus; nothing was sent",
        )
    return Action("DoSendback", patient, {"Parameter1": "Allergies", "Parameter2": status, "Parameter3": number})


def _numbered(value: Any, number: str) -> Any:
    """The lines of a set under its number; a new one has none yet."""
    if not isinstance(value, list):
        return value
    plain = [{name: text for name, text in line.items() if name != "setid"} for line in value]
    return [{"setid": number, **line} for line in plain] if number else plain


def _as_text(element: str, value: Any) -> str:
    """Texts as they are; fields as `<save…><field name= value=/></save…>`, lines as `<save…request><save… …/>`."""
    if isinstance(value, Mapping):
        root = Element(element)
        for name, text in value.items():
            SubElement(root, "field", {"name": name, "value": str(text)})
        return tostring(root, encoding="unicode")
    if isinstance(value, list):
        root = Element(f"{element}request")
        for line in value:
            SubElement(root, element, {name: str(text) for name, text in line.items()})
        return tostring(root, encoding="unicode")
    return str(value)
