"""`holovitals conflicts`: what contradicts, what to hold of it, and undoing what was decided.

Law: values of resources are shown by `conflicts show`, and before a question is asked; nowhere else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from holovitals_pipelines.cli.acting import acting
from holovitals_pipelines.cli.conflict_output import (
    SHORT_ID,
    listed_as_json,
    needs_approval,
    print_list,
    print_shown,
    print_statistics,
    shown_as_json,
    statistics_as_json,
)
from holovitals_pipelines.cli.output import console, print_json, readable_errors, say
from holovitals_pipelines.engine.choices import Choice
from holovitals_pipelines.engine.conflict_statistics import conflict_statistics
from holovitals_pipelines.engine.conflict_view import (
    ShownConflict,
    decision_code,
    find_conflict_id,
    matching_conflicts,
    show_conflict,
)
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.revert import revert_conflict
from holovitals_pipelines.engine.review import approve_conflict, decide_conflict, mark_reviewed, withdraw_decision
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictStatus, ResolutionStrategy
from holovitals_pipelines.store.conflicts import OPEN, StoredConflict

conflicts_app = typer.Typer(
    help="List conflicts, look at one side by side, decide it, undo it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
ConflictId = Annotated[str, typer.Argument(metavar="ID", help="the conflict; the beginning of its id is enough")]
Actor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="who decides; default: the operating system's user")
]
Revision = Annotated[
    int | None,
    typer.Option("--revision", metavar="N", min=1, help="the revision you looked at; needed outside a terminal"),
]

_BY_A_PERSON = tuple(
    strategy.value
    for strategy in ResolutionStrategy
    if strategy not in (ResolutionStrategy.MERGE, ResolutionStrategy.CUSTOM)
)
_STATUSES: Mapping[str, tuple[str, ...] | None] = {
    "open": OPEN,
    "resolved": (ConflictStatus.RESOLVED.value, ConflictStatus.IGNORED.value),
    "all": None,
}
_CHOICE = re.compile(r"(?P<unit>.+?)=(?:(?P<side>local|remote|remove)|value:(?P<value>.*))", re.DOTALL)


@conflicts_app.command("list")
def list_conflicts(
    connection: Annotated[str | None, typer.Option(help="only this connection")] = None,
    resource_type: Annotated[str | None, typer.Option("--type", "-t", help="only this resource type")] = None,
    status: Annotated[
        str | None, typer.Option(metavar="open|resolved|all", help="default: open; with --post-review: all")
    ] = None,
    severity: Annotated[
        list[str] | None, typer.Option(metavar="SEVERITY", help="only CRITICAL, HIGH, MEDIUM or LOW; repeatable")
    ] = None,
    post_review: Annotated[
        bool, typer.Option("--post-review", help="only automatic decisions that a person has yet to look at")
    ] = False,
    patient: Annotated[
        str | None, typer.Option(metavar="REF", help="only about this patient, as the record refers to it")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="how many at the most")] = 50,
    as_json: AsJson = False,
) -> None:
    """List conflicts, the worst first and then the oldest. No value of a resource is shown.

    ```
    holovitals conflicts list                              # what waits for a decision
    holovitals conflicts list --severity CRITICAL
    holovitals conflicts list --post-review                # decided by policy, to be looked at
    holovitals conflicts list --status all --patient Patient/123
    ```
    """
    wanted = _one_of("--status", status or ("all" if post_review else "open"), _STATUSES)
    severities = [_one_of("--severity", one.upper(), ConflictSeverity.__members__) for one in severity or ()]
    with readable_errors(as_json), open_home() as home:
        if connection is not None:
            home.connection(connection)
        found = matching_conflicts(
            home.database,
            connection=connection,
            resource_type=resource_type,
            statuses=_STATUSES[wanted],
            severities=severities or None,
            post_review="due" if post_review else None,
            patient=patient,
            limit=limit,
        )
    if as_json:
        print_json([listed_as_json(conflict, elements) for conflict, elements in found])
    elif not found:
        say(console, "There is no such conflict.")
    else:
        print_list(found)
        if len(found) == limit:
            say(console, f"The first {limit} are shown; more with --limit.")


def _one_of(option: str, value: str, known: Mapping[str, Any]) -> str:
    if value not in known:
        raise typer.BadParameter(f"choose from {', '.join(known)}", param_hint=option)
    return value


@conflicts_app.command("show")
def show(conflict_id: ConflictId, as_json: AsJson = False) -> None:
    """One conflict, unit by unit: what both sides agreed on last, what each holds now, and what is proposed.

    **This prints health data.** The beginning of the id is enough, here and in the other commands. `local` is what is
    held here, `remote` what the vendor holds. Values are JSON; in the JSON answer each value is a text that holds JSON,
    so that no digit is lost.
    """
    with readable_errors(as_json), open_home() as home:
        shown = show_conflict(home.database, find_conflict_id(home.database, conflict_id))
    if as_json:
        print_json(shown_as_json(shown))
    else:
        print_shown(shown)


@conflicts_app.command("resolve")
def resolve(
    conflict_id: ConflictId,
    strategy: Annotated[str, typer.Option(metavar="|".join(_BY_A_PERSON), help="who wins; MANUAL: as --choose says")],
    reason: Annotated[str, typer.Option(help="why, for whoever asks later")],
    choose: Annotated[
        list[str] | None,
        typer.Option(
            metavar="UNIT=CHOICE",
            help="with MANUAL, for each unit in conflict: local, remote, remove, or value:JSON. "
            "UNIT is its number or its name, as `show` has them",
        ),
    ] = None,
    revision: Revision = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Decide a conflict. The decision counts for the values of one revision; should they change, it is asked again.

    In a terminal the units are shown and you are asked, unless `--revision` says what you have looked at. Scripts
    have to say it. LAST_WRITE_WINS and FIRST_WRITE_WINS are refused for critical conflicts and where times are unclear.

    ```
    holovitals conflicts resolve 5fde --strategy REMOTE_WINS --reason "the registry is right" --revision 1
    holovitals conflicts resolve 5fde --strategy MANUAL --reason "asked the patient" --revision 2 \\
        --choose 1=local --choose 'birthDate=value:"1951-02-03"' --choose 3=remove
    ```
    """
    how = ResolutionStrategy(_one_of("--strategy", strategy.upper(), dict.fromkeys(_BY_A_PERSON)))
    wanted = [_parsed(text) for text in choose or ()]
    if (how is ResolutionStrategy.MANUAL) is not bool(wanted):
        raise typer.BadParameter("MANUAL, and only MANUAL, takes choices", param_hint="--choose")
    with readable_errors(as_json), open_home() as home:
        shown = show_conflict(home.database, find_conflict_id(home.database, conflict_id))
        choices = _by_name(shown, wanted)
        seen = revision or _ask(shown, "Decide so?", as_json)
        decided = decide_conflict(
            home.database,
            shown.conflict.conflict_id,
            how,
            revision=seen,
            actor=acting(actor),
            reason=reason,
            choices=choices,
        )
    _report(decided, as_json)


def _parsed(text: str) -> tuple[str, Choice]:
    match = _CHOICE.fullmatch(text)
    if match is None:
        raise typer.BadParameter("write UNIT=local, UNIT=remote, UNIT=remove or UNIT=value:JSON", param_hint="--choose")
    if match["side"] in ("local", "remote"):
        return match["unit"], Choice(match["side"])
    return match["unit"], Choice("value", match["value"])


def _by_name(shown: ShownConflict, wanted: Sequence[tuple[str, Choice]]) -> dict[str, Choice]:
    """A number is a unit's, unless a unit has that very name."""
    names = [unit.unit for unit in shown.open_units]
    found: dict[str, Choice] = {}
    for text, choice in wanted:
        is_number = text not in names and text.isdecimal() and 1 <= int(text) <= len(names)
        name = names[int(text) - 1] if is_number else text
        if name in found:
            raise typer.BadParameter("a unit is chosen twice", param_hint="--choose")
        found[name] = choice
    return found


def _ask(shown: ShownConflict, question: str, as_json: bool) -> int:
    """The revision that was shown and agreed to; where nobody can be asked, a mistake."""
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise typer.BadParameter(
            "say which revision you have looked at (`holovitals conflicts show`)", param_hint="--revision"
        )
    print_shown(shown)
    typer.confirm(f"\n{question}", abort=True)
    return shown.conflict.revision


def _report(conflict: StoredConflict, as_json: bool) -> None:
    if as_json:
        print_json(listed_as_json(conflict) | {"appliedAtNextSync": not needs_approval(conflict)})
    elif needs_approval(conflict):
        say(console, "Decided. It counts once a second person has approved it:")
        short = conflict.conflict_id[:SHORT_ID]
        seen = f"--revision {conflict.revision} --decision {decision_code(conflict)}"
        say(console, f"  holovitals conflicts approve {short} {seen}")
    else:
        say(console, "Decided. It is applied at the next sync, or now:")
        say(console, f"  holovitals writeback {conflict.connection}")


@conflicts_app.command("approve")
def approve(
    conflict_id: ConflictId,
    revision: Revision = None,
    decision: Annotated[
        str | None, typer.Option(metavar="CODE", help="only this decision, by the code that `show` has for it")
    ] = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Agree, as a second person, to a decision on who a patient is. It counts from then on.

    In a terminal the conflict is shown and you are asked, unless `--revision` says what you have looked at. Should the
    first person decide otherwise meanwhile, `--decision` keeps you from approving what you have not seen.

    ```
    holovitals conflicts approve 5fde --revision 1 --decision 0c1d2e3f --actor bob
    ```
    """
    with readable_errors(as_json), open_home() as home:
        shown = show_conflict(home.database, find_conflict_id(home.database, conflict_id))
        if revision is None:
            revision, decision = _ask(shown, "Approve this decision?", as_json), decision_code(shown.conflict)
        approved = approve_conflict(
            home.database,
            shown.conflict.conflict_id,
            revision=revision,
            decision=decision,
            actor=acting(actor),
        )
    _report(approved, as_json)


@conflicts_app.command("withdraw")
def withdraw(
    conflict_id: ConflictId,
    decision: Annotated[
        str | None, typer.Option(metavar="CODE", help="only this decision, by the code that `show` has for it")
    ] = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Take back a decision that is not applied yet: the conflict is open again, with the values it has.

    What a sync has applied already is refused; `revert` undoes that.

    ```
    holovitals conflicts withdraw 5fde
    ```
    """
    with readable_errors(as_json), open_home() as home:
        found = find_conflict_id(home.database, conflict_id)
        opened = withdraw_decision(home.database, found, decision=decision, actor=acting(actor))
    if as_json:
        print_json(listed_as_json(opened))
    else:
        say(console, "Taken back: the conflict waits for a decision again.")


@conflicts_app.command("reviewed")
def reviewed(conflict_id: ConflictId, actor: Actor = None, as_json: AsJson = False) -> None:
    """Note that a person has looked at an automatic decision and lets it stand.

    `holovitals conflicts list --post-review` shows those that are due; what should not stand is undone with `revert`.
    """
    with readable_errors(as_json), open_home() as home:
        found = find_conflict_id(home.database, conflict_id)
        done = mark_reviewed(home.database, found, actor=acting(actor))
    if as_json:
        print_json(listed_as_json(done))
    else:
        say(console, "Noted.")


@conflicts_app.command("revert")
def revert(
    conflict_id: ConflictId,
    reason: Annotated[str, typer.Option(help="why, for whoever asks later")],
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Undo what a decision made of the record, by a person or by policy: a new version, which flows out to the vendors.

    Whatever else has changed since stays. Where something newer contradicts, nothing is undone and the elements are
    named. Where the vendor's side gave way, its values are restored, here and there.

    ```
    holovitals conflicts revert 5fde --reason "the passport was somebody else's"
    ```
    """
    with readable_errors(as_json), open_home() as home:
        found = find_conflict_id(home.database, conflict_id)
        undone = revert_conflict(home.database, found, actor=acting(actor), reason=reason)
    if as_json:
        record = undone.record
        told = {"recordId": record.record_id, "version": record.version, "state": record.state, "seq": undone.seq}
        print_json({"conflictId": found, **told})
        return
    say(console, f"Undone: the record has version {undone.record.version}. It reaches the vendors at the next sync.")
    say(console, f"  To undo this: holovitals records revert {undone.seq}")


@conflicts_app.command("statistics")
def statistics(
    connection: Annotated[str | None, typer.Option(help="only this connection")] = None, as_json: AsJson = False
) -> None:
    """What the conflicts add up to: how they were decided, how soon, and how many decisions did not last."""
    with readable_errors(as_json), open_home() as home:
        if connection is not None:
            home.connection(connection)
        told = conflict_statistics(home.database, connection)
    if as_json:
        print_json(statistics_as_json(told))
    else:
        print_statistics(told)
