"""Every column that an asset can show is described."""

from __future__ import annotations

import pytest

from holovitals_pipelines.engine import batches
from holovitals_pipelines.model.vocabulary import Dataset
from holovitals_pipelines.orchestration.asset_metadata import column_schema


@pytest.mark.parametrize("dataset", [Dataset.EXTRACT, Dataset.RECORDS])
def test_every_column_of_a_layer_has_a_description(dataset: Dataset) -> None:
    schema = batches.SCHEMAS[dataset]
    columns = column_schema(schema).columns
    assert [column.name for column in columns] == schema.names
    assert all(column.description for column in columns)
