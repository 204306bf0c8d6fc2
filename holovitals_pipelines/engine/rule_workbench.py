"""Working with rule sets before they count: tried on records, compared with one another, held to their examples.

Law: nothing here writes to a store or calls a vendor; findings and errors hold no value of a record, documents do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, RootModel

from holovitals_pipelines.engine.rule_samples import Sample, read_text
from holovitals_pipelines.fhir.exact import exactly_equal, read_value
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.model.yaml_lines import Lined
from holovitals_pipelines.model.yaml_lines import Path as YamlPath
from holovitals_pipelines.transform.columns import Row
from holovitals_pipelines.transform.json_values import as_json
from holovitals_pipelines.transform.reading import Relation, RuleSetReady
from holovitals_pipelines.transform.record_back_end import Result, compile_records, problem_numbers
from holovitals_pipelines.transform.records import Finding, Transformed, compile_rule_set

# tried on records


@dataclass(frozen=True, slots=True)
class Tried:
    number: int
    before: Document
    after: Transformed


@dataclass(frozen=True, slots=True)
class FindingCount:
    place: str
    code: str
    severity: ErrorSeverity
    count: int
    records: int


def try_rule_set(ready: RuleSetReady, records: Sequence[Sample]) -> list[Tried]:
    """Each record before and after. Nothing is kept."""
    transform = compile_rule_set(ready)
    return [Tried(one.number, one.document, transform(one.document)) for one in records]


def place_of(finding: Finding) -> str:
    """`rule`, `source.<field>` or `validate.<target>`, after the group's id and a point where it is of a group."""
    place = finding.problem.place
    return place if finding.group is None else f"{finding.group}.{place}"


def count_findings(tried: Sequence[Tried]) -> list[FindingCount]:
    """How often each place failed with each code, the most frequent first."""
    times: Counter[tuple[str, str, ErrorSeverity]] = Counter()
    records: Counter[tuple[str, str, ErrorSeverity]] = Counter()
    for one in tried:
        keys = [(place_of(f), f.problem.code, f.problem.severity) for f in one.after.findings]
        times.update(keys)
        records.update(set(keys))
    counted = [FindingCount(*key, count, records[key]) for key, count in times.items()]
    return sorted(counted, key=lambda one: (-one.count, one.place, one.code))


# compared


@dataclass(frozen=True, slots=True)
class OutputComparison:
    """How two rule sets differ on the same records; the tag that names the rule set does not count."""

    records: int
    changed: int
    """Records of which another document comes out, or which only one of the two rejects."""
    newly_rejected: int
    no_longer_rejected: int
    targets: Mapping[str, int]
    """By target, `list[].target` in groups: of how many records its value differs."""
    appeared: Mapping[tuple[str, str], int]
    """By place and code: findings that only the new rule set makes."""
    vanished: Mapping[tuple[str, str], int]


def compare_outputs(old: RuleSetReady, new: RuleSetReady, records: Sequence[Sample]) -> OutputComparison:
    """Both rule sets on the same records. No value is in the answer."""
    one, other = _without_metadata(old), _without_metadata(new)
    transforms, values = (compile_rule_set(one), compile_rule_set(other)), (_values_of(one), _values_of(other))
    changed = newly = no_longer = 0
    targets: Counter[str] = Counter()
    appeared: Counter[tuple[str, str]] = Counter()
    vanished: Counter[tuple[str, str]] = Counter()
    for record in records:
        before, after = (transform(record.document) for transform in transforms)
        newly += after.rejected and not before.rejected
        no_longer += before.rejected and not after.rejected
        same = exactly_equal(before.document, after.document) and before.rejected is after.rejected
        changed += not same
        was, now = (value(record.document) for value in values)
        targets.update(name for name in {**was, **now} if not exactly_equal(was.get(name), now.get(name)))
        found, finds = _finding_counts(before), _finding_counts(after)
        appeared += finds - found
        vanished += found - finds
    return OutputComparison(len(records), changed, newly, no_longer, targets, appeared, vanished)


def _without_metadata(ready: RuleSetReady) -> RuleSetReady:
    options = ready.rules.options.model_copy(update={"include_metadata": False})
    return replace(ready, rules=ready.rules.model_copy(update={"options": options}))


def _finding_counts(made: Transformed) -> Counter[tuple[str, str]]:
    return Counter((place_of(finding), finding.problem.code) for finding in made.findings)


def _values_of(ready: RuleSetReady) -> Callable[[Document], dict[str, Any]]:
    """What each target gets, as JSON; of a list a value for each item."""
    run = compile_records(ready.record.plan)
    lists = [
        (one, group.into, compile_records(one.plan)) for one, group in zip(ready.lists, ready.rules.groups, strict=True)
    ]

    def values(document: Document) -> dict[str, Any]:
        found = _by_target(ready.record, run, document)
        for one, into, run_item in lists:
            for item in one.each.all(document):
                for path, value in _by_target(one, run_item, item, document).items():
                    found.setdefault(f"{into}[].{path}", []).append(value)
        return found

    return values


def _by_target(
    relation: Relation, run: Callable[[Row, Sequence[int]], Result], document: Any, record: Any = None
) -> dict[str, Any]:
    row, problems = relation.reader.read(document, record)
    result = run(row, problem_numbers(relation.plan, problems))
    found = {}
    for target, value in zip(relation.plan.targets, result.values, strict=True):
        convert = as_json(target.type)
        found[target.path] = value if value is None or convert is None else convert(value)
    return found


# held to their examples


class Example(BaseModel):
    """A synthetic record, and what has to come of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: dict[str, Any]
    expect: dict[str, Any] = {}
    """The document, or a part of it. Objects may hold more than is said; lists have the items that are said."""
    errors: tuple[str, ...] = ()
    """`place:code`, each once however many items have it; what is not listed here must not happen."""


class _Examples(RootModel[tuple[Example, ...]]):
    pass


@dataclass(frozen=True, slots=True)
class Mismatch:
    path: str
    expected: Any
    found: Any


@dataclass(frozen=True, slots=True)
class ExampleResult:
    name: str
    mismatches: tuple[Mismatch, ...]
    missing: tuple[str, ...]
    """Errors that were expected and did not happen."""
    unexpected: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not (self.mismatches or self.missing or self.unexpected)


def examples_file(file: Path) -> Path:
    """Beside the rule set: `patient.examples.yml` for `patient.yml`."""
    return file.with_name(f"{file.stem}.examples.yml")


def run_examples(ready: RuleSetReady, file: Path) -> list[ExampleResult]:
    """Hold a rule set to the examples of a file. Raises ConfigurationError with file and line."""
    if not file.exists():
        remedy = "write examples there; docs/rules.md shows how"
        raise ConfigurationError(
            "the rule set has no examples", code="rules.no_examples", place=str(file), remedy=remedy
        )
    return hold_to(ready, read_examples(read_text(file), str(file)))


def hold_to(ready: RuleSetReady, examples: Sequence[Example]) -> list[ExampleResult]:
    transform = compile_rule_set(ready)
    return [_held(example, transform(example.source)) for example in examples]


def read_examples(text: str, place: str) -> tuple[Example, ...]:
    """Values are those of JSON: `true`, `false`, `null` and numbers with all their digits; all else is text."""
    remedy = "see docs/rules.md for how examples are written"
    lines: dict[YamlPath, int] = {}
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.BaseLoader)):
            raise yaml.MarkedYAMLError(problem="aliases are not read; write the value again")
        root = yaml.compose(text, yaml.BaseLoader)
        data = _plain(root, (), lines) if root is not None else []
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f"{place}:{mark.line + 1}" if mark else place
    else:
        examples = Lined(data, lines, place, "rules.examples", remedy).validated(_Examples).root
        if examples:
            return examples
        problem, where = "there is no example in it", place
    message = problem or "a character it may not hold"
    raise ConfigurationError(message, code="rules.examples", place=where, remedy=remedy)


_LITERAL = re.compile(r"true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def _plain(node: yaml.Node, path: YamlPath, lines: dict[YamlPath, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), lines) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        if node.style is None and node.value in ("", "~"):
            return None
        return read_value(node.value) if node.style is None and _LITERAL.fullmatch(node.value) else node.value
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value in found:
            raise yaml.MarkedYAMLError(problem="a key is text, and written once", problem_mark=key.start_mark)
        lines[(*path, key.value)] = key.start_mark.line + 1
        found[key.value] = _plain(value, (*path, key.value), lines)
    return found


def _held(example: Example, made: Transformed) -> ExampleResult:
    happened = {f"{place_of(finding)}:{finding.problem.code}" for finding in made.findings}
    wanted = set(example.errors)
    return ExampleResult(
        example.name,
        tuple(_mismatches(example.expect, made.document, "")),
        tuple(sorted(wanted - happened)),
        tuple(sorted(happened - wanted)),
    )


def _mismatches(expected: Any, found: Any, path: str) -> Iterator[Mismatch]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, inner in expected.items():
            yield from _mismatches(inner, found.get(name), f"{path}.{name}" if path else name)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, inner in enumerate(expected):
            yield from _mismatches(inner, found[index], f"{path}[{index}]")
    elif not exactly_equal(expected, found):
        yield Mismatch(path, expected, found)
