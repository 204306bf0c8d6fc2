"""Changes that STU3 and DSTU2 have in common.

Law: what stands here is the same in both, down to the path that an extension is named by.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.versions.changes import (
    Change,
    Changes,
    Dissolve,
    Formed,
    Inside,
    Keep,
    Kind,
    Move,
    alone,
    as_list,
    concept,
)
from holovitals_pipelines.transform.versions.systems import TERMINOLOGY
from holovitals_pipelines.transform.versions.target import Member, Target, data_absent

CONDITION_CLINICAL = f"{TERMINOLOGY}condition-clinical"
CONDITION_VERIFICATION = f"{TERMINOLOGY}condition-ver-status"
ALLERGY_CLINICAL = f"{TERMINOLOGY}allergyintolerance-clinical"
ALLERGY_VERIFICATION = f"{TERMINOLOGY}allergyintolerance-verification"

CLINICAL_CODES = frozenset(["active", "recurrence", "relapse", "inactive", "remission", "resolved"])
VERIFICATION_CODES = frozenset(["unconfirmed", "provisional", "differential", "confirmed", "refuted"]) | {
    "entered-in-error"
}

PATIENT_ANIMAL = Keep(
    {"species": "CodeableConcept", "breed": "CodeableConcept", "genderStatus": "CodeableConcept"},
    url="http://hl7.org/fhir/StructureDefinition/patient-animal",
)
"""R4 has an extension of its own for it, with the same children."""

_RELATED_IN_R4 = {"has-member": "hasMember", "derived-from": "derivedFrom"}


def not_done(target: Target, member: Member) -> None:
    """notDone, notPerformed, notGiven, wasNotGiven: a status in R4, that another status gives way to."""
    if type(member.value) is not bool or member.companion is not None:
        Keep("boolean")(target, member)
    elif member.value:
        target.override("status", "not-done")


def dose(name: str) -> Change:
    """An amount or rate of a Dosage: one pair of them in R4."""

    def gather(target: Target, member: Member) -> None:
        if type(member.value) is not dict or not target.gather("doseAndRate", name, member.value):
            target.leave(member)

    return gather


def related_observations(target: Target, member: Member) -> None:
    """R4 has elements for two kinds of relation; the others are kept."""
    member = alone(target, member)
    relations = member.value if type(member.value) is list else [member.value]
    for index, relation in enumerate(relations):
        place = f"{member.place}[{index}]"
        name = _RELATED_IN_R4.get(str(relation.get("type"))) if type(relation) is dict else None
        if name is not None and set(relation) == {"type", "target"}:
            target.put(name, [relation["target"]])
        else:
            Keep({"type": "code", "target": "Reference"})(target, Member(member.name, relation, None, place))


def related_documents(target: Target, member: Member) -> None:
    """An identifier, a reference, or both: R4's Reference holds the two."""
    member = alone(target, member)
    relations = member.value if type(member.value) is list else [member.value]
    for index, relation in enumerate(relations):
        reference = relation.get("ref", {}) if type(relation) is dict else None
        if type(reference) is not dict:
            target.put("related", relations[index : index + 1])
        elif not set(relation) <= {"ref", "identifier"} or {"identifier"} <= set(relation) & set(reference):
            # A reference of R4 already, or more than one Reference can hold.
            known = set(relation) & {"ref"}
            one = Member(member.name, relation, None, f"{member.place}[{index}]")
            target.leave(one) if known else target.put("related", [relation])
        else:
            identifier = {"identifier": relation["identifier"]} if "identifier" in relation else {}
            target.put("related", [{**reference, **identifier}])


def first(to: str, kind: Kind = "CodeableConcept") -> Change:
    """A list of which R4 takes one: the others are kept."""

    def take(target: Target, member: Member) -> None:
        if type(member.value) is not list or not member.value:
            Move(to)(target, member)
            return
        member = alone(target, member)
        target.put(to, member.value[0], place=member.place)
        if len(member.value) > 1:
            Keep(kind)(target, Member(member.name, member.value[1:], None, member.place))

    return take


def as_reference(value: Any, companion: Any) -> Formed:
    """A uri as the Reference that holds it."""
    if type(value) is not str:
        return None
    return ({"reference": value} if companion is None else {"reference": value, "_reference": companion}), None


SIGNATURE: Changes = {
    "whoReference": Move("who"),
    "whoUri": Move("who", as_reference),
    "onBehalfOfReference": Move("onBehalfOf"),
    "onBehalfOfUri": Move("onBehalfOf", as_reference),
    "contentType": Move("sigFormat"),
    "blob": Move("data"),
}


def _with_dose_number(value: Any, companion: Any) -> Formed:
    """R4 requires a number of the dose, and DSTU2 and STU3 may have none."""
    protocols = value if type(value) is list else [value]
    return [
        one if "doseNumberPositiveInt" in one else {**one, "_doseNumberString": data_absent()} for one in protocols
    ], companion


_PROTOCOL: Changes = {
    "doseSequence": Move("doseNumberPositiveInt"),
    "seriesDoses": Move("seriesDosesPositiveInt"),
    "description": Keep("string"),
    "doseStatus": Keep("CodeableConcept"),
    "doseStatusReason": Keep("CodeableConcept"),
}

IMMUNIZATION: Changes = {
    "date": Move("occurrenceDateTime"),
    "explanation": Dissolve({"reason": Move("reasonCode"), "reasonNotGiven": first("statusReason")}),
    "vaccinationProtocol": Inside(_PROTOCOL, "protocolApplied", _with_dose_number),
}

DOCUMENT_REFERENCE: Changes = {
    "class": Move("category", as_list),
    "indexed": Move("date"),
    # R4's `date` is the reference's own; that of the document is an extension in HL7's map from STU3 to R4.
    "created": Keep("dateTime"),
    "context": Inside({"encounter": Move("encounter", as_list), "related": related_documents}),
}

OBSERVATION: Changes = {
    "interpretation": Move("interpretation", as_list),
    "related": related_observations,
    "valueAttachment": Keep("Attachment", path="Observation.value"),
    "component": Inside(
        {
            "interpretation": Move("interpretation", as_list),
            "valueAttachment": Keep("Attachment", path="Observation.component.value"),
        }
    ),
}

_to_episode = re.compile(r"(?:.*/)?EpisodeOfCare/.*").fullmatch


def context(target: Target, member: Member) -> None:
    """An encounter in R4; an episode of care, that it might be too, has no place there."""
    reference = member.value.get("reference") if type(member.value) is dict else None
    if type(reference) is str and _to_episode(reference):
        Keep("Reference")(target, member)
    else:
        Move("encounter")(target, member)


def diagnosis(role: str) -> Change:
    """A diagnosis of a hospitalization: R4 has the encounter's, each with its role."""

    def lift(target: Target, member: Member) -> None:
        values = member.value if type(member.value) is list else [member.value]
        alone(target, member)
        system = f"{TERMINOLOGY}diagnosis-role"
        made: list[Document] = [{"condition": value, "use": concept(system, role)} for value in values]
        (target.parent or target).put("diagnosis", made)

    return lift


@dataclass(frozen=True, slots=True)
class Substitute:
    """What stands for an element that R4 requires, where the source has none of these names."""

    names: tuple[str, ...]
    member: str
    value: Callable[[], Any] = data_absent


NO_CLASS = Substitute(("class",), "class")
NO_OCCURRENCE = Substitute(("occurrenceDateTime", "occurrenceString"), "_occurrenceDateTime")
UNKNOWN_STATUS = Substitute(("status",), "_status")
"""Where R4's codes have no word for it."""
NO_STATUS = Substitute(("status",), "status", lambda: "unknown")
NO_INTENT = Substitute(("intent",), "intent", lambda: "order")
"""An order is an order: DSTU2 had no other intent, and HL7's map says so."""
NO_SUBJECT = Substitute(("subject",), "subject")
