"""What moves as one: elements that say one thing together, and values that mean nothing in halves (§4.2).

Law: whatever is listed here comes whole from one side; half of one change with half of another is a statement nobody
made.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

Group = tuple[str, ...]
"""Elements of one object; `value[x]` stands for every type of the choice."""

_VALUE: Group = ("value[x]", "dataAbsentReason", "interpretation", "referenceRange")
_MEDICATION_STATUS: Group = ("status", "statusReason")

GROUPS: Final[dict[str, tuple[Group, ...]]] = {
    "Observation": (_VALUE, ("effective[x]",)),
    "Observation.component": (_VALUE,),
    "MedicationRequest": (("medication[x]", "dosageInstruction", "dispenseRequest"), _MEDICATION_STATUS),
    "MedicationStatement": (("medication[x]", "dosage"), _MEDICATION_STATUS),
    "MedicationAdministration": (("medication[x]", "dosage"), _MEDICATION_STATUS),
    "MedicationDispense": (
        ("medication[x]", "dosageInstruction", "quantity", "daysSupply"),
        ("status", "statusReason[x]"),
    ),
    "AllergyIntolerance": (("clinicalStatus", "verificationStatus"),),
    "Condition": (("clinicalStatus", "verificationStatus", "abatement[x]"),),
    "Patient": (("deceased[x]",), ("multipleBirth[x]",)),
    "address": (("city", "district", "state", "country", "text"),),  # with half of each, nobody lives there
}
"""By resource type, by resource type and element, or by the name of the element that holds the object."""

WHOLE_ELEMENTS: Final = frozenset(
    {"timing", "repeat", "dosage", "dosageInstruction", "doseAndRate", "maxDosePerPeriod", "dispenseRequest"}
    | {"referenceRange", "provision", "signature"}
)
"""Elements that are one unit, however they are made."""

SUBJECT_MATTER: Final = frozenset({("AllergyIntolerance", "code"), ("Condition", "code"), ("Observation", "code")})
"""What a resource is about, by type and element: one unit, never put together from two sides' codings."""

_PERIOD = {"start", "end"}
_RANGE = {"low", "high"}
_RATIO = {"numerator", "denominator", "lowNumerator", "highNumerator"}
_MONEY = {"value", "currency"}
_QUANTITY = {"value", "comparator", "unit", "system", "code"}
_CODING = {"system", "version", "code", "display", "userSelected"}
_REFERENCE = {"reference", "type", "identifier", "display"}
_ATTACHMENT = {"contentType", "language", "data", "url", "size", "hash", "title", "creation"}
_SAMPLED_DATA = {"origin", "period", "factor", "lowerLimit", "upperLimit", "dimensions", "data"}
_VALUE_TYPES = (_QUANTITY, _CODING, _REFERENCE, _PERIOD, _RANGE, _RATIO, _MONEY, _ATTACHMENT, _SAMPLED_DATA)

_CHOICES: Final[dict[str, str]] = {
    "abatement": "Age DateTime Period Range String",
    "additive": "CodeableConcept Reference",
    "age": "Age Range String",
    "allowed": "Boolean CodeableConcept Money String UnsignedInt",
    "answer": "Boolean Coding Date DateTime Decimal Integer Quantity Reference String Time",
    "asNeeded": "Boolean CodeableConcept",
    "author": "Reference String",
    "born": "Date Period String",
    "bounds": "Duration Period Range",
    "chargeItem": "CodeableConcept Reference",
    "code": "CodeableConcept Reference",
    "collected": "DateTime Period",
    "content": "Attachment Reference String",
    "created": "DateTime Period",
    "deceased": "Age Boolean Date DateTime Range String",
    "definition": "Canonical CodeableConcept DataRequirement Expression Reference Uri",
    "detail": "Boolean CodeableConcept Integer Quantity Range Ratio String",
    "diagnosis": "CodeableConcept Reference",
    "dose": "Quantity Range",
    "doseNumber": "PositiveInt String",
    "due": "Date Duration",
    "effective": "DateTime Instant Period Timing",
    "entity": "CodeableConcept Reference",
    "fastingStatus": "CodeableConcept Duration",
    "identified": "DateTime Period",
    "item": "CodeableConcept Reference",
    "legallyBinding": "Attachment Reference",
    "location": "Address CodeableConcept Reference",
    "medication": "CodeableConcept Reference",
    "module": "Canonical CodeableConcept Uri",
    "multipleBirth": "Boolean Integer",
    "occurred": "DateTime Period",
    "occurrence": "DateTime Period String Timing",
    "offset": "Duration Range",
    "onset": "Age DateTime Period Range String",
    "performed": "Age DateTime Period Range String",
    "probability": "Decimal Range",
    "procedure": "CodeableConcept Reference",
    "product": "CodeableConcept Reference",
    "quantity": "Quantity Range Ratio",
    "rate": "Quantity Range Ratio",
    "reported": "Boolean Reference",
    "scheduled": "Period String Timing",
    "seriesDoses": "PositiveInt String",
    "serviced": "Date Period",
    "source": "Attachment Canonical Reference Uri",
    "start": "CodeableConcept Date",
    "statusReason": "CodeableConcept Reference",
    "subject": "Canonical CodeableConcept Reference",
    "substance": "CodeableConcept Reference",
    "target": "Attachment Canonical Identifier Reference Uri",
    "time": "DateTime Period",
    "timing": "Age Date DateTime Duration Period Range Reference Timing",
    "topic": "CodeableConcept Reference",
    "used": "Money String UnsignedInt",
    "value": "Address Age Annotation Attachment Base64Binary Boolean Canonical Code CodeableConcept Coding "
    "ContactDetail ContactPoint Count Date DateTime Decimal Distance Dosage Duration Expression HumanName Id "
    "Identifier Instant Integer Integer64 Markdown Meta Money Oid Period PositiveInt Quantity Range Ratio RatioRange "
    "Reference RelatedArtifact SampledData Signature String Time Timing UnsignedInt Uri Url UsageContext Uuid",
    "when": "Period Range",
}
"""The choice elements of FHIR R4 outside definitional resources, with the types each has there."""

CHOICE_OF: Final = {
    choice + kind: f"{choice}[x]"
    for choice, kinds in _CHOICES.items()
    for kind in kinds.split()
    if choice + kind != "doseQuantity"  # Immunization's is an element of its own; Dosage is whole anyway
}
"""`valueQuantity` → `value[x]`."""


class Part(NamedTuple):
    """What an element moves with inside its object."""

    label: str
    """`birthDate`, `value[x]`, `clinicalStatus+verificationStatus`; as unit names show it."""
    element: str
    """The element, or the first one of the group as it is listed."""
    together: bool
    """Whether it is a group, of one choice or of several elements."""


@lru_cache(maxsize=4096)
def part_of(context: str, name: str) -> Part:
    """The part the member `name` (also `_name`) of an object belongs to; `context` is a key of GROUPS, or another."""
    bare = name.removeprefix("_") or name
    choice = CHOICE_OF.get(bare, bare)
    for group in GROUPS.get(context, ()):
        if choice in group:
            return Part("+".join(group), group[0], True)
    if choice != bare:
        return Part(choice, choice, True)
    return Part(escaped(bare), bare, False)


def context_within(context: str, name: str, value: Any) -> str:
    """The context of the object `value` under the element `name`."""
    if name == "contained":
        kind = value.get("resourceType")
        return kind if type(kind) is str else ""
    inner = f"{context}.{name}"
    return inner if inner in GROUPS else name


def is_whole(context: str, name: str, values: Iterable[Any]) -> bool:
    """Whether an object must not be split: by its element's name, or because it has the shape of a value type.

    The shape is judged by the members of all sides together, so that every side judges alike. An object that could be a
    Quantity, Coding, Reference, Period, Range, Ratio, Money, Attachment or SampledData is one.
    """
    if name in WHOLE_ELEMENTS or (context, name) in SUBJECT_MATTER:
        return True
    if name in ("extension", "modifierExtension"):
        return False
    members = {member.removeprefix("_") for value in values if type(value) is dict for member in value}
    members -= {"id", "extension"}
    return any(members <= value_type for value_type in _VALUE_TYPES)


_STRUCTURE: Final = str.maketrans({character: f"%{ord(character):02X}" for character in "%[]|.+*"})


def escaped(text: str) -> str:
    """An element's name without the characters that structure unit names; different names stay different."""
    return text.translate(_STRUCTURE)
