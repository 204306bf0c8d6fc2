"""From what a connection's vendor sends to FHIR R4, and back: by the rule sets that are active for it, or shipped.

Law: a record is converted whole or refused with its bytes; findings name rules and places, never values
(sync-protocol.md §7.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from holovitals_pipelines.engine.record_format import format_of
from holovitals_pipelines.engine.rule_library import active_rule_set
from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import Direction, ErrorSeverity, SourceFormat
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.transform.reading import RuleSetReady
from holovitals_pipelines.transform.records import Finding, Transformed, compile_rule_set
from holovitals_pipelines.transform.versions import to_r4

VERSIONS = (SourceFormat.FHIR_STU3, SourceFormat.FHIR_DSTU2)

Found = tuple[str, str, ErrorSeverity]
"""A finding's place (`group.rule`, `source.<field>`, `validate.<target>`), its code and its severity."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a record could not be converted."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of one record. Without a body it was refused."""

    body: bytes | None
    found: tuple[Found, ...] = ()
    refused: Refused | None = None


class Conversion:
    """One way of one resource type, ready: FHIR's older versions first, then the rule set."""

    def __init__(self, ready: RuleSetReady | None, version: SourceFormat | None = None) -> None:
        self.name = ready.name if ready is not None else str(version)
        self.rule_set_hash = ready.hash if ready is not None else None
        self.error_threshold = ready.rules.options.error_threshold if ready is not None else None
        self.elements = _elements(ready) if ready is not None else frozenset()
        """Top-level elements of the source that the rule set reads."""
        self._checked_type = _checked_type(ready) if ready is not None else None
        self._version = version
        self._transform = _compiled(ready) if ready is not None else None

    def convert(self, body: bytes) -> Converted:
        """One record as the vendor, or our store, writes it. Raises nothing for a bad one."""
        try:
            document = read_document(body)
        except MalformedResource as error:
            return Converted(None, (), Refused(error.code, error.message, error.remedy))
        found: tuple[Found, ...] = ()
        if self._version is not None:
            try:
                older = to_r4(document, self._version)
            except ConfigurationError as error:
                return Converted(None, (), Refused(error.code, error.message, error.remedy))
            document = older.document
            found = tuple((path, code, ErrorSeverity.WARNING) for code, path in older.findings)
        if self._transform is not None:
            made = self._transform(document)
            found += tuple(map(_found, made.findings))
            if made.rejected:
                return Converted(None, found, _rejected(self.name, found))
            document = made.document
        made_of = write_document(document)
        return Converted(None, found, refused) if (refused := self._unsound(made_of)) else Converted(made_of, found)

    def _unsound(self, body: bytes) -> Refused | None:
        """What is wrong with a document that is to be sent; the transform stage looks at what comes in."""
        if self._checked_type is None:
            return None
        issues = (one for one in check_structure(body, self._checked_type) if one.severity is ErrorSeverity.ERROR)
        return next((Refused(one.rule, f"{one.path}: {one.message}", one.remedy) for one in issues), None)


class Conversions:
    """The conversions of one connection; each is looked up once, so that a job uses one rule set from end to end."""

    def __init__(self, database: Database, connection: ConnectionConfig) -> None:
        self._database = database
        self._connection = connection
        self._format = format_of(connection)
        self._known: dict[tuple[str, Direction], Conversion | None] = {}

    def inbound(self, resource_type: str) -> Conversion | None:
        """What makes FHIR R4 of the vendor's records; None where they are that and stay as they came."""
        return self._of(resource_type, Direction.INBOUND)

    def outbound(self, resource_type: str) -> Conversion | None:
        """What makes the vendor's form of our records; None where there is no such thing."""
        return self._of(resource_type, Direction.OUTBOUND)

    def _of(self, resource_type: str, direction: Direction) -> Conversion | None:
        key = (resource_type, direction)
        if key not in self._known:
            self._known[key] = self._look_up(resource_type, direction)
        return self._known[key]

    def _look_up(self, resource_type: str, direction: Direction) -> Conversion | None:
        if direction is Direction.OUTBOUND:
            ready = self._active(resource_type, direction, SourceFormat.FHIR_R4)
            if ready is None:
                return None
            # A vendor's FHIR interface takes FHIR, whatever its other one takes.
            foreign = (
                self._connection.format == SourceFormat.FHIR_R4
                and ready.rules.target_format is not SourceFormat.FHIR_R4
            )
            return None if foreign else Conversion(ready)
        own = self._active(resource_type, direction, self._format)
        if own is not None:
            return Conversion(own)
        if self._format not in VERSIONS:
            return None
        return Conversion(self._active(resource_type, direction, SourceFormat.FHIR_R4), self._format)

    def _active(self, resource_type: str, direction: Direction, source: SourceFormat) -> RuleSetReady | None:
        return active_rule_set(self._database, self._connection.provider, resource_type, direction, source)


def count_found(converted: Sequence[Converted]) -> list[tuple[Found, int]]:
    """Of how many records each finding was made, the most frequent first."""
    records = Counter(found for one in converted for found in dict.fromkeys(one.found))
    return sorted(records.items(), key=lambda counted: (-counted[1], counted[0]))


def _compiled(ready: RuleSetReady) -> Callable[[Document], Transformed]:
    # The tag that names the rule set would make every record another one whenever the rules' version moves.
    options = ready.rules.options.model_copy(update={"include_metadata": False})
    return compile_rule_set(replace(ready, rules=ready.rules.model_copy(update={"options": options})))


def _checked_type(ready: RuleSetReady) -> str | None:
    rules = ready.rules
    sent = rules.direction is Direction.OUTBOUND and rules.target_format is SourceFormat.FHIR_R4
    return rules.resource_type if sent and rules.options.validate_output else None


def _elements(ready: RuleSetReady) -> frozenset[str]:
    paths = [field.path for field in ready.rules.source.values()]
    paths += [group.each for group in ready.rules.groups]
    return frozenset(path.removeprefix(f"{ready.rules.resource_type}.").split(".")[0].split("[")[0] for path in paths)


def _found(finding: Finding) -> Found:
    place = finding.problem.place
    place = place if finding.group is None else f"{finding.group}.{place}"
    return place, finding.problem.code, finding.problem.severity


def _rejected(name: str, found: Sequence[Found]) -> Refused:
    errors = dict.fromkeys(f"{place}: {code}" for place, code, severity in found if severity is ErrorSeverity.ERROR)
    return Refused(
        "transform.rejected",
        f"rule set {name} rejects it: {', '.join(errors)}",
        "correct it at the vendor, or the rule set (holovitals rules preview --connection shows before and after); "
        "then holovitals sync --replay",
    )
