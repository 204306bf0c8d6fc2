"""Disorders and the drugs that treat them: real codes, ages, frequencies, and the panels that follow them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from holovitals_pipelines.sandbox.population.catalogue.coding import ICD10, RXNORM, SNOMED, coded, ready


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
