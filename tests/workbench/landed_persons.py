"""A home in which persons of a vendor have landed: two that the shipped rules take, two whose sex they reject."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.extract import Named, Page, ReadEvent, ReadRequest
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobType, Provider
from holovitals_pipelines.settings import Settings, save_connections
from tests.engine.ndjson_source import NdjsonSource

SEXES = ("F", "M", "f", "X")
NAME = "Landed"


class PersonSource(NdjsonSource):
    """Names the records, which are not FHIR, as vendors' adapters do."""

    async def read(self, request: ReadRequest) -> AsyncIterator[ReadEvent]:
        async for event in super().read(request):
            if isinstance(event, Page):
                yield replace(event, named=[Named(json.loads(body)["id"]) for body in event.bodies])
            else:
                yield event


def land_persons(home: Path) -> Settings:
    home.mkdir(parents=True)
    connection = ConnectionConfig(name="clinic", provider=Provider.NEXTGEN, base_url="http://127.0.0.1:9/api")
    save_connections(home / "connections.yaml", [connection])
    vendor = home / "vendor"
    vendor.mkdir()
    persons = [{"id": f"n{number}", "lastName": NAME, "sex": sex} for number, sex in enumerate(SEXES)]
    (vendor / "Patient.ndjson").write_text("".join(json.dumps(person) + "\n" for person in persons), encoding="utf-8")
    settings = Settings(home=home)
    with open_home(settings) as opened:
        request = SyncRequest(connection="clinic", type=JobType.FULL_SYNC, resource_types=("Patient",))
        report = run_sync(opened, request, adapter_for=lambda _: PersonSource(vendor, provider=Provider.NEXTGEN))
    assert (report.total.created, report.total.quarantined) == (2, 2), report
    return settings
