"""What all shapes have in common: camelCase outside, no unknown fields in, pages, problems.

Law: what a shape does not name is refused on the way in and never sent on the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

T = TypeVar("T")
AnyJson = Any


class Told(BaseModel):
    """What is answered."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class Asked(BaseModel):
    """What is sent."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=False, validate_by_alias=True, extra="forbid", frozen=True
    )


def shown_as(example: dict[str, AnyJson]) -> ConfigDict:
    """The configuration of something that is sent, with a whole request as its example."""
    return ConfigDict(**Asked.model_config | {"json_schema_extra": {"examples": [example]}})


class PageOf(Told, Generic[T]):
    """One page of a list."""

    items: Sequence[T]
    next: Annotated[
        str | None, Field(description="`cursor` of the next page; null: this was the last", examples=["WyJqb2JzIl0"])
    ] = None


class FieldProblem(Told):
    field: Annotated[str, Field(examples=["body.priority"])]
    code: Annotated[str, Field(examples=["less_than_equal"])]
    message: Annotated[str, Field(examples=["Input should be less than or equal to 5"])]


class Problem(Told):
    """RFC 9457 problem details: what happened, where, and what to do about it. It repeats no value."""

    type: Annotated[str, Field(examples=["urn:holovitals:problem:record.changed"])]
    title: Annotated[str, Field(examples=["Precondition Failed"])]
    status: Annotated[int, Field(examples=[412])]
    detail: Annotated[str, Field(examples=["the record has version 4, the change was made on 3"])]
    code: Annotated[str, Field(description="stable; greppable", examples=["record.changed"])]
    place: str | None = None
    remedy: Annotated[str | None, Field(examples=["read it again and repeat the change"])] = None
    instance: Annotated[str | None, Field(description="the call's id, as X-Request-Id has it")] = None
    errors: Annotated[list[FieldProblem] | None, Field(description="the fields that do not fit")] = None


def _storable(value: str) -> str:
    """PostgreSQL stores no NUL."""
    if "\x00" in value:
        raise ValueError("a NUL character cannot be kept")
    return value


Text = Annotated[str, AfterValidator(_storable)]
Name = Annotated[Text, StringConstraints(min_length=1, max_length=256)]
Reason = Annotated[
    Text,
    StringConstraints(min_length=1, max_length=2000, pattern=r"\S"),
    Field(description="why, for whoever asks later", examples=["Remote data is more recent"]),
]
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def _in_range(value: datetime) -> datetime:
    if not _EARLIEST <= value <= _LATEST:
        raise ValueError("the time is out of range")
    return value.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_in_range), Field(examples=["2026-03-01T00:00:00Z"])]
Limit = Annotated[int, Field(ge=1, le=1000)]
