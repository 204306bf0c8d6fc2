"""Whether both stores hold the same: every linked record beside what the vendor holds, by their canonical contents.

Law: only a listed standing difference or an open conflict excuses that they differ.

A vendor without FHIR shows its records in a form of its own, which holds less than FHIR has and spells it otherwise:
there, what every form holds is compared, of patients. That all the rest is the same through the rules, the last pass
has shown, which read everything once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.cli.demo.at_vendor import AtVendor
from holovitals_pipelines.engine.agreement.own_identifier import without_identifier
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.record_view import RecordLink, links_of
from holovitals_pipelines.fhir.canonical import canonical_hash
from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.fhir.wire import read_head
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.tables import link, record
from holovitals_pipelines.sync.content import content_of, pruned
from holovitals_pipelines.sync.unit_paths import WHOLE, UnitPattern

BATCH = 500


@dataclass(slots=True)
class Compared:
    """Counts of linked records. `apart` is what nothing excuses; `only_there` are not linked, and not counted."""

    connection: str
    linked: int = 0
    equal: int = 0
    standing: int = 0
    held: int = 0
    apart: int = 0
    only_there: int = 0
    of: str = "linked records"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Linked:
    record_id: str
    state: str
    document: bytes


def compare_stores(home: Home, vendor: AtVendor) -> Compared:
    """Compare every record linked at the vendor, of every type."""
    compared = Compared(vendor.name)
    with home.database.read() as transaction:
        kinds = transaction.execute(
            sa.select(link.c.resource_type).distinct().where(link.c.connection == vendor.name)
        ).scalars()
        by_kind = {kind: _linked(transaction, vendor.name, kind) for kind in sorted(kinds)}
    for kind, linked in by_kind.items():
        compared.linked += len(linked)
        everything = vendor.everything(kind)
        while batch := list(islice(everything, BATCH)):
            _compare(home, vendor.name, batch, linked, compared)
        compared.apart += len(linked)  # what is left, the vendor did not show
    return compared


def compare_patients(home: Home, vendor: AtVendor) -> Compared:
    """Compare name, birth date and sex of every patient linked at the vendor."""
    compared = Compared(vendor.name, of="patients")
    with home.database.read() as transaction:
        linked = _linked(transaction, vendor.name, "Patient")
        documents = get_documents(transaction, [one.document for one in linked.values()])
    compared.linked = len(linked)
    for body in vendor.everything("Patient"):
        one = linked.pop(vendor.remote_id(read_head(body).id), None)
        if one is None:
            compared.only_there += 1
        elif one.state == "active" and _essentials(documents[one.document]) == _essentials(body):
            compared.equal += 1
        else:
            compared.apart += 1
    compared.apart += len(linked)  # what is left, the vendor did not show
    return compared


def _essentials(body: bytes) -> tuple[str, str, str | None, str | None]:
    """Names in one case, for vendors write them in letters of their own."""
    patient = read_document(body)
    name = patient["name"][0]
    given = next(iter(name.get("given", ())), "")
    return name["family"].casefold(), given.casefold(), patient.get("birthDate"), patient.get("gender")


def _linked(transaction: sa.Connection, connection: str, kind: str) -> dict[str, _Linked]:
    """Living links by the vendor's id."""
    query = (
        sa.select(link.c.remote_id, record.c.record_id, record.c.state, record.c.document_hash)
        .join(record, record.c.record_id == link.c.record_id)
        .where(link.c.connection == connection, link.c.resource_type == kind, link.c.state == "active")
    )
    return {
        identity: _Linked(record_id, state, bytes(address))
        for identity, record_id, state, address in transaction.execute(query)
    }


def _compare(home: Home, connection: str, bodies: list[bytes], linked: dict[str, _Linked], compared: Compared) -> None:
    """Takes out of `linked` what it has compared."""
    pairs = [(linked.pop(read_head(body).id, None), body) for body in bodies]
    known = [(one, body) for one, body in pairs if one is not None]
    compared.only_there += len(pairs) - len(known)
    with home.database.read() as transaction:
        documents = get_documents(transaction, [one.document for one, _ in known])
    for one, there in known:
        here = documents[one.document]
        differing = _differing(here, there) if one.state == "active" else {WHOLE}
        if not differing:
            compared.equal += 1
            continue
        links = [found for found in links_of(home.database, one.record_id) if found.connection == connection]
        if any(found.conflict_id is not None for found in links):
            compared.held += 1
        elif all(_is_listed(element, links) for element in differing):
            compared.standing += 1
        else:
            compared.apart += 1


def _is_listed(element: str, links: Sequence[RecordLink]) -> bool:
    return any(UnitPattern(standing.element).matches(element) for link in links for standing in link.standing)


def _differing(here: bytes, there: bytes) -> set[str]:
    """Elements in which the contents differ; each side has its own id, and the vendor's may carry our mark."""
    there = without_identifier(there)
    if canonical_hash(here) == canonical_hash(there):
        return set()
    ours, theirs = (pruned(content_of(read_document(body))) or {} for body in (here, there))
    return {name.lstrip("_") for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
