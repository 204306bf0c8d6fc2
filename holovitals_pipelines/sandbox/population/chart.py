"""One patient's chart at one site while it is being written: hands out ids and references, keeps resources in order."""

from __future__ import annotations

from datetime import date
from typing import Any

import orjson

from holovitals_pipelines.sandbox.population.chance import Chance
from holovitals_pipelines.sandbox.population.person import Person
from holovitals_pipelines.sandbox.population.site import Site


class Chart:
    """Ids count up within the chart, so the n-th resource is the same fact at every site."""

    __slots__ = ("_digest", "_next", "chance", "patient", "person", "resources", "site", "visit_minute", "zone")

    def __init__(self, site: Site, person: Person, chance: Chance) -> None:
        self.site = site
        self.person = person
        self.chance = chance
        self.zone = "-05:00" if person.index % 3 else "Z"
        self.resources: list[bytes] = []
        self.visit_minute = 0
        self._digest = site.chart_digest(person.index)
        self._next = 0
        self.patient = orjson.Fragment(b'{"reference":"Patient/%s"}' % self.new_id().encode())

    @property
    def patient_id(self) -> str:
        return self.site.make_id(self._digest, self.person.index, 0)

    def new_id(self) -> str:
        ordinal = self._next
        self._next = ordinal + 1
        return self.site.make_id(self._digest, self.person.index, ordinal)

    def write(self, resource: dict[str, Any]) -> None:
        self.resources.append(orjson.dumps(resource))

    def practitioner(self, number: int) -> dict[str, str]:
        return {"reference": f"Practitioner/{self.site.practitioners[number % len(self.site.practitioners)]}"}

    def organization(self, number: int) -> dict[str, str]:
        return {"reference": f"Organization/{self.site.organizations[number % len(self.site.organizations)]}"}

    def location(self, number: int) -> dict[str, str]:
        return {"reference": f"Location/{self.site.locations[number % len(self.site.locations)]}"}

    def moment(self, day: int, minute: int) -> str:
        """A FHIR instant: `day` is an ordinal, `minute` counts from midnight. Some sites' clocks show milliseconds."""
        second = (day * 7 + minute) % 60
        text = f"{date.fromordinal(day).isoformat()}T{minute // 60 % 24:02d}:{minute % 60:02d}:{second:02d}"
        return f"{text}.{day % 1000:03d}{self.zone}" if self.person.index % 5 == 0 else f"{text}{self.zone}"

    def during_visit(self, day: int, minutes: int) -> str:
        """The instant some minutes after the day's visit began."""
        return self.moment(day, self.visit_minute + minutes)


def day_text(day: int) -> str:
    return date.fromordinal(day).isoformat()
