"""`holovitals connections`: what is declared, and whether it can be reached."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from holovitals_pipelines.cli.output import FAILED, console, print_json, readable_errors
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.sync import vendor_adapter
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import HoloVitalsError

app = typer.Typer(help="List connections, and try whether one can be reached.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]


@app.command("list")
def list_connections(as_json: AsJson = False) -> None:
    """The connections declared in connections.yaml."""
    with readable_errors(as_json), open_home() as home:
        connections = list(home.connections.values())
        place = home.settings.resolved_connections_file
    if as_json:
        print_json([c.model_dump(mode="json") for c in connections])
        return
    table = Table(header_style="bold")
    for column in ("name", "provider", "base URL", "authentication", "schedule", "enabled"):
        table.add_column(column)
    for c in connections:
        table.add_row(
            c.name, c.provider.value, c.base_url, c.auth.kind, c.incremental_cron or "-", "yes" if c.enabled else "no"
        )
    console.print(table if connections else f"No connection is declared in {place}.")


@app.command("test")
def test_connection(name: str, as_json: AsJson = False) -> None:
    """Reach the vendor, authenticate, and say what can be read and how changes are found."""
    with readable_errors(as_json), open_home() as home:
        connection = home.connection(name)
        try:
            mechanisms = asyncio.run(_probe(connection))
        except HoloVitalsError as error:
            if as_json:
                raise
            console.print(f"[red]✗[/] {error}", markup=True, highlight=False)
            raise typer.Exit(FAILED) from None
    if as_json:
        print_json({"connection": name, "reachable": True, "mechanisms": mechanisms})
        return
    console.print(f"[green]✓[/] {name} can be reached and read as {connection.provider.value}.")
    for resource_type, mechanism in mechanisms.items():
        console.print(f"  {resource_type}: changes found by {mechanism.replace('_', ' ')}")


async def _probe(connection: ConnectionConfig) -> dict[str, str]:
    async with vendor_adapter(connection) as adapter:
        return {name: mechanism.value for name, mechanism in adapter.mechanisms().items()}
