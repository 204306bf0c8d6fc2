"""`holovitals rules save|versions|show|activate|deactivate`: rule sets in the operational store, in versions.

Law: nothing here shows a record; what is shown of a rule set is what people wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from holovitals_pipelines.cli.acting import acting
from holovitals_pipelines.cli.output import console, errors, print_json, readable_errors, say
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.rule_library import (
    Activated,
    activate,
    deactivate,
    history,
    save_rule_set,
    stored_version,
    told_records,
    versions,
)
from holovitals_pipelines.engine.rule_samples import read_text
from holovitals_pipelines.store.rule_sets import RuleSetEvent, StoredRuleSet
from holovitals_pipelines.transform.shipped_rule_sets import shipped_as_written, shipped_rule_sets

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
Version = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="one version, as `clinic/patient@1.2.0`")]
Actor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="who acts; default: the operating system's user")
]


def add_to(rules: typer.Typer) -> None:
    rules.command("save")(save)
    rules.command("versions")(list_versions)
    rules.command("show")(show)
    rules.command("activate")(activate_version)
    rules.command("deactivate")(deactivate_name)


def save(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the rule set, a YAML file")],
    activate_it: Annotated[bool, typer.Option("--activate", help="let jobs use it from now on")] = False,
    comment: Annotated[str | None, typer.Option("--comment", metavar="TEXT", help="why, kept with the version")] = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Keep a rule set in the store, as the version it says it is.

    It is read and checked first. A version never changes: other text under the same name and version is refused,
    the same text again changes nothing. Jobs go on as before until a version is activated.

    ```
    holovitals rules save rules/patient.yml --comment "the clinic writes F and M"
    holovitals rules save rules/patient.yml --activate
    ```
    """
    person = acting(actor)
    activated = None
    with readable_errors(as_json):
        text = read_text(file)
        with open_home() as home:
            stored = save_rule_set(home.database, text, str(file), person, comment)
            if activate_it:
                activated = activate(home.database, stored.name, stored.version, person)
                stored = activated.stored
    if as_json:
        print_json(_as_json(stored) | {"replaced": _replaced(activated)})
        return
    _say_done(stored, f" is in the store, saved by {stored.saved_by}: {told_records(stored)}")
    if activated is not None:
        _say_activated(activated)
    elif not stored.active:
        say(console, f"  jobs do not use it yet: holovitals rules activate {stored.full_name}")


def list_versions(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="one rule set; default: all")] = None,
    shipped: Annotated[bool, typer.Option("--shipped", help="list the rule sets that we ship as well")] = False,
    as_json: AsJson = False,
) -> None:
    """List the versions in the store, the newest of each rule set first, and which of them jobs use.

    With a name its history is told too: who saved, activated and deactivated which version.

    ```
    holovitals rules versions
    holovitals rules versions clinic/patient
    ```
    """
    with readable_errors(as_json), open_home() as home:
        found = versions(home.database, name)
        events = history(home.database, name) if name is not None else []
    ours = shipped_rule_sets() if shipped else ()
    if as_json:
        told: dict[str, Any] = {"versions": [_as_json(one) for one in found]}
        if name is not None:
            told["history"] = [_event_as_json(event) for event in events]
        if shipped:
            told["shipped"] = [{"ruleSet": one.rules.rule_set, "version": one.rules.version} for one in ours]
        print_json(told)
        return
    if not found and not ours:
        say(
            console, "No rule set is in the store: holovitals rules save FILE keeps one; --shipped lists those we ship."
        )
        return
    for one in found:
        state = ("active", "green") if one.active else ("saved", "dim")
        said = f"\n    {told_records(one)}, saved by {one.saved_by} at {one.saved_at:%Y-%m-%d %H:%M} UTC"
        why = f": {one.comment}" if one.comment else ""
        say(console, Text.assemble((one.full_name, "bold"), "  ", state, said, why))
    for ready in ours:
        say(console, Text.assemble((ready.name, "bold"), "  ", ("shipped", "dim")))
    for event in events:
        cause = f", replaced by {event.cause}" if event.cause else ""
        say(console, f"{event.at:%Y-%m-%d %H:%M:%S}  {event.actor} {event.action} {event.version}{cause}")


def show(version: Version, as_json: AsJson = False) -> None:
    """Print a version as it was written: one in the store, or one that we ship.

    Only its text goes to standard output, so it can be sent to a file and worked on.

    ```
    holovitals rules show nextgen/patient@1.0.0 > patient.yml
    ```
    """
    name, number = _parted(version)
    ours = shipped_as_written().get(version)
    with readable_errors(as_json), open_home() as home:
        saved = any(one.full_name == version for one in versions(home.database))
        stored = stored_version(home.database, name, number) if saved or ours is None else None
    text = stored.text if stored is not None else ours.text if ours is not None else ""
    if as_json:
        told = _as_json(stored) if stored is not None else {"ruleSet": name, "version": number, "shipped": True}
        print_json(told | {"text": text})
        return
    if stored is None:
        say(errors, f"{version} is shipped")
    else:
        state = "active" if stored.active else "not active"
        said = f", {stored.comment}" if stored.comment else ""
        say(errors, f"{version}, {state}, saved by {stored.saved_by} at {stored.saved_at:%Y-%m-%d %H:%M} UTC{said}")
    sys.stdout.write(text)


def activate_version(version: Version, actor: Actor = None, as_json: AsJson = False) -> None:
    """Let jobs use this version, in place of what was active for the same records, or of the rule set we ship.

    ```
    holovitals rules activate clinic/patient@1.2.0
    ```
    """
    name, number = _parted(version)
    person = acting(actor)
    with readable_errors(as_json), open_home() as home:
        done = activate(home.database, name, number, person)
    if as_json:
        print_json(_as_json(done.stored) | {"replaced": _replaced(done)})
        return
    _say_activated(done)


def deactivate_name(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the rule set, as `clinic/patient`")],
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Let jobs use no version of this rule set: the one that we ship is used again, where there is one.

    Its versions stay in the store.

    ```
    holovitals rules deactivate clinic/patient
    ```
    """
    person = acting(actor)
    with readable_errors(as_json), open_home() as home:
        stored = deactivate(home.database, name, person)
    if as_json:
        print_json(_as_json(stored))
        return
    _say_done(stored, " is active no longer")


def _parted(version: str) -> tuple[str, str]:
    name, at, number = version.rpartition("@")
    if not (name and at and number):
        raise typer.BadParameter(f"{version!r} names no version: write it as NAME@1.2.0", param_hint="NAME@VERSION")
    return name, number


def _say_done(stored: StoredRuleSet, what: str) -> None:
    say(console, Text.assemble(("✓", "green"), " ", (stored.full_name, "bold"), what))


def _say_activated(done: Activated) -> None:
    instead = f", in place of {', '.join(one.full_name for one in done.replaced)}" if done.replaced else ""
    _say_done(done.stored, f" is active for {told_records(done.stored)}{instead}")
    say(console, "  the next jobs use it; holovitals sync CONNECTION --replay makes anew what has landed already")


def _replaced(done: Activated | None) -> list[str]:
    return [] if done is None else [one.full_name for one in done.replaced]


def _as_json(stored: StoredRuleSet) -> dict[str, Any]:
    return {
        "ruleSet": stored.name,
        "version": stored.version,
        "hash": stored.content_hash,
        "provider": stored.provider,
        "resourceType": stored.resource_type,
        "direction": stored.direction,
        "sourceFormat": stored.source_format,
        "active": stored.active,
        "savedBy": stored.saved_by,
        "savedAt": stored.saved_at.isoformat(),
        "comment": stored.comment,
    }


def _event_as_json(event: RuleSetEvent) -> dict[str, Any]:
    told = {"version": event.version, "action": event.action, "actor": event.actor}
    return told | {"at": event.at.isoformat(), "cause": event.cause}
