"""An opened installation: settings, stores and connections in one value that use cases take as their first argument."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from holovitals_pipelines.engine.analysis import Analysis, AnalysisPool
from holovitals_pipelines.engine.rules import load_quality, load_rules
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.quality.thresholds import Thresholds
from holovitals_pipelines.settings import Settings, load_connections
from holovitals_pipelines.store.connections import remember_connections
from holovitals_pipelines.store.database import Database, open_database
from holovitals_pipelines.store.landing import LandingZone
from holovitals_pipelines.sync.facts import Rules


@dataclass(frozen=True)
class Home:
    settings: Settings
    database: Database
    landing: LandingZone
    connections: Mapping[str, ConnectionConfig]
    pool: AnalysisPool
    rules: Rules
    """By what conflicts are graded and decided."""
    thresholds: Thresholds
    """What the quality claims are held to."""

    def connection(self, name: str) -> ConnectionConfig:
        """Raises ConfigurationError listing what there is."""
        try:
            return self.connections[name]
        except KeyError:
            known = ", ".join(sorted(self.connections)) or "none is declared"
            raise ConfigurationError(
                f"there is no connection {name!r} (known: {known})",
                code="settings.connection_unknown",
                place=str(self.settings.resolved_connections_file),
                remedy="declare it there, or check the spelling",
            ) from None

    def analysis(self) -> AbstractContextManager[Analysis]:
        """DuckDB for set operations, with tables of its own that end with the block."""
        return self.pool.open()


@contextmanager
def open_home(settings: Settings | None = None) -> Iterator[Home]:
    """Open every store, creating and upgrading what is missing.

    Raises ConfigurationError for a bad connections, policy, severity or quality file, StoreError for a store that
    cannot be opened.
    """
    settings = settings or Settings()
    root = settings.root
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    connections = {c.name: c for c in load_connections(settings.resolved_connections_file)}
    rules = load_rules(settings)
    thresholds = load_quality(settings, connections)
    database = open_database(settings.resolved_database_url)
    pool = AnalysisPool(settings.duckdb_memory, settings.scratch_folder)
    try:
        database.upgrade()
        with database.write() as transaction:
            remember_connections(transaction, connections.values())
        yield Home(settings, database, LandingZone(settings.resolved_landing_url), connections, pool, rules, thresholds)
    finally:
        pool.close()
        database.close()
