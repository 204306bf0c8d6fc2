"""`holovitals records`: find a record, read it, change it, see its versions and where it is linked, put it back.

Law: a record's content is shown by `records show` only, and changed only against the version that was seen.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from holovitals_pipelines.cli import attachment_commands
from holovitals_pipelines.cli.acting import acting
from holovitals_pipelines.cli.output import console, print_json, readable_errors, say
from holovitals_pipelines.cli.record_output import (
    link_as_json,
    listed_as_json,
    print_link,
    print_list,
    print_versions,
    record_as_json,
    report_change,
    version_as_json,
)
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.local_records import (
    create_record,
    delete_record,
    edit_record,
    history_of,
    read_record,
    record_of,
    restore_record,
)
from holovitals_pipelines.engine.record_view import find_record_id, links_of, list_records
from holovitals_pipelines.engine.revert import revert_entry
from holovitals_pipelines.fhir.exact import read_document, read_value, write_document
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.writing import Document

records_app = typer.Typer(
    help="Find records, read them, edit them, see their versions and links, put them back.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

records_app.command("attachments")(attachment_commands.attachments)
records_app.command("content")(attachment_commands.content)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
Actor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="who does it; default: the operating system's user")
]
RecordName = Annotated[
    str,
    typer.Argument(metavar="RECORD", help="the beginning of its id, Type/ and that, or Type/ and the id of a vendor"),
]
SeenVersion = Annotated[
    int, typer.Option("--version", metavar="N", min=1, help="the version you have seen; another one is not touched")
]
FILE_HELP = "the resource as JSON; - for standard input"


@records_app.command("show")
def show(
    record: RecordName,
    version: Annotated[
        int | None, typer.Option("--version", metavar="N", min=1, help="as it was in this version")
    ] = None,
    body: Annotated[bool, typer.Option("--body", help="nothing but the exact body: to edit it in a file")] = False,
    as_json: AsJson = False,
) -> None:
    """One record, with its exact body. **This prints health data.**

    RECORD, here and in the other commands, is the beginning of its id, `Type/` and that, or `Type/` and the id a vendor
    gave it.

    ```
    holovitals records show Patient/123
    holovitals records show 4f2a --version 2
    holovitals records show 4f2a --body > body.json    # then: holovitals records edit 4f2a --file body.json ...
    ```
    """
    with readable_errors(as_json), open_home() as home:
        shown = read_record(home.database, find_record_id(home.database, record), version=version)
    if as_json:
        print_json(record_as_json(shown) | {"body": shown.body.decode(errors="replace")})
        return
    if not body:
        state = "" if shown.state == "active" else f", {shown.state}: this was its last content"
        head = f"{shown.resource_type} {shown.record_id}"
        say(console, Text.assemble((head, "bold"), f", version {shown.version}{state}"))
    sys.stdout.flush()
    sys.stdout.buffer.write(shown.body + b"\n")
    sys.stdout.buffer.flush()


@records_app.command("find")
def find(
    resource_type: Annotated[str, typer.Argument(metavar="TYPE")],
    remote_id: Annotated[str, typer.Argument(metavar="REMOTE_ID", help="the id the vendor gave the resource")],
    connection: Annotated[str, typer.Option(help="the connection whose id it is")],
    as_json: AsJson = False,
) -> None:
    """The record that a vendor's resource is linked to.

    ```
    holovitals records find --connection clinic Patient 123
    ```
    """
    with readable_errors(as_json), open_home() as home:
        home.connection(connection)
        found = record_of(home, connection, resource_type, remote_id)
    if as_json:
        print_json(record_as_json(found))
    else:
        say(console, f"{found.record_id}  {found.resource_type}, version {found.version}, {found.state}")


@records_app.command("list")
def list_all(
    resource_type: Annotated[str | None, typer.Option("--type", "-t", help="only this resource type")] = None,
    connection: Annotated[str | None, typer.Option(help="only records linked at this connection")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="only records that are deleted")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="how many at the most")] = 50,
    as_json: AsJson = False,
) -> None:
    """List records, those changed last first; nothing of their content is shown.

    ```
    holovitals records list --type Patient
    holovitals records list --connection clinic --deleted
    ```
    """
    with readable_errors(as_json), open_home() as home:
        if connection is not None:
            home.connection(connection)
        state = "deleted" if deleted else None
        found = list_records(home.database, resource_type, connection=connection, state=state, limit=limit)
    if as_json:
        print_json([listed_as_json(one) for one in found])
    elif not found:
        say(console, "There is no such record.")
    else:
        print_list(found)
        if len(found) == limit:
            say(console, f"The newest {limit} are shown; more with --limit.")


@records_app.command("edit")
def edit(
    record: RecordName,
    version: SeenVersion,
    file: Annotated[Path | None, typer.Option("--file", "-f", metavar="FILE", help=FILE_HELP)] = None,
    set_elements: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="ELEMENT=JSON", help="a top-level element's new value; null removes it"),
    ] = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Change a record here; the change flows out to its vendors at the next sync. A deleted record comes back.

    The result has to be valid FHIR. Somebody else's change since the version you saw is never overwritten.

    ```
    holovitals records edit 4f2a --version 3 --file body.json
    holovitals records edit Patient/123 --version 3 --set 'birthDate="1951-02-03"' --set maritalStatus=null
    ```
    """
    if (file is None) is not bool(set_elements):
        raise typer.BadParameter("give either --file or --set", param_hint="--file, --set")
    elements = dict(_element(text) for text in set_elements or ())
    with readable_errors(as_json), open_home() as home:
        found = find_record_id(home.database, record)
        body = _read(file) if file else _with(read_record(home.database, found).body, elements)
        changed = edit_record(home.database, found, body, seen_version=version, actor=acting(actor))
    report_change(changed, as_json)


def _element(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if equals and name.isidentifier():
        try:
            return name, read_value(value)
        except MalformedResource:
            pass  # raised below: what was typed must not get into a traceback
    raise typer.BadParameter(
        "write ELEMENT=JSON with a top-level element, text with its quotes: 'birthDate=\"1951-02-03\"'",
        param_hint="--set",
    )


def _with(body: bytes, elements: Document) -> bytes:
    document = {**read_document(body), **elements}
    return write_document({name: value for name, value in document.items() if value is not None})


def _read(file: Path) -> bytes:
    return sys.stdin.buffer.read() if file == Path("-") else file.read_bytes()


@records_app.command("delete")
def delete(record: RecordName, version: SeenVersion, actor: Actor = None, as_json: AsJson = False) -> None:
    """Delete a record here, and at its vendors at the next sync where their API allows it.

    Its versions stay readable, and `holovitals records restore` brings it back. To say that something was never true,
    set its status to entered-in-error instead.

    ```
    holovitals records delete 4f2a --version 3
    ```
    """
    with readable_errors(as_json), open_home() as home:
        found = find_record_id(home.database, record)
        gone = delete_record(home.database, found, seen_version=version, actor=acting(actor))
    report_change(gone, as_json)


@records_app.command("create")
def create(
    file: Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help=FILE_HELP)],
    connection: Annotated[
        list[str] | None,
        typer.Option("--connection", "-c", help="a connection at which to create it too; repeatable"),
    ] = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Make a new record here, and at the given connections at the next sync where their API allows it.

    ```
    holovitals records create --file patient.json --connection clinic --connection hospital
    ```
    """
    with readable_errors(as_json), open_home() as home:
        for name in connection or ():
            home.connection(name)
        body = _read(file)
        made = create_record(home.database, _type_of(body), body, connections=connection or (), actor=acting(actor))
    report_change(made, as_json)


def _type_of(body: bytes) -> str:
    try:
        named = read_document(body).get("resourceType")
    except MalformedResource as error:
        raise StoreError(error.message, code="record.invalid", place="file", remedy=error.remedy) from None
    return named if isinstance(named, str) else ""


@records_app.command("history")
def history(record: RecordName, as_json: AsJson = False) -> None:
    """Every version of a record, the newest first: who made it, and when. Times are UTC.

    `holovitals audit list --record ID` tells of each change; `holovitals records show ID --version N` shows a version.
    """
    with readable_errors(as_json), open_home() as home:
        found = find_record_id(home.database, record)
        versions = history_of(home.database, found)
    if as_json:
        print_json({"recordId": found, "versions": [version_as_json(one) for one in versions]})
    else:
        print_versions(versions)


@records_app.command("links")
def links(record: RecordName, as_json: AsJson = False) -> None:
    """Where a record is linked, whether both sides agree, what stays different, and what waits to be written.

    Elements are named, their values are not shown.
    """
    with readable_errors(as_json), open_home() as home:
        found = find_record_id(home.database, record)
        linked = links_of(home.database, found)
    if as_json:
        print_json({"recordId": found, "links": [link_as_json(one) for one in linked]})
    elif not linked:
        say(console, "The record is linked nowhere.")
    else:
        for one in linked:
            print_link(one)


@records_app.command("restore")
def restore(
    record: RecordName,
    to_version: Annotated[int, typer.Option("--to-version", metavar="N", min=1, help="the version to go back to")],
    version: Annotated[
        int | None, typer.Option("--version", metavar="N", min=1, help="only if this is still its version")
    ] = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Make what a record was in an earlier version its next one: nothing is taken out of its history.

    Everything changed since is replaced. To undo one change and keep what came after, use `holovitals records revert`.

    ```
    holovitals records restore 4f2a --to-version 2
    ```
    """
    with readable_errors(as_json), open_home() as home:
        found = find_record_id(home.database, record)
        restored = restore_record(
            home.database, found, to_version=to_version, seen_version=version, actor=acting(actor)
        )
    report_change(restored, as_json)


@records_app.command("revert")
def revert(
    seq: Annotated[int, typer.Argument(metavar="SEQ", help="the change's number, as `holovitals audit list` shows it")],
    reason: Annotated[str, typer.Option(help="why, for whoever asks later")],
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Undo one change of a record and keep what came after it; an undo can be undone so, too.

    SEQ is the change's number, as `holovitals audit list` shows it. Where something newer contradicts, nothing is
    undone and the elements are named.

    ```
    holovitals audit list --record 4f2a...
    holovitals records revert 1234 --reason "wrong patient"
    ```
    """
    with readable_errors(as_json), open_home() as home:
        undone = revert_entry(home.database, seq, actor=acting(actor), reason=reason)
    if as_json:
        print_json(record_as_json(undone.record) | {"seq": undone.seq})
    else:
        report_change(undone.record, as_json)
        say(console, f"  To undo this: holovitals records revert {undone.seq}")
