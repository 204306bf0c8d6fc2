"""The code location as Dagster loads it: what is there, what it is called, and what loading it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.orchestration.assembly import assemble
from holovitals_pipelines.providers.catalogue import usual_types
from holovitals_pipelines.settings import Settings, load_connections, save_connections
from tests.orchestration.installation import LAYERS
from tests.orchestration.vendor import TYPES

PROJECT = Path(__file__).parents[2]
WAY = dict(zip(LAYERS[1:], LAYERS, strict=False))
"""Each layer and the one before it."""

HEAVY = ("great_expectations", "pandas", "fhir.resources", "jupyter", "jupyterlab", "nbclient", "altair", "IPython")


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def test_every_connection_has_three_layers_of_the_types_it_offers(specs: dict[str, dg.AssetSpec]) -> None:
    shape: dict[tuple[str, str], list[str]] = {}
    for key in specs:
        if key.count("/") == 2:
            connection, layer, name = key.split("/")
            shape.setdefault((connection, layer), []).append(name)
    offered = {"clinic": TYPES, "ward": TYPES, "fhir": usual_types(Provider.FHIR), "epic": EPIC}
    assert {where: sorted(names) for where, names in shape.items()} == {
        (connection, layer): sorted(names) for connection, names in offered.items() for layer in LAYERS
    }
    assert {key for key in specs if key.count("/") != 2} == {"sync_statistics"}


EPIC = (
    "Patient", "Encounter", "AllergyIntolerance", "Condition", "MedicationRequest", "Immunization", "Procedure",
    "Observation", "DiagnosticReport", "DocumentReference",
)  # fmt: skip


def test_an_assets_group_kinds_owner_partitions_and_upstream_follow_from_its_key(
    specs: dict[str, dg.AssetSpec],
) -> None:
    kinds = {"extract": {"fhir", "parquet"}, "records": {"fhir", "parquet"}, "conflicts": {"sql"}}  # and the layer
    for key, spec in specs.items():
        if key == "sync_statistics":
            continue
        connection, layer, name = key.split("/")
        expected = {
            "group": connection,
            "kinds": {layer, *kinds[layer]},
            "owners": ["team:data-eng"],
            "first partition": "2026-11-01",
            "provider": "epic" if connection == "epic" else "fhir",
            "type": name,
            "upstream": [f"{connection}/{WAY[layer]}/{name}"] if layer in WAY else [],
        }
        assert expected == {
            "group": spec.group_name,
            "kinds": spec.kinds,
            "owners": list(spec.owners),
            "first partition": spec.partitions_def.get_first_partition_key() if spec.partitions_def else None,
            "provider": spec.tags["holovitals/provider"],
            "type": spec.tags["fhir/resource"],
            "upstream": [dep.asset_key.to_user_string() for dep in spec.deps],
        }, key
    statistics = specs["sync_statistics"]
    assert (statistics.group_name, statistics.kinds, statistics.partitions_def) == ("statistics", {"duckdb"}, None)
    assert {dep.asset_key.to_user_string() for dep in statistics.deps} == {k for k in specs if "/conflicts/" in k}


def test_every_asset_says_what_a_row_is_whose_it_is_and_what_it_is_kept_in(specs: dict[str, dg.AssetSpec]) -> None:
    for key, spec in specs.items():
        assert spec.description and spec.description.startswith("One row is"), key
        assert spec.owners and spec.kinds, key


def test_runs_of_one_connection_take_turns_and_every_layer_backfills_in_one_run(definitions: dg.Definitions) -> None:
    for asset in definitions.resolve_asset_graph().assets_defs:
        if asset.op.name.endswith(("_extract", "_records", "_conflicts")):
            assert asset.op.pool == asset.op.name.rpartition("_")[0]
            assert asset.backfill_policy == dg.BackfillPolicy.single_run()
            assert asset.can_subset


def test_checks_are_claims_and_only_structural_ones_can_stop_a_batch(definitions: dg.Definitions) -> None:
    found = {
        (spec.asset_key, spec.name): spec
        for asset in definitions.resolve_asset_graph().assets_defs
        for spec in asset.check_specs
    }
    by_asset: dict[str, list[dg.AssetCheckSpec]] = {}
    for (key, _), spec in found.items():
        by_asset.setdefault(key.to_user_string(), []).append(spec)

    assert {spec.name for spec in by_asset["epic/records/Observation"] if spec.blocking} == {
        "ids_are_present", "ids_are_unique", "bodies_are_of_the_type",
    }  # fmt: skip
    assert "quantities_have_a_unit" in {spec.name for spec in by_asset["epic/records/Observation"]}
    assert [spec.name for spec in by_asset["epic/extract/Observation"]] == ["the_read_is_complete"]
    verbs = {"is", "are", "has", "have", "says", "say", "names", "name", "ends", "dies", "abates"}
    for specs in by_asset.values():
        for spec in specs:
            assert spec.description, spec.name
            assert verbs & set(spec.name.split("_")), f"{spec.name} claims nothing"


def test_jobs_schedules_and_sensors_are_named_for_what_they_do(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    connections = ("clinic", "epic", "fhir", "ward")
    assert {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")} == {
        f"sync_{name}" for name in connections
    }
    assert {schedule.name for schedule in definitions.schedules or ()} == {f"incremental_{n}" for n in connections}
    assert {sensor.name for sensor in definitions.sensors or ()} == {"cancelled_runs", "failed_runs"}


def test_a_tick_asks_for_todays_partition_once(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    schedule = repository.get_schedule_def("incremental_clinic")
    at = datetime(2026, 11, 20, 0, 15, tzinfo=UTC)

    [request] = schedule.evaluate_tick(_tick(at, repository)).run_requests or []

    assert (request.partition_key, request.run_key) == ("2026-11-20", "2026-11-20T00:15:00+00:00")
    assert request.run_config["ops"]["clinic_extract"]["config"] == {"full": False}


def test_a_full_schedule_asks_for_everything(
    tmp_path: Path, prepare_home: Callable[[Path], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = _assembled(tmp_path, prepare_home, monkeypatch, full_cron="0 3 * * 0").get_repository_def()
    schedule = repository.get_schedule_def("full_clinic")

    [request] = schedule.evaluate_tick(_tick(datetime(2026, 11, 22, 3, tzinfo=UTC), repository)).run_requests or []

    assert request.run_config["ops"]["clinic_extract"]["config"] == {"full": True}


def test_a_paused_connection_has_no_assets_no_job_and_no_schedule(
    tmp_path: Path, prepare_home: Callable[[Path], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = _assembled(tmp_path, prepare_home, monkeypatch, also="epic", enabled=False)

    groups = {spec.group_name for spec in definitions.resolve_all_asset_specs()}
    assert groups == {"ward", "fhir", "statistics"}, "clinic and epic, which has its YAML in defs/, are paused"
    assert {schedule.name for schedule in definitions.schedules or ()} == {"incremental_ward", "incremental_fhir"}


def _assembled(
    folder: Path,
    prepare_home: Callable[[Path], Settings],
    monkeypatch: pytest.MonkeyPatch,
    also: str | None = None,
    **changes: object,
) -> dg.Definitions:
    """With `clinic`, and a connection `also` like it, declared otherwise."""
    path = prepare_home(folder).resolved_connections_file
    clinic, ward = load_connections(path)
    changed = [clinic.model_copy(update=changes)]
    changed += [clinic.model_copy(update={"name": also, **changes})] if also else []
    save_connections(path, [*changed, ward])
    monkeypatch.setenv("HOLOVITALS_HOME", str(folder))
    return assemble()


def _tick(at: datetime, repository: dg.RepositoryDefinition) -> dg.ScheduleEvaluationContext:
    instance = dg.DagsterInstance.ephemeral()
    return dg.build_schedule_context(instance, scheduled_execution_time=at, repository_def=repository)


def test_loading_the_definitions_loads_nothing_heavy() -> None:
    code = f"import sys, holovitals_pipelines.definitions as d; d.defs(); print(set({HEAVY!r}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()", done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("dagster", "definitions", "validate", "-w", "workspace.yaml"),
        ("dg", "check", "defs"),
        ("dg", "list", "defs"),
    ],
    ids=" ".join,
)
def test_the_command_accepts_the_project_without_a_warning(command: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name(command[0])), *command[1:]],
        cwd=PROJECT,
        env=_environment(tmp_path),
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    # `dagster definitions validate` recommends `dg` instead; people use both.
    warnings = [line for line in said.splitlines() if "warning" in line.lower() and "SupersessionWarning" not in line]
    assert warnings == []
    if "list" in command:
        assert "epic/extract/Patient" in said and "sync_statistics" in said


def _environment(home: Path) -> dict[str, str]:
    """As in an activated environment and a fresh home."""
    dagster = prepare_dagster_home(home / "home" / "dagster")
    return os.environ | {
        "HOLOVITALS_HOME": str(home / "home"),
        "DAGSTER_HOME": str(dagster),
        "VIRTUAL_ENV": sys.prefix,
        "COLUMNS": "300",
    }
