"""`holovitals webhooks`: who may send, what came, what became of it, and once more.

Law: a secret is shown when it is made, and never again; an event's content is shown by `webhooks event --body` only.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from holovitals_pipelines.cli.acting import acting
from holovitals_pipelines.cli.output import console, errors, plain_table, print_json, readable_errors, say
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.webhooks import registration, replaying, views
from holovitals_pipelines.engine.webhooks.registration import NewWebhook, Registered, Webhook
from holovitals_pipelines.engine.webhooks.views import EventFilter, EventView
from holovitals_pipelines.model.vocabulary import WebhookEvent, WebhookStatus
from holovitals_pipelines.providers.webhooks.signatures import Algorithm, Scheme

webhooks_app = typer.Typer(
    help="Register webhooks, see what they brought, and process events once more.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
Actor = Annotated[str | None, typer.Option("--actor", help="who does it; default: the user of this system")]
WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="its id, or the beginning of it")]
EventId = Annotated[str, typer.Argument(metavar="EVENT", help="its id, or the beginning of it")]
Connection = Annotated[str | None, typer.Option("--connection", help="only this connection's")]
Since = Annotated[datetime | None, typer.Option("--since", help="received from then on (UTC)")]
Until = Annotated[datetime | None, typer.Option("--until", help="received before then (UTC)")]
_SHORT_ID = 8


@webhooks_app.command("register")
def register(
    connection: Annotated[str, typer.Argument(help="the connection whose vendor will send")],
    endpoint: Annotated[
        str, typer.Option(help="where this installation is reached, as the vendor will be told: https://…")
    ],
    event: Annotated[
        list[WebhookEvent] | None, typer.Option("--event", help="an event to take; repeat for more; default: all")
    ] = None,
    secret_stdin: Annotated[
        bool, typer.Option("--secret-stdin", help="read the secret from standard input; default: one is made")
    ] = False,
    scheme: Annotated[
        Scheme | None, typer.Option(help="how deliveries are signed; default: as the vendor does")
    ] = None,
    signature_header: Annotated[str | None, typer.Option(help="default: the scheme's own")] = None,
    algorithm: Annotated[Algorithm, typer.Option(help="of the signature")] = Algorithm.SHA256,
    retry_attempts: Annotated[int, typer.Option(help="how often processing is tried again")] = 3,
    retry_delay: Annotated[int, typer.Option(help="longest first wait, milliseconds; it doubles")] = 2000,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Let a vendor's webhook in. The answer shows the path to send to, and the secret that was made: note both now.

    ```
    holovitals webhooks register clinic --endpoint https://holovitals.example/hooks
    pass show ecw | holovitals webhooks register ecw --endpoint https://holovitals.example/hooks --secret-stdin
    ```
    """
    new = NewWebhook(
        connection=connection,
        endpoint=endpoint,
        events=tuple(event or ()),
        secret=_secret_of_stdin() if secret_stdin else None,
        scheme=scheme,
        signature_header=signature_header,
        signature_algorithm=algorithm,
        retry_attempts=retry_attempts,
        retry_delay_ms=retry_delay,
    )
    with readable_errors(as_json), open_home() as home:
        registered = registration.register(home, new, acting(actor))
    _show_registered(registered, as_json)


def _secret_of_stdin() -> str:
    """One line: what a shell adds at its end is none of the secret."""
    return sys.stdin.readline().rstrip("\r\n")


def _show_registered(registered: Registered, as_json: bool) -> None:
    if as_json:
        print_json(registered.as_json())
        return
    _show(registered.webhook)
    say(console, f"    send to   {registered.receive_path}")
    if registered.secret is not None:
        say(console, f"    secret    {registered.secret}")
        say(errors, "Neither can be shown again.")
    for warning in registered.warnings:
        say(errors, Text.assemble(("warning", "yellow"), f": {warning}"))


def _show(webhook: Webhook) -> None:
    signed = f"{webhook.scheme} ({webhook.signature_header}, {webhook.signature_algorithm})"
    say(console, Text.assemble((webhook.webhook_id, "bold"), f" of {webhook.connection}, signed by {signed}"))
    say(console, f"    events    {', '.join(webhook.events) or 'all'}")
    say(console, f"    endpoint  {webhook.endpoint}")
    say(console, f"    retries   {webhook.retry_attempts}, the first within {webhook.retry_delay_ms} ms")
    if webhook.previous_until is not None:
        say(console, f"    the secret before counts until {webhook.previous_until:%Y-%m-%d %H:%M} UTC")


@webhooks_app.command("list")
def list_registered(connection: Connection = None, as_json: AsJson = False) -> None:
    """The registered webhooks, the newest first."""
    with readable_errors(as_json), open_home() as home:
        found = registration.list_webhooks(home, connection)
    if as_json:
        print_json([one.as_json() for one in found])
    elif not found:
        say(console, "No webhook is registered: holovitals webhooks register --help")
    else:
        table = plain_table("webhook", "connection", "signed by", "events", "registered", "by")
        for one in found:
            events = ", ".join(one.events) or "all"
            at = f"{one.created_at:%Y-%m-%d %H:%M}"
            table.add_row(one.webhook_id[:_SHORT_ID], one.connection, one.scheme, events, at, one.created_by or "-")
        console.print(table)


@webhooks_app.command("show")
def show(webhook: WebhookId, as_json: AsJson = False) -> None:
    """One registered webhook; its secret and its path are not shown."""
    with readable_errors(as_json), open_home() as home:
        found = registration.get_webhook(home, webhook)
    if as_json:
        print_json(found.as_json())
    else:
        _show(found)


@webhooks_app.command("rotate")
def rotate(
    webhook: WebhookId,
    secret_stdin: Annotated[
        bool, typer.Option("--secret-stdin", help="read the secret from standard input; default: one is made")
    ] = False,
    overlap_hours: Annotated[float, typer.Option(min=0, help="how long the secret before still counts")] = 24,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Give a webhook a new secret; the one before still counts for a while, so that no delivery is lost."""
    secret = _secret_of_stdin() if secret_stdin else None
    with readable_errors(as_json), open_home() as home:
        overlap = timedelta(hours=overlap_hours)
        rotated = registration.rotate_secret(home, webhook, acting(actor), secret=secret, overlap=overlap)
    if as_json:
        print_json({name: value for name, value in rotated.as_json().items() if name != "receivePath"})
        return
    _show(rotated.webhook)
    if rotated.secret is not None:
        say(console, f"    secret    {rotated.secret}")
        say(errors, "It cannot be shown again.")
    for warning in rotated.warnings:
        say(errors, Text.assemble(("warning", "yellow"), f": {warning}"))


@webhooks_app.command("delete")
def delete(webhook: WebhookId, actor: Actor = None, as_json: AsJson = False) -> None:
    """Take no more of its deliveries. What it has brought stays, and is processed."""
    with readable_errors(as_json), open_home() as home:
        found = registration.delete_webhook(home, webhook, acting(actor))
    if as_json:
        print_json({"deleted": found.webhook_id})
    else:
        say(console, f"{found.webhook_id} of {found.connection} is deleted.")


@webhooks_app.command("events")
def list_events(
    connection: Connection = None,
    status: Annotated[
        list[WebhookStatus] | None, typer.Option("--status", help="only of this status; FAILED are the dead letters")
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="how many at the most")] = 50,
    cursor: Annotated[str | None, typer.Option(help="`next` of the page before")] = None,
    as_json: AsJson = False,
) -> None:
    """The events that came, the newest first.

    ```
    holovitals webhooks events --status FAILED
    ```
    """
    wanted = EventFilter(connection, None, tuple(status or ()), (), _utc(since), _utc(until))
    with readable_errors(as_json), open_home() as home:
        page = views.list_events(home, wanted, cursor, limit)
    if as_json:
        print_json({"items": [one.as_json() for one in page.items], "next": page.next})
    elif not page.items:
        say(console, "There is no such event.")
    else:
        table = plain_table("event", "connection", "kind", "received", "status", ">attempts", "remark")
        for one in page.items:
            kind = one.vendor_event or one.event_type
            cells = (one.log_id[:_SHORT_ID], one.source, kind, f"{one.received_at:%Y-%m-%d %H:%M:%S}", one.status)
            table.add_row(*map(Text, cells), str(one.attempts), one.error_code or "")
        console.print(table)
        if page.next is not None:
            say(console, f"There are more: --cursor {page.next}")


@webhooks_app.command("event")
def show_event(
    event: EventId,
    body: Annotated[
        bool, typer.Option("--body", help="nothing but the bytes as they came. This can print health data")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One event with its history. **With `--body` this can print health data.**"""
    with readable_errors(as_json), open_home() as home:
        if body:
            sys.stdout.buffer.write(views.body_of(home, event))
            sys.stdout.buffer.flush()
            return
        found = views.view_event(home, event)
    if as_json:
        print_json(found.as_json())
    else:
        _show_event(found)


def _show_event(found: EventView) -> None:
    kind = found.vendor_event or found.event_type
    say(console, Text.assemble((found.log_id, "bold"), f" {found.source}: {kind} ({found.event_type}), {found.status}"))
    times = "once" if found.times_received == 1 else f"{found.times_received} times"
    say(console, f"    received {times}, signed with the {found.key_id} secret, {found.size:,} bytes")
    if found.altered:
        say(console, f"    came {found.altered} times with another body: each such body is an event of its own")
    if found.job_id is not None:
        say(console, f"    job {found.job_id}")
    if found.next_at is not None and found.status == WebhookStatus.RETRYING:
        say(console, f"    tried again from {found.next_at:%Y-%m-%d %H:%M:%S} UTC on")
    if found.error_code is not None:
        say(console, Text.assemble("    ", (found.error_code, "bold yellow"), f": {found.error_message or ''}"))
    for line in found.history:
        detail = ", ".join(f"{name} {value}" for name, value in (line["detail"] or {}).items())
        say(console, f"    {line['at'][:19]}  {line['kind']:<9}{line['status'] or '':<11}{detail}")


@webhooks_app.command("retry")
def retry(event: EventId, actor: Actor = None, as_json: AsJson = False) -> None:
    """Process one event once more: one that failed, was ignored, or is to be read again."""
    with readable_errors(as_json), open_home() as home:
        log_id = replaying.retry_event(home, event, acting(actor))
    if as_json:
        print_json({"retried": log_id})
    else:
        say(console, f"{log_id} will be processed again.")


@webhooks_app.command("replay")
def replay(
    connection: Annotated[str, typer.Argument(help="whose events")],
    since: Annotated[datetime, typer.Option("--since", help="received from then on (UTC)")],
    until: Annotated[datetime, typer.Option("--until", help="received before then (UTC)")],
    status: Annotated[
        list[WebhookStatus] | None, typer.Option("--status", help="only of this status; repeat for more")
    ] = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Process the events of a time once more; those that failed, unless told otherwise.

    ```
    holovitals webhooks replay clinic --since 2026-03-01 --until 2026-03-02 --status FAILED --status IGNORED
    ```
    """
    statuses = status or [WebhookStatus.FAILED]
    with readable_errors(as_json), open_home() as home:
        begins, ends = _utc(since), _utc(until)
        assert begins is not None and ends is not None
        count = replaying.replay(home, connection, begins, ends, statuses, acting(actor))
    if as_json:
        print_json({"replayed": count})
    else:
        say(console, f"{count:,} will be processed again." if count else "There is no such event.")


@webhooks_app.command("statistics")
def statistics(
    connection: Connection = None, since: Since = None, until: Until = None, as_json: AsJson = False
) -> None:
    """How many events came, by kind and by status."""
    with readable_errors(as_json), open_home() as home:
        counted = views.statistics(home, _utc(since), _utc(until), connection)
    if as_json:
        print_json(counted)
        return
    shown = [status for status, count in counted["byStatus"].items() if count]
    table = plain_table("event", *(f">{status.lower()}" for status in shown), ">total")
    for event, counts in counted["byEvent"].items():
        table.add_row(event, *(_number(counts.get(status, 0)) for status in shown), _number(counts["total"]))
    if counted["byEvent"]:
        console.print(table)
    say(
        console,
        f"{counted['total']:,} events; {counted['repeated']:,} came again, {counted['altered']:,} with another body.",
    )


def _number(count: Any) -> str:
    return f"{count:,}"


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
