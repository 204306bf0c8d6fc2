"""Who acts: a person's name, as decisions and the audit log keep it.

Law: nobody acts under the name of a policy or of a connection, so the log always tells people from machines.
"""

from __future__ import annotations

import sqlalchemy as sa

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.tables import ehr_connection

LONGEST_NAME = 64
_POLICY = "policy:"
"""How the actor of an automatic decision begins."""


def person_named(transaction: sa.Connection, actor: str) -> str:
    """The name without white space around it. Raises StoreError (`actor.invalid`)."""
    name = actor.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise _refused(f"a name of 1 to {LONGEST_NAME} printable characters is needed")
    query = sa.select(ehr_connection.c.name).where(ehr_connection.c.name == name)
    if name.startswith(_POLICY) or transaction.execute(query).first() is not None:
        raise _refused("the name belongs to a policy or a connection")
    return name


def same_person(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _refused(message: str) -> StoreError:
    return StoreError(message, code="actor.invalid", place="actor", remedy="say who acts by a name of their own")
