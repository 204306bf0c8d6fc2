"""The Patient resource: the same person at every site, under the site's own id and medical record number."""

from __future__ import annotations

from datetime import date
from typing import Any

import orjson

from holovitals_pipelines.sandbox.population.catalogue.coding import coded, flag, ready
from holovitals_pipelines.sandbox.population.chart import Chart
from holovitals_pipelines.sandbox.population.names import PLACES, STREET_KINDS, STREETS
from holovitals_pipelines.sandbox.population.person import TODAY

NATIONAL_ID = "http://hl7.org/fhir/sid/us-ssn"
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition"
RACES = (("2106-3", "White"), ("2106-3", "White"), ("2054-5", "Black or African American"), ("2028-9", "Asian"))
MARITAL = (("M", "Married"), ("S", "Never Married"), ("D", "Divorced"), ("W", "Widowed"))
LANGUAGES = (("en-US", "English"), ("en-US", "English"), ("en-US", "English"), ("es", "Spanish"), ("zh", "Chinese"))


_MRN_TYPE = flag("v2-0203", "MR", "Medical record number")
_NATIONAL_TYPE = flag("v2-0203", "SS", "Social Security number")
_META = ready({"profile": [f"{US_CORE}/us-core-patient"]})
_MARITAL = {code: flag("v3-MaritalStatus", code, text) for code, text in MARITAL}
_LANGUAGE = {code: coded("urn:ietf:bcp:47", code, text) for code, text in LANGUAGES}


def _race(code: str, text: str) -> orjson.Fragment:
    category = {"system": "urn:oid:2.16.840.1.113883.6.238", "code": code, "display": text}
    return ready(
        {
            "url": f"{US_CORE}/us-core-race",
            "extension": [{"url": "ombCategory", "valueCoding": category}, {"url": "text", "valueString": text}],
        }
    )


_RACES = {code: _race(code, text) for code, text in RACES}
_BIRTH_SEX = {
    sex: ready({"url": f"{US_CORE}/us-core-birthsex", "valueCode": code})
    for sex, code in (("female", "F"), ("male", "M"))
}
_NO_MIDDLE_NAME = ready(
    [
        None,
        {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]},
    ]
)
_GEOLOCATION = "http://hl7.org/fhir/StructureDefinition/geolocation"


def write_patient(chart: Chart) -> None:
    """Append the Patient: identifiers, extensions, a `_birthDate` sidecar and a masked name part here and there."""
    who, chance = chart.person, chart.chance
    home = chance.one_of(PLACES)
    city, state, postal, latitude, longitude = home
    name: dict[str, Any] = {"use": "official", "family": who.family, "given": list(who.given)}
    if len(who.given) == 2 and chance.happens(0.1):
        name["given"] = [who.given[0], None]
        name["_given"] = _NO_MIDDLE_NAME
    address: dict[str, Any] = {
        "use": "home",
        "line": [f"{chance.whole(1, 990)} {chance.one_of(STREETS)} {chance.one_of(STREET_KINDS)}"],
        "city": city,
        "state": state,
        "postalCode": postal,
        "country": "US",
    }
    if chance.happens(0.3):
        address["extension"] = [
            {
                "url": _GEOLOCATION,
                "extension": [
                    {"url": "latitude", "valueDecimal": orjson.Fragment(latitude)},
                    {"url": "longitude", "valueDecimal": orjson.Fragment(longitude)},
                ],
            }
        ]
    resource: dict[str, Any] = {
        "resourceType": "Patient",
        "id": chart.patient_id,
        "meta": _META,
        "extension": [_RACES[chance.one_of(RACES)[0]], _BIRTH_SEX[who.sex]],
        "identifier": [
            {
                "use": "usual",
                "type": _MRN_TYPE,
                "system": chart.site.mrn_system,
                "value": _mrn(chart.site.provider, who.index),
            },
            {"use": "official", "type": _NATIONAL_TYPE, "system": NATIONAL_ID, "value": who.national_id},
        ],
        "active": True,
        "name": [name],
        "telecom": [
            {"system": "phone", "value": f"555-{chance.whole(200, 999)}-{chance.whole(1000, 9999)}", "use": "home"}
        ],
        "gender": who.sex,
        "birthDate": date.fromordinal(who.birth).isoformat(),
    }
    if chance.happens(0.12):
        instant = f"{resource['birthDate']}T{chance.whole(0, 23):02d}:{chance.whole(0, 59):02d}:00-05:00"
        resource["_birthDate"] = {
            "extension": [
                {"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime", "valueDateTime": instant}
            ]
        }
    if who.death is not None:
        resource["deceasedDateTime"] = f"{date.fromordinal(who.death).isoformat()}T04:30:00Z"
    resource["address"] = [address]
    if who.age(TODAY) >= 18:
        resource["maritalStatus"] = _MARITAL[chance.one_of(MARITAL)[0]]
    resource["communication"] = [{"language": _LANGUAGE[chance.one_of(LANGUAGES)[0]], "preferred": True}]
    resource["generalPractitioner"] = [chart.practitioner(who.index)]
    resource["managingOrganization"] = chart.organization(who.index)
    chart.write(resource)


def _mrn(provider: str, index: int) -> str:
    offset = sum(provider.encode()) * 1009
    return f"{(index * 6_700_417 + offset) % 900_000_007 + 100_000_000}"
