"""The warehouse's tables about persons: who belongs together, on what grounds, and what waits for a person.

Law: no vendor's id, no identifier's value and nothing that a person typed; keys and record ids are opaque.
"""

from __future__ import annotations

import sqlalchemy as sa

from holovitals_pipelines.store.tables import patient_member, patient_proposal
from holovitals_pipelines.store.warehouse_columns import WarehouseTable, derive, make, take


def person_members() -> WarehouseTable:
    c = patient_member.c
    return WarehouseTable(
        "person_members",
        "One row a Patient record: the person it is of. Persons with one row are known to one record only.",
        [
            take(c.patient_key, "opaque key of the person"),
            take(c.record_id, "opaque id of the local record"),
            take(c.connection),
            take(c.how),
            take(c.identifier_system),
            take(c.decided_by),
            take(c.at),
            take(c.state),
        ],
    )


def person_proposals() -> WarehouseTable:
    c = patient_proposal.c
    return WarehouseTable(
        "person_proposals",
        "One row a pair of records that may be one person.",
        [
            take(c.proposal_id, "the proposal"),
            take(c.record_id, "opaque id of the one record"),
            take(c.other_id, "opaque id of the other record"),
            take(c.grounds),
            take(c.score),
            make("compared", sa.cast(c.compared, sa.Text), "elements and the level of each, as JSON; no values"),
            take(c.state),
            take(c.proposed_at, "when it was proposed"),
            take(c.decided_by, "the person who decided"),
            take(c.decided_at, "when; null while it is open"),
            derive(
                "open_seconds",
                "DOUBLE",
                "from the proposal to the reading of this snapshot; null unless open",
                "CASE WHEN state = 'open' THEN greatest(epoch(getvariable('as_of')) - epoch(proposed_at), 0) END",
            ),
        ],
    )
