"""The asset `patient_index`: counts, and nothing of anybody."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.orchestration.patient_index import patient_index_assets
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.settings import Settings
from tests.engine.identity_bench import Persons, ann


def test_the_index_is_made_of_all_connections_patients_and_tells_counts_only(home: Path) -> None:
    with open_home(Settings(home=home)) as opened:
        persons = Persons(opened.database)
        persons.take_in([("epic", "p0", ann()), ("cerner", "p1", ann()), ("athena", "p2", ann(None))])
    keys = [dg.AssetKey([name, "conflicts", kind]) for name in ("epic", "cerner") for kind in ("Patient", "Condition")]
    [asset] = patient_index_assets(keys)

    result = dg.materialize([asset], resources={"home": HomeResource(folder=str(home))})

    assert set(asset.dependency_keys) == {key for key in keys if key.path[-1] == "Patient"}
    [made] = result.asset_materializations_for_node("patient_index")
    told = {name: value.value for name, value in made.metadata.items()}
    assert (told["dagster/row_count"], told["records"], told["persons of several connections"]) == (2, 3, 1)
    assert told["open proposals"] == 1
    assert not any(value in str(made.metadata) for value in ("Okafor", "219", "1961", "p0"))
