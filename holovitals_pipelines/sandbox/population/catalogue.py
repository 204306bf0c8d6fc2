"""The clinical catalogue: real codes with the facts that make them fit together; nothing here draws or renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
CVX = "http://hl7.org/fhir/sid/cvx"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
UCUM = "http://unitsofmeasure.org"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"


def ready(value: Any) -> orjson.Fragment:
    """JSON serialised once: most of a resource is the same coded phrases over and over."""
    return orjson.Fragment(orjson.dumps(value))


def coded(system: str, code: str, display: str) -> orjson.Fragment:
    return ready({"coding": [{"system": system, "code": code, "display": display}], "text": display})


def flag(system: str, code: str, display: str | None = None) -> orjson.Fragment:
    """A CodeableConcept of HL7's own terminology."""
    coding = {"system": f"{TERMINOLOGY}/{system}", "code": code}
    return ready({"coding": [coding | {"display": display} if display else coding]})


@dataclass(frozen=True, slots=True)
class Drug:
    """One RxNorm clinical drug and how it is usually taken."""

    rxnorm: str
    display: str
    sig: str
    per_day: int
    code: orjson.Fragment


def drug(rxnorm: str, display: str, sig: str, per_day: int = 1) -> Drug:
    return Drug(rxnorm, display, sig, per_day, coded(RXNORM, rxnorm, display))


@dataclass(frozen=True, slots=True)
class Disorder:
    """A condition: who has it (age from, share of those older), what treats it, which panels follow it up."""

    name: str
    code: orjson.Fragment
    from_age: int
    share: float
    drugs: tuple[Drug, ...] = ()
    panels: tuple[str, ...] = ()
    lasts_days: int = 0
    """0: chronic."""


def disorder(
    name: str,
    snomed: str,
    display: str,
    icd10: str,
    from_age: int,
    share: float,
    *,
    drugs: Sequence[Drug] = (),
    panels: Sequence[str] = (),
    lasts_days: int = 0,
) -> Disorder:
    code = ready(
        {
            "coding": [
                {"system": SNOMED, "code": snomed, "display": display},
                {"system": ICD10, "code": icd10},
            ],
            "text": display,
        }
    )
    return Disorder(name, code, from_age, share, tuple(drugs), tuple(panels), lasts_days)


METFORMIN = drug("860975", "24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet", "1 tablet daily")
AMOXICILLIN = drug("308192", "Amoxicillin 500 MG Oral Tablet", "1 tablet three times daily for 7 days", 3)
IBUPROFEN = drug("310965", "Ibuprofen 200 MG Oral Tablet", "1 tablet every 6 hours as needed", 4)
ALBUTEROL = drug("745679", "200 ACTUAT Albuterol 0.09 MG/ACTUAT Metered Dose Inhaler", "2 puffs as needed", 2)

CHRONIC: tuple[Disorder, ...] = (
    disorder("asthma", "195967001", "Asthma", "J45.909", 4, 0.08, drugs=[ALBUTEROL]),
    disorder("depression", "35489007", "Depressive disorder", "F32.A", 16, 0.09),
    disorder(
        "hypothyroidism",
        "40930008",
        "Hypothyroidism",
        "E03.9",
        25,
        0.06,
        drugs=[drug("966222", "Levothyroxine Sodium 0.075 MG Oral Tablet", "1 tablet every morning")],
        panels=["tsh"],
    ),
    disorder("obesity", "414916001", "Obesity", "E66.9", 18, 0.28, panels=["lipids"]),
    disorder("prediabetes", "15777000", "Prediabetes", "R73.03", 30, 0.14, panels=["a1c"]),
    disorder(
        "diabetes",
        "44054006",
        "Diabetes mellitus type 2",
        "E11.9",
        35,
        0.15,
        drugs=[METFORMIN],
        panels=["a1c", "metabolic", "urine_albumin"],
    ),
    disorder(
        "hypertension",
        "59621000",
        "Essential hypertension",
        "I10",
        32,
        0.34,
        drugs=[
            drug("314076", "lisinopril 10 MG Oral Tablet", "1 tablet daily"),
            drug("197361", "Amlodipine 5 MG Oral Tablet", "1 tablet daily"),
            drug("310798", "Hydrochlorothiazide 25 MG Oral Tablet", "1 tablet every morning"),
        ],
        panels=["metabolic"],
    ),
    disorder(
        "hyperlipidemia",
        "55822004",
        "Hyperlipidemia",
        "E78.5",
        35,
        0.30,
        drugs=[
            drug("312961", "Simvastatin 20 MG Oral Tablet", "1 tablet every evening"),
            drug("617310", "atorvastatin 20 MG Oral Tablet", "1 tablet every evening"),
        ],
        panels=["lipids"],
    ),
    disorder(
        "anemia",
        "271737000",
        "Anemia",
        "D64.9",
        12,
        0.07,
        drugs=[drug("310325", "ferrous sulfate 325 MG Oral Tablet", "1 tablet daily with food")],
        panels=["blood"],
    ),
    disorder("osteoarthritis", "239873007", "Osteoarthritis of knee", "M17.9", 50, 0.20, drugs=[IBUPROFEN]),
    disorder(
        "kidney",
        "433144002",
        "Chronic kidney disease stage 3",
        "N18.30",
        60,
        0.10,
        panels=["metabolic", "urine_albumin"],
    ),
    disorder(
        "fibrillation",
        "49436004",
        "Atrial fibrillation",
        "I48.91",
        60,
        0.08,
        drugs=[drug("855332", "Warfarin Sodium 5 MG Oral Tablet", "1 tablet daily")],
        panels=["inr"],
    ),
    disorder(
        "coronary",
        "53741008",
        "Coronary arteriosclerosis",
        "I25.10",
        55,
        0.08,
        drugs=[drug("309362", "Clopidogrel 75 MG Oral Tablet", "1 tablet daily")],
        panels=["lipids"],
    ),
    disorder(
        "osteoporosis",
        "64859006",
        "Osteoporosis",
        "M81.0",
        62,
        0.12,
        drugs=[drug("904419", "Alendronic acid 10 MG Oral Tablet", "1 tablet daily before breakfast")],
    ),
)

ACUTE: tuple[Disorder, ...] = (
    disorder("sinusitis", "444814009", "Viral sinusitis", "J01.90", 2, 1.0, lasts_days=14),
    disorder("pharyngitis", "195662009", "Acute viral pharyngitis", "J02.9", 2, 1.0, lasts_days=10),
    disorder("strep", "43878008", "Streptococcal sore throat", "J02.0", 3, 1.0, drugs=[AMOXICILLIN], lasts_days=12),
    disorder("otitis", "65363002", "Otitis media", "H66.90", 0, 1.0, drugs=[AMOXICILLIN], lasts_days=14),
    disorder("bronchitis", "10509002", "Acute bronchitis", "J20.9", 1, 1.0, lasts_days=21),
    disorder("ankle", "44465007", "Sprain of ankle", "S93.409A", 6, 1.0, drugs=[IBUPROFEN], lasts_days=28),
    disorder("whiplash", "39848009", "Whiplash injury to neck", "S13.4XXA", 16, 1.0, drugs=[IBUPROFEN], lasts_days=35),
)


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

ALLERGENS: tuple[tuple[orjson.Fragment, str, orjson.Fragment], ...] = (
    (coded(SNOMED, "419474003", "Allergy to mould"), "environment", coded(SNOMED, "76067001", "Sneezing")),
    (coded(SNOMED, "418689008", "Allergy to grass pollen"), "environment", coded(SNOMED, "76067001", "Sneezing")),
    (coded(SNOMED, "91935009", "Allergy to peanuts"), "food", coded(SNOMED, "39579001", "Anaphylaxis")),
    (coded(SNOMED, "300913006", "Shellfish allergy"), "food", coded(SNOMED, "247472004", "Wheal")),
    (coded(SNOMED, "91936005", "Allergy to penicillin"), "medication", coded(SNOMED, "271807003", "Eruption of skin")),
    (
        coded(SNOMED, "294505008", "Allergy to amoxicillin"),
        "medication",
        coded(SNOMED, "271807003", "Eruption of skin"),
    ),
)
NO_PENICILLIN = frozenset({4, 5})
"""Positions in ALLERGENS with which amoxicillin is never prescribed."""

INFLUENZA = coded(CVX, "140", "Influenza, seasonal, injectable, preservative free")
VACCINES: tuple[tuple[int, int, orjson.Fragment], ...] = (
    (0, 1, coded(CVX, "08", "Hep B, adolescent or pediatric")),
    (0, 2, coded(CVX, "20", "DTaP")),
    (0, 2, coded(CVX, "10", "IPV")),
    (0, 2, coded(CVX, "49", "Hib (PRP-OMP)")),
    (1, 6, coded(CVX, "03", "MMR")),
    (1, 6, coded(CVX, "21", "varicella")),
    (11, 25, coded(CVX, "62", "HPV, quadrivalent")),
    (11, 18, coded(CVX, "114", "meningococcal MCV4P")),
    (11, 64, coded(CVX, "115", "Tdap")),
    (19, 99, coded(CVX, "113", "Td (adult) preservative free")),
    (50, 99, coded(CVX, "121", "zoster live")),
    (65, 99, coded(CVX, "33", "pneumococcal polysaccharide PPV23")),
)
"""(from age, to age, vaccine), each given once."""

PROCEDURES: tuple[tuple[int, int, str, orjson.Fragment], ...] = (
    (45, 80, "", coded(SNOMED, "73761001", "Colonoscopy")),
    (45, 75, "female", coded(SNOMED, "71651007", "Mammography")),
    (16, 99, "", coded(SNOMED, "171207006", "Depression screening")),
    (0, 99, "", coded(SNOMED, "430193006", "Medication reconciliation")),
    (6, 99, "asthma", coded(SNOMED, "127783003", "Spirometry")),
    (60, 99, "fibrillation", coded(SNOMED, "180325003", "Electrical cardioversion")),
)
"""(from age, to age, sex or disorder that calls for it, procedure)."""

CHECK_UP = coded(SNOMED, "185349003", "Encounter for check up")
WELL_CHILD = coded(SNOMED, "410620009", "Well child visit")
SYMPTOM = coded(SNOMED, "185345009", "Encounter for symptom")
FOLLOW_UP = coded(SNOMED, "390906007", "Follow-up encounter")
EMERGENCY = coded(SNOMED, "50849002", "Emergency room admission")
