from __future__ import annotations

from pathlib import Path

import pytest

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.clock import Clock
from holovitals_pipelines.sandbox.records import LOADED_AT_MS, Records
from holovitals_pipelines.sandbox.sources import ndjson_lines
from holovitals_pipelines.sandbox.splice import glance, with_server_meta, without_server_meta

PLAIN = b'{"resourceType":"Observation","id":"o1","valueQuantity":{"value":7.10},"subject":{"reference":"Patient/p1"}}'
ODD = (
    b'{ "id":"o1", "resourceType":"Observation",\t"meta": {"tag":[{"code":"meta"}],"versionId":"9","x":1.50},'
    b'"contained":[{"resourceType":"Basic","id":"b","meta":{"versionId":"3"}}],"valueQuantity":{"value":7.10}}'
)


def test_server_meta_is_spliced_in_and_nothing_else_changes() -> None:
    shown = with_server_meta(PLAIN, glance(PLAIN), 2, 1_704_067_200_123)
    meta = b'"meta":{"versionId":"2","lastUpdated":"2024-01-01T00:00:00.123Z"},'
    assert shown == PLAIN.replace(b'"id":"o1",', b'"id":"o1",' + meta)


def test_other_meta_and_a_contained_meta_keep_their_bytes() -> None:
    shown = with_server_meta(ODD, glance(ODD), 4, 1_704_067_200_000)
    assert (
        b'"meta":{"versionId":"4","lastUpdated":"2024-01-01T00:00:00.000Z","tag":[{"code":"meta"}],"x":1.50}' in shown
    )
    assert b'"id":"b","meta":{"versionId":"3"}' in shown and b'"value":7.10' in shown


def test_taking_server_meta_away_leaves_the_rest_of_meta() -> None:
    assert without_server_meta(PLAIN, glance(PLAIN), 1, 0) == PLAIN
    shown = without_server_meta(ODD, glance(ODD), 1, 0)
    assert b'"meta":{"tag":[{"code":"meta"}],"x":1.50}' in shown and b'"id":"b","meta":{"versionId":"3"}' in shown
    only_server = PLAIN[:-1] + b',"meta":{"versionId":"1","lastUpdated":"2024-01-01T00:00:00Z"}}'
    assert without_server_meta(only_server, glance(only_server), 1, 0) == PLAIN


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"id":"x"}', b'"text"', b'{"resourceType":"\xff"}'])
def test_what_is_no_resource_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        glance(body)


def test_a_bad_line_in_a_file_is_named() -> None:
    records = Records(without_server_meta, Clock())
    with pytest.raises(ConfigurationError) as refused:
        records.load([("a.ndjson:1", PLAIN), ("a.ndjson:2", b'{"resourceType":')])
    assert refused.value.place == "a.ndjson:2"
    records.close()


def test_a_folder_is_read_file_by_file_plain_and_packed(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "b.ndjson").write_bytes(PLAIN.replace(b"o1", b"o2") + b"\n\n")
    (tmp_path / "a.ndjson.gz").write_bytes(gzip.compress(PLAIN + b"\n"))
    (tmp_path / "notes.txt").write_text("no resources here")
    assert [place for place, _ in ndjson_lines(tmp_path)] == ["a.ndjson.gz:1", "b.ndjson:1"]
    with pytest.raises(ConfigurationError):
        list(ndjson_lines(tmp_path / "nothing"))


def test_every_write_keeps_the_version_before_it_and_a_delete_is_one() -> None:
    clock = Clock()
    records = Records(with_server_meta, clock)
    records.load([("x", PLAIN)])
    number = records.number("Observation", "o1")
    assert number is not None and records.version(number).updated_ms == LOADED_AT_MS
    records.put("Observation", "o1", PLAIN.replace(b"7.10", b"7.20"))
    records.delete("Observation", "o1")
    records.delete("Observation", "o1")
    assert records.counts() == {"Observation": 0} and records.body(number) is None
    _, created = records.put("Observation", "o1", PLAIN.replace(b"7.10", b"7.30"))
    history = records.history(number)
    assert created and [version.number for version in history] == [1, 2, 3, 4]
    assert [v.body is not None and v.body.find(b"7.") > 0 for v in history] == [True, True, False, True]
    assert records.loaded_body(number) == history[0].body and records.counts() == {"Observation": 1}
    records.close()


def test_a_later_line_with_the_same_id_replaces_the_earlier() -> None:
    records = Records(without_server_meta, Clock())
    records.load([("x:1", PLAIN), ("x:2", PLAIN.replace(b"7.10", b"8.00"))])
    assert records.counts() == {"Observation": 1} and records.replaced == 1
    assert b"8.00" in records.loaded_body(0)
    records.close()


def test_a_new_resource_joins_its_patients_chart() -> None:
    records = Records(without_server_meta, Clock())
    records.load([("x", PLAIN)])
    records.put("Observation", "o2", PLAIN)
    assert [records.identity(n) for n in records.in_chart("Observation", "p1")] == ["o1", "o2"]
    assert b'"id":"o2"' in (records.body(1) or b"")
    records.close()
