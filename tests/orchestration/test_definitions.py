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
from tests.orchestration.conftest import CONNECTIONS
from tests.orchestration.installation import LAYERS, today
from tests.orchestration.vendor import TYPES

PROJECT = Path(__file__).parents[2]
WAY = dict(zip(LAYERS[1:], LAYERS, strict=False))
"""Each layer and the one before it."""

WHOLE = ("writeback", "anti_entropy")
"""Assets of a whole connection."""

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
    whole = {f"{connection}/{name}" for connection in offered for name in WHOLE}
    assert {key for key in specs if key.count("/") != 2} == whole | {"sync_statistics", "patient_index"}


EPIC = (
    "Patient", "Encounter", "AllergyIntolerance", "Condition", "MedicationRequest", "Immunization", "Procedure",
    "Observation", "DiagnosticReport", "DocumentReference",
)  # fmt: skip


def test_an_assets_group_kinds_owner_partitions_and_upstream_follow_from_its_key(
    specs: dict[str, dg.AssetSpec],
) -> None:
    kinds = {"extract": {"fhir", "parquet"}, "records": {"fhir", "parquet"}, "conflicts": {"fhir", "sqlite"}}
    for key, spec in specs.items():
        if key.count("/") != 2:
            continue
        connection, layer, name = key.split("/")
        expected = {
            "group": connection,
            "kinds": {layer, *kinds[layer]},
            "owners": ["team:data-eng"],
            "first partition": "2026-11-01" if connection in CONNECTIONS else today(),
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
    ends = {key for key in specs if "/conflicts/" in key or key.endswith(("/writeback", "/anti_entropy"))}
    assert {dep.asset_key.to_user_string() for dep in statistics.deps} == ends


def test_a_connections_write_back_follows_its_conflicts_and_its_comparison_is_in_a_group_of_its_own(
    specs: dict[str, dg.AssetSpec],
) -> None:
    for connection in ("clinic", "epic"):
        written, compared = specs[f"{connection}/writeback"], specs[f"{connection}/anti_entropy"]
        assert (written.group_name, compared.group_name) == (connection, "anti_entropy")
        for spec in (written, compared):
            assert spec.partitions_def is None, "what goes out has no landing day"
            assert spec.kinds == {spec.key.path[-1], "fhir"}
            assert set(spec.tags) >= {"holovitals/provider"}
        upstream = {dep.asset_key.to_user_string() for dep in written.deps}
        assert upstream == {key for key in specs if key.startswith(f"{connection}/conflicts/")}
        assert [dep.asset_key.to_user_string() for dep in compared.deps] == [f"{connection}/writeback"]


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
        if asset.op.name.endswith(tuple(f"_{name}" for name in WHOLE)):
            assert asset.op.pool == asset.op.name.removesuffix("_writeback").removesuffix("_anti_entropy")


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
    assert {spec.name: spec.blocking for spec in by_asset["epic/writeback"]} == {
        "no_critical_conflict_is_overdue": False,
        "every_other_conflict_is_in_time": False,
        "no_standing_difference_is_critical": False,
        "quality_holds_nothing_back": False,
    }
    verbs = {"resolve", "holds", "is", "are", "has", "have", "says", "say", "names", "name", "ends", "dies", "abates"}
    for specs in by_asset.values():
        for spec in specs:
            assert spec.description, spec.name
            assert verbs & set(spec.name.split("_")), f"{spec.name} claims nothing"


def test_jobs_schedules_and_sensors_are_named_for_what_they_do(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    connections = ("clinic", "epic", "fhir", "ward")
    assert {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")} == {
        f"{what}_{name}" for name in connections for what in ("sync", "queued", "anti_entropy")
    } | {"statistics", "retention"}
    assert {schedule.name for schedule in definitions.schedules or ()} == {
        f"{what}_{name}" for name in connections for what in ("incremental", "anti_entropy")
    } | {"statistics", "retention"}
    assert {sensor.name for sensor in definitions.sensors or ()} == {
        "cancelled_runs", "failed_runs", "job_queue", "inbox", "drop_folder",
    }  # fmt: skip


def test_a_tick_asks_for_todays_partition_once(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    schedule = repository.get_schedule_def("incremental_clinic")
    at = datetime(2026, 11, 20, 0, 15, tzinfo=UTC)

    [request] = schedule.evaluate_tick(_tick(at, repository)).run_requests or []

    assert (request.partition_key, request.run_key) == ("2026-11-20", "2026-11-20T00:15:00+00:00")
    assert request.run_config["ops"]["clinic_extract"]["config"] == {"full": False}


def test_the_incremental_schedule_writes_back_and_compares_nothing(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("sync_clinic")

    selected = {key.to_user_string() for key in job.asset_layer.selected_asset_keys}
    by_type = {f"clinic/{layer}/{name}" for layer in LAYERS for name in TYPES}
    assert selected == by_type | {"clinic/writeback", "sync_statistics"}
    schedule = definitions.get_repository_def().get_schedule_def("incremental_clinic")
    assert schedule.job_name == "sync_clinic"


def test_both_sides_are_compared_once_a_day_in_the_background(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    schedule = repository.get_schedule_def("anti_entropy_clinic")

    [request] = schedule.evaluate_tick(_tick(datetime(2026, 11, 20, 2, 30, tzinfo=UTC), repository)).run_requests or []

    assert (schedule.cron_schedule, schedule.job_name) == ("30 2 * * *", "anti_entropy_clinic")
    assert request.run_key == "2026-11-20T02:30:00+00:00" and request.partition_key is None
    assert int(request.tags["dagster/priority"]) < 0
    selected = definitions.resolve_job_def("anti_entropy_clinic").asset_layer.selected_asset_keys
    assert {key.to_user_string() for key in selected} == {"clinic/anti_entropy", "sync_statistics"}


def test_a_connection_may_be_compared_at_another_time_or_never(
    tmp_path: Path, prepare_home: Callable[[Path], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    sundays = _assembled(tmp_path / "sundays", prepare_home, monkeypatch, anti_entropy_cron="0 4 * * 0")
    never = _assembled(tmp_path / "never", prepare_home, monkeypatch, anti_entropy_cron=None)

    assert sundays.get_repository_def().get_schedule_def("anti_entropy_clinic").cron_schedule == "0 4 * * 0"
    assert "anti_entropy_clinic" not in {schedule.name for schedule in never.schedules or ()}
    assert never.resolve_job_def("anti_entropy_clinic"), "by hand it still can be"


def test_a_full_schedule_asks_for_everything(
    tmp_path: Path, prepare_home: Callable[[Path], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = _assembled(tmp_path, prepare_home, monkeypatch, full_cron="0 3 * * 0").get_repository_def()
    schedule = repository.get_schedule_def("full_clinic")

    [request] = schedule.evaluate_tick(_tick(datetime.now(UTC), repository)).run_requests or []

    assert request.run_config["ops"]["clinic_extract"]["config"] == {"full": True}


def test_a_paused_connection_has_no_assets_no_job_and_no_schedule(
    tmp_path: Path, prepare_home: Callable[[Path], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = _assembled(tmp_path, prepare_home, monkeypatch, also="epic", enabled=False)

    groups = {spec.group_name for spec in definitions.resolve_all_asset_specs()}
    expected = {"ward", "fhir", "statistics", "identity", "anti_entropy"}
    assert groups == expected, "clinic and epic, which has its YAML in defs/, are paused"
    of_connections = {schedule.name.rpartition("_")[2] for schedule in definitions.schedules or ()}
    assert of_connections - {"statistics", "retention"} == {"ward", "fhir"}


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
        pytest.param(("dg", "list", "defs"), marks=pytest.mark.long),
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
