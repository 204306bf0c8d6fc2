"""A patient's life in visits: when they came, what was found, and in time order everything that was written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holovitals_pipelines.sandbox.population.catalogue import care, disorders, measures
from holovitals_pipelines.sandbox.population.catalogue.coding import TERMINOLOGY, ready
from holovitals_pipelines.sandbox.population.catalogue.disorders import ACUTE, CHRONIC, Disorder
from holovitals_pipelines.sandbox.population.chance import Chance
from holovitals_pipelines.sandbox.population.chart import Chart
from holovitals_pipelines.sandbox.population.patient import write_patient
from holovitals_pipelines.sandbox.population.person import TODAY, Person, person
from holovitals_pipelines.sandbox.population.results import Occasion, write_panel, write_smoking, write_vitals
from holovitals_pipelines.sandbox.population.site import Site
from holovitals_pipelines.sandbox.population.treatment import (
    write_allergy,
    write_condition,
    write_document,
    write_immunization,
    write_prescription,
    write_procedure,
)

_CLASSES = {
    code: ready({"system": f"{TERMINOLOGY}/v3-ActCode", "code": code, "display": display})
    for code, display in (("AMB", "ambulatory"), ("EMER", "emergency"), ("IMP", "inpatient encounter"))
}
_ATTENDING = ready(
    [{"coding": [{"system": f"{TERMINOLOGY}/v3-ParticipationType", "code": "ATND", "display": "attender"}]}]
)
_EXCLUDES = {"diabetes": "prediabetes"}


@dataclass(frozen=True, slots=True)
class _Onset:
    disorder: Disorder
    day: int


def write_chart(site: Site, index: int) -> list[bytes]:
    """Every resource of one patient at one site, in time order; a function of (site, seed, index) only."""
    chance = Chance(site.seed, index)
    who = person(index, chance)
    chart = Chart(site, who, chance)
    write_patient(chart)
    end = who.death or TODAY
    onsets = _onsets(who, chance, end)
    allergies = [] if chance.happens(0.7) else sorted({chance.whole(0, len(care.ALLERGENS) - 1) for _ in range(2)})
    smoking = chance.one_of(measures.SMOKING_ANSWERS)
    adult_height = chance.around(163 if who.sex == "female" else 176, 6)
    heaviness = chance.around(23.0, 1.6) + (10.0 if any(o.disorder.name == "obesity" for o in onsets) else 0.0)
    given: set[int] = set()
    known: dict[str, str] = {}
    days = _visit_days(who, chance, end, len(onsets))
    for number, day in enumerate(days):
        acute = _acute(who, chance, day, allergies)
        minute = chart.visit_minute = chance.whole(8 * 60, 16 * 60)
        doctor = chart.practitioner(chance.whole(0, 23))
        encounter, emergency = _write_encounter(chart, day, minute, doctor, acute, is_last=number == len(days) - 1)
        if number == 0:
            for allergy in allergies:
                write_allergy(chart, allergy, encounter, day)
        for onset in onsets:
            if onset.day <= day and onset.disorder.name not in known:
                condition = write_condition(chart, onset.disorder, encounter, day, None)
                known[onset.disorder.name] = condition
                if onset.disorder.drugs:
                    drug = chance.one_of(onset.disorder.drugs)
                    write_prescription(chart, drug, condition, encounter, day, doctor, who.death is None)
        if acute is not None:
            over = day + acute.lasts_days
            condition = write_condition(chart, acute, encounter, day, over if over <= end else None)
            for drug in acute.drugs:
                write_prescription(chart, drug, condition, encounter, day, doctor, over > end)
        moment = chart.during_visit(day, 10)
        occasion = Occasion(chart, encounter, moment, chart.during_visit(day, 12), doctor)
        height, weight = _build(who.age(day), adult_height, heaviness)
        fever = acute is not None and acute.name in ("strep", "otitis", "bronchitis")
        write_vitals(occasion, known.keys(), height, weight, fever)
        if who.age(day) >= 16 and number % 3 == 0:
            write_smoking(occasion, smoking)
        _write_laboratory(chart, occasion, known, onsets, who.age(day), number)
        _write_prevention(chart, who.age(day), day, encounter, known, given, doctor)
        if emergency or chance.happens(0.2):
            write_document(chart, encounter, day, doctor, emergency, _summary(known, acute))
    return chart.resources


def _onsets(who: Person, chance: Chance, end: int) -> list[_Onset]:
    found: list[_Onset] = []
    for disorder in CHRONIC:
        years = disorder.from_age + chance.between(0.0, 25.0)
        day = who.birth + int(years * 365.25)
        if chance.happens(disorder.share) and day < end - 60:
            found.append(_Onset(disorder, day))
    names = {onset.disorder.name for onset in found}
    return sorted(
        (onset for onset in found if not any(_EXCLUDES.get(name) == onset.disorder.name for name in names)),
        key=lambda onset: onset.day,
    )


def _visit_days(who: Person, chance: Chance, end: int, burden: int) -> list[int]:
    """Some seven visits in the last years, more with more disorders; never two on a day, never on day of death."""
    count = chance.whole(5, 8) + min(burden, 3) // 2
    start = max(who.birth + 3, end - int(chance.between(3.0, 9.0) * 365))
    step = max((end - 2 - start) // count, 2)
    return sorted({start + place * step + chance.whole(0, step - 1) for place in range(count)})


def _acute(who: Person, chance: Chance, day: int, allergies: list[int]) -> Disorder | None:
    if not chance.happens(0.3):
        return None
    disorder = chance.one_of(ACUTE)
    if who.age(day) < disorder.from_age:
        return None
    if disorders.AMOXICILLIN in disorder.drugs and not care.NO_PENICILLIN.isdisjoint(allergies):
        return None
    return disorder


def _write_encounter(
    chart: Chart, day: int, minute: int, doctor: dict[str, str], acute: Disorder | None, *, is_last: bool
) -> tuple[str, bool]:
    emergency = acute is not None and acute.name in ("whiplash", "ankle") and chart.chance.happens(0.5)
    if emergency:
        kind, code = care.EMERGENCY, "EMER"
    elif acute is not None:
        kind, code = care.SYMPTOM, "AMB"
    else:
        kind, code = care.WELL_CHILD if chart.person.age(day) < 12 else care.CHECK_UP, "AMB"
    identity = chart.new_id()
    where = chart.chance.whole(0, 7)
    resource: dict[str, Any] = {
        "resourceType": "Encounter",
        "id": identity,
        "status": "finished",
        "class": _CLASSES[code],
        "type": [care.FOLLOW_UP if is_last and acute is None and chart.person.age(day) >= 12 else kind],
        "subject": chart.patient,
        "participant": [{"type": _ATTENDING, "individual": doctor}],
        "period": {"start": chart.moment(day, minute), "end": chart.moment(day, minute + (180 if emergency else 30))},
        "location": [{"location": chart.location(where)}],
        "serviceProvider": chart.organization(where),
    }
    chart.write(resource)
    return identity, emergency


def _build(age: int, adult_height: float, heaviness: float) -> tuple[float, float]:
    """Height in cm and weight in kg at an age; children grow in a straight line, which is plausible enough."""
    if age >= 18:
        return adult_height, heaviness * (adult_height / 100) ** 2
    height = 52.0 + (adult_height - 52.0) * ((age + 0.5) / 18.5) ** 0.75
    return height, (15.5 + max(heaviness - 16.0, 0.0) * age / 18.0) * (height / 100) ** 2


def _write_laboratory(
    chart: Chart, occasion: Occasion, known: dict[str, str], onsets: list[_Onset], age: int, number: int
) -> None:
    wanted: set[str] = set()
    for onset in onsets:
        if onset.disorder.name in known and chart.chance.happens(0.35):
            wanted.update(onset.disorder.panels)
    if age >= 18 and number % 3 == 1:
        wanted.add("metabolic")
    if age >= 35 and number % 4 == 2:
        wanted.add("lipids")
    if chart.chance.happens(0.18):
        wanted.add("blood")
    for panel in measures.PANELS:
        if panel in wanted:
            write_panel(occasion, panel, known.keys())


def _write_prevention(
    chart: Chart, age: int, day: int, encounter: str, known: dict[str, str], given: set[int], doctor: dict[str, str]
) -> None:
    chance = chart.chance
    place = chart.location(day)
    for number, (start, stop, vaccine) in enumerate(care.VACCINES):
        if start <= age <= stop and number not in given and chance.happens(0.4):
            given.add(number)
            write_immunization(chart, vaccine, encounter, day, place)
    if chance.happens(0.55):
        write_immunization(chart, care.INFLUENZA, encounter, day, place)
    for start, stop, called_for, code in care.PROCEDURES:
        applies = not called_for or called_for == chart.person.sex or called_for in known
        if start <= age <= stop and applies and chance.happens(0.09):
            write_procedure(chart, code, encounter, day, doctor)


def _summary(known: dict[str, str], acute: Disorder | None) -> str:
    reason = acute.name if acute is not None else "routine visit"
    return f"Reason: {reason}.\nKnown: {', '.join(known) or 'nothing chronic'}."
