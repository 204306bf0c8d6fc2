"""Two versions of a rule set on the same records, as frames: their errors, their differences, their examples.

Law: frames name rules, targets and codes and count records. Values of records are in `before_and_after` only, those of
made-up examples in `examples`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pandas as pd

from holovitals_pipelines.engine.rule_workbench import (
    ExampleResult,
    Tried,
    compare_outputs,
    count_findings,
    hold_to,
    place_of,
    try_rule_set,
)
from holovitals_pipelines.fhir.exact import write_document, write_value
from holovitals_pipelines.transform.rule_schema import compare_rules
from holovitals_pipelines.workbench.rule_desk import OpenedRules, Records
from holovitals_pipelines.workbench.shown import SideBySide

_ABSENT = "(not there)"


def before_and_after(old: OpenedRules, new: OpenedRules, records: Records, limit: int = 3) -> SideBySide:
    """The first records, what the old rules make of each, and what the new ones do. **This shows health data.**"""
    samples = records.samples[:limit]
    pairs = zip(try_rule_set(old.ready, samples), try_rule_set(new.ready, samples), strict=True)
    rows = tuple((_readable(one.before), _made(one), _made(other)) for one, other in pairs)
    heads = ("record", f"made by {old.ready.name}", f"made by {new.ready.name}")
    return SideBySide(
        heads, rows, "There is no record to try the rules on: give the rule set examples (docs/rules.md)."
    )


def _made(tried: Tried) -> str:
    verdict = "rejected\n" if tried.after.rejected else ""
    found = "".join(f"{place_of(one)}: {one.problem.code}\n" for one in tried.after.findings)
    return f"{verdict}{found}{_readable(tried.after.document)}"


def _readable(document: dict[str, Any]) -> str:
    return msgspec.json.format(write_document(document), indent=2).decode()


def errors(old: OpenedRules, new: OpenedRules, records: Records) -> pd.DataFrame:
    """One row a place and code: of how many records the old and the new rules find it, the most frequent first."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for position, rules in enumerate((old, new)):
        for one in count_findings(try_rule_set(rules.ready, records.samples)):
            key = (one.place, one.code, one.severity.value.lower())
            found.setdefault(key, [0, 0])[position] = one.records
    ordered = sorted(found.items(), key=lambda one: (-max(one[1]), one[0]))
    return pd.DataFrame(
        [(*key, *counts) for key, counts in ordered], columns=["place", "code", "severity", "old", "new"]
    )


def changes(old: OpenedRules, new: OpenedRules) -> pd.DataFrame:
    """One row a member of a rule that is not the same: what the two versions say."""
    rows: list[tuple[str | None, ...]] = []
    for change in compare_rules(old.ready.rules, new.ready.rules):
        for one in change.members:
            rows.append((change.place, change.kind, one.name, _written(one.old), _written(one.new)))
        if not change.members:
            rows.append((change.place, change.kind, None, None, None))
    return pd.DataFrame(rows, columns=["place", "change", "member", "old", "new"])


def effects(old: OpenedRules, new: OpenedRules, records: Records) -> pd.DataFrame:
    """One row a thing that comes out otherwise, in records: the first rows are totals, then one a target."""
    found = compare_outputs(old.ready, new.ready, records.samples)
    rows: list[tuple[str, int]] = [
        ("records tried", found.records),
        ("come out otherwise", found.changed),
        ("newly rejected", found.newly_rejected),
        ("rejected no longer", found.no_longer_rejected),
        *((f"another value: {target}", count) for target, count in sorted(found.targets.items())),
    ]
    return pd.DataFrame(rows, columns=["what", "records"])


def examples(rules: OpenedRules) -> pd.DataFrame:
    """One row an example of the rule set: whether it holds, and what is otherwise."""
    rows = [(one.name, one.passed, "; ".join(_told(one)) or None) for one in hold_to(rules.ready, rules.examples)]
    return pd.DataFrame(rows, columns=["example", "holds", "what_is_otherwise"])


def _told(result: ExampleResult) -> Iterable[str]:
    for one in result.mismatches:
        yield f"{one.path}: expected {_written(one.expected)}, found {_written(one.found)}"
    yield from (f"the error {error} did not happen" for error in result.missing)
    yield from (f"the error {error} is not expected" for error in result.unexpected)


def _written(value: Any) -> str:
    return _ABSENT if value is None else write_value(value)
