"""Make a backup while everything works: the log's heads, then the store at one instant, then all it speaks of.

Law: what a backup's store refers to is in the backup. So parts of the landing zone and keys, which are only ever
added, are copied after the store; the signed heads, which speak of the store, before it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path

from holovitals_pipelines import __version__
from holovitals_pipelines.engine.backup.manifest import FILES, FORMAT, PARTS, STORE, Copied, Manifest, write_manifest
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.store.audit.heads import signing
from holovitals_pipelines.store.database import Database, open_database
from holovitals_pipelines.store.landing import sync_folder, write_blocks
from holovitals_pipelines.store.migrations import HEAD
from holovitals_pipelines.store.parts import Part, registered_parts

LEFT_OUT = ("landing", "warehouse", "scratch", "workers", "logs", "dagster", "audit")
"""Folders of a home: copied otherwise, or made again by whoever needs them."""
SET_ASIDE = "replaced-"
"""What a restore in place of a home has moved away."""
_OF_DAGSTER = ("dagster.yaml", "workspace.yaml")
_ATTEMPTS = 3
_BLOCK = 1 << 20
Told = Callable[[int, int], None]
"""Called with how many parts are copied, and how many there are."""


@dataclass
class _Backup:
    folder: Path
    files: list[Copied] = field(default_factory=list)

    def copy(self, source: Path, name: str) -> None:
        """A file of the home; one that has gone meanwhile was of no use to anybody."""
        target = self._target(f"{FILES}/{name}")
        try:
            with source.open("rb") as stream:
                digest = write_blocks(target, iter(lambda: stream.read(_BLOCK), b""))
        except FileNotFoundError:
            return
        self.note(f"{FILES}/{name}", digest)

    def note(self, path: str, digest: str) -> None:
        self.files.append(Copied(path, (self.folder / path).stat().st_size, digest))

    def copy_part(self, home: Home, part: Part) -> None:
        path = f"{PARTS}/{part.path}"
        target = self._target(path)
        if not target.exists():  # an attempt before this one has copied it, and parts never change
            home.landing.copy_out(part.path, part.sha256, target)
        self.note(path, part.sha256)

    def _target(self, path: str) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return target


def make_backup(
    home: Home,
    folder: Path,
    *,
    store_elsewhere: bool = False,
    landing_elsewhere: bool = False,
    told: Told = lambda done, total: None,
) -> Manifest:
    """Copy the installation to a new folder and return what was copied; nobody has to stop for it.

    `store_elsewhere`: the PostgreSQL has just been dumped by its own tools. `landing_elsewhere`: the object store keeps
    copies of its own.

    Raises StoreError (`backup.not_empty`, `backup.inside_home`, `store.not_a_file`, `landing.…`) and ConfigurationError
    (`backup.store_is_a_file`).
    """
    folder = folder.expanduser().resolve()
    _require_store(home, store_elsewhere)
    _require_place(home, folder)
    backup = _Backup(folder)
    _copy_heads(home, backup)
    if store_elsewhere:
        with home.database.read() as transaction:
            parts = registered_parts(transaction)
        _copy_parts(home, backup, [] if landing_elsewhere else parts, told)
    else:
        _copy_store(home, backup, landing_elsewhere, told)
    for source, name in _rest(home):
        backup.copy(source, name)
    manifest = Manifest(
        FORMAT,
        datetime.now(UTC).isoformat(timespec="seconds"),
        __version__,
        HEAD,
        "elsewhere" if store_elsewhere else "copied",
        "elsewhere" if landing_elsewhere else "copied",
        backup.files,
    )
    for place in sorted({(folder / one.path).parent for one in backup.files}):
        sync_folder(place)
    write_manifest(folder, manifest)
    sync_folder(folder)
    return manifest


def _require_store(home: Home, store_elsewhere: bool) -> None:
    if not store_elsewhere:
        home.database.require_file()
    elif home.database.dialect == "sqlite":
        raise ConfigurationError(
            "the store is a file of SQLite, which no other tool has dumped",
            code="backup.store_is_a_file",
            place=home.database.place,
            remedy="leave --database-dumped out: the store is copied with the rest",
        )


def _require_place(home: Home, folder: Path) -> None:
    if folder.is_relative_to(home.settings.root):
        raise StoreError(
            "the backup would lie in the home folder, and be lost with it",
            code="backup.inside_home",
            place=str(folder),
            remedy="name a folder elsewhere, best on another disk",
        )
    if folder.exists() and any(folder.iterdir()):
        raise StoreError(
            "there is something in the folder already",
            code="backup.not_empty",
            place=str(folder),
            remedy="name a new folder: a backup is never written over another one",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _copy_heads(home: Home, backup: _Backup) -> None:
    source = home.settings.audit_folder
    if not source.is_dir():
        return
    with signing(source):  # nobody signs meanwhile: heads and keys fit
        for path in sorted(source.iterdir()):
            if path.is_file() and path.name != ".lock":
                backup.copy(path, f"audit/{path.name}")


def _copy_store(home: Home, backup: _Backup, landing_elsewhere: bool, told: Told) -> None:
    """The store, and the parts it lists; again where one of these was given up meanwhile."""
    target = backup.folder / FILES / STORE
    target.parent.mkdir(exist_ok=True, mode=0o700)
    for attempt in range(1, _ATTEMPTS + 1):
        target.unlink(missing_ok=True)
        home.database.copy_to(target)
        parts = _parts_of(target)
        before = len(backup.files)
        try:
            _copy_parts(home, backup, [] if landing_elsewhere else parts, told)
        except StoreError as error:
            if attempt == _ATTEMPTS or _still_listed(home.database, parts):
                raise error from None
            del backup.files[before:]
            continue
        break
    backup.note(f"{FILES}/{STORE}", _digest(target))


def _parts_of(store: Path) -> list[Part]:
    copy = open_database(f"sqlite:///{store}")
    try:
        with copy.read() as transaction:
            return registered_parts(transaction)
    finally:
        copy.close()


def _still_listed(database: Database, parts: list[Part]) -> bool:
    """Whether the living store lists them all: then one that is not there is lost, and not merely given up."""
    with database.read() as transaction:
        listed = {part.path for part in registered_parts(transaction)}
    return all(part.path in listed for part in parts)


def _copy_parts(home: Home, backup: _Backup, parts: list[Part], told: Told) -> None:
    for done, part in enumerate(parts, start=1):
        backup.copy_part(home, part)
        told(done, len(parts))


def _rest(home: Home) -> Iterator[tuple[Path, str]]:
    """Everything else of the home with its name there, and what settings have put elsewhere under its usual name."""
    settings, root = home.settings, home.settings.root
    named = {
        "connections.yaml": settings.resolved_connections_file,
        "policy.yml": settings.policy_file or root / "policy.yml",
        "severity.yml": settings.severity_file or root / "severity.yml",
        "quality.yml": settings.quality_file or root / "quality.yml",
        "secrets.key": settings.resolved_secret_key_file,
        **{f"dagster/{name}": settings.dagster_home / name for name in _OF_DAGSTER},
    }
    for name, path in named.items():
        yield path, name
    for top in sorted(root.iterdir()):
        left = top.name in LEFT_OUT or top.name.startswith((STORE, SET_ASIDE)) or top.suffix == ".lock"
        if left or top.name in named:
            continue
        if top.is_file():
            yield top, top.name
        for place, _, files in os.walk(top):
            for file in sorted(files):
                path = Path(place) / file
                if path.is_file():
                    yield path, str(path.relative_to(root))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
