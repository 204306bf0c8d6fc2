"""What a backup holds, with the checksum of every file. It is written last: a folder without it is no backup.

Law: nothing of a backup is believed that its manifest does not name with the checksum it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

from holovitals_pipelines.model.errors import StoreError

MANIFEST = "backup.json"
FORMAT = 1
STORE = "operational.sqlite"
FILES, PARTS = "home", "landing"
"""Folders of a backup: what lies in the home folder, and the landing zone's parts."""


class Copied(msgspec.Struct, frozen=True):
    """One file, by its path within the backup."""

    path: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    format: int
    made_at: str
    program: str
    store_revision: str
    store: Literal["copied", "elsewhere"]
    """`elsewhere`: a PostgreSQL, of which its own tools made the copy."""
    landing: Literal["copied", "elsewhere"]
    files: Sequence[Copied]

    @property
    def size(self) -> int:
        return sum(one.bytes for one in self.files)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Whole or not at all."""
    partial = folder / f".{MANIFEST}.part"
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    partial.replace(folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """Raises StoreError (`backup.none`, `backup.unreadable`)."""
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise StoreError(
            f"the folder has no {MANIFEST}: it is no backup, or one that was not finished",
            code="backup.none",
            place=str(folder),
            remedy="name the folder that `holovitals backup` said it had finished",
        ) from None
    except msgspec.MsgspecError:
        manifest = None
    if manifest is None or manifest.format != FORMAT or any(_leads_out(one.path) for one in manifest.files):
        raise StoreError(
            f"{MANIFEST} cannot be read by this program",
            code="backup.unreadable",
            place=str(path),
            remedy="use the program that made the backup, or an earlier backup",
        )
    return manifest


def require_whole(folder: Path, manifest: Manifest) -> None:
    """Read every file. Raises StoreError (`backup.damaged`) for the first ones that are not as they were written."""
    damaged = [one.path for one in manifest.files if not _is_whole(folder / one.path, one)]
    if damaged:
        raise StoreError(
            f"{len(damaged)} files of the backup are missing or damaged: {', '.join(damaged[:3])}",
            code="backup.damaged",
            place=str(folder),
            remedy="copy the backup again from where it came, or use an earlier one; nothing was restored",
        )


def _is_whole(path: Path, said: Copied) -> bool:
    digest = sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return False
    return digest.hexdigest() == said.sha256


def _leads_out(path: str) -> bool:
    return Path(path).is_absolute() or ".." in Path(path).parts
