"""The demo's vendors: started as an earlier demo in the same home left them, and declared as connections.

Law: a home with connections of somebody else's is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holovitals_pipelines.cli.demo.declared import KNOBS, OWNER, VENDORS, Keys, declared
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.credentials import demo_credentials
from holovitals_pipelines.sandbox.journal import Journal, origin_of, read_origin
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.settings import Settings, load_connections, save_connections

PATIENTS, SEED = 40, 1
"""The population of a demo that is told nothing else."""


def start_vendors(
    settings: Settings, vendors: Sequence[str], *, data: Path | None, patients: int, seed: int, port: int = 0
) -> RunningSandbox:
    """Start them where the home's last demo left them, and point the home's connections to them.

    Raises ConfigurationError when the home, or its demo, is another one's.
    """
    _check_connections(settings)
    _check_population(settings, data, patients, seed)
    settings.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    journal = journal_of(settings)
    Journal(journal, origin_of(data=data, patients=patients, seed=seed)).close()  # says here whether it is in use
    folder = settings.root / "demo" / "keys"
    keys = Keys(demo_credentials(folder), folder)
    running = start_sandbox(
        dialects=vendors,
        data=data,
        patients=patients,
        seed=seed,
        port=port,
        credentials=keys.credentials,
        settings={vendor: KNOBS[vendor] for vendor in vendors if vendor in KNOBS},
        journal=journal,
    )
    connections = [declared(vendor, running, keys) for vendor in vendors]
    save_connections(settings.resolved_connections_file, connections)
    return running


def start_as_left(settings: Settings, port: int) -> tuple[RunningSandbox, bool]:
    """All of them, as the home's last demo left them, or new ones; and whether they are new."""
    known = read_origin(journal_of(settings))
    origin = known or {}
    data, patients, seed = origin.get("data"), origin.get("patients", PATIENTS), origin.get("seed", SEED)
    running = start_vendors(
        settings, VENDORS, data=Path(data) if data else None, patients=patients, seed=seed, port=port
    )
    return running, known is None


def journal_of(settings: Settings) -> Path:
    return settings.root / "demo" / "journal.ndjson"


def _check_connections(settings: Settings) -> None:
    foreign = [c.name for c in load_connections(settings.resolved_connections_file) if c.owner != OWNER]
    if foreign:
        raise ConfigurationError(
            f"this home has connections of its own ({', '.join(foreign)}), and the demo would replace them",
            code="demo.home_in_use",
            place=str(settings.resolved_connections_file),
            remedy="give the demo a home of its own: HOLOVITALS_HOME=.holovitals-demo holovitals demo",
        )


def _check_population(settings: Settings, data: Path | None, patients: int, seed: int) -> None:
    """To a store that knows one population, another one looks like a vendor that has lost everything."""
    known, wanted = read_origin(journal_of(settings)), origin_of(data=data, patients=patients, seed=seed)
    if known is not None and known != wanted:
        began = ", ".join(f"--{name} {value}" for name, value in known.items())
        raise ConfigurationError(
            f"this home's demo was begun with {began}",
            code="demo.another_population",
            place=str(settings.root),
            remedy="go on with that, or give the new one a home of its own: HOLOVITALS_HOME=.holovitals-2",
        )
