"""The column types that the operational store's tables are made of, the same on SQLite and PostgreSQL.

Law: a value read is the value written, on both databases. Instants without a time zone are refused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, LargeBinary, MetaData
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcTimestamp(sa.types.TypeDecorator[datetime]):
    """A UTC instant: `timestamptz` on PostgreSQL; on SQLite a fixed-width text that sorts as time."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a timestamp without time zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""None is SQL NULL, never the JSON text `null`."""
Sequenced = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only when the key's type is spelled INTEGER."""


def hash_column(name: str, *args: Any, **kw: Any) -> Column[bytes]:
    """A 16-byte hash (room for 32, should the hash ever grow)."""
    return Column(name, LargeBinary(32), *args, **kw)


def one_of(name: str, column: str, values: list[str]) -> CheckConstraint:
    """A check that `column` holds one of `values`, which are our own words and never input."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({listed})", name=name)
