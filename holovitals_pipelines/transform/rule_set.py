"""Rule sets as they are written in YAML: nine types of rules, the fields they read, and what must hold of the result.

Law: what a rule set says is complete and typed before any record is seen; a mistake names its line (docs/rules.md).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from holovitals_pipelines.model.vocabulary import Direction, Provider, RuleType, SourceFormat
from holovitals_pipelines.transform.columns import ColumnType


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True)


Scalar = str | int | float | bool | None
RuleId = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60)]
"""Also the name by which later rules' expressions read this rule's value."""


def _path(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class SourceField(_Strict):
    """A column read from the source: by a path in a document (transform/paths.py), or a column of a table."""

    path: str = Field(min_length=1, max_length=500)
    type: ColumnType = ColumnType.STRING


class _Rule(_Strict):
    id: RuleId
    name: str | None = Field(default=None, max_length=128)
    priority: int = 100
    """Where several rules make one target, the first by priority (then by place) that yields a value makes it."""
    enabled: bool = True
    condition: str | None = None
    """An expression; the rule is applied where it is true."""


class _Made(_Rule):
    target: str = Field(min_length=1, max_length=300)
    """Where the value goes: a path of members and list positions, `name[0].family`."""
    required: bool = False
    """No value is an error."""
    default_value: Scalar = None
    """Taken where the rule yields no value and made no error."""


class FieldMapping(_Made):
    """The source's value as it is. Makes the source's type."""

    type: Literal[RuleType.FIELD_MAPPING]
    source: str


class ValueMapping(_Made):
    """One code for another. Makes a string."""

    type: Literal[RuleType.VALUE_MAPPING]
    source: str
    map: dict[str, str] = Field(min_length=1)
    on_missing: Literal["error", "null", "pass"] = "error"
    ignore_case: bool = False


class DataTypeConversion(_Made):
    """A text read as another type, or a value written as text."""

    type: Literal[RuleType.DATA_TYPE_CONVERSION]
    source: str
    to: ColumnType
    format: Annotated[tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)] = ()
    """strptime formats tried in order, for `date` and `dateTime`; without one: as FHIR writes them."""
    scale: Annotated[int, Field(ge=0, le=9)] | None = None
    """Digits after the point, rounded half away from zero, for `decimal` and `number`."""
    timezone: str | None = None
    """The zone of times written without an offset: an IANA or a Windows name."""
    on_ambiguous: Literal["error", "earlier", "later"] = "error"
    """What becomes of local times that a clock shows twice; those it never shows are always errors."""
    true_values: tuple[str, ...] = ("true", "t", "yes", "y", "1")
    false_values: tuple[str, ...] = ("false", "f", "no", "n", "0")


class Concatenation(_Made):
    """Texts joined. Makes a string; null when all parts are, or, without `skip_null`, when any is."""

    type: Literal[RuleType.CONCATENATION]
    source: tuple[str, ...] = Field(min_length=2)
    separator: str = ""
    skip_null: bool = True


class Split(_Rule):
    """A text taken apart. Makes strings; empty parts are null."""

    type: Literal[RuleType.SPLIT]
    source: str
    target: tuple[str | None, ...] = Field(min_length=1)
    """A place for each part; null where a part is not wanted."""
    separator: str = Field(min_length=1)
    exactly: bool = True
    """Another number of parts is an error; else what is missing is null, and what is too much stays in the last."""
    trim: bool = True
    required: bool = False


class Calculation(_Made):
    """An expression's value. Makes the expression's type."""

    type: Literal[RuleType.CALCULATION]
    expr: str


class Case(_Strict):
    when: str
    then: str


class Conditional(_Made):
    """The first case that holds. Makes the type that all its values share."""

    type: Literal[RuleType.CONDITIONAL]
    cases: tuple[Case, ...] = Field(min_length=1)
    otherwise: str | None = Field(default=None, alias="else")


class Lookup(_Made):
    """A value from a versioned table (transform/tables.py). Makes a string."""

    type: Literal[RuleType.LOOKUP]
    source: str
    table: str
    """`name@version`."""
    value: str
    """The table's column that is taken; its key is declared with the table."""
    on_missing: Literal["error", "null", "pass"] = "error"


class CustomFunction(_Made):
    """A registered function (transform/functions.py). Makes the type that it declares."""

    type: Literal[RuleType.CUSTOM_FUNCTION]
    source: Annotated[tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
    function: str
    """`name@version`."""


Rule = Annotated[
    FieldMapping
    | ValueMapping
    | DataTypeConversion
    | Concatenation
    | Split
    | Calculation
    | Conditional
    | Lookup
    | CustomFunction,
    Field(discriminator="type"),
]


class Validation(_Strict):
    """What must hold of a target; without a value only `required` speaks."""

    target: str
    required: bool = False
    range: tuple[float | int | str | None, float | int | str | None] | None = None
    """Least and greatest, both allowed, null for none: numbers, or dates as texts."""
    among: tuple[Scalar, ...] | None = Field(default=None, alias="in")
    pattern: str | None = None
    """A regular expression that the whole text matches, in the syntax of docs/expressions.md."""
    exists: str | None = None
    """`name@version` of a table whose key it must be."""
    severity: Literal["error", "warning"] = "error"


class RuleGroup(_Strict):
    """Fields, rules and validations over one relation: a row for each record, or for each item of a list."""

    source: dict[str, Annotated[SourceField, BeforeValidator(_path)]] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    validations: tuple[Validation, ...] = Field(default=(), alias="validate")


class ListGroup(RuleGroup):
    """The items of a list in the source, each made an item of a list in the target."""

    id: RuleId
    each: str
    """The path of the source's list."""
    into: str
    """The path of the target's list; several groups may add to one list, in their order."""


class Options(_Strict):
    strict_mode: bool = True
    """A record with an error is quarantined whole; otherwise the value is left out and the error recorded."""
    error_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """In strict mode: a batch with a greater share of quarantined records fails as a whole."""
    validate_output: bool = True
    """Outbound, where FHIR is made: a document of wrong structure is not sent. What comes in is checked anyway."""
    preserve_unmapped: bool = False
    """What no value was made of is kept in an extension (transform/unmapped.py)."""
    base_on_source: bool = False
    """The document begins as the record was read, and what rules make goes into it: for sources that are FHIR
    already. Such a rule set has no groups."""
    include_metadata: bool = True


class RuleSet(RuleGroup):
    """One rule set: everything that makes one resource type of one provider's records, in one direction."""

    rule_set: str = Field(pattern=r"^[a-z0-9][a-z0-9/_.-]*$", max_length=120)
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    owner: str = ""
    description: str = ""
    provider: Provider
    resource_type: str
    direction: Literal[Direction.INBOUND, Direction.OUTBOUND] = Direction.INBOUND
    source_format: SourceFormat
    target_format: SourceFormat = SourceFormat.FHIR_R4
    options: Options = Options()
    volatile: tuple[str, ...] = ()
    """Paths of what is no content: a change of it is no change of the record, so it is not kept in the rest either. The
    record as it was sent stays in the landing zone."""
    groups: tuple[ListGroup, ...] = ()
