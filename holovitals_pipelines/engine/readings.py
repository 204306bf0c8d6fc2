"""Which of a job's readings count: one for each id, the newest; what is in dispute, known already, or was not shown.

Law: every reading is chosen, a duplicate, in dispute or known by its bytes; none is in two of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from holovitals_pipelines.engine import batches
from holovitals_pipelines.engine.analysis import Analysis
from holovitals_pipelines.engine.batches import numbered
from holovitals_pipelines.engine.conversion import Conversion
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.queries import load_query
from holovitals_pipelines.engine.replay import keep_current_readings
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.fhir.canonical import canonical_hash
from holovitals_pipelines.fhir.wire import MalformedResource
from holovitals_pipelines.model.vocabulary import Stage
from holovitals_pipelines.store.agreements import held_ids, readings
from holovitals_pipelines.store.parts import Part


@dataclass(frozen=True, slots=True)
class SortedOut:
    same_bytes: int = 0
    duplicates: int = 0
    absent: int = 0


def is_snapshot(session: JobSession, resource_type: str) -> bool:
    """Whether this job read everything the connection can see of the type."""
    extracted = session.stage_row(resource_type, Stage.EXTRACT)
    return extracted is not None and extracted.snapshot and extracted.state == "done"


def sort_out(
    session: JobSession, analysis: Analysis, resource_type: str, parts: list[Part], conversion: Conversion | None
) -> SortedOut:
    """Choose, in sets, one reading an id, and leave out those whose bytes are known already.

    Leaves table `chosen(part, row, ambiguous)`.
    """
    home, jobs, later = session.home, dict[str, int](), 2**40  # deliveries of a later job were read later
    analysis.run(
        "create temp table extract_key (part integer, row integer, remote_id varchar, content_hash blob,"
        " delivery bigint, last_updated timestamptz, evidence varchar)"
    )
    for number, part in enumerate(parts):
        analysis.insert(
            "insert into extract_key"
            " select ?, row, remote_id, content_hash, delivery + ?, last_updated, evidence from arrow",
            numbered(home.landing.open_parts([part.path], columns=batches.EXTRACT_KEYS)),
            [number, later * jobs.setdefault(part.job_id, len(jobs))],
        )
    with home.database.read() as transaction:
        known = readings(transaction, session.connection.name, resource_type)
        analysis.insert("create temp table known as select * from arrow", known)
    if conversion is not None or session.request.replay:
        # Equal bytes are no news only where the same is made of them: that is seen after they are converted.
        analysis.run("create temp table agreed as select * from known")
        analysis.run("update known set seen_document = null")
    analysis.run(load_query("find_disputes"))
    _settle_disputes(home, analysis, parts, conversion)
    analysis.run(load_query("choose_readings"))
    if session.request.replay:
        keep_current_readings(session, analysis, resource_type)
        return SortedOut()
    return SortedOut(*analysis.row(load_query("count_readings")))


def _settle_disputes(home: Home, analysis: Analysis, parts: list[Part], conversion: Conversion | None) -> None:
    """Readings that differ only in spelling (order, narrative, meta) are one content: there is nothing to dispute."""
    contents: dict[str, set[bytes | None]] = {}
    for number, part in enumerate(parts):
        rows = analysis.table(
            "select row from disputed_reading semi join dispute using (remote_id) where part = ? order by row", [number]
        )
        if rows.num_rows:
            for table in home.landing.take_rows(part.path, rows, ["remote_id", "body"]):
                for remote_id, body in zip(
                    *(table.column(name).to_pylist() for name in table.schema.names), strict=True
                ):
                    contents.setdefault(remote_id, set()).add(_content(body, conversion))
    settled = [remote_id for remote_id, found in contents.items() if len(found) == 1 and None not in found]
    if settled:
        ids = pa.table({"remote_id": pa.array(settled, pa.string())})
        analysis.insert("insert into settled select remote_id from arrow", ids)


def _content(body: bytes, conversion: Conversion | None) -> bytes | None:
    if conversion is not None:
        converted = conversion.convert(body).body
        if converted is None:
            return None
        body = converted
    try:
        return canonical_hash(body)
    except MalformedResource:
        return None


def chosen_rows(home: Home, analysis: Analysis, parts: list[Part]) -> Iterator[pa.Table]:
    """The chosen rows, whole, in batches; row groups without any are never opened. Adds column `ambiguous`."""
    for number, part in enumerate(parts):
        chosen = analysis.table("select row, ambiguous from chosen where part = ? order by row", [number])
        if chosen.num_rows:
            yield from home.landing.take_rows(part.path, chosen)


def absent(session: JobSession, analysis: Analysis, resource_type: str) -> list[str]:
    """Living resources that a complete read did not show."""
    if not is_snapshot(session, resource_type):
        return []
    found = analysis.table(
        "select k.remote_id from known k anti join extract_key e on e.remote_id = k.remote_id where k.living"
    )
    ids: list[str] = found.column("remote_id").to_pylist()
    return ids


def sound_again_ids(session: JobSession, analysis: Analysis, resource_type: str, converted: list[str]) -> list[str]:
    """Ids in quarantine of which this read brought the very bytes agreed on before, which reconcile never sees; and
    those whose reading could be converted now, which reconcile may find to be what is agreed on."""
    with session.home.database.read() as transaction:
        held = held_ids(transaction, session.connection.name, resource_type)
    if not held or converted:
        return sorted(set(held).intersection(converted))
    table = pa.table({"remote_id": pa.array(held, pa.string())})
    analysis.insert("create temp table held as select * from arrow", table)
    found = analysis.table(
        "select distinct e.remote_id from extract_key e semi join held h on h.remote_id = e.remote_id"
        " semi join (select part, row from winner where same_bytes) w on w.part = e.part and w.row = e.row"
    )
    ids: list[str] = found.column("remote_id").to_pylist()
    return ids
