"""The same people, as vendors really spell them."""

from __future__ import annotations

import orjson

from holovitals_pipelines.sandbox.population import members, population
from holovitals_pipelines.sandbox.population.spelling import patients_as_spelled


def test_who_is_spelled_how_follows_from_the_seed_and_is_told_beside_the_record() -> None:
    told = list(patients_as_spelled(80, 5, "epic"))
    assert told == list(patients_as_spelled(200, 5, "epic"))[: len(told)] != list(patients_as_spelled(80, 6, "epic"))
    assert [whom for whom, _ in told] == [index for index in range(80) if members("epic", index)]


def test_with_no_share_only_identifiers_differ_from_the_population() -> None:
    plain = [one for one in map(orjson.loads, population(40, 5, "epic")) if one["resourceType"] == "Patient"]
    spelled = [orjson.loads(body) for _, body in patients_as_spelled(40, 5, "epic", share=0.0)]
    numbers = [[one["value"] for one in patient.pop("identifier")] for patient in spelled]
    assert any(len(one) == 1 for one in numbers) and any(one[-1].startswith("*") for one in numbers)
    for patient in plain:
        del patient["identifier"]
    assert spelled == plain


def test_a_share_of_the_records_says_something_else_than_at_another_vendor() -> None:
    here, there = (dict(patients_as_spelled(150, 5, name, share=0.5)) for name in ("epic", "cerner"))
    both = here.keys() & there.keys()
    pairs = [(orjson.loads(here[whom]), orjson.loads(there[whom])) for whom in both]
    for element in ("name", "birthDate", "telecom", "address"):
        differing = sum(one[element] != other[element] for one, other in pairs)
        assert 0 < differing < len(pairs) / 2, element
