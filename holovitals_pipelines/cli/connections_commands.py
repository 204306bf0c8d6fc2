"""`holovitals connections`: what is declared, and whether it can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from holovitals_pipelines.cli.output import FAILED, console, plain_table, print_json, readable_errors, say
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.probing import probe_connection
from holovitals_pipelines.model.connection import ConnectionConfig, SmartBackendAuth
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.writing import Concurrency
from holovitals_pipelines.providers.probe import Finding, Verdict
from holovitals_pipelines.providers.signing import jwks, read_key
from holovitals_pipelines.providers.write_overview import TypeWrites
from holovitals_pipelines.settings import resolve_secret

app = typer.Typer(
    help="List connections, and try whether one can be reached.", no_args_is_help=True, rich_markup_mode="markdown"
)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]


@app.command("list")
def list_connections(as_json: AsJson = False) -> None:
    """The connections declared in connections.yaml.

    It lies in the home folder, unless HOLOVITALS_CONNECTIONS_FILE says otherwise. An entry needs a name, a provider
    and a base URL; secrets are named by environment variable or file, never written:

    ```
    connections:
      - name: clinic
        provider: fhir
        base_url: https://ehr.example.org/fhir/r4
        auth:
          kind: smart_backend
          client_id: our-client
          keys: [{file: /etc/holovitals/key.json}]
    ```
    """
    with readable_errors(as_json), open_home() as home:
        connections = list(home.connections.values())
        place = home.settings.resolved_connections_file
    if as_json:
        print_json([c.model_dump(mode="json") for c in connections])
        return
    if not connections:
        say(console, f"No connection is declared in {place}.")
        return
    table = plain_table("name", "provider", "base URL", "authentication", "schedule", "enabled")
    for c in connections:
        table.add_row(
            c.name, c.provider.value, c.base_url, c.auth.kind, c.incremental_cron or "-", "yes" if c.enabled else "no"
        )
    console.print(table)


@app.command("test")
def test_connection(name: str, as_json: AsJson = False) -> None:
    """Try the connection: credentials and scopes, each resource type, how changes are found, versions, clocks, writes.

    Each type is read once, as little as the vendor lets one ask for; nothing is kept and nothing is changed, here or
    there. Exit code 1 when something that is configured cannot work.

    ```
    holovitals connections test clinic
    ```
    """
    with readable_errors(as_json), open_home() as home:
        connection = home.connection(name)
        probed = asyncio.run(probe_connection(home, name))
    if as_json:
        print_json(
            {
                "connection": name,
                "reachable": True,
                "works": probed.works,
                "mechanisms": {kind: mechanism.value for kind, mechanism in probed.mechanisms.items()},
                "writes": {one.resource_type: _writes_as_json(one) for one in probed.writes},
                "findings": [_finding_as_json(finding) for finding in probed.findings],
            }
        )
    else:
        console.print("[green]✓[/] ", end="")
        say(console, f"{name} can be reached and read as {connection.provider.value}.")
        for resource_type, mechanism in probed.mechanisms.items():
            say(console, f"  {resource_type}: changes found by {mechanism.value.replace('_', ' ')}")
        _print_findings(probed.findings)
        _print_writes(connection, probed.writes)
    if not probed.works:
        raise typer.Exit(FAILED)


@app.command("keys")
def public_keys(name: str) -> None:
    """Print the public halves of the connection's keys as a JWK Set: what the vendor wants registered or published.

    To rotate: put the new key first in `auth.keys`, register what this prints, and drop the old one when the vendor
    has taken it (Epic caches key sets for up to 29 hours).
    """
    with readable_errors(), open_home() as home:
        connection = home.connection(name)
        if not isinstance(connection.auth, SmartBackendAuth):
            raise ConfigurationError(
                "the connection signs nothing: its authentication is none",
                code="auth.no_keys",
                place=f"connection {name}",
                remedy="declare auth of kind smart_backend if the vendor wants it",
            )
        algorithm, place = connection.auth.algorithm, f"connection {name}, auth.keys"
        print_json(jwks(read_key(resolve_secret(key), algorithm, place=place) for key in connection.auth.keys))


_MARKS = {Verdict.WORKS: "[green]✓[/]", Verdict.NOTE: "[yellow]![/]", Verdict.FAULT: "[red]✗[/]"}


def _print_findings(findings: Sequence[Finding]) -> None:
    """What does not work first; types of which the same is to be said share a sentence."""
    alike: dict[Finding, list[str]] = {}
    for finding in findings:
        names = alike.setdefault(replace(finding, resource_type=None), [])
        names += [finding.resource_type] if finding.resource_type is not None else []
    order = list(reversed(Verdict))
    for finding, names in sorted(alike.items(), key=lambda one: order.index(one[0].verdict)):
        console.print(f"{_MARKS[finding.verdict]} ", end="")
        say(console, f"{', '.join(names)}: {finding.message}" if names else finding.message)
        if finding.remedy and finding.verdict is not Verdict.WORKS:
            say(console, f"    To do: {finding.remedy}")


def _finding_as_json(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check.value,
        "verdict": finding.verdict.value,
        "code": finding.code,
        "resourceType": finding.resource_type,
        "message": finding.message,
        "remedy": finding.remedy,
    }


def _print_writes(connection: ConnectionConfig, writes: Sequence[TypeWrites]) -> None:
    """Types of which the same is to be said share a line."""
    if not connection.write.enabled:
        say(console, "Nothing is written to it: its entry in connections.yaml does not say write: {enabled: true}.")
        return
    say(console, "Writing, as far as its settings and the vendor allow:")
    alike: dict[str, list[str]] = {}
    for one in writes:
        alike.setdefault(one.sentence, []).append(one.resource_type)
    for sentence, names in alike.items():
        say(console, f"  {sentence}:")
        say(console, f"    {', '.join(names)}")
    if any(one.concurrency is Concurrency.VERSION for one in writes if one.operations):
        say(console, "  Should the first reading of a type come with an ETag, its writes are guarded by that.")


def _writes_as_json(one: TypeWrites) -> dict[str, Any]:
    return {
        "operations": list(one.operations),
        "concurrency": one.concurrency.value,
        "restricted": {element: how.value for element, how in one.restricted},
        "findsOwnIdentifier": one.finds_own_identifier,
    }
