"""What is found and done: allergies, vaccines, procedures, kinds of encounters."""

from __future__ import annotations

import orjson

from holovitals_pipelines.sandbox.population.catalogue.coding import CVX, SNOMED, coded

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
