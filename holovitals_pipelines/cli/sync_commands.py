"""`holovitals sync`, `writeback`, `anti-entropy`, `standing`: bring both sides into agreement, list what stays so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from holovitals_pipelines.cli.acting import acting
from holovitals_pipelines.cli.output import (
    FAILED,
    console,
    errors,
    plain_table,
    print_json,
    print_outcome,
    readable_errors,
    report_as_json,
    say,
)
from holovitals_pipelines.cli.progress import StageBars
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.job_queue import submit
from holovitals_pipelines.engine.progress import Progress
from holovitals_pipelines.engine.standing import list_standing
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.job import JobReport, ReportedError, SyncRequest
from holovitals_pipelines.model.vocabulary import Direction, ErrorSeverity, JobStatus, JobType

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
Connections = Annotated[list[str] | None, typer.Argument(help="names of connections; default: all enabled ones")]


def sync(
    connections: Connections = None,
    full: Annotated[bool, typer.Option("--full", help="read everything again, whatever the watermarks say")] = False,
    resource_type: Annotated[list[str] | None, typer.Option("--type", "-t", help="only these resource types")] = None,
    patient: Annotated[
        list[str] | None, typer.Option(help="only the charts of these patients, by the vendor's ids; of one connection")
    ] = None,
    resource_id: Annotated[
        list[str] | None, typer.Option("--id", help="only these resources of the one --type, by the vendor's ids")
    ] = None,
    event: Annotated[
        bool,
        typer.Option("--event", help="read what --patient and --id name as an event from the vendor would have it"),
    ] = False,
    direction: Annotated[
        Direction, typer.Option(help="INBOUND writes nothing to the vendor, OUTBOUND reads nothing new from it")
    ] = Direction.BIDIRECTIONAL,
    allow_deletes: Annotated[
        bool,
        typer.Option("--allow-deletes", help="let a mass deletion through that was held; look at the vendor first"),
    ] = False,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="transform again what has landed, with the rules of now; no vendor is called"),
    ] = False,
    queue: Annotated[
        bool, typer.Option("--queue", help="only put the jobs in the queue and print their ids; workers do them")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the main job: extract, validate, reconcile, commit, write back, statistics.

    Give the names of the connections to sync, or none for all that are enabled. A job that was killed goes on where it
    stopped; a connection that fails does not stop the others. Exit code 1 when any job failed: something could not be
    read. Resources that were refused one by one are in quarantine and fail no job; conflicts wait in
    `holovitals conflicts list`. Nothing is written to a vendor unless its connection says `write: {enabled: true}`.

    ```
    holovitals sync                        # what has changed, everywhere
    holovitals sync clinic --full          # everything of one connection
    holovitals sync clinic -t Observation  # one resource type
    holovitals sync clinic --patient 4711  # one patient's chart, now
    holovitals sync clinic -t Observation --id 17 --id 18  # two resources, now
    holovitals sync clinic --replay        # after rules have changed
    ```
    """
    named = _Named(tuple(resource_type or ()), tuple(patient or ()), tuple(resource_id or ()), event)
    kind = named.job_type(connections, full=full or replay)
    if replay and (full or allow_deletes or direction is not Direction.BIDIRECTIONAL):
        raise typer.BadParameter(
            "--replay calls no vendor: --full, --direction and --allow-deletes mean nothing with it"
        )
    with readable_errors(as_json), open_home() as home:
        requests = [
            SyncRequest(
                name,
                JobType.FULL_SYNC if full else kind,
                named.types_of_whole_reads,
                named.patients,
                direction=direction,
                allow_deletes=allow_deletes,
                replay=replay,
                ids=named.resources,
            )
            for name in _named(home, connections)
        ]
        if queue:
            actor = acting(None)
            _tell_queued({one.connection: submit(home, one, requested_by=actor).job_id for one in requests}, as_json)
            return
        reports = _run(home, requests)
    _tell("What the sync did", reports, as_json)


@dataclass(frozen=True)
class _Named:
    """What is to be read, where not everything is."""

    types: tuple[str, ...]
    patients: tuple[str, ...]
    ids: tuple[str, ...]
    event: bool

    def job_type(self, connections: Sequence[str] | None, *, full: bool) -> JobType:
        """Raises typer.BadParameter for options that do not go together."""
        named = self.patients or self.ids
        if full and (named or self.event):
            raise typer.BadParameter("--patient, --id and --event read what they name: leave out --full and --replay")
        if named and len(connections or ()) != 1:
            raise typer.BadParameter("--patient and --id are ids of one vendor: name the one connection")
        if self.ids and len(self.types) != 1:
            raise typer.BadParameter("--id wants the resource type: one --type")
        if self.event or (self.patients and self.ids):
            if not named:
                raise typer.BadParameter("--event wants what the event was about: --patient, or --type and --id")
            return JobType.WEBHOOK_SYNC
        if named:
            return JobType.PATIENT_SYNC if self.patients else JobType.RESOURCE_SYNC
        return JobType.RESOURCE_SYNC if self.types else JobType.INCREMENTAL_SYNC

    @property
    def resources(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.types[0], remote_id) for remote_id in self.ids)

    @property
    def types_of_whole_reads(self) -> tuple[str, ...]:
        """The type of an id says nothing of what else is read of a patient who is named beside it."""
        return () if self.ids else self.types


def _tell_queued(jobs: Mapping[str, str], as_json: bool) -> None:
    if as_json:
        print_json([{"connection": name, "job": job_id} for name, job_id in jobs.items()])
        return
    for name, job_id in jobs.items():
        say(console, f"Job {job_id} waits for a worker: holovitals jobs wait {job_id[:8]}")
        say(console, f"To have it run now, launch sync_{name} in Dagster for today's partition with this config:")
        say(console, f"  {{ops: {{{name}_extract: {{config: {{job: {job_id}}}}}}}}}")


def writeback(connections: Connections = None, as_json: AsJson = False) -> None:
    """Decide what is marked and send what waits, without reading anything else from the vendor.

    After local edits and after decisions on conflicts: each link concerned is read, decided from current facts and, if
    need be, written under the vendor's version. `holovitals sync` does the same at its end.

    ```
    holovitals writeback clinic
    ```
    """
    with readable_errors(as_json), open_home() as home:
        requests = [
            SyncRequest(name, JobType.INCREMENTAL_SYNC, direction=Direction.OUTBOUND)
            for name in _named(home, connections)
        ]
        reports = _run(home, requests)
    _tell("What was written back", reports, as_json)


def anti_entropy(connections: Connections = None, as_json: AsJson = False) -> None:
    """Compare ids and hashes of both sides in full, bring in what differs, and count what incremental syncs missed.

    Meant for once a day. Known resources that the full read does not show are read one by one; changes here that
    nothing had marked are sent. Exit code 1 when a job failed.

    ```
    holovitals anti-entropy clinic
    ```
    """
    from holovitals_pipelines.engine.anti_entropy import compare_sides

    with readable_errors(as_json), open_home() as home, StageBars(errors) as bars:
        found = [compare_sides(home, name, progress=bars) for name in _named(home, connections)]
    if as_json:
        print_json(
            [
                {"job": report_as_json(one.job), "types": {name: asdict(row) for name, row in one.types.items()}}
                for one in found
            ]
        )
    else:
        table = plain_table("connection", "resource type", ">compared", ">missed", ">unsent", ">absent")
        for one in found:
            for name, row in one.types.items():
                cells = (row.compared, row.missed, row.unsent, row.absent)
                table.add_row(one.job.connection, name, *(f"{cell:,}" for cell in cells))
        console.print(table)
        say(console, "missed: by incremental reads. unsent: changed here, marked by nothing. absent: read one by one.")
    if not all(one.job.succeeded for one in found):
        raise typer.Exit(FAILED)


def standing(
    connection: Annotated[str | None, typer.Option(help="only this connection")] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many to list")] = 50,
    as_json: AsJson = False,
) -> None:
    """List what differs between here and a vendor, and stays so: the vendor's API takes no write there.

    The worst first. Elements only: values are health data (`holovitals records links RECORD` shows one record's).
    """
    with readable_errors(as_json), open_home() as home:
        rows = list_standing(home.database, connection=connection, limit=limit)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    if not rows:
        say(console, "Both sides hold the same, wherever they can.")
        return
    table = plain_table("severity", "connection", "resource type", "record", "element", "why", "since")
    for row in rows:
        since = f"{row.since:%Y-%m-%d %H:%M}"
        table.add_row(row.severity, row.connection, row.resource_type, row.record_id, row.element, row.reason, since)
    console.print(table)


def _named(home: Home, connections: Sequence[str] | None) -> list[str]:
    names = list(connections or [name for name, one in home.connections.items() if one.enabled])
    for name in names:
        home.connection(name)
    return names


def _run(home: Home, requests: Sequence[SyncRequest]) -> list[JobReport]:
    with StageBars(errors) as bars:
        return [_one(home, request, bars) for request in requests]


def _one(home: Home, request: SyncRequest, progress: Progress) -> JobReport:
    """The report of the job; for one that could not begin, a report that says why, so that the others go on."""
    from holovitals_pipelines.engine.sync import run_sync  # all of the sync; `standing` and every `--help` need none

    try:
        return run_sync(home, request, progress=progress)
    except HoloVitalsError as error:
        said = ReportedError(ErrorSeverity.CRITICAL, error.code, error.message, error.remedy, None, error.place, None)
        provider = home.connection(request.connection).provider
        return JobReport("", request.connection, provider, request.type, JobStatus.FAILED, 0, {}, (said,), 1)


def _tell(title: str, reports: Sequence[JobReport], as_json: bool) -> None:
    if as_json:
        print_json([report_as_json(report) for report in reports])
    elif not reports:
        say(console, "No connection is declared. Try `holovitals demo`, or `holovitals connections --help`.")
    else:
        print_outcome(console, title, reports)
    if not all(report.succeeded for report in reports):
        raise typer.Exit(FAILED)
