"""The landing zone: immutable Parquet parts under unique names, in a folder or an object store.

Law: a part is whole under its name or it is not there; no part is ever replaced. Which parts exist for readers is said
by the operational store (`parts.py`); a file it does not list is garbage.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.model.urls import redacted
from holovitals_pipelines.model.vocabulary import Dataset

ROW_GROUP_ROWS = 5_000
"""One row group is what a reader holds: about 6 MB of typical bodies."""
ZSTD_LEVEL = 1
_BLOCK = 1 << 20
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_PART = re.compile(r"(part-[0-9a-f]{32}\.parquet|\.part-[0-9a-f]{32}\.tmp)")


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A part that is complete in the landing zone and that nobody sees until `parts.register_parts` commits."""

    path: str
    """Relative to the landing zone's root."""
    rows: int
    bytes: int
    sha256: str
    dataset: Dataset
    resource_type: str


class LandingZone:
    """A folder path or any URL that `pyarrow.fs.FileSystem.from_uri` understands."""

    def __init__(self, url: str) -> None:
        self.place = redacted(url)
        try:
            if "://" in url:
                self._files, self._root = fs.FileSystem.from_uri(url)
            else:
                self._files, self._root = fs.LocalFileSystem(), str(Path(url).expanduser().absolute())
        except (pa.ArrowException, ValueError, OSError):
            raise ConfigurationError(
                "the landing zone's URL cannot be used",
                code="settings.landing_url",
                place="HOLOVITALS_LANDING_URL",
                remedy="give a folder, file:///folder or s3://bucket/prefix",
            ) from None
        self._local = isinstance(self._files, fs.LocalFileSystem)

    def locate(self, path: str) -> str:
        """The full path of a part within its file system, as DuckDB's `read_parquet` takes it for a local zone."""
        return f"{self._root}/{path}"

    def require_reachable(self) -> None:
        """Raises StoreError when an object store does not answer, or does not let us look; a folder always does."""
        try:
            if not self._local:
                self._files.get_file_info(fs.FileSelector(self._root, recursive=False, allow_not_found=True))
        except OSError as error:
            raise StoreError(
                f"the landing zone cannot be reached ({error.strerror or type(error).__name__})",
                code="landing.unreachable",
                place=self.place,
                remedy="check address, region and bucket in HOLOVITALS_LANDING_URL, and the AWS_… credentials",
            ) from None

    def write_part(
        self, connection: str, job_id: str, dataset: Dataset, resource_type: str, table: pa.Table
    ) -> WrittenPart:
        """Write `table` as a new part, durable before this returns. Raises StoreError when the volume refuses."""
        folders = (connection, job_id, dataset.value, resource_type)
        for name in folders:
            if not _FOLDER.fullmatch(name):
                raise ValueError("connection, job and resource type must be plain names")
        content = _parquet(table)
        name = uuid4().hex
        folder = "/".join(folders)
        path = f"{folder}/part-{name}.parquet"
        try:
            if self._local:
                _write_durably(Path(self._root), folder, f".part-{name}.tmp", f"part-{name}.parquet", content)
            else:
                # An object appears whole when its upload ends.
                with self._files.open_output_stream(self.locate(path), compression=None) as stream:
                    stream.write(content)
        except OSError as error:
            refused = StoreError(
                f"a part could not be written ({error.strerror or type(error).__name__})",
                code="landing.write_failed",
                place=f"{self.place}/{folder}",
                remedy="check free space and permissions of the landing zone, then run the job again",
            )
            raise self._unless_unreachable(refused) from None
        digest = sha256(content).hexdigest()
        return WrittenPart(path, table.num_rows, content.size, digest, dataset, resource_type)

    def open_parts(
        self, paths: Sequence[str], columns: Sequence[str] | None = None, schema: pa.Schema | None = None
    ) -> pa.RecordBatchReader:
        """The rows of `paths` in order, a row group at a time; memory does not grow with the number of parts.

        Give `schema` where `paths` may be empty. Raises StoreError for a part that is missing or damaged.
        """
        if not paths:
            if schema is None:
                raise ValueError("no parts and no schema: nothing says what the columns are")
            return pa.RecordBatchReader.from_batches(schema, iter(()))
        first = self._open(paths[0])
        found = first.schema_arrow
        chosen = list(columns) if columns is not None else found.names
        shape = schema or pa.schema([found.field(name) for name in chosen])

        def batches() -> Iterator[pa.RecordBatch]:
            for number, path in enumerate(paths):
                file = first if number == 0 else self._open(path)
                with file:
                    for group in range(file.num_row_groups):
                        table = self._read_group(file, path, group, chosen)
                        yield from table.select(shape.names).cast(shape).to_batches()

        return pa.RecordBatchReader.from_batches(shape, batches())

    def take_rows(self, path: str, chosen: pa.Table, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows that `chosen` names in its column `row` (0-based, ascending), a row group at a time.

        Each table has the part's columns and beside them `chosen`'s other columns, except those called like one of the
        part's. Row groups without a chosen row are not read.
        """
        wanted = chosen.column("row").cast(pa.int64()).combine_chunks()
        with self._open(path) as file:
            names = list(columns) if columns is not None else file.schema_arrow.names
            beside = [name for name in chosen.column_names if name not in names and name != "row"]
            start = 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                inside = pc.and_(pc.greater_equal(wanted, start), pc.less(wanted, end))
                mine = chosen.filter(inside)
                if mine.num_rows:
                    places = pc.subtract(mine.column("row").cast(pa.int64()), start)
                    table = self._read_group(file, path, group, names).take(places)
                    for name in beside:
                        table = table.append_column(name, mine.column(name))
                    yield table
                start = end
        if len(wanted) and (wanted[-1].as_py() >= start or wanted[0].as_py() < 0):
            raise IndexError(f"the part has {start} rows")

    def verify(self, path: str, expected_sha256: str) -> None:
        """Raises StoreError unless the part's bytes are those that were written."""
        try:
            with self._files.open_input_stream(self.locate(path), compression=None) as stream:
                digest = sha256()
                while block := stream.read(_BLOCK):
                    digest.update(block)
        except OSError:
            raise self._unless_unreachable(self._missing(path)) from None
        if digest.hexdigest() != expected_sha256:
            raise self._damaged(path)

    def copy_out(self, path: str, expected_sha256: str, target: Path) -> None:
        """Copy a part to a new file, durably. Raises StoreError unless its bytes are those that were written."""
        try:
            with self._files.open_input_stream(self.locate(path), compression=None) as stream:
                digest = write_blocks(target, iter(lambda: stream.read(_BLOCK), b""))
        except FileNotFoundError:
            raise self._unless_unreachable(self._missing(path)) from None
        if digest != expected_sha256:
            raise self._damaged(path)

    def take_in(self, path: str, content: Path) -> None:
        """Put a part of a backup back under its name; one that is there already stays as it is."""
        if self._files.get_file_info(self.locate(path)).type == fs.FileType.File:
            return
        folder, _, name = path.rpartition("/")
        if self._local:
            _write_durably(Path(self._root), folder, f".{content.stem}.tmp", name, pa.py_buffer(content.read_bytes()))
        else:
            with self._files.open_output_stream(self.locate(path), compression=None) as stream:
                stream.write(content.read_bytes())

    def sweep(self, known_paths: Iterable[str], older_than: timedelta = timedelta(hours=1)) -> list[str]:
        """Remove parts and half-written files that `known_paths` does not list; returns what was removed.

        Younger files are left: their writer may be about to register them. Files that are not ours are never touched.
        """
        known = set(known_paths)
        limit = datetime.now(UTC) - older_than
        removed = []
        selector = fs.FileSelector(self._root, recursive=True, allow_not_found=True)
        for info in self._files.get_file_info(selector):
            path = info.path[len(self._root) :].lstrip("/")
            ours = info.type == fs.FileType.File and path.count("/") == 4 and _PART.fullmatch(info.base_name)
            if ours and path not in known and info.mtime is not None and info.mtime < limit:
                self._files.delete_file(info.path)
                removed.append(path)
        return sorted(removed)

    def _open(self, path: str) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.locate(path), filesystem=self._files, pre_buffer=False)
        except FileNotFoundError:
            raise self._missing(path) from None
        except (pa.ArrowException, OSError):
            raise self._unless_unreachable(self._damaged(path)) from None

    def _read_group(self, file: pq.ParquetFile, path: str, group: int, columns: list[str]) -> pa.Table:
        try:
            return file.read_row_group(group, columns=columns, use_threads=False)
        except (pa.ArrowException, OSError):
            raise self._unless_unreachable(self._damaged(path)) from None

    def _unless_unreachable(self, error: StoreError) -> StoreError:
        """An object store that does not answer says nothing of its parts: they are neither missing nor damaged."""
        try:
            self.require_reachable()
        except StoreError as unreachable:
            return unreachable
        return error

    def _missing(self, path: str) -> StoreError:
        return StoreError(
            "a part that the operational store lists is not there",
            code="landing.part_missing",
            place=f"{self.place}/{path}",
            remedy="restore the landing zone from a backup, or run a full sync of the connection",
        )

    def _damaged(self, path: str) -> StoreError:
        return StoreError(
            "the part's bytes are not what was written",
            code="landing.part_damaged",
            place=f"{self.place}/{path}",
            remedy="check the disk, restore the part from a backup, or run a full sync of the connection",
        )


def _parquet(table: pa.Table) -> pa.Buffer:
    """The part's bytes. Bodies and hashes hardly repeat, so a dictionary of them would cost time and save nothing."""
    repetitive = [
        field.name
        for field in table.schema
        if pa.types.is_dictionary(field.type) or pa.types.is_timestamp(field.type) or field.name == "evidence"
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=repetitive,
        write_statistics=False,
    )
    return sink.getvalue()


def _write_durably(root: Path, folder: str, temporary: str, final: str, content: pa.Buffer) -> None:
    """Temporary name, fsync, rename, fsync of the folder (and of folders that are new)."""
    target = root / folder
    missing = [target, *target.parents][: len(folder.split("/")) + 1]
    created = [place for place in missing if not place.exists()]
    target.mkdir(parents=True, exist_ok=True)
    handle = os.open(target / temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    (target / temporary).rename(target / final)
    for place in {target, *(new.parent for new in created)}:
        sync_folder(place)


def write_blocks(target: Path, blocks: Iterable[bytes]) -> str:
    """Write a new file that only its owner reads, durably; returns the sha256 of what was written."""
    digest = sha256()
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for block in blocks:
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
