"""Fields of PID as changes to a Patient: each takes the repetitions that were sent, none where the value is deleted.

Law: what cannot be read as the field's type raises ValueError, and nothing has changed then that is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from holovitals_pipelines.sandbox.dialects.meditech_chart import Json
from holovitals_pipelines.sandbox.dialects.meditech_hl7 import fhir_time
from holovitals_pipelines.sandbox.dialects.meditech_segments import SSN
from holovitals_pipelines.sandbox.facts.meditech import LANGUAGES, MARITAL, SEXES

Repeats = list[list[str]]
Update = Callable[[Json, Repeats, ZoneInfo], None]

_MARITAL = "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus"
_GENDERS = {letter: gender for gender, letter in SEXES.items()} | {"A": "other", "N": "other"}
_LANGUAGES = {code: tag for tag, code in LANGUAGES.items()} | {"ENG": "en-US"}
_NAME_USES = {"A": "anonymous", "M": "maiden", "N": "nickname", "D": "usual"}


def _set(person: Json, name: str, value: object) -> None:
    if value is None or value == []:
        person.pop(name, None)
    else:
        person[name] = value


def _at(parts: list[str], number: int) -> str:
    return parts[number - 1] if number <= len(parts) else ""


def _names(person: Json, repeats: Repeats, zone: ZoneInfo) -> None:
    names = []
    for parts in repeats:
        given = [part for part in (_at(parts, 2), *_at(parts, 3).split(" ")) if part]
        if not _at(parts, 1) and not given:
            raise ValueError("no name")
        name: Json = {"use": _NAME_USES.get(_at(parts, 7), "official")}
        _set(name, "family", _at(parts, 1) or None)
        _set(name, "given", given)
        _set(name, "suffix", [_at(parts, 4)] if _at(parts, 4) else [])
        names.append(name)
    _set(person, "name", names)


def _birth(person: Json, repeats: Repeats, zone: ZoneInfo) -> None:
    told = _at(repeats[0], 1) if repeats else ""
    day = fhir_time(told[:8], zone) if told else None
    if told and day is None:
        raise ValueError("no date")
    _set(person, "birthDate", day)


def _sex(person: Json, repeats: Repeats, zone: ZoneInfo) -> None:
    if repeats and repeats[0][0] not in _GENDERS:
        raise ValueError("no sex")
    _set(person, "gender", _GENDERS[repeats[0][0]] if repeats else None)


def _addresses(person: Json, repeats: Repeats, zone: ZoneInfo) -> None:
    addresses = []
    for parts in repeats:
        country = {"USA": "US"}.get(_at(parts, 6), _at(parts, 6))
        address: Json = {"use": "home"}
        _set(address, "line", [line for line in (_at(parts, 1), _at(parts, 2)) if line])
        for name, value in (("city", 3), ("state", 4), ("postalCode", 5)):
            _set(address, name, _at(parts, value) or None)
        _set(address, "country", country or None)
        addresses.append(address)
    _set(person, "address", addresses)


def _telecoms(person: Json, repeats: Repeats, zone: ZoneInfo) -> None:
    telecoms: list[Json] = []
    for parts in repeats:
        if _at(parts, 4):
            telecoms.append({"system": "email", "value": _at(parts, 4)})
            continue
        number = re.fullmatch(r"\((\d{3})\)(\d{3})-(\d{4})", _at(parts, 1))
        value = "-".join(number.groups()) if number else _at(parts, 1)
        use = "mobile" if _at(parts, 3) in ("CELL", "CP") else "work" if _at(parts, 2) == "WPN" else "home"
        telecoms.append({"system": "phone", "value": value, "use": use})
    _set(person, "telecom", telecoms)


def _language(person: Json, repeats: Repeats, zone: ZoneInfo) -> None:
    spoken = []
    if repeats:
        if repeats[0][0] not in _LANGUAGES:
            raise ValueError("no language")
        tag = _LANGUAGES[repeats[0][0]]
        spoken = [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": tag}]}, "preferred": True}]
    _set(person, "communication", spoken)


def _marital(person: Json, repeats: Repeats, zone: ZoneInfo) -> None:
    if repeats and repeats[0][0] not in MARITAL:
        raise ValueError("no marital status")
    code = repeats[0][0] if repeats else None
    _set(person, "maritalStatus", {"coding": [{"system": _MARITAL, "code": code}]} if code else None)


def _ssn(person: Json, repeats: Repeats, zone: ZoneInfo) -> None:
    others = [one for one in person.get("identifier") or [] if one.get("system") != SSN]
    number = [{"use": "official", "system": SSN, "value": repeats[0][0]}] if repeats else []
    _set(person, "identifier", [*others, *number])


def _died(person: Json, repeats: Repeats, zone: ZoneInfo) -> None:
    when = fhir_time(repeats[0][0], zone) if repeats else None
    if repeats and when is None:
        raise ValueError("no time")
    person.pop("deceasedBoolean", None)
    _set(person, "deceasedDateTime", when)


def _is_dead(person: Json, repeats: Repeats, zone: ZoneInfo) -> None:
    if "deceasedDateTime" not in person:
        _set(person, "deceasedBoolean", repeats[0][0] == "Y" if repeats else None)


UPDATES: Mapping[int, Update] = {
    5: _names, 7: _birth, 8: _sex, 11: _addresses, 13: _telecoms, 15: _language, 16: _marital, 19: _ssn, 29: _died,
    30: _is_dead,
}  # fmt: skip
"""By the number of PID's field, in the order in which they are applied."""
