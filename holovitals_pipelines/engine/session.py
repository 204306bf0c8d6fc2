"""A worker's hold on one job: its lease, its transactions and its stage book-keeping.

One law: every write goes through `transaction()`, which refuses a worker whose lease was taken over, so a zombie's late
write changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from holovitals_pipelines.engine.batches import SCHEMAS
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.progress import Progress, Silent
from holovitals_pipelines.engine.retrying import CANCELLED, deadline_of, may_pass, timed_out
from holovitals_pipelines.engine.vendors import AdapterFactory, vendor_adapter
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import HoloVitalsError, JobError
from holovitals_pipelines.model.extract import Cursor, Problem
from holovitals_pipelines.model.job import JobOptions, SyncRequest, request_from
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Dataset, ErrorSeverity, Stage
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.store import errors, jobs, stages
from holovitals_pipelines.store.agreements import remote_ids
from holovitals_pipelines.store.landing import WrittenPart
from holovitals_pipelines.store.parts import load_progress, newest_job_with, parts_of, register_parts, save_progress
from holovitals_pipelines.sync.facts import Rules
from holovitals_pipelines.sync.policy import holding_all

if TYPE_CHECKING:
    import pyarrow as pa

    from holovitals_pipelines.engine.conversion import Conversions


class JobSession:
    """One worker at work on one job. Open it with `engine.jobs.open_session`."""

    def __init__(
        self,
        home: Home,
        job_id: str,
        fence: int,
        progress: Progress | None = None,
        adapter_for: AdapterFactory | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.home = home
        self._adapter_for = adapter_for or (lambda connection: vendor_adapter(connection, home.database))
        self.told_before: Any = None
        """What the vendor last told of itself (engine.agreement.of_job); asked once a job and process."""
        self.job_id = job_id
        self.progress = progress or Silent()
        self.clock = clock
        self._fence = fence
        with home.database.read() as transaction:
            job = jobs.get_job(transaction, job_id)
            begun = jobs.attempt_started(transaction, job_id)
        self.request: SyncRequest = request_from(job.request)
        self.connection: ConnectionConfig = _as_asked(home.connection(job.connection), self.request.options)
        self._deadline = deadline_of(self.request.options, begun)

    @cached_property
    def conversions(self) -> Conversions:
        """What makes FHIR R4 of this vendor's records and back, the same for the whole job."""
        from holovitals_pipelines.engine.conversion import Conversions  # the rule engine; looking at jobs needs none

        return Conversions(self.home.database, self.connection)

    @property
    def place(self) -> str:
        return f"connection {self.connection.name}"

    @cached_property
    def rules(self) -> Rules:
        """By what conflicts are graded and decided in this job."""
        if self.request.options.resolve_conflicts:
            return self.home.rules
        return Rules(self.home.rules.matrix, holding_all(self.home.rules.policy))

    def now(self) -> datetime:
        return self.clock.now()

    def open_adapter(self) -> Adapter:
        """The connection's adapter, to be used with `async with`. Single resources pass through it in FHIR R4; what it
        reads in bulk lands as the vendor sent it."""
        from holovitals_pipelines.engine.converting_adapter import converting

        return converting(self.open_vendor(), self.conversions)

    def open_vendor(self) -> Adapter:
        """The same as the vendor speaks, without conversion: for reading in bulk."""
        return self._adapter_for(self.connection)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A write transaction that only the holder of the job's lease can commit."""
        with self.home.database.write() as transaction:
            jobs.assert_fence(transaction, self.job_id, self._fence)
            yield transaction

    def check_cancelled(self) -> None:
        """Called between batches: a job that was cancelled, or whose time is up, stops at a page boundary and leaves no
        half page. Raises JobError."""
        with self.home.database.read() as transaction:
            cancelled = jobs.get_job(transaction, self.job_id).cancel_requested
        if cancelled:
            raise JobError("the job was cancelled", code=CANCELLED, place=self.place)
        if self._deadline is not None and self.now() >= self._deadline:
            raise timed_out(self.place)

    # landing zone

    def write_part(self, dataset: Dataset, resource_type: str, table: pa.Table) -> WrittenPart:
        """Write a part that nobody can see until `register` puts it into a committed transaction."""
        return self.home.landing.write_part(self.connection.name, self.job_id, dataset, resource_type, table)

    def register(self, transaction: sa.Connection, written: Sequence[WrittenPart]) -> None:
        register_parts(transaction, self.connection.name, self.job_id, written, self.now())

    def source_job(self, dataset: Dataset, resource_type: str) -> str:
        """The job whose `dataset` parts are this job's input: its own, or the newest of the connection."""
        stage = Stage.EXTRACT if dataset is Dataset.EXTRACT else Stage.TRANSFORM
        if self.stage_row(resource_type, stage) is not None:
            return self.job_id
        with self.home.database.read() as transaction:
            newest = newest_job_with(transaction, self.connection.name, resource_type, stage)
        if newest is None:
            raise JobError(
                f"there is nothing landed yet to {'transform' if stage is Stage.EXTRACT else 'reconcile'}",
                code="job.no_input",
                place=f"{self.place}, {resource_type}",
                remedy="extract first: materialize the upstream asset, or run a full sync",
            )
        return newest

    def has_input(self, dataset: Dataset, resource_type: str) -> bool:
        """Whether there is anything of the type to work on: a server may not offer every type that was asked for."""
        if self.request.is_named and self.stage_row(resource_type, Stage.EXTRACT) is None:
            return False  # what other jobs have landed is not what this one names
        try:
            self.source_job(dataset, resource_type)
        except JobError:
            return False
        return True

    def rows_in(self, dataset: Dataset, resource_type: str) -> int:
        with self.home.database.read() as transaction:
            return sum(part.rows for part in parts_of(transaction, self.job_id, dataset, resource_type))

    def known_patients(self) -> Sequence[str]:
        """Remote patient ids, sorted: those linked already and those this job has just landed."""
        found: set[str] = set()
        with self.home.database.read() as transaction:
            found.update(remote_ids(transaction, self.connection.name, "Patient"))
            parts = parts_of(transaction, self.job_id, Dataset.EXTRACT, "Patient")
        for part in parts:
            for batch in self.home.landing.open_parts([part.path], columns=["remote_id"]):
                found.update(batch.column("remote_id").to_pylist())
        return sorted(found)

    def batch(self, dataset: Dataset, resource_type: str, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """This job's own parts of a dataset, streamed; no rows where there are none."""
        with self.home.database.read() as transaction:
            parts = parts_of(transaction, self.job_id, dataset, resource_type)
        if not parts:
            empty = SCHEMAS[dataset].empty_table().select(columns or SCHEMAS[dataset].names)
            return empty.to_reader()
        return self.home.landing.open_parts([part.path for part in parts], columns=columns)

    # progress of the extract

    def save_cursor(self, transaction: sa.Connection, cursor: Cursor, delivery: int) -> None:
        save_progress(transaction, self.job_id, {"adapter": dict(cursor), "delivery": delivery}, self.now())

    def load_cursor(self) -> Cursor | None:
        with self.home.database.read() as transaction:
            saved = load_progress(transaction, self.job_id)
        return saved["adapter"] if saved else None

    def next_delivery(self) -> int:
        with self.home.database.read() as transaction:
            saved = load_progress(transaction, self.job_id)
        return int(saved["delivery"]) if saved else 0

    # stages

    def finished_types(self, stage: Stage) -> set[str]:
        with self.home.database.read() as transaction:
            return {
                row.resource_type
                for row in stages.stages_of(transaction, self.job_id)
                if row.stage == stage and row.state == "done"
            }

    def landed_types(self) -> list[str]:
        """Resource types this job has extracted, complete or not, in the order they were begun."""
        with self.home.database.read() as transaction:
            rows = stages.stages_of(transaction, self.job_id)
        return [row.resource_type for row in rows if row.stage == Stage.EXTRACT]

    def stage_rows(self) -> list[stages.StageRow]:
        with self.home.database.read() as transaction:
            return stages.stages_of(transaction, self.job_id)

    def stage_row(self, resource_type: str, stage: Stage) -> stages.StageRow | None:
        with self.home.database.read() as transaction:
            return stages.stage_of(transaction, self.job_id, resource_type, stage)

    def begin_stage(
        self,
        stage: Stage,
        resource_types: Iterable[str],
        *,
        restart: bool = False,
        mechanisms: Mapping[str, ChangeMechanism] | None = None,
    ) -> None:
        """Mark the stage as running. `restart` forgets the counts of an interrupted attempt, whose work starts over."""
        with self.transaction() as transaction:
            for name in resource_types:
                stages.begin_stage(
                    transaction,
                    self.job_id,
                    name,
                    stage,
                    self.now(),
                    restart=restart,
                    mechanism=mechanisms.get(name) if mechanisms else None,
                )

    def count(
        self, transaction: sa.Connection, resource_type: str, stage: Stage, busy_seconds: float = 0.0, **counts: int
    ) -> None:
        """Add to the stage's counts, in the transaction that does what they count."""
        stages.add_counts(transaction, self.job_id, resource_type, stage, counts, busy_seconds)

    def end_stage(
        self,
        transaction: sa.Connection,
        resource_type: str,
        stage: Stage,
        error: HoloVitalsError | None = None,
        watermark: datetime | None = None,
        snapshot: bool = False,
        busy_seconds: float = 0.0,
    ) -> None:
        """Close the stage as done, or as failed with `error`, which is listed among the job's errors."""
        stages.end_stage(
            transaction, self.job_id, resource_type, stage, self.now(),
            error=error, watermark=watermark, snapshot=snapshot, busy_seconds=busy_seconds,
            passing=error is not None and may_pass(error),
        )  # fmt: skip
        if error is not None:
            self.add_errors(transaction, stage, [as_problem(error, resource_type)])

    def fail_type(self, resource_type: str, stage: Stage, error: HoloVitalsError) -> None:
        self.begin_stage(stage, [resource_type])
        with self.transaction() as transaction:
            self.end_stage(transaction, resource_type, stage, error)

    def add_errors(self, transaction: sa.Connection, stage: Stage, problems: Sequence[Problem]) -> None:
        errors.add_errors(transaction, self.job_id, self.connection.name, stage, problems, self.now())


def _as_asked(connection: ConnectionConfig, options: JobOptions) -> ConnectionConfig:
    if options.batch_size is None:
        return connection
    return connection.model_copy(update={"read": connection.read.model_copy(update={"page_size": options.batch_size})})


def as_problem(
    error: HoloVitalsError, resource_type: str | None, severity: ErrorSeverity = ErrorSeverity.ERROR
) -> Problem:
    """An error as a line of a job's error list."""
    return Problem(
        code=error.code,
        message=error.message,
        remedy=error.remedy,
        source=error.place,
        resource_type=resource_type,
        severity=severity,
    )
