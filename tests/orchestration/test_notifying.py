"""The sensor that tells others of ended jobs: there where somebody is to be told, and honest about what came of it."""

from __future__ import annotations

import base64
from pathlib import Path

import dagster as dg
import pytest

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.job_queue import cancel, submit
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.job import JobOptions, SyncRequest
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.orchestration.notifying import notification_sensors
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.settings import save_connections


def test_ended_jobs_are_told_by_a_sensor_where_an_address_is_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert notification_sensors() == []
    save_connections(
        home / "connections.yaml",
        [ConnectionConfig(name="clinic", provider=Provider.FHIR, base_url="http://127.0.0.1:9")],
    )
    monkeypatch.setenv("HOLOVITALS_HOME", str(home))
    monkeypatch.setenv("HOLOVITALS_NOTIFY_URL", "https://10.0.0.1/told")
    with open_home() as opened:
        asked = SyncRequest("clinic", options=JobOptions(notify_on_complete=True))
        cancel(opened, submit(opened, asked, requested_by="x").job_id, "x")
    [sensor] = notification_sensors()

    def tick() -> str:
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance=instance, resources={"home": HomeResource()})
            return str(sensor(context))

    with pytest.raises(ConfigurationError):
        tick()
    secret = home / "secret"
    secret.write_text("whsec_" + base64.b64encode(b"k" * 32).decode(), encoding="ascii")
    monkeypatch.setenv("HOLOVITALS_NOTIFY_SECRET_FILE", str(secret))
    assert "0 delivered, 1 to be tried again" in tick(), "it is a private address"
