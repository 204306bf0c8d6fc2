"""`holovitals messages`: HL7 v2 messages as they were received, what became of them, and dead letters once more.

Law: a message's content is shown by `messages show --body` only.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.text import Text

from holovitals_pipelines.cli.output import console, plain_table, print_json, readable_errors, say
from holovitals_pipelines.engine.hl7v2.messages import message_named, messages_of, replay
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.store.hl7_messages import ListedMessage

messages_app = typer.Typer(
    help="List HL7 v2 messages that were received, look at one, apply dead letters once more.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
MessageId = Annotated[int, typer.Argument(metavar="MESSAGE", min=1, help="its number, as the list shows it")]


class State(StrEnum):
    RECEIVED = "received"
    APPLIED = "applied"
    DEAD = "dead"


@messages_app.command("list")
def list_all(
    connection: Annotated[str | None, typer.Option(help="only this connection")] = None,
    state: Annotated[State | None, typer.Option(help="only messages in this state")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="how many at the most")] = 50,
    as_json: AsJson = False,
) -> None:
    """List messages, the newest first; nothing of their content is shown.

    `received`: stored and acknowledged, applied by the next sync. `applied`: what it tells is in the records. `dead`:
    it could not be used; it is kept, and says why.

    ```
    holovitals messages list --state dead
    ```
    """
    with readable_errors(as_json), open_home() as home:
        if connection is not None:
            home.connection(connection)
        found = messages_of(home.database, connection, state, limit)
    if as_json:
        print_json([_as_json(one) for one in found])
    elif not found:
        say(console, "There is no such message.")
    else:
        table = plain_table(">message", "connection", "type", "received", "state", ">times", "remark")
        for one in found:
            cells = (str(one.message_id), one.connection, one.message_type, f"{one.received_at:%Y-%m-%d %H:%M}")
            table.add_row(*map(Text, cells), one.state, str(one.times_received), one.code or "")
        console.print(table)
        if len(found) == limit:
            say(console, f"The newest {limit} are shown; more with --limit.")


@messages_app.command("show")
def show(
    message_id: MessageId,
    body: Annotated[
        bool, typer.Option("--body", help="nothing but the message, segment by segment. This prints health data")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One message: when it came, how it was answered, what became of it. **With `--body` this prints health data.**

    ```
    holovitals messages show 17
    holovitals messages show 17 --body
    ```
    """
    with readable_errors(as_json), open_home() as home:
        listed, text = message_named(home.database, message_id)
    if as_json:
        shown = {"body": text.decode(errors="replace")} if body else {}
        print_json(_as_json(listed) | shown)
    elif body:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n") + b"\n")
        sys.stdout.buffer.flush()
    else:
        _print(listed)


@messages_app.command("replay")
def replay_dead(
    message_ids: Annotated[
        list[int] | None, typer.Argument(metavar="[MESSAGE]...", help="their numbers; default: all dead letters")
    ] = None,
    connection: Annotated[str | None, typer.Option(help="only this connection's")] = None,
    as_json: AsJson = False,
) -> None:
    """Have dead letters applied once more by the next sync: after the settings, or this program, have been mended.

    A message keeps its place in the order of arrival; where newer ones have told of the same, it fills what they left
    open.

    ```
    holovitals messages replay 17
    holovitals messages replay --connection hospital
    ```
    """
    with readable_errors(as_json), open_home() as home:
        if connection is not None:
            home.connection(connection)
        count = replay(home.database, connection, message_ids or [])
    if as_json:
        print_json({"replayed": count})
    else:
        say(console, f"{count} will be applied by the next sync." if count else "There is no dead letter.")


def _print(one: ListedMessage) -> None:
    kind = one.message_type or "of no type"
    say(console, Text.assemble((f"#{one.message_id} {one.connection}, {one.feed} ", "bold"), f"{kind}, {one.state}"))
    times = "once" if one.times_received == 1 else f"{one.times_received} times"
    say(console, f"    received {one.received_at:%Y-%m-%d %H:%M:%S}, {times}, answered {one.answer}")
    if one.applied_at is not None:
        say(console, f"    ended {one.applied_at:%Y-%m-%d %H:%M:%S}")
    if one.code is not None:
        say(console, Text.assemble("    ", (one.code, "bold yellow"), f": {one.problem or ''}"))
    if one.remedy:
        say(console, f"    → {one.remedy}")


def _as_json(one: ListedMessage) -> dict[str, Any]:
    return {
        "messageId": one.message_id,
        "connection": one.connection,
        "feed": one.feed,
        "messageType": one.message_type,
        "timesReceived": one.times_received,
        "answer": one.answer,
        "state": one.state,
        "code": one.code,
        "problem": one.problem,
        "remedy": one.remedy,
        "receivedAt": one.received_at.isoformat(),
        "appliedAt": one.applied_at.isoformat() if one.applied_at else None,
    }
