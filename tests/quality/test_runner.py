"""The runner: counts are right over any cut of the batch, and only counts come out."""

from __future__ import annotations

import gzip
import io
import logging
import subprocess
import sys
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from holovitals_pipelines.model.errors import HoloVitalsError, StoreError
from holovitals_pipelines.quality import CheckOutcome, run_structural, run_suite, runner
from holovitals_pipelines.quality.expectations import Column, Expectation

from .batches import SOUND, batch, without

PROJECT = Path(__file__).parents[2]
SHARED = PROJECT.parent / "shared" / "data" / "fhir-bulk-100" / "all.ndjson.gz"


def by_name(outcomes: list[CheckOutcome]) -> dict[str, CheckOutcome]:
    return {outcome.name: outcome for outcome in outcomes}


def test_importing_the_package_imports_neither_great_expectations_nor_pandas() -> None:
    program = (
        "import sys, holovitals_pipelines.quality, holovitals_pipelines.quality.runner;"
        "print(sorted({'great_expectations', 'pandas', 'altair', 'dagster'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_structural_claims_need_neither_great_expectations_nor_pandas(tmp_path: Path) -> None:
    part = tmp_path / "part.parquet"
    pq.write_table(batch([SOUND["Patient"]] * 2, ["a", "a"]), part)
    program = (
        "import sys, pyarrow.parquet as pq\n"
        "from holovitals_pipelines.quality import run_structural\n"
        "batches = pq.ParquetFile(sys.argv[1]).iter_batches()\n"
        "print([outcome.unexpected for outcome in run_structural('Patient', batches)])\n"
        "print(sorted({'great_expectations', 'pandas'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(part)], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split("\n")[:2] == ["[0, 2, 0]", "[]"]


def test_missing_repeated_and_foreign_records_fail_the_structural_claims() -> None:
    bodies = [SOUND["Patient"]] * 5 + [
        SOUND["Observation"],
        b'["Patient"]',
        b"{trunc",
        b'\xff{"resourceType":"Patient"}',
    ]
    outcomes = by_name(run_structural("Patient", batch(bodies, ["a", "b", "a", None, "", "c", "d", "e", "a"])))
    assert {name: (outcome.unexpected, outcome.rows) for name, outcome in outcomes.items()} == {
        "ids_are_present": (2, 9),
        "ids_are_unique": (3, 9),
        "bodies_are_of_the_type": (4, 9),
    }
    assert all(outcome.blocking and not outcome.passed for outcome in outcomes.values())


def test_great_expectations_agrees_with_the_native_count_of_repeated_ids() -> None:
    import great_expectations as gx
    import pandas as pd

    ids = ["a", "b", "a", "c", "c", "c", "d"]
    (native,) = (o for o in run_structural("Patient", batch([SOUND["Patient"]] * 7, ids)) if o.name == "ids_are_unique")
    context = gx.get_context(mode="ephemeral")
    whole = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("w")
    verdict = whole.get_batch({"dataframe": pd.DataFrame({"remote_id": ids})}).validate(
        gx.expectations.ExpectColumnValuesToBeUnique(column="remote_id")
    )
    assert native.unexpected == verdict.result["unexpected_count"] == 5


def test_ids_repeated_in_different_batches_are_found() -> None:
    first, second = batch([SOUND["Patient"]] * 2, ["a", "b"]), batch([SOUND["Patient"]] * 2, ["c", "a"])
    reader = pa.RecordBatchReader.from_batches(first.schema, first.to_batches() + second.to_batches())
    assert by_name(run_structural("Patient", reader))["ids_are_unique"].unexpected == 2


def test_counts_are_the_same_however_the_batch_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = SOUND["Patient"]
    bodies = [patient] * 40 + [{**patient, "gender": "F"}] * 7 + [without(patient, "gender", "name")] * 5
    ids = [f"p{n % 50}" for n in range(52)]
    whole = run_suite("Patient", batch(bodies, ids))
    monkeypatch.setattr(runner, "FRAME_ROWS", 10)
    cut = run_suite("Patient", batch(bodies, ids).to_batches(max_chunksize=4))
    assert cut == whole
    counts = {outcome.name: outcome.unexpected for outcome in whole if outcome.unexpected}
    assert counts == {"ids_are_unique": 4, "gender_is_from_the_value_set": 7, "every_patient_has_a_name": 5}


def test_a_tolerance_is_a_share_of_the_rows_that_were_judged() -> None:
    observation, unitless = SOUND["Observation"], {**SOUND["Observation"], "valueQuantity": {"value": 1}}
    text = {**without(observation, "valueQuantity"), "valueString": "ok"}
    within = by_name(run_suite("Observation", batch([observation] * 19 + [unitless])))["quantities_have_a_unit"]
    beyond = by_name(run_suite("Observation", batch([observation] * 18 + [unitless] + [text] * 80)))
    assert (within.unexpected, within.passed) == (1, True)
    assert (beyond["quantities_have_a_unit"].unexpected, beyond["quantities_have_a_unit"].passed) == (1, False)


def test_deletions_are_no_records_and_are_not_judged() -> None:
    table = batch([SOUND["Patient"], SOUND["Patient"], b"", b""], ["a", "b", "a", "c"])
    bodies = pa.array([*table["body"].to_pylist()[:2], None, None], pa.binary())
    evidence = pa.array([None, None, "bulk deleted[]", "HTTP 410"], pa.string())
    table = table.set_column(1, "body", bodies).append_column("evidence", evidence)
    outcomes = run_suite("Patient", table)
    assert [outcome.name for outcome in outcomes if outcome.unexpected] == []
    assert {outcome.rows for outcome in outcomes} == {2}
    assert {outcome.rows for outcome in run_suite("Patient", table.slice(2))} == {0}


def test_an_empty_batch_passes_and_says_that_it_held_nothing() -> None:
    outcomes = run_suite("Observation", batch([]))
    assert len(outcomes) == 13
    assert all(outcome.passed and outcome.rows == 0 for outcome in outcomes)


def test_an_element_that_no_record_has_is_judged_as_missing() -> None:
    outcomes = by_name(run_suite("Observation", batch([{"resourceType": "Observation"}] * 2)))
    assert outcomes["every_observation_has_a_patient"].unexpected == 2
    assert outcomes["patient_references_name_a_patient"].unexpected == 0


def test_the_future_begins_a_day_after_the_given_clock() -> None:
    bodies = [{**SOUND["Patient"], "birthDate": day} for day in ("2021-03-01", "2021-03-02", "2021-03-03", "2021")]
    bodies = [without(body, "deceasedDateTime") for body in bodies]
    outcomes = run_suite("Patient", batch(bodies), now=datetime(2021, 3, 1, 23, 0, tzinfo=UTC))
    assert by_name(outcomes)["birth_dates_are_not_in_the_future"].unexpected == 1


def test_dates_that_are_not_exact_are_never_put_in_order() -> None:
    periods = [
        {"start": "2020-05-01T10:00:00Z", "end": "2020"},
        {"start": "2020-05-01T10:00:00Z", "end": "2020-05-01"},
        {"start": "2020-05-01T10:00:00Z", "end": "2020-02-30T10:00:00Z"},
        {"start": "2020-05-01T10:00:00Z"},
    ]
    encounters = [{**SOUND["Encounter"], "period": period} for period in periods]
    assert by_name(run_suite("Encounter", batch(encounters)))["no_encounter_ends_before_it_starts"].passed


def test_bodies_may_be_text_or_bytes() -> None:
    table = batch([SOUND["Patient"], {**SOUND["Patient"], "gender": "F"}])
    for kind in (pa.string(), pa.large_binary(), pa.large_string()):
        cast = table.set_column(1, "body", table["body"].cast(kind))
        assert run_suite("Patient", cast) == run_suite("Patient", table)


def test_a_batch_without_bodies_is_refused_by_name() -> None:
    with pytest.raises(StoreError) as refused:
        run_structural("Patient", pa.table({"remote_id": ["a"]}))
    assert refused.value.code == "quality.columns_missing"
    assert "body" in str(refused.value)


MARKER = "Qx7canaryQx7"


@pytest.mark.parametrize("resource_type", ["Patient", "Observation", "CarePlan"])
def test_unexpected_values_appear_nowhere(resource_type: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("great_expectations").setLevel(logging.DEBUG)
    marked = {
        "resourceType": resource_type,
        "status": MARKER,
        "gender": MARKER,
        "birthDate": f"2199-{MARKER}",
        "subject": {"reference": f"Location/{MARKER}"},
        "effectiveDateTime": f"2199-01-01T{MARKER}",
        "valueQuantity": {"value": MARKER},
    }
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        outcomes = run_suite(resource_type, batch([marked] * 3, [MARKER, MARKER, MARKER]))
    assert any(outcome.unexpected for outcome in outcomes), "the marked rows must have been judged unexpected"
    everything = [repr(outcomes), out.getvalue(), err.getvalue(), caplog.text, *(str(w.message) for w in warned)]
    assert not [text for text in everything if MARKER in text]
    assert out.getvalue() == "" and err.getvalue() == "", "no progress bars"


def test_a_broken_expectation_is_an_error_without_values(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    broken = Expectation(
        "status_is_a_number", "ExpectColumnValuesToBeBetween", Column("status", "text", ("$.status",)), "Wrong.",
        {"max_value": 1.0},
    )  # fmt: skip
    with pytest.raises(HoloVitalsError) as raised:
        run_suite("Observation", batch([{**SOUND["Observation"], "status": MARKER}]), claims=[broken])
    assert raised.value.code == "quality.expectation_broken"
    assert "status_is_a_number" in str(raised.value)
    chain = [raised.value, raised.value.__cause__, raised.value.__context__]
    assert MARKER not in repr(chain) + str(raised.value) + caplog.text


def test_nothing_is_sent_and_nothing_is_written(tmp_path: Path) -> None:
    program = (
        "import sys, pyarrow as pa\n"
        "seen = []\n"
        "def watch(event, args):\n"
        "    if event == 'socket.connect' or event == 'socket.getaddrinfo': seen.append(event)\n"
        "sys.addaudithook(watch)\n"
        "from holovitals_pipelines.quality import run_suite\n"
        "t = pa.table({'remote_id': ['a'], 'body': [b'{\"resourceType\":\"Patient\"}']})\n"
        "assert len(run_suite('Patient', t)) == 10\n"
        "print(seen)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(PROJECT), "HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert ran.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_structural_claims_over_a_hundred_thousand_records_take_well_under_a_second_of_cpu() -> None:
    table = batch([SOUND["Observation"]] * 100_000)
    run_structural("Observation", table)
    started = time.process_time()
    run_structural("Observation", table)
    assert time.process_time() - started < 1.0


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data/fhir-bulk-100 beside the project")
def test_a_real_bulk_export_keeps_its_suites() -> None:
    """The input is ../shared/data/fhir-bulk-100; the same behaviour is shown above on resources of our own."""
    rows: dict[str, list[tuple[str, bytes]]] = {}
    with gzip.open(SHARED) as lines:
        for line in lines:
            resource = orjson.loads(line)
            rows.setdefault(resource["resourceType"], []).append((resource["id"], line.strip()))
    judged = 0
    for resource_type, pairs in rows.items():
        outcomes = run_suite(resource_type, batch([body for _, body in pairs], [id_ for id_, _ in pairs]))
        assert [outcome.name for outcome in outcomes if not outcome.passed] == []
        judged += outcomes[0].rows
    assert judged == 38_483
