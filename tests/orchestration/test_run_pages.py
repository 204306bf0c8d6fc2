"""What Dagster's pages show beside the assets: tags to filter runs by, pictures of the last runs, days, lateness."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.orchestration.freshness import freshness_of, longest_pause
from holovitals_pipelines.orchestration.history_chart import COLOURS, LONGEST, Run, history_chart
from holovitals_pipelines.orchestration.partitions import first_days, landing_days
from holovitals_pipelines.orchestration.run_tags import request_tags
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.tables import watermark
from tests.orchestration.installation import Installation, materializations, today
from tests.orchestration.vendor import TYPES, Vendor


def test_a_run_is_found_by_connection_vendor_type_priority_and_direction(installation: Installation) -> None:
    result = installation.run("clinic", "extract/Patient")

    run = installation.instance.get_run_by_id(result.run_id)
    assert run is not None
    tags = {name.removeprefix("holovitals/"): value for name, value in run.tags.items() if "holovitals/" in name}
    assert tags.pop("job_id")
    assert tags == {
        "connection": "clinic",
        "provider": "fhir",
        "type": "RESOURCE_SYNC",
        "priority": "NORMAL",
        "direction": "INBOUND",
    }


def test_tags_say_how_many_patients_are_named_and_never_who() -> None:
    tags = request_tags(SyncRequest("clinic", JobType.PATIENT_SYNC, patients=("4711", "4712")))

    assert tags["holovitals/patients"] == "2"
    assert not any("471" in value for value in tags.values())


def test_conflicts_show_the_last_runs_as_a_picture_that_dagster_shows_at_once(installation: Installation) -> None:
    installation.sync()
    shown = materializations(installation.run("clinic"))

    picture = shown["clinic/conflicts/Patient"]["last runs"]
    assert picture.startswith("![the last 2 runs, from ") and "(<data:image/svg+xml,%3Csvg " in picture
    assert "http://www.w3.org/2000/svg" in picture and picture.count("http") == 1, "it refers to nothing"
    assert len(picture) < 1000
    assert shown["clinic/writeback"]["requests"] > 0
    assert "created" in shown["sync_statistics"]["last runs"]


def test_a_picture_has_a_row_for_each_count_that_was_ever_anything() -> None:
    at = datetime(2026, 11, 20, tzinfo=UTC)
    runs = [Run(at, {"created": 5, "updated": 0}), Run(at + timedelta(hours=1), {"created": 0, "updated": 0})]

    picture = str(history_chart(runs, ["created", "updated"]).value)

    assert "created" in picture and "0 now, 5 at most" in picture and "updated" not in picture
    assert "nothing has been counted" in str(history_chart(runs, ["held"]).value)


def test_a_picture_of_many_counts_leaves_out_what_is_plotted_anyway_rather_than_hide_behind_a_button() -> None:
    at = datetime(2026, 11, 20, tzinfo=UTC)
    names = list(COLOURS)
    runs = [Run(at + timedelta(hours=hour), dict.fromkeys(names, 12_345.0 + hour)) for hour in range(12)]

    picture = str(history_chart(runs, names).value)

    assert len(picture) < LONGEST
    assert all(name in picture for name in ("conflicts", "held", "quarantined", "refused writes"))
    assert "seconds" in str(history_chart(runs[:2], ["created", "seconds"]).value)


def test_a_past_day_without_its_extract_is_a_replay_that_calls_no_vendor(
    installation: Installation, vendor: Vendor
) -> None:
    installation.sync()
    vendor.forget_requests()

    result = installation.run("clinic", "records/Patient", "conflicts/Patient", day="2026-11-03")

    assert result.success
    job = installation.job_of(result.run_id)
    assert (job.status, job.request["replay"], job.request["window"]) == (JobStatus.COMPLETED, True, None)
    assert vendor.requests() == []
    assert installation.report(result.run_id).total.unaccounted == 0


def test_days_without_a_sync_are_filled_by_the_next_one(installation: Installation) -> None:
    installation.sync()
    three_days_ago = datetime.now(UTC) - timedelta(days=3)
    installation.change(watermark.update().values(value=three_days_ago))

    result = installation.run("clinic")

    filled = {
        event.partition
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(["clinic", "records", "Patient"])
    }
    days = {f"{three_days_ago + timedelta(days=number):%Y-%m-%d}" for number in (1, 2)}
    assert filled == {*days, today()}
    of_extract = [e for e in result.get_asset_materialization_events() if e.asset_key.path[1:2] == ["extract"]]
    assert len(of_extract) == 3 * len(TYPES)


def test_the_first_day_is_the_one_on_which_the_connection_became_known(installation: Installation) -> None:
    assert first_days(Settings(home=installation.folder / "none")) == {}
    assert not (installation.folder / "none").exists(), "looking creates nothing"
    installation.jobs()  # opens the store, which then knows its connections

    assert first_days(installation.settings)["clinic"] == datetime.now(UTC).date()
    assert landing_days().get_partition_keys() == [today()]


@pytest.mark.parametrize(
    ("cron", "pause"),
    [
        ("*/15 * * * *", timedelta(minutes=15)),
        ("0 3 * * 0", timedelta(days=7)),
        ("0 8-18 * * 1-5", timedelta(days=2, hours=14)),
        ("nonsense", None),
    ],
)
def test_an_asset_is_late_by_the_longest_pause_of_its_schedule(cron: str, pause: timedelta | None) -> None:
    assert longest_pause(cron) == pause
    policy = freshness_of(cron)
    assert (policy is None) == (pause is None)


def test_what_no_schedule_makes_is_never_late() -> None:
    assert freshness_of(None) is None and freshness_of("") is None
