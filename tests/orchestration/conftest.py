"""A vendor for the session, and homes that know it as `clinic` and `ward`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.model.connection import ConnectionConfig, ReadSettings
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.orchestration.assembly import assemble
from holovitals_pipelines.orchestration.components import ehr_connection
from holovitals_pipelines.sandbox.process import start_sandbox
from holovitals_pipelines.settings import Settings, save_connections
from holovitals_pipelines.store import tables
from tests.orchestration.installation import Installation
from tests.orchestration.vendor import TYPES, Vendor, write_population

CONNECTIONS = ("clinic", "ward")
KNOWN_SINCE = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    """Shared by all tests: whoever edits it uses ids of their own, and nobody counts on what others left."""
    population = tmp_path_factory.mktemp("vendor") / "everything.ndjson"
    write_population(population)
    with start_sandbox(dialects=("fhir",), data=population) as running:
        yield Vendor(running)


@pytest.fixture(scope="session")
def prepare_home(vendor: Vendor, sqlite_template: Path) -> Callable[[Path], Settings]:
    def prepare(folder: Path) -> Settings:
        folder.mkdir(parents=True, exist_ok=True)
        declared = [
            ConnectionConfig(
                name=name,
                provider=Provider.FHIR,
                base_url=vendor.address,
                resource_types=list(TYPES),
                read=ReadSettings(mode="search", max_retries=0, retry_delay_ms=1),
            )
            for name in CONNECTIONS
        ]
        save_connections(folder / "connections.yaml", declared)
        shutil.copyfile(sqlite_template, folder / "operational.sqlite")
        return Settings(home=folder)

    return prepare


@pytest.fixture(scope="session")
def definitions(prepare_home: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    """What any of these homes would load; the home itself is opened by each step, from HOLOVITALS_HOME.

    Its connections have been known since 1 November. Nobody waits between retries here.
    """
    folder = tmp_path_factory.mktemp("definitions")
    with open_home(prepare_home(folder)) as home, home.database.write() as transaction:
        transaction.execute(tables.ehr_connection.update().values(created_at=KNOWN_SINCE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLOVITALS_HOME", str(folder))
        patch.setattr(ehr_connection, "RETRIES", dg.RetryPolicy(max_retries=ehr_connection.RETRIES.max_retries))
        return assemble()


@pytest.fixture
def installation(
    tmp_path: Path,
    prepare_home: Callable[[Path], Settings],
    definitions: dg.Definitions,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Installation]:
    """A fresh home and a Dagster instance without files."""
    settings = prepare_home(tmp_path / "home")
    monkeypatch.setenv("HOLOVITALS_HOME", str(settings.root))
    with dg.DagsterInstance.ephemeral() as instance:
        yield Installation(settings, instance, definitions)


@pytest.fixture
def installation_on_disk(
    tmp_path: Path,
    prepare_home: Callable[[Path], Settings],
    definitions: dg.Definitions,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Installation]:
    """A fresh home with the Dagster instance that `holovitals ui` would open."""
    settings = prepare_home(tmp_path / "home")
    monkeypatch.setenv("HOLOVITALS_HOME", str(settings.root))
    monkeypatch.setenv("DAGSTER_HOME", str(prepare_dagster_home(settings.dagster_home)))
    with dg.DagsterInstance.get() as instance:
        yield Installation(settings, instance, definitions)
