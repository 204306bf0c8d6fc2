"""`holovitals quality`: what the claims found, what they hold back, and letting it pass.

Law: counts and names; nothing here shows a value.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.text import Text

from holovitals_pipelines.cli.acting import acting
from holovitals_pipelines.cli.output import console, plain_table, print_json, readable_errors, say
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.quality_gate import accept, holds
from holovitals_pipelines.engine.quality_page import newest_of, write_page
from holovitals_pipelines.engine.sync import publish_statistics
from holovitals_pipelines.store.quality import StoredOutcome

quality_app = typer.Typer(
    help="See what the quality claims found and hold back, judge again, let a failure pass.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
Connection = Annotated[str | None, typer.Option(help="only this connection")]


@quality_app.command("list")
def list_outcomes(
    connection: Connection = None,
    held: Annotated[bool, typer.Option("--held", help="only what keeps a type from being written back")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="only claims that failed")] = False,
    as_json: AsJson = False,
) -> None:
    """The newest outcome of every claim, by connection and resource type.

    What holds a type back is marked: it is read and decided as ever, and nothing of the type goes to the vendor.
    """
    with readable_errors(as_json), open_home() as home:
        if connection is not None:
            home.connection(connection)
        found = newest_of(home, connection)
        with home.database.read() as transaction:
            holding = {hold.outcome for hold in holds(home, transaction, connection)}
    shown = [one for one in found if (not held or one in holding) and (not failed or not one.passed)]
    if as_json:
        print_json([_as_json(one, one in holding) for one in shown])
    elif not shown:
        say(console, "Nothing was judged yet." if not found else "Nothing is held back." if held else "Nothing failed.")
    else:
        table = plain_table("connection", "type", "claim", "outcome", "records", "broke it")
        for one in shown:
            said = "held back" if one in holding else "passed" if one.passed else one.severity.lower()
            if one.accepted_by:
                said = f"accepted by {one.accepted_by}"
            cells = (one.connection, one.resource_type, one.check_name, said, f"{one.rows:,}", f"{one.unexpected:,}")
            table.add_row(*map(Text, cells))
        console.print(table)


@quality_app.command("run")
def run(connection: Connection = None, as_json: AsJson = False) -> None:
    """Judge the newest batch of every type again, by the thresholds of today (Great Expectations; some seconds)."""
    from holovitals_pipelines.engine.quality import judge_newest_batch
    from holovitals_pipelines.quality.suites import RESOURCE_TYPES_WITH_SUITES

    with readable_errors(as_json), open_home() as home:
        names = [connection] if connection is not None else list(home.connections)
        judged = {
            (name, kind): judge_newest_batch(home, home.connection(name).name, kind)
            for name in names
            for kind in RESOURCE_TYPES_WITH_SUITES
        }
        publish_statistics(home)
    failed = [(*where, one) for where, outcomes in judged.items() for one in outcomes if not one.passed]
    claims = sum(map(len, judged.values()))
    if as_json:
        print_json({"claims": claims, "failed": len(failed)})
        return
    say(console, f"{claims} claims were judged, {len(failed)} failed.")
    for name, kind, one in failed:
        say(console, f"  {name} {kind}: {one.name}, {one.unexpected:,} of {one.rows:,}")


@quality_app.command("accept")
def accept_failure(
    connection: Annotated[str, typer.Argument(help="the connection's name")],
    resource_type: Annotated[str, typer.Argument(help="the type that is held back")],
    claim: Annotated[str, typer.Argument(help="the claim that failed")],
    reason: Annotated[str, typer.Option(help="why it may pass; it is kept")],
    actor: Annotated[str | None, typer.Option(help="who acts; default: the user of this system")] = None,
    as_json: AsJson = False,
) -> None:
    """Let a failed claim pass that holds a type back, until a later batch is judged. The audit log tells who did.

    ```
    holovitals quality accept clinic Observation volume_has_not_collapsed --reason "archive moved, ticket 4711"
    ```
    """
    with readable_errors(as_json), open_home() as home:
        accepted = accept(home, connection, resource_type, claim, reason=reason, actor=acting(actor))
    if as_json:
        print_json(_as_json(accepted, False))
    else:
        say(console, f"{claim} is accepted: {resource_type} is written back with the next job of {connection}.")


@quality_app.command("docs")
def docs(as_json: AsJson = False) -> None:
    """Write the page of all claims and their newest outcomes into the home folder, and say where it is."""
    with readable_errors(as_json), open_home() as home:
        path = write_page(home)
    if as_json:
        print_json({"page": str(path)})
    else:
        say(console, str(path))


def _as_json(one: StoredOutcome, held: bool) -> dict[str, Any]:
    plain = asdict(one) | {"at": one.at.isoformat(), "held_back": held}
    return {name.split("_")[0] + "".join(part.title() for part in name.split("_")[1:]): v for name, v in plain.items()}
