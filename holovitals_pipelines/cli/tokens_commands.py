"""`holovitals tokens`: who may call the HTTP API, in which roles, until when.

Law: a token is printed once, by the command that makes it, and by nothing else.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from holovitals_pipelines.cli.acting import acting
from holovitals_pipelines.cli.output import console, errors, plain_table, print_json, readable_errors, say
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.tokens import create_token, list_tokens, revoke_token
from holovitals_pipelines.model.vocabulary import Role
from holovitals_pipelines.store.tokens import StoredToken

tokens_app = typer.Typer(
    help="Make, list and revoke tokens of the HTTP API.", no_args_is_help=True, rich_markup_mode="markdown"
)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
Actor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="who does it; default: the operating system's user")
]
_SHORT_ID = 8
_AGO = re.compile(r"(\d{1,5})([dh])")


@tokens_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="whom or what it is for: the actor in histories")],
    role: Annotated[
        list[Role], typer.Option("--role", "-r", help="viewer, operator, resolver, approver, auditor; repeatable")
    ],
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="90d, 12h, or a day such as 2027-01-31; default: never")
    ] = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it: now and never again, for only its hash is kept.

    A viewer reads; an operator also creates, cancels and retries jobs, manages webhooks and connections, and edits
    records; a resolver decides conflicts; an approver is the second person; an auditor reads the audit log.

    ```
    holovitals tokens create dashboard --role viewer --expires 90d
    holovitals tokens create dr-ann --role resolver --role approver
    ```
    """
    until = _until(expires)
    with readable_errors(as_json), open_home() as home:
        made = create_token(home.database, name, role, by=acting(actor), expires_at=until)
    if as_json:
        print_json(_as_json(made.token) | {"token": made.secret})
        return
    say(errors, f"The token of {made.token.name}; keep it now, it is shown once. Send it as: Authorization: Bearer …")
    sys.stdout.write(made.secret + "\n")


@tokens_app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """The newest first, revoked ones among them. The tokens themselves are kept nowhere."""
    with readable_errors(as_json), open_home() as home:
        found = list_tokens(home.database)
    if as_json:
        print_json([_as_json(one) for one in found])
    elif not found:
        say(console, "There is no token yet: holovitals tokens create NAME --role viewer")
    else:
        table = plain_table("token", "name", "roles", "state", "created", "last used")
        for one in found:
            cells = (one.token_id[:_SHORT_ID], one.name, ", ".join(one.roles), _state(one), _day(one.created_at))
            table.add_row(*map(Text, cells), _day(one.last_used_at))
        console.print(table)


@tokens_app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="its name, or the beginning of its id")],
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a token, for good: the next call with it is refused."""
    with readable_errors(as_json), open_home() as home:
        gone = revoke_token(home.database, name, by=acting(actor))
    if as_json:
        print_json({"tokenId": gone.token_id, "name": gone.name, "revoked": True})
    else:
        say(console, f"The token of {gone.name} is revoked.")


def _until(text: str | None) -> datetime | None:
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return datetime.now(UTC) + timedelta(**{"days" if ago[2] == "d" else "hours": int(ago[1])})
    try:
        named = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write 90d, 12h, or a day such as 2027-01-31", param_hint="--expires") from None
    return (named if named.tzinfo is not None else named.replace(tzinfo=UTC)).astimezone(UTC)


def _state(token: StoredToken) -> str:
    if token.revoked_at is not None:
        return f"revoked {_day(token.revoked_at)}"
    if not token.is_valid(datetime.now(UTC)):
        return f"expired {_day(token.expires_at)}"
    return f"until {_day(token.expires_at)}" if token.expires_at else "valid"


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at is not None else "-"


def _as_json(token: StoredToken) -> dict[str, Any]:
    def instant(at: datetime | None) -> str | None:
        return at.isoformat() if at is not None else None

    return {
        "tokenId": token.token_id,
        "name": token.name,
        "roles": [role.value for role in token.roles],
        "createdBy": token.created_by,
        "createdAt": instant(token.created_at),
        "expiresAt": instant(token.expires_at),
        "revokedAt": instant(token.revoked_at),
        "lastUsedAt": instant(token.last_used_at),
        "valid": token.is_valid(datetime.now(UTC)),
    }
