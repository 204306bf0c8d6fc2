"""The same people as vendors really spell them: nicknames, moves, slips of the pen, identifiers left out or masked.

Law: what is spelled otherwise is a function of (provider, seed, patient index, share). Who a record is of is told
beside the record and never in it: only tests and measurements see it.

The shares are engineering input, not a study: about as much as makes matching by identifiers alone insufficient.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import orjson

from holovitals_pipelines.sandbox.population.chance import Chance
from holovitals_pipelines.sandbox.population.chart import Chart
from holovitals_pipelines.sandbox.population.names import FAMILY, PLACES, STREET_KINDS, STREETS
from holovitals_pipelines.sandbox.population.patient import NATIONAL_ID, write_patient
from holovitals_pipelines.sandbox.population.person import person
from holovitals_pipelines.sandbox.population.site import members, site

NICKNAMES = {
    "Elizabeth": "Liz", "William": "Bill", "Robert": "Bob", "Margaret": "Peggy", "Katherine": "Kate", "Richard": "Dick",
    "James": "Jim", "John": "Jack", "Michael": "Mike", "Patricia": "Pat", "Jennifer": "Jenny", "Thomas": "Tom",
    "Daniel": "Dan", "Joseph": "Joe", "Christopher": "Chris", "Susan": "Sue", "Barbara": "Barb", "Anthony": "Tony",
}  # fmt: skip
NO_NUMBER, MASKED, MISTYPED, MADE_UP = 0.30, 0.12, 0.02, 0.01
"""Shares of records without a national id, with a masked one, a mistyped one, and one that stands for none."""


def patients_as_spelled(patients: int, seed: int, provider: str, *, share: float = 0.3) -> Iterator[tuple[int, bytes]]:
    """(whom it is of, Patient resource) of the provider's members; `share` of them are spelled otherwise here."""
    where = site(provider, seed)
    for index in range(patients):
        if not members(provider, index):
            continue
        chance = Chance(seed, index)
        chart = Chart(where, person(index, chance), chance)
        write_patient(chart)
        patient = orjson.loads(chart.resources[0])
        here = Chance(seed + 7919 * sum(provider.encode()), index)
        _renumber(patient, here)
        if here.happens(share):
            here.one_of((_nickname, _move, _slip, _other_date, _other_phone, _marry))(patient, here)
        yield index, orjson.dumps(patient)


def _renumber(patient: dict[str, Any], here: Chance) -> None:
    number = next(one for one in patient["identifier"] if one["system"] == NATIONAL_ID)
    drawn = here.between(0.0, 1.0)
    if drawn < NO_NUMBER:
        patient["identifier"].remove(number)
    elif drawn < NO_NUMBER + MASKED:
        number["value"] = f"*****{number['value'][-4:]}"
    elif drawn < NO_NUMBER + MASKED + MISTYPED:
        number["value"] = f"{number['value'][:-1]}{(int(number['value'][-1]) + 1) % 10}"
    elif drawn < NO_NUMBER + MASKED + MISTYPED + MADE_UP:
        number["value"] = here.one_of(("999-99-9999", "000-00-0000", "123-45-6789"))


def _nickname(patient: dict[str, Any], here: Chance) -> None:
    name = patient["name"][0]
    name["given"] = [NICKNAMES.get(name["given"][0], name["given"][0][:3])]
    name.pop("_given", None)


def _move(patient: dict[str, Any], here: Chance) -> None:
    city, state, postal, _, _ = here.one_of(PLACES)
    line = f"{here.whole(1, 990)} {here.one_of(STREETS)} {here.one_of(STREET_KINDS)}"
    patient["address"] = [{"use": "home", "line": [line], "city": city, "state": state, "postalCode": postal}]
    _other_phone(patient, here)


def _slip(patient: dict[str, Any], here: Chance) -> None:
    """Two neighbouring letters of the family name change places."""
    family = patient["name"][0]["family"]
    place = here.whole(1, max(1, len(family) - 2))
    patient["name"][0]["family"] = family[:place] + family[place + 1 : place + 2] + family[place] + family[place + 2 :]


def _other_date(patient: dict[str, Any], here: Chance) -> None:
    born = date.fromisoformat(patient["birthDate"])
    turned = born.replace(month=born.day, day=born.month) if born.day <= 12 else born + timedelta(days=1)
    patient["birthDate"] = turned.isoformat()
    patient.pop("_birthDate", None)


def _other_phone(patient: dict[str, Any], here: Chance) -> None:
    number = f"555-{here.whole(200, 999)}-{here.whole(1000, 9999)}"
    patient["telecom"] = [{"system": "phone", "value": number, "use": "home"}]


def _marry(patient: dict[str, Any], here: Chance) -> None:
    if patient["gender"] == "female":
        patient["name"][0]["family"] = here.one_of(FAMILY)
    else:
        _move(patient, here)
