"""Who a synthetic person is, before anything clinical; the same at every site that knows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from holovitals_pipelines.sandbox.population.chance import Chance
from holovitals_pipelines.sandbox.population.names import FAMILY, GIVEN

TODAY = date(2026, 6, 30).toordinal()
"""The population's present: nothing happens after it, so that a population never depends on the day it is made."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who somebody is, before anything clinical; days are ordinals."""

    index: int
    sex: str
    birth: int
    death: int | None
    family: str
    given: tuple[str, ...]
    national_id: str

    def age(self, day: int) -> int:
        return int((day - self.birth) / 365.25)


def person(index: int, chance: Chance) -> Person:
    sex = "female" if chance.happens(0.51) else "male"
    years = chance.between(0.2, 88.0) if chance.happens(0.8) else chance.between(40.0, 95.0)
    birth = TODAY - int(years * 365.25)
    death = TODAY - chance.whole(5, 300) if years > 60 and chance.happens(0.06) else None
    given = (
        (chance.one_of(GIVEN[sex]), chance.one_of(GIVEN[sex])) if chance.happens(0.4) else (chance.one_of(GIVEN[sex]),)
    )
    scattered = index * 7_368_787 % 1_000_000
    return Person(
        index=index,
        sex=sex,
        birth=birth,
        death=death,
        family=chance.one_of(FAMILY),
        given=given,
        national_id=f"999-{scattered // 10_000:02d}-{scattered % 10_000:04d}",
    )
