"""What is measured: LOINC codes, UCUM units, reference ranges, and how disorders move the values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from holovitals_pipelines.sandbox.population.catalogue.coding import LOINC, SNOMED, UCUM, coded, ready


@dataclass(frozen=True, slots=True)
class Measure:
    """One numeric observation: code, UCUM unit, reference range, decimals, and its usual centre and spread."""

    code: orjson.Fragment
    unit: str
    ucum: str
    low: float | None
    high: float | None
    decimals: int
    centre: float
    spread: float
    shifts: Mapping[str, float]
    """What a disorder adds to the centre."""
    range: orjson.Fragment | None


def measure(
    loinc: str,
    display: str,
    ucum: str,
    low: float | None,
    high: float | None,
    decimals: int,
    centre: float,
    spread: float,
    *,
    unit: str | None = None,
    shifts: Mapping[str, float] | None = None,
) -> Measure:
    unit = unit or ucum

    def quantity(value: float) -> dict[str, Any]:
        text = orjson.Fragment(f"{value:.{decimals}f}")
        return {"value": text, "unit": unit, "system": UCUM, "code": ucum}

    bounds = {name: quantity(value) for name, value in (("low", low), ("high", high)) if value is not None}
    return Measure(
        coded(LOINC, loinc, display),
        unit,
        ucum,
        low,
        high,
        decimals,
        centre,
        spread,
        shifts or {},
        ready([bounds]) if bounds else None,
    )


GLUCOSE_SHIFTS = {"prediabetes": 16.0, "diabetes": 58.0}
KIDNEY = "kidney"

PANELS: dict[str, tuple[orjson.Fragment | None, tuple[Measure, ...]]] = {
    "metabolic": (
        coded(LOINC, "51990-0", "Basic metabolic panel - Blood"),
        (
            measure(
                "2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL", 70, 99, 0, 88, 7, shifts=GLUCOSE_SHIFTS
            ),
            measure(
                "3094-0",
                "Urea nitrogen [Mass/volume] in Serum or Plasma",
                "mg/dL",
                7,
                20,
                0,
                14,
                2.5,
                shifts={KIDNEY: 14},
            ),
            measure(
                "2160-0",
                "Creatinine [Mass/volume] in Serum or Plasma",
                "mg/dL",
                0.6,
                1.3,
                2,
                0.92,
                0.13,
                shifts={KIDNEY: 0.8},
            ),
            measure("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "mmol/L", 136, 145, 0, 140, 2),
            measure(
                "2823-3",
                "Potassium [Moles/volume] in Serum or Plasma",
                "mmol/L",
                3.5,
                5.1,
                1,
                4.2,
                0.3,
                shifts={KIDNEY: 0.5},
            ),
            measure("2075-0", "Chloride [Moles/volume] in Serum or Plasma", "mmol/L", 98, 107, 0, 102, 2),
            measure("2028-9", "Carbon dioxide, total [Moles/volume] in Serum or Plasma", "mmol/L", 22, 29, 0, 25, 1.5),
            measure("17861-6", "Calcium [Mass/volume] in Serum or Plasma", "mg/dL", 8.6, 10.3, 2, 9.4, 0.3),
        ),
    ),
    "lipids": (
        coded(LOINC, "57698-3", "Lipid panel with direct LDL - Serum or Plasma"),
        (
            measure(
                "2093-3",
                "Cholesterol [Mass/volume] in Serum or Plasma",
                "mg/dL",
                None,
                200,
                0,
                178,
                16,
                shifts={"hyperlipidemia": 45},
            ),
            measure(
                "2571-8",
                "Triglyceride [Mass/volume] in Serum or Plasma",
                "mg/dL",
                None,
                150,
                0,
                112,
                22,
                shifts={"hyperlipidemia": 60, "obesity": 18},
            ),
            measure(
                "18262-6",
                "Cholesterol in LDL [Mass/volume] in Serum or Plasma by Direct assay",
                "mg/dL",
                None,
                130,
                0,
                102,
                14,
                shifts={"hyperlipidemia": 44},
            ),
            measure(
                "2085-9",
                "Cholesterol in HDL [Mass/volume] in Serum or Plasma",
                "mg/dL",
                40,
                None,
                1,
                54,
                6,
                shifts={"obesity": -6},
            ),
        ),
    ),
    "blood": (
        coded(LOINC, "58410-2", "CBC panel - Blood by Automated count"),
        (
            measure("6690-2", "Leukocytes [#/volume] in Blood by Automated count", "10*3/uL", 4.0, 11.0, 1, 7.0, 1.2),
            measure(
                "789-8",
                "Erythrocytes [#/volume] in Blood by Automated count",
                "10*6/uL",
                4.0,
                5.8,
                2,
                4.80,
                0.25,
                shifts={"anemia": -0.9},
            ),
            measure(
                "718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", 12.0, 17.0, 1, 14.2, 0.8, shifts={"anemia": -3.6}
            ),
            measure(
                "4544-3",
                "Hematocrit [Volume Fraction] of Blood by Automated count",
                "%",
                36,
                50,
                1,
                42,
                2,
                shifts={"anemia": -10},
            ),
            measure(
                "787-2", "MCV [Entitic volume] by Automated count", "fL", 80, 100, 1, 89, 3, shifts={"anemia": -11}
            ),
            measure("777-3", "Platelets [#/volume] in Blood by Automated count", "10*3/uL", 150, 400, 0, 250, 35),
        ),
    ),
    "a1c": (
        None,
        (
            measure(
                "4548-4",
                "Hemoglobin A1c/Hemoglobin.total in Blood",
                "%",
                4.0,
                5.6,
                2,
                5.2,
                0.15,
                shifts={"prediabetes": 0.8, "diabetes": 2.2},
            ),
        ),
    ),
    "tsh": (
        None,
        (
            measure(
                "3016-3",
                "Thyrotropin [Units/volume] in Serum or Plasma",
                "m[IU]/L",
                0.4,
                4.5,
                2,
                2.1,
                0.5,
                unit="mIU/L",
                shifts={"hypothyroidism": 2.0},
            ),
        ),
    ),
    "inr": (
        None,
        (
            measure(
                "6301-6",
                "INR in Platelet poor plasma by Coagulation assay",
                "{INR}",
                0.8,
                1.2,
                1,
                1.0,
                0.06,
                unit="INR",
                shifts={"fibrillation": 1.5},
            ),
        ),
    ),
    "urine_albumin": (
        None,
        (
            measure(
                "9318-7",
                "Albumin/Creatinine [Mass Ratio] in Urine",
                "mg/g",
                None,
                30,
                1,
                12,
                4,
                shifts={KIDNEY: 75, "diabetes": 9},
            ),
        ),
    ),
}
"""Panel name → (report code or None, members). The values of members move with the patient's disorders."""

HEART_RATE = measure("8867-4", "Heart rate", "/min", 60, 100, 0, 74, 6, unit="beats/minute")
BREATHS = measure("9279-1", "Respiratory rate", "/min", 12, 20, 0, 15, 1.3, unit="breaths/minute")
TEMPERATURE = measure("8310-5", "Body temperature", "Cel", 36.1, 37.8, 2, 36.80, 0.2, unit="C")
OXYGEN = measure("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry", "%", 95, 100, 0, 98, 0.7)
HEIGHT = measure("8302-2", "Body height", "cm", None, None, 1, 0, 0)
WEIGHT = measure("29463-7", "Body weight", "kg", None, None, 1, 0, 0)
BODY_MASS = measure("39156-5", "Body mass index (BMI) [Ratio]", "kg/m2", 18.5, 24.9, 2, 0, 0)
SYSTOLIC = measure(
    "8480-6", "Systolic blood pressure", "mm[Hg]", 90, 130, 0, 117, 6, unit="mmHg", shifts={"hypertension": 22}
)
DIASTOLIC = measure(
    "8462-4", "Diastolic blood pressure", "mm[Hg]", 60, 85, 0, 74, 4, unit="mmHg", shifts={"hypertension": 12}
)
BLOOD_PRESSURE = coded(LOINC, "85354-9", "Blood pressure panel with all children optional")
SMOKING = coded(LOINC, "72166-2", "Tobacco smoking status")
SMOKING_ANSWERS = (
    coded(SNOMED, "266919005", "Never smoked tobacco"),
    coded(SNOMED, "266919005", "Never smoked tobacco"),
    coded(SNOMED, "8517006", "Ex-smoker"),
    coded(SNOMED, "449868002", "Smokes tobacco daily"),
)
