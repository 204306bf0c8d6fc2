"""The workbench: one finished snapshot, opened read-only, and the questions notebooks ask of it as pandas frames.

A snapshot never changes and is never locked, so a notebook may stay open for weeks without stopping a job (dagster.md
§5.1); `refresh()` moves on to the newest one. Each frame's columns are those its SQL file selects (sql/<name>.sql), and
docs/analysts.md describes them. Instants are UTC; seconds of stages are working time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holovitals_pipelines.settings import Settings
from holovitals_pipelines.workbench.queries import load_query
from holovitals_pipelines.workbench.snapshot import open_newest

if TYPE_CHECKING:
    import pandas as pd

NO_SYNC_YET = "No sync yet: run «holovitals demo», or «holovitals sync», then bench.refresh()."
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def open_workbench(home: Path | str | None = None) -> Workbench:
    """The workbench of the installation at `home`; by default of HOLOVITALS_HOME.

    A relative home is looked for in the current folder and then in the folders above it, because a notebook runs in
    its own folder. A home without a snapshot opens too: its frames are empty and its cards say what to run.
    """
    settings = Settings() if home is None else Settings(home=Path(home))
    return Workbench(found_nearby(settings))


def found_nearby(settings: Settings) -> Settings:
    """With a relative home that is not in the current folder, but in one above it, taken from there."""
    home = settings.home.expanduser()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / home).is_dir():
            return settings.model_copy(update={"home": folder / home})
    return settings


def _wall_clock() -> datetime:
    return datetime.now(UTC)


class Workbench:
    """An open snapshot. Use it as it is in a notebook, or as a context manager elsewhere.

    Every method that takes `days` looks at the last that many days; None looks at everything.
    """

    def __init__(self, settings: Settings, now: Callable[[], datetime] = _wall_clock) -> None:
        self._settings = settings
        self._now = now
        self._snapshot = open_newest(settings.warehouse_folder)

    # --- the snapshot -------------------------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        return self._settings.root

    @property
    def as_of(self) -> datetime | None:
        """When the snapshot's data was read (UTC); None before the first sync."""
        return self._snapshot.as_of

    def refresh(self) -> Workbench:
        """Move on to the newest snapshot, in place; frames already taken keep what they hold."""
        newest = open_newest(self._settings.warehouse_folder)
        self._snapshot.close()
        self._snapshot = newest
        return self

    def close(self) -> None:
        self._snapshot.close()

    def __enter__(self) -> Workbench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def headline(self) -> str:
        """One sentence: which home this is, and how old what it shows is."""
        from holovitals_pipelines.workbench.cards import age

        if self.as_of is None:
            return f"{self.home}: {NO_SYNC_YET}"
        return (
            f"{self.home}: snapshot of {self.as_of:%Y-%m-%d %H:%M} UTC, "
            f"{age(self._now() - self.as_of)} old. bench.refresh() opens a newer one."
        )

    def __repr__(self) -> str:
        return f"Workbench on {self.headline()}"

    # --- frames -------------------------------------------------------------------------------------------------

    def overview(self) -> pd.DataFrame:
        """One row of totals: what there is, how jobs fare, what waits for a person. `cards.overview_cards` draws it."""
        return self._frame("overview")

    def trend(self, days: int | None = 30) -> pd.DataFrame:
        """One row a day (UTC) and connection on which a job ended. `charts.trend` draws it."""
        return self._frame("trend", since=self._since(days))

    def volumes(self, days: int | None = 30) -> pd.DataFrame:
        """One row a connection, resource type and outcome, in readings. `charts.volumes` draws it."""
        return self._frame("volumes", since=self._since(days))

    def slowest_stages(self, days: int | None = 30, limit: int = 15) -> pd.DataFrame:
        """One row a connection, resource type and stage, the costliest first. `charts.stages` draws it."""
        return self._frame("slowest_stages", since=self._since(days), limit=limit)

    def recent_jobs(self, limit: int = 20) -> pd.DataFrame:
        """One row a job, the newest first; `duration_seconds` is from start to end, waits included."""
        return self._frame("recent_jobs", limit=limit)

    def latest_outcome(self) -> pd.DataFrame:
        """One row a resource type of each connection's last job: what it brought and how long it worked."""
        return self._frame("latest_outcome")

    def quality(self) -> pd.DataFrame:
        """One row a check: its newest result by connection and resource type, failing checks first."""
        return self._frame("quality")

    def errors(self, days: int | None = 30, limit: int = 50) -> pd.DataFrame:
        """One row a distinct error or warning, with how often it came, the newest first."""
        return self._frame("errors", since=self._since(days), limit=limit)

    def latency(self, days: int | None = 30) -> pd.DataFrame:
        """One row a connection and operation: what requests cost, in milliseconds. `charts.latency` draws it."""
        return self._frame("latency", since=self._since(days))

    def quarantine(self) -> pd.DataFrame:
        """One row a rule and the element that broke it: how many refused resources are still held."""
        return self._frame("quarantine")

    def records(self) -> pd.DataFrame:
        """One row a connection and resource type: local records linked to it, and the links."""
        return self._frame("records")

    def freshness(self) -> pd.DataFrame:
        """One row a connection and resource type: up to which instant of the vendor's clock it has been read."""
        return self._frame("freshness")

    # --- both directions: conflicts, writes, differences ----------------------------------------------------------

    def conflict_overview(self) -> pd.DataFrame:
        """One row of totals: conflicts by how they were decided, what waits. `cards.conflict_cards` draws it."""
        return self._frame("conflict_overview")

    def conflicts(self, days: int | None = 30) -> pd.DataFrame:
        """One row a connection, resource type, type, severity and strategy. `conflict_charts.conflicts` draws it."""
        return self._frame("conflicts", since=self._since(days))

    def decisions(self, days: int | None = 30) -> pd.DataFrame:
        """One row a severity: decided by policy or by people, and how soon. `conflict_charts.decisions` draws it."""
        return self._frame("decisions", since=self._since(days))

    def contested_elements(self, days: int | None = 30, limit: int = 15) -> pd.DataFrame:
        """One row a resource type and element, the most contested first. `conflict_charts.contested` draws it."""
        return self._frame("contested_elements", since=self._since(days), limit=limit)

    def open_conflicts(self, limit: int = 1000) -> pd.DataFrame:
        """One row an open conflict, the most overdue first; ages at the snapshot. `conflict_charts.queue` draws it."""
        return self._frame("open_conflicts", limit=limit)

    def standing_differences(self) -> pd.DataFrame:
        """One row an element that stays different, by severity and reason. `conflict_charts.standing` draws it."""
        return self._frame("standing_differences")

    def writes(self, days: int | None = 30) -> pd.DataFrame:
        """One row a connection, resource type, operation and state of writes. `conflict_charts.writes` draws it."""
        return self._frame("writes", since=self._since(days))

    def comparisons(self, days: int | None = 30, limit: int = 50) -> pd.DataFrame:
        """One row a resource type and full comparison of both sides: what the ordinary way had missed."""
        return self._frame("comparisons", since=self._since(days), limit=limit)

    # --- vendors and quality side by side ---------------------------------------------------------------------------

    def providers(self, days: int | None = 30) -> pd.DataFrame:
        """One row a connection: what it holds and how it fares. `provider_charts.compared` draws it."""
        return self._frame("providers", since=self._since(days))

    def quality_trend(self, days: int | None = 30) -> pd.DataFrame:
        """One row a day (UTC) and connection: checks and what they found. `quality_charts.trend` draws it."""
        return self._frame("quality_trend", since=self._since(days))

    # --- operations: jobs and webhooks ------------------------------------------------------------------------------

    def operations_overview(self) -> pd.DataFrame:
        """One row of totals: what waits, runs and failed. `cards.operations_cards` draws it."""
        return self._frame("operations_overview", since=self._since(1), as_of=self._read_at())

    def job_queue(self, limit: int = 100) -> pd.DataFrame:
        """One row a job that has not ended, those at work first; ages at the snapshot."""
        return self._frame("job_queue", limit=limit, as_of=self._read_at())

    def job_parts(self, days: int | None = 30) -> pd.DataFrame:
        """One row a connection and job type: where the time goes. `operation_charts.parts` draws it."""
        return self._frame("job_parts", since=self._since(days))

    def job_endings(self, days: int | None = 30) -> pd.DataFrame:
        """One row a connection, ending and error code, failed ones first. `operation_charts.endings` draws it."""
        return self._frame("job_endings", since=self._since(days))

    def webhook_events(self, days: int | None = 30) -> pd.DataFrame:
        """One row a connection, event type and status. `operation_charts.events` draws it."""
        return self._frame("webhook_events", since=self._since(days), as_of=self._read_at())

    def dead_letters(self, days: int | None = 30) -> pd.DataFrame:
        """One row a connection, event type and error code: webhook events that were given up."""
        return self._frame("dead_letters", since=self._since(days))

    # --- persons ------------------------------------------------------------------------------------------------

    def persons(self) -> pd.DataFrame:
        """One row a combination: how many persons have so many records at so many connections, joined so."""
        return self._frame("persons")

    def person_overlap(self) -> pd.DataFrame:
        """One row a pair of connections: how many persons both of them know."""
        return self._frame("person_overlap")

    def person_proposals(self) -> pd.DataFrame:
        """One row a state and grounds: pairs that may be one person, and how long the oldest has waited."""
        return self._frame("person_proposals")

    def sql(self, query: str, **parameters: Any) -> pd.DataFrame:
        """Any other question to the snapshot, in DuckDB's SQL; `$name` in the query takes the parameter `name`.

        Raises duckdb.Error for a query that is wrong, or that would write.
        """
        relation = self._snapshot.connection.sql(query, params=parameters or None)
        # DuckDB's own way to pandas warns, in the notebook, about pandas 4 whenever there is an instant.
        frame: pd.DataFrame = relation.to_arrow_table().to_pandas(integer_object_nulls=True)
        return frame

    # ------------------------------------------------------------------------------------------------------------

    def _frame(self, name: str, **parameters: Any) -> pd.DataFrame:
        return self.sql(load_query(name), **parameters)

    def _read_at(self) -> datetime:
        """Ages are at the snapshot's reading."""
        return self.as_of or self._now()

    def _since(self, days: int | None) -> datetime:
        return _BEGINNING if days is None else self._now() - timedelta(days=days)
