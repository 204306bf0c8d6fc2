"""Put a backup back: into an empty home, or in place of one, which is moved aside and never overwritten.

Law: the backup is read and compared with its checksums before anything is changed; the store comes last.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from holovitals_pipelines.engine.backup.making import SET_ASIDE
from holovitals_pipelines.engine.backup.manifest import (
    FILES,
    PARTS,
    STORE,
    Manifest,
    read_manifest,
    require_whole,
)
from holovitals_pipelines.engine.declaring import references_of
from holovitals_pipelines.engine.worker_heartbeat import live_workers
from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.settings import Settings, load_connections
from holovitals_pipelines.store.database import open_database
from holovitals_pipelines.store.landing import LandingZone
from holovitals_pipelines.store.migrations import HEAD

_STAGED = ".restoring"


@dataclass(frozen=True, slots=True)
class Restored:
    manifest: Manifest
    set_aside: Path | None
    """Where what was in the home before is now."""
    missing_secrets: Sequence[str]
    """Files that the connections name and that are not there: keys and secrets from outside the home."""


def restore_backup(settings: Settings, folder: Path, *, replace: bool = False) -> Restored:
    """Put the backup in `folder` into the home that the settings name.

    Raises StoreError (`backup.none`, `backup.unreadable`, `backup.damaged`, `backup.newer`, `restore.not_empty`,
    `restore.in_use`) and ConfigurationError (`restore.store_elsewhere`), all before anything was changed.
    """
    folder, root = folder.expanduser().resolve(), settings.root
    manifest = read_manifest(folder)
    _require_fitting(settings, manifest)
    _require_room(settings, root, replace)
    require_whole(folder, manifest)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = root / _STAGED
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700)
    landing = LandingZone(settings.landing_url or str(staged / "landing"))
    for one in manifest.files:
        kind, _, name = one.path.partition("/")
        if kind == FILES:
            target = staged / name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy2(folder / one.path, target)
        elif kind == PARTS:
            landing.take_in(name, folder / one.path)
    aside = _set_aside(root) if replace else None
    for child in sorted(staged.iterdir(), key=lambda path: path.name == STORE):
        child.rename(root / child.name)
    staged.rmdir()
    return Restored(manifest, aside, _outside(root))


def _require_fitting(settings: Settings, manifest: Manifest) -> None:
    if manifest.store_revision > HEAD:
        raise StoreError(
            f"the backup's store is at revision {manifest.store_revision}, and this program knows only {HEAD}",
            code="backup.newer",
            remedy=f"use the program that made it ({manifest.program}), or a newer one",
        )
    if manifest.store == "copied" and settings.resolved_database_url != f"sqlite:///{settings.root / STORE}":
        raise ConfigurationError(
            "the backup has a SQLite store, and the settings name another one",
            code="restore.store_elsewhere",
            place="HOLOVITALS_DATABASE_URL",
            remedy="unset it for the time of the restore",
        )
    if manifest.store == "elsewhere" and open_database(settings.resolved_database_url).dialect == "sqlite":
        raise ConfigurationError(
            "the backup has no store: it was a PostgreSQL, and the settings name none",
            code="restore.store_elsewhere",
            place="HOLOVITALS_DATABASE_URL",
            remedy="restore the dump with pg_restore, and name that database",
        )


def _require_room(settings: Settings, root: Path, replace: bool) -> None:
    if live_workers(settings):
        raise StoreError(
            "a worker is at work on this home",
            code="restore.in_use",
            place=str(root),
            remedy="end `holovitals up` and all workers first",
        )
    if root.is_dir() and not replace and any(one.name != _STAGED for one in root.iterdir()):
        raise StoreError(
            "there is an installation, or something else, in the home folder",
            code="restore.not_empty",
            place=str(root),
            remedy="set HOLOVITALS_HOME to a new folder; or say --replace, which moves what is there aside",
        )


def _set_aside(root: Path) -> Path | None:
    old = [one for one in root.iterdir() if one.name != _STAGED and not one.name.startswith(SET_ASIDE)]
    if not old:
        return None
    aside = root / f"{SET_ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    aside.mkdir(mode=0o700)
    for one in old:
        one.rename(aside / one.name)
    return aside


def _outside(root: Path) -> list[str]:
    connections = load_connections(root / "connections.yaml")
    named = {reference.file for connection in connections for reference in references_of(connection)}
    return sorted(file for file in named if file is not None and not Path(file).expanduser().exists())
