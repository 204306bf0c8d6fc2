"""`holovitals records attachments` and `content`: what records carry or point to, and the content itself.

Law: content is written to the file that was named, or to standard output when that is named, and nowhere else.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from holovitals_pipelines.cli.output import console, plain_table, print_json, readable_errors, say
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.record_attachments import attachments_of, content_of
from holovitals_pipelines.engine.record_view import find_record_id

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
RecordName = Annotated[
    str,
    typer.Argument(metavar="RECORD", help="the beginning of its id, Type/ and that, or Type/ and the id of a vendor"),
]


def attachments(record: RecordName, as_json: AsJson = False) -> None:
    """What a record carries or points to, such as a document's text: where, how large, and whether it is held here.

    States: `held`; `wanted`: the next sync asks for it; `refused` and `gone` say why; `inline`: in the record itself.

    ```
    holovitals records attachments DocumentReference/123
    ```
    """
    with readable_errors(as_json), open_home() as home:
        found = attachments_of(home.database, find_record_id(home.database, record))
    if as_json:
        print_json([asdict(one) | {"fetched_at": one.fetched_at and one.fetched_at.isoformat()} for one in found])
        return
    if not found:
        say(console, "It carries no content and points to none.")
        return
    table = plain_table("place", "connection", "state", "content type", ">bytes", "remark")
    for one in found:
        size = "-" if one.size is None else f"{one.size:,}"
        table.add_row(one.place, one.connection or "-", one.state, one.content_type or "-", size, one.code or "-")
    console.print(table)


def content(
    record: RecordName,
    place: Annotated[str, typer.Argument(metavar="PLACE", help="as `records attachments` lists it")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="where to write it; - for standard output")],
    connection: Annotated[
        str | None, typer.Option(help="whose, where two vendors hold different content at that place")
    ] = None,
) -> None:
    """Write what a record carries or points to into a file, exactly as it was received. **This is health data.**

    Its hash is checked first: a file that is written holds what the vendor sent.

    ```
    holovitals records content DocumentReference/123 'content[0].attachment' --out note.pdf
    ```
    """
    with readable_errors(), open_home() as home:
        record_id = find_record_id(home.database, record)
        found = content_of(home.database, record_id, place, connection=connection)
        if str(out) == "-":
            sys.stdout.flush()
            sys.stdout.buffer.write(found.body)
            sys.stdout.buffer.flush()
            return
        out.write_bytes(found.body)
    say(console, f"{len(found.body):,} bytes of {found.content_type or 'no known type'} in {out}.")
