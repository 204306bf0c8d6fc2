"""What vendors say of their own patients: that one was merged into another, or is the same person as another.

Law: a vendor's word is proposed to people; it joins nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from holovitals_pipelines.engine.identity.proposing import Draft
from holovitals_pipelines.store import persons
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.sync.identity.comparing import compare
from holovitals_pipelines.sync.identity.demographics import Demographics, read_demographics


def told_by_vendors(transaction: sa.Connection, said: Mapping[str, Demographics]) -> list[Draft]:
    """Pairs from Patient.link, as a merge (A40) or the vendor's own index sets it: it names a resource of that vendor.

    `said`: by record id.
    """
    telling = {record_id: one.told_same for record_id, one in said.items() if one.told_same}
    origin = {record_id: member.connection for record_id, member in persons.members(transaction, telling).items()}
    named = {
        (record_id, link_id_of(origin[record_id], "Patient", remote_id)): kind
        for record_id, links in telling.items()
        if record_id in origin
        for kind, remote_id in links
    }
    records = persons.records_linked(transaction, {link_id for _, link_id in named})
    members = persons.members(transaction, records.values())
    bodies = get_documents(transaction, {member.document_hash for member in members.values()})
    drafts = []
    for (record_id, link_id), kind in named.items():
        other = members.get(records.get(link_id, ""))
        if other is not None and other.record_id != record_id:
            levels = compare(said[record_id], read_demographics(bodies[other.document_hash]))
            drafts.append(Draft(record_id, other.record_id, "merge_told", None, {**levels, "link": kind}))
    return drafts
