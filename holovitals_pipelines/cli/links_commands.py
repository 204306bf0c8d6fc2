"""`holovitals links`: say where a record is, have it created at a vendor, end a link.

Law: a link is made or ended by a person only on purpose; neither side's content is changed by it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from holovitals_pipelines.cli.acting import acting
from holovitals_pipelines.cli.output import console, print_json, readable_errors, say
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.linking import create_at, link_record, unlink
from holovitals_pipelines.engine.record_view import find_record_id

links_app = typer.Typer(
    help="Link a record to a vendor's resource, have it created there, or end the link.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
Actor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="who does it; default: the operating system's user")
]
RecordName = Annotated[str, typer.Argument(metavar="RECORD", help="the beginning of its id, or Type/ and an id")]
ConnectionName = Annotated[str, typer.Option("--connection", metavar="NAME", help="the vendor's connection")]


@links_app.command("add")
def add(
    record: RecordName,
    connection: ConnectionName,
    remote_id: Annotated[str, typer.Option("--remote-id", metavar="ID", help="the id the vendor gave the resource")],
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Say that RECORD is this resource of the vendor.

    Also ends a create whose outcome could not be found out. The next sync compares the two: equal content is adopted,
    different content becomes a conflict.

    ```
    holovitals links add 4f2a --connection clinic --remote-id 123
    ```
    """
    with readable_errors(as_json), open_home() as home:
        home.connection(connection)
        record_id = find_record_id(home.database, record)
        link_id = link_record(home.database, record_id, connection, remote_id, actor=acting(actor))
    _told(as_json, {"recordId": record_id, "linkId": link_id}, f"linked; compared at the next sync of {connection}")


@links_app.command("create")
def create(record: RecordName, connection: ConnectionName, actor: Actor = None, as_json: AsJson = False) -> None:
    """Have RECORD created at the vendor by the next sync, also again after a create that a person had to look into.

    ```
    holovitals links create 4f2a --connection clinic
    ```
    """
    with readable_errors(as_json), open_home() as home:
        home.connection(connection)
        record_id = find_record_id(home.database, record)
        link_id = create_at(home.database, record_id, connection, actor=acting(actor))
    _told(as_json, {"recordId": record_id, "linkId": link_id}, f"created by the next sync of {connection}")


@links_app.command("end")
def end(record: RecordName, connection: ConnectionName, actor: Actor = None, as_json: AsJson = False) -> None:
    """End RECORD's link to the vendor: from then on neither side hears of the other.

    The program never links them again by itself; `holovitals links add` does.

    ```
    holovitals links end 4f2a --connection clinic
    ```
    """
    with readable_errors(as_json), open_home() as home:
        record_id = find_record_id(home.database, record)
        ended = unlink(home.database, record_id, connection, actor=acting(actor))
    _told(as_json, {"recordId": record_id, "ended": ended}, "ended; both sides keep what they have")


def _told(as_json: bool, plain: dict[str, object], sentence: str) -> None:
    if as_json:
        print_json(plain)
    else:
        console.print("[green]✓[/] ", end="")
        say(console, sentence)
