"""Persons over HTTP: the patient table, each of their Patient records at every connection, and a person's chart.

Law: an element of a record is answered only where it is asked for, and each person whose elements are is noted in the
log of accesses before; ids at vendors are told to those who may read records.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from holovitals_pipelines.api.documented import documented
from holovitals_pipelines.api.security import CAN_READ, Reader
from holovitals_pipelines.api.shapes.base import Limit, Name, PageOf, Text
from holovitals_pipelines.api.shapes.patients import PatientChart, PatientEntry
from holovitals_pipelines.api.state import OpenHome
from holovitals_pipelines.engine.access_log import Access, write_access
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_requests import connection_of
from holovitals_pipelines.engine.patient_chart import patient_chart
from holovitals_pipelines.engine.person_names import names_of
from holovitals_pipelines.engine.person_pages import Person, person_of, person_page
from holovitals_pipelines.engine.tokens import Caller

routes = APIRouter(tags=["patients"])

PatientKey = Annotated[Text, Path(alias="patientKey", max_length=64)]


@routes.get("/api/patients", **documented(CAN_READ, 404))
def list_patients(
    request: Request,
    home: OpenHome,
    caller: Reader,
    connection: Annotated[Name | None, Query(description="only persons known there", examples=["clinic"])] = None,
    remote_id: Annotated[
        Name | None, Query(alias="remoteId", description="only the person a vendor knows by this id", examples=["p1"])
    ] = None,
    names: Annotated[
        bool, Query(description="with name and birth date: health data, noted in the log of accesses for each")
    ] = False,
    cursor: Annotated[Text | None, Query(max_length=1000)] = None,
    limit: Annotated[Limit, Query()] = 100,
) -> PageOf[PatientEntry]:
    """Persons with the ids that vendors know them by."""
    named = connection_of(home, connection) if connection is not None else None
    page = person_page(home.database, connection=named, remote_id=remote_id, cursor=cursor, limit=limit)
    if not names:
        return PageOf(items=[PatientEntry.of(one) for one in page.items], next=page.next)
    _note(request, home, caller, page.items)
    told = names_of(home.database, page.items)
    return PageOf(items=[PatientEntry.of(one, *told[one.patient_key]) for one in page.items], next=page.next)


def _note(request: Request, home: Home, caller: Caller, persons: Iterable[Person]) -> None:
    call_id: str = request.scope["holovitals.call"]
    for one in persons:
        write_access(home, Access(datetime.now(UTC), caller.name, "GET /api/patients", 200, one.patient_key, call_id))


@routes.get("/api/patients/{patientKey}", **documented(CAN_READ, 404, opens="patientKey"))
def show(patient_key: PatientKey, home: OpenHome, caller: Reader) -> PatientEntry:
    """One person: every id, and every Patient record across connections."""
    return PatientEntry.of(person_of(home.database, patient_key))


@routes.get("/api/patients/{patientKey}/chart", **documented(CAN_READ, 404, opens="patientKey"))
def chart(
    patient_key: PatientKey,
    home: OpenHome,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=2000, description="events, and changes, at most")] = 500,
) -> PatientChart:
    """What each vendor says of the person, where it came from, what happened when, what contradicts. **Health data.**

    The person's records are found by reading what is linked at the vendors that know the person: about a second for
    100,000 records.
    """
    return PatientChart.of(patient_chart(home.database, patient_key, limit))
