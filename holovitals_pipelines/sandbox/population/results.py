"""Observations and DiagnosticReports: values move with the patient's disorders, interpretation follows the value."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from holovitals_pipelines.sandbox.population.catalogue import coding, measures
from holovitals_pipelines.sandbox.population.catalogue.coding import TERMINOLOGY, ready
from holovitals_pipelines.sandbox.population.catalogue.measures import Measure
from holovitals_pipelines.sandbox.population.chart import Chart

_CATEGORY = {
    name: ready([{"coding": [{"system": f"{TERMINOLOGY}/observation-category", "code": name, "display": display}]}])
    for name, display in (
        ("vital-signs", "Vital Signs"),
        ("laboratory", "Laboratory"),
        ("social-history", "Social History"),
    )
}
_INTERPRETATION = {
    code: ready(
        [{"coding": [{"system": f"{TERMINOLOGY}/v3-ObservationInterpretation", "code": code, "display": display}]}]
    )
    for code, display in (("L", "Low"), ("N", "Normal"), ("H", "High"))
}
_REPORT_CATEGORY = ready([{"coding": [{"system": f"{TERMINOLOGY}/v2-0074", "code": "LAB", "display": "Laboratory"}]}])


class Occasion:
    """When, where and by whom something was measured: shared by all observations of one visit."""

    __slots__ = ("chart", "effective", "encounter", "issued", "performer")

    def __init__(self, chart: Chart, encounter: str, effective: str, issued: str, performer: dict[str, str]) -> None:
        self.chart = chart
        self.encounter = {"reference": f"Encounter/{encounter}"}
        self.effective = effective
        self.issued = issued
        self.performer = [performer]

    def head(self, category: str, code: orjson.Fragment) -> dict[str, Any]:
        return {
            "resourceType": "Observation",
            "id": self.chart.new_id(),
            "status": "final",
            "category": _CATEGORY[category],
            "code": code,
            "subject": self.chart.patient,
            "encounter": self.encounter,
            "effectiveDateTime": self.effective,
            "issued": self.issued,
            "performer": self.performer,
        }


def _quantity(measure: Measure, text: str) -> dict[str, Any]:
    return {"value": orjson.Fragment(text), "unit": measure.unit, "system": coding.UCUM, "code": measure.ucum}


def _judged(measure: Measure, text: str) -> dict[str, Any]:
    """Quantity, interpretation and range; the judgement is made on the digits that are shown."""
    judged: dict[str, Any] = {"valueQuantity": _quantity(measure, text)}
    if measure.range is not None:
        value = float(text)
        low, high = measure.low, measure.high
        verdict = "L" if low is not None and value < low else "H" if high is not None and value > high else "N"
        judged["interpretation"] = _INTERPRETATION[verdict]
        judged["referenceRange"] = measure.range
    return judged


def _reading(measure: Measure, chart: Chart, disorders: Collection[str], centre: float | None = None) -> str:
    middle = measure.centre if centre is None else centre
    for name, shift in measure.shifts.items():
        if name in disorders:
            middle += shift
    drawn = chart.chance.around(middle, measure.spread)
    return f"{max(drawn, measure.centre * 0.2):.{measure.decimals}f}"


def write_vitals(occasion: Occasion, disorders: Collection[str], height: float, weight: float, fever: bool) -> None:
    chart = occasion.chart
    age = (int(occasion.effective[:4])) - int(chart.moment(chart.person.birth, 0)[:4])
    systolic = _reading(measures.SYSTOLIC, chart, disorders, 117.0 if age >= 14 else 88.0 + 2 * age)
    diastolic = _reading(measures.DIASTOLIC, chart, disorders, 74.0 if age >= 14 else 52.0 + 1.5 * age)
    if age >= 3:
        pressure = occasion.head("vital-signs", measures.BLOOD_PRESSURE)
        pressure["component"] = [
            {"code": part.code, **_judged(part, text)}
            for part, text in ((measures.SYSTOLIC, systolic), (measures.DIASTOLIC, diastolic))
        ]
        chart.write(pressure)
    rate = 74.0 if age >= 12 else 118.0 - 3.5 * age
    for measure, text in (
        (measures.HEART_RATE, _reading(measures.HEART_RATE, chart, disorders, rate)),
        (measures.WEIGHT, f"{weight:.1f}"),
        (measures.HEIGHT, f"{height:.1f}"),
        (measures.BODY_MASS, f"{weight / (height / 100) ** 2:.2f}"),
    ):
        chart.write(occasion.head("vital-signs", measure.code) | _judged(measure, text))
    if fever or chart.chance.happens(0.5):
        warmth = _reading(measures.TEMPERATURE, chart, disorders, 38.4 if fever else None)
        chart.write(occasion.head("vital-signs", measures.TEMPERATURE.code) | _judged(measures.TEMPERATURE, warmth))
    if chart.chance.happens(0.35):
        for measure in (measures.BREATHS, measures.OXYGEN):
            text = _reading(measure, chart, disorders)
            if measure is measures.OXYGEN:
                text = str(min(int(text), 100))
            chart.write(occasion.head("vital-signs", measure.code) | _judged(measure, text))


def write_smoking(occasion: Occasion, answer: orjson.Fragment) -> None:
    resource = occasion.head("social-history", measures.SMOKING)
    resource["valueCodeableConcept"] = answer
    occasion.chart.write(resource)


def write_panel(occasion: Occasion, panel: str, disorders: Collection[str]) -> None:
    """The panel's Observations, then the DiagnosticReport that refers to them (single tests have no report)."""
    chart = occasion.chart
    report_code, members = measures.PANELS[panel]
    results: list[dict[str, str]] = []
    for measure in members:
        resource = occasion.head("laboratory", measure.code) | _judged(measure, _reading(measure, chart, disorders))
        results.append({"reference": f"Observation/{resource['id']}"})
        chart.write(resource)
    if report_code is None:
        return
    chart.write(
        {
            "resourceType": "DiagnosticReport",
            "id": chart.new_id(),
            "status": "final",
            "category": _REPORT_CATEGORY,
            "code": report_code,
            "subject": chart.patient,
            "encounter": occasion.encounter,
            "effectiveDateTime": occasion.effective,
            "issued": occasion.issued,
            "performer": occasion.performer,
            "result": results,
        }
    )
