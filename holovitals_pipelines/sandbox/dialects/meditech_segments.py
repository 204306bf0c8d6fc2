"""The segments of MEDITECH's admission messages: who, which visit, allergies, diagnoses, kin, cover, and its own ZFH.

Law: identifiers have no authority in CX.4: the facility stands in CX.6, and the type in CX.5 (vendors.md §9.2).
"""

from __future__ import annotations

import re
from zlib import crc32

from holovitals_pipelines.sandbox.dialects.meditech_chart import Chart, Json, coding, first, status_of, words
from holovitals_pipelines.sandbox.dialects.meditech_hl7 import components, segment
from holovitals_pipelines.sandbox.facts.meditech import (
    ACCOUNT_STATUS,
    ALLERGY_TYPES,
    BEGINNINGS,
    CLASSES,
    FACILITY,
    LANGUAGES,
    MARITAL,
    PATIENT_TYPES,
    SEVERITIES,
    SEXES,
)
from holovitals_pipelines.sandbox.population.names import FAMILY, GIVEN

MRN_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
SSN = "http://hl7.org/fhir/sid/us-ssn"
_RACE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"
ICD10, SNOMED = "http://hl7.org/fhir/sid/icd-10-cm", "http://snomed.info/sct"


def mrn_of(person: Json) -> str:
    """The medical record number; the record's own id where it has none."""
    for identifier in person.get("identifier") or []:
        if coding(identifier.get("type"), MRN_TYPE) == "MR" and identifier.get("value"):
            return str(identifier["value"])
    return str(person["id"])


def pid(chart: Chart, person: Json, account: str = "") -> str:
    return segment("PID", {1: "1", 3: identifiers(person), **demographics(chart, person), 18: account})


def identifiers(person: Json) -> str:
    number = mrn_of(person)
    kinds = (("MR", number), ("PI", f"E0-B{crc32(number.encode()) % 10_000:04d}"), ("HUB", f"E{number}"))
    return "~".join(components(value, "", "", "", kind, FACILITY) for kind, value in kinds)


def demographics(chart: Chart, person: Json) -> dict[int, str]:
    """The fields of PID that a client may send back, as MEDITECH shows them."""
    address = first(person.get("address"))
    lines = [*(address.get("line") or []), "", ""]
    ssn = next((one.get("value", "") for one in person.get("identifier") or [] if one.get("system") == SSN), "")
    marital = status_of(person.get("maritalStatus"))
    language = first(first(person.get("communication")).get("language", {}).get("coding")).get("code", "")
    where = (lines[0], lines[1], address.get("city"), address.get("state"), address.get("postalCode"))
    country = "USA" if address.get("country") == "US" else address.get("country")
    died = person.get("deceasedDateTime")
    return {
        5: "~".join(_name(name) for name in person.get("name") or []),
        7: str(person.get("birthDate", "")).replace("-", ""),
        8: SEXES.get(person.get("gender", ""), ""),
        10: race_of(person),
        11: components(*where, country) if address else "",
        13: "~".join(_telecom(one) for one in person.get("telecom") or []),
        15: LANGUAGES.get(language, ""),
        16: marital if marital in MARITAL else "",
        19: ssn,
        29: chart.minutes(died),
        30: "Y" if died or person.get("deceasedBoolean") else "",
    }


def race_of(person: Json) -> str:
    for extension in person.get("extension") or []:
        if extension.get("url") == _RACE:
            inner = {one.get("url"): one for one in extension.get("extension") or []}
            return str((inner.get("ombCategory", {}).get("valueCoding") or {}).get("code", ""))
    return ""


def _name(name: Json) -> str:
    given = [one for one in name.get("given") or [] if one]
    kind = "L" if name.get("use") in (None, "official", "usual") else "A"
    return components(name.get("family"), given[0] if given else "", " ".join(given[1:]), "", "", "", kind)


def _telecom(telecom: Json) -> str:
    value = str(telecom.get("value", ""))
    if telecom.get("system") == "email":
        return components("", "NET", "Internet", value)
    number = re.fullmatch(r"(\d{3})-(\d{3})-(\d{4})", value)
    use = {"work": "WPN", "mobile": "PRS"}.get(telecom.get("use", ""), "PRN")
    shown = f"({number[1]}){number[2]}-{number[3]}" if number else value
    return components(shown, use, "CELL" if telecom.get("use") == "mobile" else "PH")


def class_of(encounter: Json) -> str:
    return CLASSES.get((encounter.get("class") or {}).get("code", ""), "O")


def pv1(chart: Chart, encounter: Json, event: str = "") -> str:
    """PV1-19 stays empty: MEDITECH's number of the visit is the account in PID-18. Events that begin a visit show it as
    it was then."""
    kind, period = class_of(encounter), encounter.get("period") or {}
    doctor = (first(encounter.get("participant"))).get("individual")
    status = BEGINNINGS.get(event) or ACCOUNT_STATUS.get(encounter.get("status", ""), "")
    return segment(
        "PV1",
        {
            1: "1", 2: kind, 3: chart.place(encounter, kind), 4: "EM" if kind == "E" else "EL",
            7: chart.doctor(doctor), 10: "ER" if kind == "E" else "MED", 14: "H",
            17: chart.doctor(doctor, short=True), 18: PATIENT_TYPES[kind], 20: "U", 39: FACILITY,
            41: status, 44: chart.minutes(period.get("start")),
            45: chart.minutes(period.get("end")) if status == "DIS" else "",
        },
    )  # fmt: skip


def al1(chart: Chart) -> list[str]:
    """A snapshot: the list as it stands, without ids (vendors.md §11.4)."""
    return [segment("AL1", {1: str(number), **_allergy(chart, one)}) for number, one in _numbered(_allergies(chart))]


def _allergies(chart: Chart) -> list[Json]:
    shown = ("inactive", "resolved")
    return [one for one in chart.all("AllergyIntolerance") if status_of(one.get("clinicalStatus")) not in shown]


def _allergy(chart: Chart, allergy: Json) -> dict[int, str]:
    text, reaction = words(allergy.get("code")), first(allergy.get("reaction"))
    kind = ALLERGY_TYPES.get(next(iter(allergy.get("category") or []), ""), "")
    when = allergy.get("onsetDateTime") or str(allergy.get("recordedDate", ""))[:10]
    return {
        2: kind, 3: components(allergy_mnemonic(allergy), text, "", text, "allergy.id"),
        4: SEVERITIES.get(reaction.get("severity", ""), ""),
        5: components(words(first(reaction.get("manifestation")))), 6: chart.minutes(when)[:8],
    }  # fmt: skip


def allergy_mnemonic(allergy: Json) -> str:
    """The site's dictionary number, made of the code where there is one."""
    code = first((allergy.get("code") or {}).get("coding")).get("code", "") or words(allergy.get("code"))
    return f"F{crc32(str(code).encode()) % 1_000_000_000:09d}"


def dg1(chart: Chart, conditions: list[Json]) -> list[str]:
    return [segment("DG1", {1: str(number), **_diagnosis(chart, one)}) for number, one in _numbered(conditions)]


def _diagnosis(chart: Chart, condition: Json) -> dict[int, str]:
    code, text = condition.get("code"), words(condition.get("code"))
    icd, snomed = coding(code, ICD10), coding(code, SNOMED)
    triplets = [(icd, text, "I10")] * bool(icd) + [(snomed, text, "SCT")] * bool(snomed)
    parts = [part for triplet in triplets[:2] for part in triplet] or ["", text, ""]
    return {
        2: "I10" if icd else "", 3: components(*parts), 4: components(text),
        5: chart.minutes(condition.get("onsetDateTime")), 6: "F",
    }  # fmt: skip


def kin(chart: Chart, person: Json) -> list[str]:
    """NK1 from the record's contacts; the population names none, so that the site knows one."""
    known = [one for one in person.get("contact") or [] if one.get("name")]
    if known:
        return [segment("NK1", {1: str(n), 2: _name(one["name"]), 3: "OTH"}) for n, one in _numbered(known)]
    drawn = crc32(person["id"].encode())
    given = GIVEN["female"][drawn % len(GIVEN["female"])]
    phones = "~".join(_telecom(one) for one in (person.get("telecom") or [])[:1])
    name = components(FAMILY[drawn % len(FAMILY)], given)
    return [segment("NK1", {1: "1", 2: name, 3: components("SPO" if drawn % 2 else "CHD"), 5: phones})]


def cover(chart: Chart) -> list[str]:
    """IN1 of each coverage that is held; who has none pays himself."""
    held = [one for one in chart.all("Coverage") if one.get("status", "active") == "active"]
    if not held:
        return [segment("IN1", {1: "1", 2: "SP", 3: "SP", 4: "SELF PAY"})]
    shown = []
    for number, one in _numbered(held):
        payor = first(one.get("payor"))
        name = (chart.referred(payor) or {}).get("name") or payor.get("display", "")
        plan = {1: str(number), 2: components(words(one.get("type"))), 3: f"INS{number}", 4: components(name)}
        shown.append(segment("IN1", {**plan, 36: components(one.get("subscriberId"))}))
    return shown


ZFH = segment("ZFH", {1: "CVC", 3: "F", 5: "note"})
"""MEDITECH's own; a receiver keeps or ignores it."""


def _numbered(items: list[Json]) -> list[tuple[int, Json]]:
    return list(enumerate(items, start=1))
