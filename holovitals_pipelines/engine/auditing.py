"""The audit log's use cases: sign its head, verify it, look at it.

Law: a head is signed only over a log that still agrees with the head before; verifying changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.paging import Page, page_of, place_of
from holovitals_pipelines.store.audit import LoggedEntry, RecordFinding, check_against_store, entries, entry, last
from holovitals_pipelines.store.audit.findings import Finding
from holovitals_pipelines.store.audit.heads import HEADS, Head, append_head, newest_head, read_heads, set_aside, signing
from holovitals_pipelines.store.audit.keys import has_signing_key, public_keys, read_public_key
from holovitals_pipelines.store.audit.log import count_entries, entries_before, stream_stored
from holovitals_pipelines.store.audit.verification import check_chain
from holovitals_pipelines.store.bulk import Row
from holovitals_pipelines.store.documents import get_documents

LISTED_FINDINGS = 100
_LIST = "audit"
Walked = Callable[[int, int], None]
"""Called with how many entries were walked, and how many there are."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a verification found. `findings` are the first hundred; `unsigned` entries came after the newest head."""

    entries: int
    heads: int
    newest_head: Head | None
    unsigned: int
    findings: tuple[Finding, ...]
    finding_count: int
    before_the_log: int | None
    """Records without an entry because they are older than the log; None: records were not compared."""

    @property
    def intact(self) -> bool:
        return self.finding_count == 0


def audit_folder(home: Home) -> Path:
    """Where heads and keys are: in the home, outside the store."""
    return home.settings.root / "audit"


def sign_head(home: Home, *, begin_anew: bool = False) -> Head | None:
    """Sign the log's newest entry and keep the head outside the store; None while the log is empty.

    Nothing is written when the newest head is of that entry already. Raises StoreError (`audit.head_disagrees`,
    `audit.heads_missing`) when the log is not the one that was signed before, or the heads are gone: then nothing is
    signed, because a new head would vouch for it. `begin_anew` sets the old heads aside and begins a new file, for a
    person who knows why (a restored backup).
    """
    folder = audit_folder(home)
    with signing(folder) as key:
        now = datetime.now(UTC)
        before = None if begin_anew else newest_head(folder / HEADS, public_keys(folder))
        if before is None and key.stored and not begin_anew:
            raise _heads_missing(folder)
        with home.database.read() as transaction:
            if before is not None:
                _agrees(transaction, before, folder)
            newest = last(transaction)
            if newest is None or (before is not None and before.seq == newest.seq):
                return before
            count = count_entries(transaction, since_seq=before.seq if before is not None else 0)
        if begin_anew:
            set_aside(folder, now)
        return append_head(
            folder,
            key,
            seq=newest.seq,
            entry_hash=newest.entry_hash,
            count=count + (before.count if before is not None else 0),
            at=now,
            after=before,
        )


def _agrees(transaction: sa.Connection, head: Head, folder: Path) -> None:
    found = entries(transaction, since_seq=head.seq - 1, limit=1)
    if not found or (found[0].seq, found[0].entry_hash) != (head.seq, head.entry_hash):
        raise StoreError(
            f"entry {head.seq} of the audit log is not the one whose hash was signed before: no head was signed",
            code="audit.head_disagrees",
            place=str(folder / HEADS),
            remedy="`holovitals audit verify` says what happened; docs/audit.md says what to do after a restore",
        )


def _heads_missing(folder: Path) -> StoreError:
    return StoreError(
        "heads of the audit log were signed here, and none of them is left: no head was signed",
        code="audit.heads_missing",
        place=str(folder / HEADS),
        remedy="restore the file from the copy kept elsewhere; without one, see docs/audit.md (After a restore)",
    )


def _nothing_walked(done: int, total: int) -> None:
    pass


def verify(
    home: Home,
    *,
    heads_file: Path | None = None,
    key_files: Sequence[Path] = (),
    records: bool = False,
    walked: Walked = _nothing_walked,
) -> AuditReport:
    """Walk the whole log and hold every signed head against it; reads only, and never more than a batch at a time.

    `heads_file` and `key_files` name copies kept elsewhere, to be believed instead of those in the home folder.
    `records` also replays the log and compares the records with it. Raises OSError for a key file that cannot be read.
    """
    folder = audit_folder(home)
    path = heads_file or folder / HEADS
    keys = {key.key_id: key for key in map(read_public_key, key_files)} or public_keys(folder)
    file = read_heads(path, keys)  # before the log, which by then has every entry they name
    kept = _Kept()
    with home.database.read() as transaction:
        total = count_entries(transaction)
        kept.add(file.findings)
        if not file.heads and not file.findings and (total or has_signing_key(folder)):
            kept.add([_no_head(path, signed_before=has_signing_key(folder) or heads_file is not None)])
        kept.add(check_chain(_told(stream_stored(transaction), total, walked), file.heads))
        before_the_log = _compare_records(transaction, kept) if records else None
        newest_seq = file.newest.seq if file.newest is not None else 0
        unsigned = count_entries(transaction, since_seq=newest_seq)
    return AuditReport(total, len(file.heads), file.newest, unsigned, tuple(kept.findings), kept.count, before_the_log)


class _Kept:
    """The first findings, and how many there are: a log that was written anew could give one an entry."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.count = 0

    def add(self, found: Iterable[Finding]) -> None:
        for finding in found:
            self.count += 1
            if len(self.findings) < LISTED_FINDINGS:
                self.findings.append(finding)


def _told(batches: Iterator[list[Row]], total: int, walked: Walked) -> Iterator[list[Row]]:
    done = 0
    for rows in batches:
        yield rows
        done += len(rows)
        walked(done, total)


def _no_head(path: Path, *, signed_before: bool) -> Finding:
    if signed_before:
        return Finding(
            "audit.heads_missing",
            f"heads were signed here, and {path} has none of them",
            "restore it from the copy kept elsewhere; until then a cut or rewritten log would not show",
        )
    return Finding(
        "audit.never_signed",
        "no head of this log was ever signed here, so a cut or rewritten log would not show",
        "`holovitals audit sign`; if it was signed before, restore the folder `audit` from the copy kept elsewhere",
    )


_TOLD = {
    "differs": ("audit.record_differs", "is not what the log says it became"),
    "missing": ("audit.record_missing", "is in the log, and not in the store"),
    "untrue_before": ("audit.before_image_untrue", "was not what this entry says it was before"),
    "unlogged": ("audit.change_unlogged", "changed while there was a log, and the log does not tell of it"),
}


def _compare_records(transaction: sa.Connection, kept: _Kept) -> int:
    older = 0
    for found in check_against_store(transaction):
        if found.kind == "before_the_log":
            older += 1
        else:
            kept.add([_record_finding(found)])
    return older


def _record_finding(found: RecordFinding) -> Finding:
    code, what = _TOLD[found.kind]
    remedy = f"holovitals audit list --record {found.record_id}; compare with a backup of the store"
    return Finding(code, f"record {found.record_id} {what}", remedy, found.seq)


def list_entries(
    home: Home,
    *,
    record_id: str | None = None,
    connection: str | None = None,
    conflict_id: str | None = None,
    job_id: str | None = None,
    since_seq: int | None = None,
    limit: int = 100,
) -> list[LoggedEntry]:
    """Entries that meet every condition: the newest first, or from the one after `since_seq` onwards."""
    with home.database.read() as transaction:
        return entries(
            transaction,
            record_id=record_id,
            connection=connection,
            conflict_id=conflict_id,
            job_id=job_id,
            since_seq=since_seq or 0,
            limit=limit,
            newest_first=since_seq is None,
        )


def entry_page(home: Home, wanted: Mapping[str, str | None], *, cursor: str | None, limit: int) -> Page[LoggedEntry]:
    """Entries that meet every condition, by column; the newest first. Raises StoreError (`page.cursor_invalid`)."""
    before = place_of(cursor, _LIST, int)[0] if cursor else None
    with home.database.read() as transaction:
        found = entries_before(transaction, wanted, before=before, limit=limit + 1)
    return page_of(found, limit, _LIST, lambda one: (one.seq,))


def show_entry(home: Home, seq: int) -> LoggedEntry:
    """Raises StoreError (`audit.entry_unknown`)."""
    with home.database.read() as transaction:
        return entry(transaction, seq)


def images_of(home: Home, seq: int) -> tuple[bytes | None, bytes | None]:
    """The exact bodies before and after an entry: health data. None: absent. Raises StoreError."""
    with home.database.read() as transaction:
        told = entry(transaction, seq)
        before, after = told.before_document, told.after_document
        bodies = get_documents(transaction, [address for address in (before, after) if address is not None])
    return bodies.get(before) if before else None, bodies.get(after) if after else None
