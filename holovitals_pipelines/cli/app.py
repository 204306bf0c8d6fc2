"""The `holovitals` command: every sub-command opens the home, does one thing and says what came of it.

Law: a sub-command is imported when it is called; its line here is the first sentence of its own help.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from holovitals_pipelines import __version__
from holovitals_pipelines.cli.on_demand import OnDemand, OnDemandGroup


class Commands(OnDemandGroup):
    on_demand = (
        OnDemand(
            "demo",
            "demo_command:demo",
            "Keep a local store in two-way sync with simulated vendors, as Dagster runs, and show what happened.",
        ),
        OnDemand(
            "sandbox",
            "demo_command:sandbox",
            "Run the simulated vendors by themselves, open to everybody on this machine. Ctrl-C ends them.",
        ),
        OnDemand(
            "listen",
            "listen_command:listen_command",
            "Take the HL7 v2 messages that vendors send, store them and acknowledge them. Ctrl-C ends it.",
        ),
        OnDemand(
            "worker",
            "worker_command:worker",
            "Do the jobs of the queue as they come, each as a Dagster run. Ctrl-C ends it.",
        ),
        OnDemand(
            "up",
            "up_command:up",
            "Run everything: HTTP API, worker, HL7 v2 listener, Dagster UI and daemon. Ctrl-C ends it all.",
        ),
        OnDemand(
            "celery-worker",
            "celery_worker_command:celery_worker",
            "Do steps of Dagster's runs that the broker hands out, on as many machines as you like. Ctrl-C ends it.",
        ),
        OnDemand(
            "serve", "serve_command:serve", "Serve the HTTP API, its documentation and the dashboard. Ctrl-C ends it."
        ),
        OnDemand("ui", "up_command:ui", "Open the Dagster UI: assets, runs, schedules. Ctrl-C ends it."),
        OnDemand(
            "sync",
            "sync_commands:sync",
            "Run the main job: extract, validate, reconcile, commit, write back, statistics.",
        ),
        OnDemand(
            "writeback",
            "sync_commands:writeback",
            "Decide what is marked and send what waits, without reading anything else from the vendor.",
        ),
        OnDemand(
            "anti-entropy",
            "sync_commands:anti_entropy",
            "Compare ids and hashes of both sides in full, bring in what differs, and count what incremental syncs "
            "missed.",
        ),
        OnDemand(
            "quarantine",
            "quarantine_command:quarantine",
            "Resources that were refused and are kept: where they came from, the rule they broke, what to do.",
        ),
        OnDemand(
            "quality",
            "quality_commands:quality_app",
            "See what the quality claims found and hold back, judge again, let a failure pass.",
        ),
        OnDemand(
            "standing",
            "sync_commands:standing",
            "List what differs between here and a vendor, and stays so: the vendor's API takes no write there.",
        ),
        OnDemand("stats", "jobs_commands:stats", "What the newest job of every connection did."),
        OnDemand(
            "doctor",
            "upkeep_commands:doctor",
            "List every setting with its value, and say whether each store can be opened and which services run.",
        ),
        OnDemand(
            "backup", "backup_commands:backup", "Copy the whole installation to a new folder, while everything works."
        ),
        OnDemand(
            "restore",
            "backup_commands:restore",
            "Put a backup back into the home folder, and verify the audit log and every part; exit code 1 if any is "
            "wrong.",
        ),
        OnDemand("sweep", "upkeep_commands:sweep", "Remove files that killed workers left in the landing zone."),
        OnDemand("connections", "connections_commands:app", "List connections, and try whether one can be reached."),
        OnDemand(
            "jobs",
            "jobs_commands:app",
            "Create sync jobs, list them, look at one, wait for it, cancel it, try it again.",
        ),
        OnDemand(
            "conflicts",
            "conflicts_commands:conflicts_app",
            "List conflicts, look at one side by side, decide it, undo it.",
        ),
        OnDemand(
            "records",
            "records_commands:records_app",
            "Find records, read them, edit them, see their versions and links, put them back.",
        ),
        OnDemand(
            "webhooks",
            "webhooks_commands:webhooks_app",
            "Register webhooks, see what they brought, and process events once more.",
        ),
        OnDemand(
            "messages",
            "messages_commands:messages_app",
            "List HL7 v2 messages that were received, look at one, apply dead letters once more.",
        ),
        OnDemand(
            "links",
            "links_commands:links_app",
            "Link a record to a vendor's resource, have it created there, or end the link.",
        ),
        OnDemand(
            "patients",
            "patients_commands:patients_app",
            "See who is one person across connections, look at what may be, and decide it.",
        ),
        OnDemand(
            "rules",
            "rules_commands:rules_app",
            "Check rule sets, try them on records, compare them, run their examples, keep them in versions.",
        ),
        OnDemand("tokens", "tokens_commands:tokens_app", "Make, list and revoke tokens of the HTTP API."),
        OnDemand(
            "audit",
            "audit_commands:audit_app",
            "Verify the log of all changes, look at it, sign it, export it.",
        ),
    )


app = typer.Typer(
    name="holovitals",
    cls=Commands,
    help="Keep a local clinical store in agreement with EHR vendors.\n\n"
    "New here? `holovitals demo`, then `holovitals ui`. Every command has `--help`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print what exceptions say, which could be health data; see main
    rich_markup_mode="markdown",
)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context, show: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False
) -> None:
    if show:
        typer.echo(f"holovitals {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command. An exception nobody expected is shown by type and frames only: its text may be health data."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 the last resort
        import traceback

        from holovitals_pipelines.cli.output import FAILED, explain
        from holovitals_pipelines.engine.failure import failure_of

        explain(failure_of(error))
        sys.stderr.writelines(traceback.format_tb(error.__traceback__))
        sys.exit(FAILED)
