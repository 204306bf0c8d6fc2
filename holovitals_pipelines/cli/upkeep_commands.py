"""`holovitals doctor` and `sweep`: whether the installation is in order, and cleaning up after killed workers."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from holovitals_pipelines.cli.output import FAILED, console, explain, print_json, readable_errors, say
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.life_signs import NOT_RUNNING, life_signs
from holovitals_pipelines.engine.maintenance import damaged_parts, sweep_landing_zone
from holovitals_pipelines.model.errors import HoloVitalsError, StoreError
from holovitals_pipelines.model.urls import redacted
from holovitals_pipelines.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]


def doctor(
    verify: Annotated[
        bool, typer.Option("--verify", help="read every landing-zone part and compare checksums")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List every setting with its value, and say whether each store can be opened and which services run.

    Passwords are never shown. Exit code 1 when something cannot be opened, or is damaged.
    """
    with readable_errors(as_json):
        settings = Settings()
    values = {
        f"HOLOVITALS_{name.upper()}": {"value": _shown(settings, name), "about": field.description or ""}
        for name, field in _fields().items()
    }
    found: dict[str, Any] = {}
    failure: HoloVitalsError | None = None
    try:
        with open_home(settings) as home:
            found = {
                "home": str(settings.root),
                "database": home.database.place,
                "landing zone": redacted(settings.resolved_landing_url),
                "connections": list(home.connections),
            }
            home.landing.require_reachable()
            found |= _beyond_this_machine(settings)
            found |= life_signs(home) | _daemon(settings)
            if verify:
                _verify(home)
                found["landing zone parts"] = "all as they were written"
    except HoloVitalsError as error:
        failure = error
    if as_json:
        problem = {"code": failure.code, "message": str(failure)} if failure else None
        print_json({"settings": values, "found": found, "problem": problem})
    else:
        for name, setting in values.items():
            console.print(f"[bold]{name}[/] = ", end="")
            say(console, setting["value"])
            say(console, f"  {setting['about']}")
        console.print()
        for name, value in found.items():
            shown = ", ".join(value) or "none declared" if isinstance(value, list) else value
            console.print("[dim]·[/] " if NOT_RUNNING in shown else "[green]✓[/] ", end="")
            say(console, f"{name}: {shown}")
        if failure:
            explain(failure)
    if failure:
        raise typer.Exit(FAILED)


def _beyond_this_machine(settings: Settings) -> dict[str, str]:
    """What only an installation on several machines has. Raises what is wrong with it."""
    from holovitals_pipelines.deploy.reachability import require_own_database, require_reachable_broker

    found = {}
    if settings.dagster_database_url is not None:
        require_own_database(settings.dagster_database_url, settings.resolved_database_url)
        found["Dagster's database"] = redacted(settings.dagster_database_url)
    if settings.executor == "celery":
        from holovitals_pipelines.orchestration.executors import require_broker

        broker = require_broker(settings)
        require_reachable_broker(broker)
        found["broker"] = redacted(broker)
    return found


def _daemon(settings: Settings) -> dict[str, str]:
    """Nothing where Dagster has never run."""
    if not (settings.dagster_home / "history").exists():
        return {}
    from holovitals_pipelines.orchestration.daemon_life import daemon_lives

    return {"Dagster's daemon": "it lives" if daemon_lives(settings.dagster_home) else NOT_RUNNING}


def _verify(home: Home) -> None:
    damaged = damaged_parts(home)
    if damaged:
        raise StoreError(
            f"{len(damaged)} parts are missing or damaged: {', '.join(damaged[:5])}{' …' if len(damaged) > 5 else ''}",
            code="landing.damaged",
            place=redacted(home.settings.resolved_landing_url),
            remedy="restore them from backup; the records made of them are whole in the operational store",
        )


def _fields() -> dict[str, FieldInfo]:
    return dict(Settings.model_fields)


def _shown(settings: Settings, name: str) -> str:
    if name == "database_url":
        return settings.redacted_database_url()
    value = getattr(settings, name)
    return "default" if value is None else redacted(str(value))


def sweep(as_json: AsJson = False) -> None:
    """Remove files that killed workers left in the landing zone.

    Only files older than an hour that no job has registered: nobody can see those. Safe at any time.
    """
    with readable_errors(as_json), open_home() as home:
        removed = sweep_landing_zone(home)
    if as_json:
        print_json({"removed": removed})
    else:
        console.print(f"{len(removed)} unregistered files removed from the landing zone.")
