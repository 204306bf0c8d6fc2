"""`holovitals rules`: rule sets checked, tried on records, compared, and held to their examples before they count.

Law: values of records are shown by `preview` only; `test` shows those of its examples, which are made up.
"""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from holovitals_pipelines.cli import rule_library_commands
from holovitals_pipelines.cli.output import (
    FAILED,
    console,
    error_as_json,
    explain,
    plain_table,
    print_json,
    readable_errors,
    say,
)
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.rule_samples import Samples, open_rule_set, samples_of_connection, samples_of_file
from holovitals_pipelines.engine.rule_workbench import (
    ExampleResult,
    FindingCount,
    OutputComparison,
    Tried,
    compare_outputs,
    count_findings,
    examples_file,
    place_of,
    run_examples,
    try_rule_set,
)
from holovitals_pipelines.fhir.exact import write_document, write_value
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.reading import RuleSetReady
from holovitals_pipelines.transform.rule_schema import Change, compare_rules, rule_set_schema

rules_app = typer.Typer(
    help="Check rule sets, try them on records, compare them, run their examples, keep them in versions.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
RuleFile = Annotated[Path, typer.Argument(metavar="FILE", help="the rule set, a YAML file")]
Input = Annotated[
    Path | None,
    typer.Option("--input", metavar="DOCS", help="records: .ndjson with one a line, or .json with one or a list"),
]
Connection = Annotated[
    str | None,
    typer.Option("--connection", metavar="NAME", help="records of this connection's newest extract, as they landed"),
]

SHORT_HASH = 12
_ABSENT = "(not there)"


@rules_app.command("validate")
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="rule sets, YAML files")],
    as_json: AsJson = False,
) -> None:
    """Say what each rule set reads and makes, or what is wrong with it and on which line.

    Exit code 1 when one of them is invalid. No record is read.

    ```
    holovitals rules validate rules/patient.yml
    holovitals rules validate rules/*.yml
    ```
    """
    told: list[dict[str, Any]] = []
    invalid = False
    for file in files:
        try:
            ready = open_rule_set(file)
        except ConfigurationError as error:
            invalid = True
            told.append({"file": str(file), "valid": False, **error_as_json(error)})
            if not as_json:
                explain(error)
            continue
        told.append({"file": str(file), "valid": True, **_summary(ready)})
        if not as_json:
            _print_summary(file, ready)
    if as_json:
        print_json({"files": told})
    if invalid:
        raise typer.Exit(FAILED)


def _summary(ready: RuleSetReady) -> dict[str, Any]:
    rules = ready.rules
    types = Counter(rule.type.value for group in (rules, *rules.groups) for rule in group.rules)
    lists = list(zip(ready.lists, rules.groups, strict=True))
    return {
        "ruleSet": rules.rule_set,
        "version": rules.version,
        "hash": ready.hash,
        "provider": rules.provider.value,
        "sourceFormat": rules.source_format.value,
        "resourceType": rules.resource_type,
        "strict": rules.options.strict_mode,
        "rules": dict(sorted(types.items())),
        "reads": [
            *(field.path for field in rules.source.values()),
            *(f"{group.each}: {field.path}" for group in rules.groups for field in group.source.values()),
        ],
        "makes": [
            *(target.path for target in ready.record.plan.targets),
            *(f"{group.into}[].{target.path}" for one, group in lists for target in one.plan.targets),
        ],
    }


def _print_summary(file: Path, ready: RuleSetReady) -> None:
    told = _summary(ready)
    types = ", ".join(f"{count} {name}" for name, count in told["rules"].items())
    count = sum(told["rules"].values())
    head = f"{count} rule{'' if count == 1 else 's'} ({types})" if count else "no rules"
    made = f"{told['resourceType']} from {told['provider']}'s {told['sourceFormat']}"
    mode = "strict" if told["strict"] else "not strict"
    rest = f", hash {ready.hash[:SHORT_HASH]}: {made}, {mode}, {head}"
    say(console, Text.assemble(("✓", "green"), f" {file}: ", (ready.name, "bold"), rest))
    say(console, f"  reads {', '.join(told['reads']) or 'nothing'}")
    say(console, f"  makes {', '.join(told['makes']) or 'nothing'}")


@rules_app.command("preview")
def preview(
    file: RuleFile,
    source: Input = None,
    connection: Connection = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="how many records at the most")] = 5,
    as_json: AsJson = False,
) -> None:
    """Show records before and after, and the errors by rule. **This prints health data.**

    Nothing is stored, and no vendor is called: `--connection` takes the records as its last sync landed them.

    ```
    holovitals rules preview rules/patient.yml --input patients.ndjson
    holovitals rules preview rules/patient.yml --connection clinic --limit 20
    ```
    """
    _check_source(source, connection, needed=True)
    with readable_errors(as_json):
        ready = open_rule_set(file)
        samples = _samples(ready, source, connection, limit)
        tried = try_rule_set(ready, samples.records)
    counts = count_findings(tried)
    if as_json:
        _print_exactly(
            {
                "ruleSet": ready.name,
                "hash": ready.hash,
                "unreadable": samples.unreadable,
                "records": [_tried_as_json(one) for one in tried],
                "errors": [_count_as_json(one) for one in counts],
            }
        )
        return
    for one in tried:
        _print_tried(one)
    rejected = sum(one.after.rejected for one in tried)
    say(console, f"{ready.name}, hash {ready.hash[:SHORT_HASH]}: {len(tried):,} records, {rejected:,} rejected")
    _say_unreadable(samples)
    _print_counts(counts)


def _check_source(source: Path | None, connection: str | None, *, needed: bool) -> None:
    if source is not None and connection is not None:
        raise typer.BadParameter("records come from a file or from a connection, not from both", param_hint="--input")
    if needed and source is None and connection is None:
        raise typer.BadParameter("say which records: --input FILE or --connection NAME", param_hint="--input")


def _samples(ready: RuleSetReady, source: Path | None, connection: str | None, limit: int) -> Samples:
    if source is not None:
        return samples_of_file(source, limit, ready.rules)
    assert connection is not None
    with open_home() as home:
        return samples_of_connection(home, connection, ready.rules.resource_type, limit)


def _tried_as_json(one: Tried) -> dict[str, Any]:
    errors = [
        {"place": place_of(f), "code": f.problem.code, "severity": f.problem.severity.value, "item": f.item}
        for f in one.after.findings
    ]
    whole = {"before": one.before, "after": one.after.document}
    return {"record": one.number, "rejected": one.after.rejected, "errors": errors, **whole}


def _count_as_json(one: FindingCount) -> dict[str, Any]:
    place = {"place": one.place, "code": one.code, "severity": one.severity.value}
    return {**place, "count": one.count, "records": one.records}


def _print_tried(one: Tried) -> None:
    verdict = ("rejected", "bold red") if one.after.rejected else ("made", "green")
    say(console, Text.assemble((f"record {one.number}", "bold"), " ", verdict))
    for label, document in (("before", one.before), ("after", one.after.document)):
        say(console, f"  {label}")
        say(console, textwrap.indent(_readable(document), "    "))
    for finding in one.after.findings:
        item = "" if finding.item is None else f", item {finding.item}"
        colour = "yellow" if finding.problem.severity is ErrorSeverity.WARNING else "red"
        problem = finding.problem
        said = (problem.severity.value.lower(), colour)
        say(console, Text.assemble("  ", said, f" {place_of(finding)}: {problem.code}{item}"))
    say(console, "")


def _print_counts(counts: Sequence[FindingCount]) -> None:
    if not counts:
        say(console, "No rule found anything wrong.")
        return
    table = plain_table("place", "code", "severity", ">times", ">records")
    for one in counts:
        words = (one.place, one.code, one.severity.value.lower())
        table.add_row(*map(Text, words), f"{one.count:,}", f"{one.records:,}")
    console.print(table)


def _say_unreadable(samples: Samples) -> None:
    if samples.unreadable:
        say(console, f"{samples.unreadable:,} readings are no JSON objects and were passed over.")


@rules_app.command("diff")
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="the rule set as it was")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="the rule set as it is now")],
    source: Input = None,
    connection: Connection = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="how many records at the most")] = 1_000,
    as_json: AsJson = False,
) -> None:
    """Say what two rule sets do not share, and, with records, what that changes.

    Rules are compared by their ids, and by what they mean: order of members and comments do not count. With records it
    is counted how many come out otherwise, in which targets, and which errors are new or gone; no value is shown.

    ```
    holovitals rules diff rules/patient.yml patient-new.yml
    holovitals rules diff rules/patient.yml patient-new.yml --input patients.ndjson
    ```
    """
    _check_source(source, connection, needed=False)
    with readable_errors(as_json):
        before, after = open_rule_set(old), open_rule_set(new)
        outputs, samples = None, Samples(())
        if source is not None or connection is not None:
            samples = _samples(after, source, connection, limit)
            outputs = compare_outputs(before, after, samples.records)
    changes = compare_rules(before.rules, after.rules)
    if as_json:
        told = {name: {"ruleSet": one.name, "hash": one.hash} for name, one in (("old", before), ("new", after))}
        made = _outputs_as_json(outputs, samples) if outputs is not None else None
        print_json({**told, "changes": [_change_as_json(change) for change in changes], "outputs": made})
        return
    _print_changes(changes)
    if outputs is not None:
        _say_unreadable(samples)
        _print_outputs(outputs)


def _change_as_json(change: Change) -> dict[str, Any]:
    members = {member.name: {"old": member.old, "new": member.new} for member in change.members}
    return {"kind": change.kind, "place": change.place, "members": members}


def _print_changes(changes: Sequence[Change]) -> None:
    if not changes:
        say(console, "The rules are the same.")
    signs = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
    for change in changes:
        say(console, Text.assemble(signs[change.kind], f" {change.place} ", (change.kind, "dim")))
        for member in change.members:
            say(console, f"    {member.name}: {_written(member.old)} → {_written(member.new)}")


def _outputs_as_json(outputs: OutputComparison, samples: Samples) -> dict[str, Any]:
    return {
        "records": outputs.records,
        "unreadable": samples.unreadable,
        "changed": outputs.changed,
        "newlyRejected": outputs.newly_rejected,
        "noLongerRejected": outputs.no_longer_rejected,
        "targets": dict(outputs.targets),
        "newErrors": _errors_as_json(outputs.appeared),
        "vanishedErrors": _errors_as_json(outputs.vanished),
    }


def _errors_as_json(errors: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    return [{"place": place, "code": code, "count": count} for (place, code), count in sorted(errors.items())]


def _print_outputs(outputs: OutputComparison) -> None:
    say(console, f"{outputs.changed:,} of {outputs.records:,} records come out otherwise")
    for count, what in ((outputs.newly_rejected, "newly rejected"), (outputs.no_longer_rejected, "rejected no longer")):
        if count:
            say(console, f"  {count:,} are {what}")
    for target, count in sorted(outputs.targets.items()):
        say(console, f"  {count:>6,}  {target}")
    for errors, what in ((outputs.appeared, "new error"), (outputs.vanished, "error that is gone")):
        for (place, code), count in sorted(errors.items()):
            say(console, f"  {count:>6,}  {what}: {place}: {code}")


@rules_app.command("test")
def test(file: RuleFile, as_json: AsJson = False) -> None:
    """Run a rule set's own examples, which stand beside it: `patient.examples.yml` for `patient.yml`.

    Examples are made up, never taken from patients: a failing one is shown with its values. Exit code 1 when one
    fails. docs/rules.md shows how they are written.

    ```
    holovitals rules test rules/patient.yml
    ```
    """
    with readable_errors(as_json):
        results = run_examples(open_rule_set(file), examples_file(file))
    failed = sum(not result.passed for result in results)
    if as_json:
        _print_exactly({"examples": len(results), "failed": failed, "results": [_result_as_json(r) for r in results]})
    else:
        for result in results:
            _print_result(result)
        say(console, f"{len(results):,} example{'' if len(results) == 1 else 's'}, {failed:,} failed")
    if failed:
        raise typer.Exit(FAILED)


def _result_as_json(result: ExampleResult) -> dict[str, Any]:
    values = [{"path": one.path, "expected": one.expected, "found": one.found} for one in result.mismatches]
    errors = {"missingErrors": list(result.missing), "unexpectedErrors": list(result.unexpected)}
    return {"name": result.name, "passed": result.passed, "values": values, **errors}


def _print_result(result: ExampleResult) -> None:
    say(console, Text.assemble(("✓", "green") if result.passed else ("✗", "bold red"), f" {result.name}"))
    for one in result.mismatches:
        say(console, f"    {one.path}: expected {_written(one.expected)}, found {_written(one.found)}")
    for error in result.missing:
        say(console, f"    expected the error {error}, which did not happen")
    for error in result.unexpected:
        say(console, f"    found the error {error}, which is not expected")


rule_library_commands.add_to(rules_app)


@rules_app.command("schema")
def schema() -> None:
    """Print the JSON Schema of rule sets, by which editors check and complete them.

    ```
    holovitals rules schema > rule-set.schema.json
    ```

    Then let the first line of a rule set be `# yaml-language-server: $schema=rule-set.schema.json`.
    """
    print_json(rule_set_schema())


def _written(value: Any) -> str:
    return _ABSENT if value is None else write_value(value)


def _readable(document: Document) -> str:
    """JSON over several lines; numbers keep their digits."""
    return msgspec.json.format(write_document(document), indent=2).decode()


def _print_exactly(answer: Document) -> None:
    sys.stdout.write(_readable(answer) + "\n")
