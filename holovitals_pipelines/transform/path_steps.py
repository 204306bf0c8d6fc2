"""Source paths as steps: the subset of FHIRPath that rules may read with.

Law: what is accepted means what it means in FHIRPath; everything else is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holovitals_pipelines.fhir.resource_types import RESOURCE_TYPES
from holovitals_pipelines.transform.path_text import PathError, Scanner, Token, malformed, unsupported

RECORD = "%record"
"""Reads from the whole record where the path would read from an item of a list."""


@dataclass(frozen=True, slots=True)
class Member:
    """The values of a member, of every item; lists are flattened."""

    name: str
    sidecar: bool = False
    """Read `_name` too, where FHIR's JSON keeps a primitive's extensions."""


@dataclass(frozen=True, slots=True)
class Item:
    """One of all the values found so far: -1 is the last."""

    position: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What is said about all the values found so far; always the last step."""

    of: Literal["exists", "empty", "count"]


@dataclass(frozen=True, slots=True)
class Where:
    """Those of the values that fulfil the criterion."""

    criterion: Criterion


@dataclass(frozen=True, slots=True)
class Equals:
    """The path finds exactly this one value; negated: it finds a value, but not this one alone."""

    steps: tuple[Step, ...]
    literal: str | int | bool
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Holds:
    """The path, which ends in `exists()` or `empty()`, says so."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Criterion, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Criterion, ...]


Criterion = Equals | Holds | AllOf | AnyOf
Step = Member | Item | Where | Summary


def parse_source(text: str) -> tuple[bool, tuple[Step, ...]]:
    """Whether the path reads from the whole record, and its steps. Raises PathError."""
    scanner = Scanner(text)
    start = scanner.ahead
    if start.kind == "end":
        raise malformed("the path is empty", start)
    of_record = start.kind == "variable" and start.value == RECORD
    if of_record:
        scanner.take()
        scanner.expect(".")
    steps = _steps(scanner)
    if (token := scanner.ahead).kind != "end":
        raise _refused(token)
    return of_record, steps


def _steps(scanner: Scanner) -> tuple[Step, ...]:
    steps: list[Step] = []
    _add_invocation(scanner, steps)
    while True:
        token = scanner.ahead
        if token.is_symbol(".", "[") and isinstance(steps[-1], Summary):
            raise malformed(f"nothing can follow {steps[-1].of}()", token)
        if scanner.takes("."):
            _add_invocation(scanner, steps)
        elif scanner.takes("["):
            steps.append(_position(scanner))
        else:
            return tuple(steps)


def _position(scanner: Scanner) -> Item:
    token = scanner.take()
    if token.kind != "integer":
        raise malformed("between [ and ] stands a position, counted from 0", token)
    scanner.expect("]")
    return Item(int(token.value))


def _add_invocation(scanner: Scanner, steps: list[Step]) -> None:
    token = scanner.take()
    if token.kind == "name" and scanner.ahead.is_symbol("("):
        _add_function(token, scanner, steps)
    elif token.is_member:
        if not steps and token.is_word("true", "false"):
            raise malformed(f"{token.value} is a value; a member of that name stands between backticks", token)
        steps.append(Member(token.value))
    else:
        raise _refused(token, "the name of a member or a function is missing")


def _add_function(name: Token, scanner: Scanner, steps: list[Step]) -> None:
    """Append what `name(…)` means; the scanner stands before the opening parenthesis."""
    if name.value not in _TAKEN:
        raise _not_taken(name)
    scanner.expect("(")
    argument = scanner.ahead
    match name.value:
        case "where":
            steps.append(Where(_criteria(scanner)))
        case "extension":
            url = _text(scanner)
            if steps and isinstance(last := steps[-1], Member):
                steps[-1] = Member(last.name, sidecar=True)
            steps += [Member("extension"), Where(Equals((Member("url"),), url))]
        case "ofType":
            _add_type(scanner, name, steps)
        case _ if not argument.is_symbol(")"):
            remedy = f"write .where(…).{name.value}()" if name.value == "exists" else "leave the parentheses empty"
            raise unsupported(f"{name.value}() with an argument", argument, remedy)
        case "first":
            steps.append(Item(0))
        case "last":
            steps.append(Item(-1))
        case "exists" | "empty" | "count" as of:
            steps.append(Summary(of))
    scanner.expect(")")


def _add_type(scanner: Scanner, name: Token, steps: list[Step]) -> None:
    """`value.ofType(Quantity)` is the member `valueQuantity`; of a resource type: the resources that are of it."""
    token = scanner.take()
    if token.kind != "name":
        raise malformed("ofType() takes the name of a type", token)
    type_name = token.value
    if type_name in RESOURCE_TYPES:
        steps.append(Where(Equals((Member("resourceType"),), type_name)))
        return
    if not steps or not isinstance(last := steps[-1], Member):
        raise unsupported("ofType() after anything but a member", name, "write value.ofType(Quantity) first, then pick")
    steps[-1] = Member(last.name + type_name[0].upper() + type_name[1:])


def _text(scanner: Scanner) -> str:
    token = scanner.take()
    if token.kind != "text":
        raise malformed("a text between single quotes is missing", token)
    return token.value


def _criteria(scanner: Scanner) -> Criterion:
    """`and` binds closer than `or`, as in FHIRPath."""
    parts = [_conjunction(scanner)]
    while scanner.ahead.is_word("or"):
        scanner.take()
        parts.append(_conjunction(scanner))
    if not scanner.ahead.is_symbol(")"):
        raise _refused(scanner.ahead)
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def _conjunction(scanner: Scanner) -> Criterion:
    parts = [_criterion(scanner)]
    while scanner.ahead.is_word("and"):
        scanner.take()
        parts.append(_criterion(scanner))
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _criterion(scanner: Scanner) -> Criterion:
    if scanner.ahead.is_symbol("("):
        raise unsupported("grouping with parentheses", scanner.ahead, "`and` binds closer than `or`; write it out")
    start = scanner.ahead
    steps = _steps(scanner)
    operator = scanner.ahead
    if operator.is_symbol("=", "!="):
        scanner.take()
        return Equals(steps, _literal(scanner), negated=operator.value == "!=")
    if isinstance(last := steps[-1], Summary) and last.of != "count":
        return Holds(steps)
    if not operator.is_symbol(")") and not operator.is_word("and", "or"):
        raise _refused(operator)
    raise malformed("a criterion compares a member (= or !=) or ends in exists() or empty()", start)


def _literal(scanner: Scanner) -> str | int | bool:
    token = scanner.take()
    if token.kind == "text":
        return token.value
    if token.kind == "integer" and not scanner.ahead.is_symbol("."):
        return int(token.value)
    if token.is_word("true", "false"):
        return token.value == "true"
    raise malformed("a criterion compares with 'a text', a whole number, true or false", token)


_TAKEN = frozenset({"where", "extension", "ofType", "first", "last", "exists", "empty", "count"})
_OTHERS = """
abs aggregate all allFalse allTrue anyFalse anyTrue as ceiling checkModifiers children combine conformsTo contains
convertsToBoolean convertsToDate convertsToDateTime convertsToDecimal convertsToInteger convertsToQuantity
convertsToString convertsToTime descendants distinct elementDefinition endsWith exclude exp floor getValue hasValue
highBoundary htmlChecks iif indexOf intersect is isDistinct join length ln log lowBoundary lower matches memberOf
not now power repeat replace replaceMatches resolve round select single skip slice split sqrt startsWith subsetOf
substring subsumedBy subsumes supersetOf tail take timeOfDay toBoolean toChars toDate toDateTime toDecimal toInteger
toQuantity toString toTime today trace trim truncate type union upper
"""
"""FHIRPath's other functions, and those that FHIR adds."""
_INSTEAD = {
    "as": "write .ofType(…)",
    "single": "leave it out: a field takes exactly one value anyway",
    "hasValue": "write .exists()",
    "getValue": "leave it out",
}


def _not_taken(name: Token) -> PathError:
    if name.value in _OTHERS.split():
        remedy = _INSTEAD.get(name.value, "read the members, and compute in a rule")
        return unsupported(f"{name.value}()", name, remedy)
    message = f"there is no function {name.value}(); the functions are {', '.join(sorted(_TAKEN))}"
    return PathError(message, name.position, code="path.unknown_function")


_OPERATOR_WORDS = ("is", "as", "in", "contains", "implies", "and", "or", "xor", "div", "mod")
_OPERATORS = ("|", "&", "+", "-", "*", "/", "<", ">", "<=", ">=", "~", "!~", "=", "!=")
_REMEDIES = {
    "|": "read each path as a field of its own, and let a rule take the first that is there",
    "-": "a name with a hyphen stands between backticks: `first-name`",
}


def _refused(token: Token, otherwise: str = "") -> PathError:
    if token.kind == "variable":
        remedy = f"only {RECORD}., at the beginning, is known"
        return unsupported(token.value, token, remedy)
    if token.is_symbol("{", "@"):
        return unsupported("{}" if token.value == "{" else "date literals", token)
    if token.is_symbol(*_OPERATORS) or token.is_word(*_OPERATOR_WORDS):
        remedy = _REMEDIES.get(token.value, "compute in a rule; criteria stand inside where(…)")
        return unsupported(f"{token.value} operator", token, remedy)
    if otherwise:
        return malformed(otherwise, token)
    if token.kind == "end":
        return malformed("the path ends too early", token)
    return malformed("a dot or the end of the path is missing", token)
