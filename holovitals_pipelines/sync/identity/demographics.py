"""What a Patient resource says of who somebody is, in a form that can be compared.

Law: reading never fails: what has another shape than FHIR's is left out, and says nothing for or against a match.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

_OLD_USES = ("old", "temp", "anonymous", "maiden")
_SAYS_THE_SAME = ("replaced-by", "replaces", "refer", "seealso")


class Demographics(NamedTuple):
    """Normalised: names in lower-case letters without accents, numbers as digits. Nothing of it is ever logged."""

    family: str | None = None
    given: str | None = None
    """The first given name."""
    former: tuple[str, ...] = ()
    """Other family names: maiden and old ones."""
    birth_date: str | None = None
    """YYYY, YYYY-MM or YYYY-MM-DD."""
    gender: str | None = None
    phones: tuple[str, ...] = ()
    street: str | None = None
    postal_code: str | None = None
    identifiers: tuple[tuple[str, str], ...] = ()
    """(system, value) as they were sent, without those that are no longer used."""
    told_same: tuple[tuple[str, str], ...] = ()
    """(type of the link, id of the other Patient at the same vendor): Patient.link."""

    def digest(self) -> bytes:
        """Equal for two bodies that say the same of who somebody is."""
        return blake2b(repr(tuple(self)).encode(), digest_size=16).digest()


NOBODY = Demographics()


def read_demographics(body: bytes) -> Demographics:
    """Raises nothing: a body that is no JSON object says nothing."""
    try:
        patient = orjson.loads(body)
    except orjson.JSONDecodeError:
        return NOBODY
    if not isinstance(patient, dict):
        return NOBODY
    names = sorted(_objects(patient.get("name")), key=_current_first)
    families = [family for name in names if (family := letters(name.get("family")))]
    given = next((one for name in names for one in map(letters, _list(name.get("given"))) if one), None)
    address = next(iter(sorted(_objects(patient.get("address")), key=_current_first)), {})
    return Demographics(
        family=families[0] if families else None,
        given=given,
        former=tuple(sorted(set(families[1:]) - {families[0]})) if families else (),
        birth_date=_date(patient.get("birthDate")),
        gender=_known_gender(patient.get("gender")),
        phones=tuple(sorted(set(_phones(patient)))),
        street=_joined(address.get("line")),
        postal_code=_postal(address.get("postalCode")),
        identifiers=tuple(sorted(set(_identifiers(patient)))),
        told_same=tuple(sorted(set(_links(patient)))),
    )


def letters(text: Any) -> str | None:
    """Lower-case letters without accents; None where none are left."""
    if not isinstance(text, str):
        return None
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in plain if character.isalpha()) or None


def _current_first(item: dict[str, Any]) -> int:
    use = item.get("use")
    return 2 if use in _OLD_USES else 0 if use in ("official", "home") else 1


def _identifiers(patient: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for item in _objects(patient.get("identifier")):
        system, value = item.get("system"), item.get("value")
        if isinstance(system, str) and isinstance(value, str) and item.get("use") not in _OLD_USES:
            yield system, value


def _phones(patient: dict[str, Any]) -> Iterator[str]:
    for item in _objects(patient.get("telecom")):
        if item.get("system") in ("phone", "sms", None) and isinstance(item.get("value"), str):
            digits = re.sub(r"\D", "", item["value"])
            if len(digits) >= 7:
                yield digits[-10:]


def _links(patient: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for item in _objects(patient.get("link")):
        kind, other = item.get("type"), item.get("other")
        reference = other.get("reference") if isinstance(other, dict) else None
        if kind in _SAYS_THE_SAME and isinstance(reference, str) and "Patient/" in reference:
            yield kind, reference.rpartition("Patient/")[2].partition("/")[0]


def _date(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", value) else None


def _known_gender(value: Any) -> str | None:
    return value if value in ("male", "female", "other") else None


def _joined(lines: Any) -> str | None:
    text = " ".join(line for line in _list(lines) if isinstance(line, str))
    return re.sub(r"[^0-9a-z]+", " ", unicodedata.normalize("NFKD", text).casefold()).strip() or None


def _postal(value: Any) -> str | None:
    return re.sub(r"\W", "", value).upper()[:5] or None if isinstance(value, str) else None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
