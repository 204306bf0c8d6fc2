"""`holovitals patients`: who is one person across connections, what may be, and deciding it.

Law: values of records are shown by `patients show` only; what is decided here changes no record and sends nothing.
"""

from __future__ import annotations

from typing import Annotated

import typer

from holovitals_pipelines.cli.acting import acting
from holovitals_pipelines.cli.output import console, print_json, readable_errors, say
from holovitals_pipelines.cli.patient_output import (
    listed_as_json,
    matched_as_json,
    person_as_json,
    print_matched,
    print_person,
    print_persons,
    print_proposal,
    print_proposals,
    proposal_as_json,
    shown_proposal_as_json,
)
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.identity.decisions import (
    accept_proposal,
    link_persons,
    reject_proposal,
    unlink_records,
)
from holovitals_pipelines.engine.identity.matching import match_patients
from holovitals_pipelines.engine.identity.views import (
    find_person,
    find_proposal,
    list_persons,
    list_proposals,
    show_person,
    show_proposal,
)
from holovitals_pipelines.engine.record_view import find_record_id
from holovitals_pipelines.model.errors import StoreError

patients_app = typer.Typer(
    help="See who is one person across connections, look at what may be, and decide it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
Actor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="who decides; default: the operating system's user")
]
Reason = Annotated[str, typer.Option("--reason", help="why, for whoever asks later")]
Revision = Annotated[
    str, typer.Option("--revision", metavar="CODE", help="what you have looked at, as `show` names it")
]
PersonName = Annotated[
    str,
    typer.Argument(metavar="PERSON", help="the beginning of a person's key, or a Patient record by any of its names"),
]
ProposalName = Annotated[str, typer.Argument(metavar="PROPOSAL", help="the beginning of the proposal's id")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="how many at the most")]
STATES = ("open", "accepted", "rejected", "stale")


@patients_app.command("list")
def list_all(
    connection: Annotated[str | None, typer.Option(help="only persons with a record of this connection")] = None,
    several: Annotated[
        bool, typer.Option("--several", help="only persons whom one vendor knows by several ids")
    ] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List persons, those with the most records first; nothing of their records' content is shown.

    ```
    holovitals patients list --connection clinic
    holovitals patients list --several
    ```
    """
    with readable_errors(as_json), open_home() as home:
        if connection is not None:
            home.connection(connection)
        found = list_persons(home.database, connection=connection, several=several, limit=limit)
    if as_json:
        print_json([listed_as_json(one) for one in found])
    elif not found:
        say(console, "There is no such person. The index is filled by each sync of patients.")
    else:
        print_persons(found)
        if len(found) == limit:
            say(console, f"The first {limit} are shown; more with --limit.")


@patients_app.command("show")
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="PERSON|PROPOSAL", help="a person's key, a Patient record, or a proposal's id"),
    ],
    as_json: AsJson = False,
) -> None:
    """A person with all records, or a proposal with both persons side by side. **This prints health data.**

    The beginning of a key or an id is enough.

    ```
    holovitals patients show Patient/123
    holovitals patients show 5fde    # a proposal: shows the revision to decide on
    ```
    """
    with readable_errors(as_json), open_home() as home:
        try:
            proposal = find_proposal(home.database, name)
        except StoreError:
            person = show_person(home.database, find_person(home.database, name))
            print_json(person_as_json(person)) if as_json else print_person(person)
            return
        shown = show_proposal(home.database, proposal)
    if as_json:
        print_json(shown_proposal_as_json(shown))
    else:
        print_proposal(shown)


@patients_app.command("proposals")
def proposals(
    state: Annotated[str, typer.Option(metavar="|".join(STATES), help="which ones")] = "open",
    grounds: Annotated[
        str | None,
        typer.Option(metavar="identifier_conflict|shared_identifier|merge_told|splink", help="only on these grounds"),
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List pairs that may be one person, the best founded first; elements are named, their values are not shown.

    ```
    holovitals patients proposals
    holovitals patients proposals --grounds merge_told --json
    ```
    """
    if state not in STATES:
        raise typer.BadParameter(f"one of {', '.join(STATES)}", param_hint="--state")
    with readable_errors(as_json), open_home() as home:
        found = list_proposals(home.database, state=state, grounds=grounds, limit=limit)
    if as_json:
        print_json([proposal_as_json(one) for one in found])
    elif not found:
        say(console, "There is no such proposal. To compare everybody: holovitals patients match")
    else:
        print_proposals(found)


@patients_app.command("accept")
def accept(
    proposal: ProposalName, revision: Revision, reason: Reason, actor: Actor = None, as_json: AsJson = False
) -> None:
    """The two are one person. Their records stay as they are, and nothing is sent to any vendor.

    ```
    holovitals patients show 5fde
    holovitals patients accept 5fde --revision 0f3b9c21d4aa --reason "same address, asked the patient"
    ```
    """
    with readable_errors(as_json), open_home() as home:
        found = find_proposal(home.database, proposal)
        key = accept_proposal(home.database, found, revision=revision, actor=acting(actor), reason=reason)
    _told(as_json, {"proposalId": found, "patientKey": key}, f"one person from now on: {key}")


@patients_app.command("reject")
def reject(
    proposal: ProposalName, revision: Revision, reason: Reason, actor: Actor = None, as_json: AsJson = False
) -> None:
    """The two are two persons. The program never joins them and does not ask again.

    ```
    holovitals patients reject 5fde --revision 0f3b9c21d4aa --reason "twins"
    ```
    """
    with readable_errors(as_json), open_home() as home:
        found = find_proposal(home.database, proposal)
        reject_proposal(home.database, found, revision=revision, actor=acting(actor), reason=reason)
    _told(as_json, {"proposalId": found}, "two persons, and kept apart")


@patients_app.command("link")
def link(
    person: PersonName,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="the other person, who takes the first one's key")],
    reason: Reason,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """PERSON and OTHER are one person. What was un-linked before becomes again what it was.

    ```
    holovitals patients link 4f2a 77c1 --reason "the registry says so"
    ```
    """
    with readable_errors(as_json), open_home() as home:
        one, two = find_person(home.database, person), find_person(home.database, other)
        key = link_persons(home.database, one, two, actor=acting(actor), reason=reason)
    _told(as_json, {"patientKey": key}, f"one person from now on: {key}")


@patients_app.command("unlink")
def unlink(
    records: Annotated[
        list[str], typer.Argument(metavar="RECORD...", help="Patient records of one person; they stay together")
    ],
    reason: Reason,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """The records are another person than the rest of theirs. The program never joins them again.

    ```
    holovitals patients unlink Patient/123 --reason "two women of the same name"
    ```
    """
    with readable_errors(as_json), open_home() as home:
        found = [find_record_id(home.database, name) for name in records]
        key = unlink_records(home.database, found, actor=acting(actor), reason=reason)
    _told(as_json, {"patientKey": key, "recordIds": found}, f"a person of their own from now on: {key}")


@patients_app.command("match")
def match(
    exact_only: Annotated[bool, typer.Option("--exact-only", help="do not look for probable pairs")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="look at every record anew: after other systems are trusted")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the index of persons up to date and propose who may be one person. Nothing is sent to any vendor.

    Records are joined by trusted identifiers only (`HOLOVITALS_IDENTITY_SYSTEMS`); what is merely probable is proposed.

    ```
    holovitals patients match
    ```
    """
    with readable_errors(as_json), open_home() as home:
        matched = match_patients(home, again=again, probable=not exact_only)
    if as_json:
        print_json(matched_as_json(matched))
    else:
        print_matched(matched)


def _told(as_json: bool, plain: dict[str, object], sentence: str) -> None:
    if as_json:
        print_json(plain)
    else:
        console.print("[green]✓[/] ", end="")
        say(console, sentence)
