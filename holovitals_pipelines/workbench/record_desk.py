"""Records and persons in a notebook, read from the operational store: of now, of any moment, and how they came to be.

Law: nothing is written but the access log, and there before anything of a person is shown: who looked, at whom, when.
A home that is not there is not created by looking; every question opens the store for itself and holds nobody up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import sqlalchemy as sa

from holovitals_pipelines.engine import person_view
from holovitals_pipelines.engine.access_log import Access, append_access
from holovitals_pipelines.engine.patient_records import (
    HeldVersion,
    KnownPerson,
    known_persons,
    person_key,
    versions_of_person,
)
from holovitals_pipelines.engine.record_changes import (
    EndedJob,
    RecordChange,
    changes_between,
    changes_of,
    end_of_first_jobs,
    ended_jobs,
)
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.database import open_database
from holovitals_pipelines.workbench.session import found_nearby

_INSTANTS = ("at", "happened", "since")
NO_STORE = "There is no store yet: run «holovitals demo», or «holovitals sync», then the cells above again."


def open_record_desk(home: Path | str | None = None) -> RecordDesk:
    """The desk of the installation at `home`; by default of HOLOVITALS_HOME, found as `open_workbench` finds it."""
    return RecordDesk(found_nearby(Settings() if home is None else Settings(home=Path(home))))


class RecordDesk:
    """What the store holds. Frames with `patient` show health data, and each such look is in the access log.

    A `patient` is a person's key or its beginning, as `patients()` shows it; None is nobody, and gives empty frames.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __repr__(self) -> str:
        if not self._is_there():
            return f"{self._settings.root}: {NO_STORE}"
        return f"{self._settings.root}: the records as they are now. What you open is noted in the access log."

    # --- whom and when ------------------------------------------------------------------------------------------

    def patients(self, limit: int = 20) -> pd.DataFrame:
        """One row a person, those known at the most connections first. No names: nothing of a record is opened."""
        found: list[KnownPerson] = []
        if self._is_there():
            with self._read() as transaction:
                found = known_persons(transaction, limit)
        return _frame(found, KnownPerson)

    def choose(self, patient: str | None = None) -> str | None:
        """The key that begins so; without one, the person known at the most connections. None where nobody is known.

        Raises StoreError (`person.unknown`, `person.ambiguous`).
        """
        if patient is None:
            known = self.patients(limit=1)
            return None if known.empty else str(known.iloc[0]["patient_key"])
        if not self._is_there():
            return None
        with self._read() as transaction:
            return person_key(transaction, patient)

    def jobs(self, limit: int = 20) -> pd.DataFrame:
        """One row a completed job, the newest first: moments to compare."""
        found: list[EndedJob] = []
        if self._is_there():
            with self._read() as transaction:
                found = ended_jobs(transaction, limit)
        return _frame(found, EndedJob)

    # --- a person (health data) ---------------------------------------------------------------------------------

    def timeline(self, patient: str | None) -> pd.DataFrame:
        """One row a record of the person that is there now, in the order in which things happened to the person."""
        versions, _ = self._of(patient, "timeline")
        return _frame(person_view.timeline(versions), person_view.Event)

    def side_by_side(self, patient: str | None) -> pd.DataFrame:
        """One row an element and Patient record: what each connection tells, and whether the others tell the same."""
        versions, _ = self._of(patient, "side_by_side")
        return _frame(person_view.side_by_side(versions), person_view.ToldValue)

    def origins(self, patient: str | None) -> pd.DataFrame:
        """One row an element and Patient record: since which version it is so, who made it so, and why."""
        versions, changes = self._of(patient, "origins")
        return _frame(person_view.origins(versions, changes), person_view.Origin)

    def conflicts(self, patient: str | None) -> pd.DataFrame:
        """One row a place in which the sides of a record of the person contradicted each other, open ones first."""
        versions, _ = self._of(patient, "conflicts")
        places: list[person_view.ConflictPlace] = []
        if versions:
            with self._read() as transaction:
                places = person_view.conflict_places(transaction, {one.record_id for one in versions})
        return _frame(places, person_view.ConflictPlace)

    def history(self, patient: str | None) -> pd.DataFrame:
        """One row a change of one of the person's records, in the order they were made: who, why, which version."""
        _, changes = self._of(patient, "history")
        return _frame(changes, RecordChange)

    def last_change(self, patient: str | None) -> datetime | None:
        """The instant before the person's records changed for the last time; None where nothing ever has."""
        changed = self.history(patient)
        later = changed[changed["before_version"] > 0]
        return None if later.empty else (later["at"].max() - pd.Timedelta(microseconds=1)).to_pydatetime()

    def then_and_now(self, patient: str | None, at: datetime | str | None) -> pd.DataFrame:
        """One row an element in which a record of the person is another now than it was at the moment `at`."""
        versions, changes = self._of(patient, "then_and_now")
        return _frame(person_view.then_and_now(versions, changes, _instant(at)), person_view.Difference)

    def known(self, patient: str | None) -> pd.DataFrame:
        """One row a moment and connection: how many records of the person were known from then on."""
        versions, _ = self._of(patient, "known")
        return _frame(person_view.known(versions), person_view.Standing)

    # --- between two jobs (no health data) ----------------------------------------------------------------------

    def between(self, from_job: str | None = None, to_job: str | None = None) -> tuple[datetime, datetime] | None:
        """The ends of two jobs: by default of the one by which every connection had had its first, and of the newest.

        None before the first job. Raises StoreError (`job.unknown`).
        """
        ended = self.jobs(limit=100_000)
        if ended.empty:
            return None
        with self._read() as transaction:
            first = from_job if from_job is not None else end_of_first_jobs(transaction) or ""
        ends = [_end(ended, name) for name in (first, to_job if to_job is not None else ended.iloc[0]["job_id"])]
        return ends[0], ends[1]

    def changes(self, between: tuple[datetime, datetime] | None, limit: int = 10_000) -> pd.DataFrame:
        """One row a change of a record between two instants: type, what was done, by whom, why. The newest `limit`."""
        found: list[RecordChange] = []
        if between is not None:
            with self._read() as transaction:
                found = changes_between(transaction, *between, limit)
        return _frame(found, RecordChange)

    # ------------------------------------------------------------------------------------------------------------

    def _of(self, patient: str | None, call: str) -> tuple[list[HeldVersion], list[RecordChange]]:
        """Every version of the person's records, and every change; noted before anything is opened."""
        if patient is None or not self._is_there():
            return [], []
        with self._read() as transaction:
            key = person_key(transaction, patient)
            self._note(call, key)
            versions = versions_of_person(transaction, key)
            return versions, changes_of(transaction, sorted({one.record_id for one in versions}))

    def _note(self, call: str, subject: str) -> None:
        noted = Access(datetime.now(UTC), f"notebook:{_user()}", f"workbench {call}", 200, subject, uuid4().hex)
        append_access(self._settings.root / "access", noted)

    def _is_there(self) -> bool:
        return self._settings.database_url is not None or (self._settings.root / "operational.sqlite").exists()

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        database = open_database(self._settings.resolved_database_url)
        try:
            with database.read() as transaction:
                yield transaction
        finally:
            database.close()


def _frame(rows: list[Any], kind: type[Any]) -> pd.DataFrame:
    """A row each, with the columns of the dataclass; instants are UTC also where there is none."""
    frame = pd.DataFrame([asdict(row) for row in rows], columns=[one.name for one in fields(kind)])
    instants = [name for name in frame.columns if name in _INSTANTS or name.endswith("_at")]
    return frame.assign(**{name: pd.to_datetime(frame[name], utc=True) for name in instants})


def _end(ended: pd.DataFrame, job_id: str) -> datetime:
    found = ended[ended["job_id"].str.startswith(job_id)]
    if len(found) != 1:
        raise StoreError(
            "no one completed job has an id that begins so", code="job.unknown", remedy="see the ids: desk.jobs()"
        )
    return found.iloc[0]["finished_at"].to_pydatetime()  # type: ignore[no-any-return]


def _instant(at: datetime | str | None) -> datetime:
    """Without a zone: UTC. None: now."""
    told = pd.Timestamp(at if at is not None else datetime.now(UTC))
    return (told.tz_localize("UTC") if told.tzinfo is None else told.tz_convert("UTC")).to_pydatetime()


def _user() -> str:
    try:
        return getuser()
    except (KeyError, ImportError, OSError):  # as in some containers
        return "unknown"
