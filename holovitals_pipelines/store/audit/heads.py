"""Signed heads of the audit log, kept in a file outside the store: what the log cannot unsay.

Law: the file is only ever appended to, a whole line at a time, and each head names the one before.

A line is a JSON object: `seq` and `entry_hash` of the newest entry, `at`, `count` (entries there were up to it),
`previous` (sha256 over the signed text of the head before), `key_id`, and `signature`: Ed25519 over
`holovitals-audit-head-1`, a line feed, and the RFC 8785 canonical JSON of the other members.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import orjson

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.audit.findings import Finding
from holovitals_pipelines.store.audit.keys import PublicKey, SigningKey, signing_key, sync_folder

FORMAT = b"holovitals-audit-head-1\n"
HEADS = "heads.jsonl"

_SEEN = "compare the file with the copy kept elsewhere, and find out who can write to the home folder"


@dataclass(frozen=True, slots=True)
class Head:
    """What the log's newest entry was at an instant."""

    seq: int
    entry_hash: bytes
    at: datetime
    count: int
    previous: bytes | None
    key_id: str
    signature: bytes = b""

    def signed_text(self) -> bytes:
        return FORMAT + orjson.dumps(self._members(), option=orjson.OPT_SORT_KEYS)

    def line(self) -> bytes:
        return orjson.dumps(self._members() | {"signature": self.signature.hex()}) + b"\n"

    def digest(self) -> bytes:
        """By which the next head names this one."""
        return sha256(self.signed_text()).digest()

    def _members(self) -> dict[str, str | int | None]:
        return {
            "seq": self.seq,
            "entry_hash": self.entry_hash.hex(),
            "at": self.at.astimezone(UTC).isoformat(),
            "count": self.count,
            "previous": self.previous.hex() if self.previous is not None else None,
            "key_id": self.key_id,
        }


@dataclass(frozen=True, slots=True)
class HeadsFile:
    """The genuine heads of a file in its order, and what is wrong with the rest of it."""

    heads: tuple[Head, ...]
    findings: tuple[Finding, ...]

    @property
    def newest(self) -> Head | None:
        return self.heads[-1] if self.heads else None


def newest_head(path: Path, keys: Mapping[str, PublicKey]) -> Head | None:
    """The last genuine head of a file, without judging those before it."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    heads = (_parsed(line) for line in reversed(lines))
    return next((head for head in heads if head is not None and _genuine(head, keys)), None)


def _genuine(head: Head, keys: Mapping[str, PublicKey]) -> bool:
    return head.key_id in keys and keys[head.key_id].signed(head.signature, head.signed_text())


def read_heads(path: Path, keys: Mapping[str, PublicKey]) -> HeadsFile:
    """Read and judge every line; a file that is not there has no heads. Only signatures by `keys` count."""
    heads: list[Head] = []
    findings: list[Finding] = []
    content = path.read_bytes() if path.exists() else b""
    intact = True
    for number, line in enumerate(content.splitlines(), start=1):
        head = _parsed(line)
        if head is None:
            findings.append(_finding("audit.head_unreadable", number, "is not a head", _SEEN))
            intact = False
        elif head.key_id not in keys:
            remedy = "restore the public key it was signed with; if there never was one, " + _SEEN
            findings.append(_finding("audit.head_key_unknown", number, f"was signed by key {head.key_id}", remedy))
            intact = False
        elif not _genuine(head, keys):
            findings.append(_finding("audit.head_forged", number, "does not have the signature of its content", _SEEN))
            intact = False
        else:
            expected = heads[-1].digest() if heads else None
            if intact and head.previous != expected:
                findings.append(_finding("audit.heads_removed", number, "does not follow the head before it", _SEEN))
            heads.append(head)
            intact = True
    return HeadsFile(tuple(heads), tuple(findings))


def _finding(code: str, number: int, what: str, remedy: str) -> Finding:
    return Finding(code, f"line {number} of the heads {what}", remedy)


def _parsed(line: bytes) -> Head | None:
    try:
        told = orjson.loads(line)
        head = Head(
            int(told["seq"]),
            bytes.fromhex(told["entry_hash"]),
            datetime.fromisoformat(told["at"]),
            int(told["count"]),
            bytes.fromhex(told["previous"]) if told["previous"] is not None else None,
            str(told["key_id"]),
            bytes.fromhex(told["signature"]),
        )
    except (ValueError, TypeError, KeyError):
        return None
    return head if head.at.tzinfo is not None else None


@contextmanager
def signing(folder: Path) -> Iterator[SigningKey]:
    """The signing key, and the right to append, which one process has at a time; others wait."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the file, also when the process is killed
        yield signing_key(folder)


def append_head(
    folder: Path, key: SigningKey, *, seq: int, entry_hash: bytes, count: int, at: datetime, after: Head | None
) -> Head:
    """Sign a head and write it, durably, after head `after`. Within `signing(folder)`. Raises OSError."""
    unsigned = Head(seq, entry_hash, at, count, after.digest() if after else None, key.public.key_id)
    head = replace(unsigned, signature=key.sign(unsigned.signed_text()))
    # In this order a crash never leaves a private key without a head: such a key proves that heads were taken away.
    key.keep_public(folder)
    _append_line(folder / HEADS, head.line())
    key.keep_private(folder)
    return head


def _append_line(path: Path, line: bytes) -> None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line  # half a line of a power failure stays as it is: nothing is ever removed here
        if os.write(handle, line) != len(line):
            raise StoreError(
                "the signed head could not be written whole",
                code="audit.head_not_written",
                place=str(path),
                remedy="make room on the disk, then `holovitals audit sign`",
            )
        os.fsync(handle)
    finally:
        os.close(handle)
    sync_folder(path.parent)


def set_aside(folder: Path, at: datetime) -> Path | None:
    """Keep the heads file under a dated name, so that the next head begins a new one; None when there is none."""
    path = folder / HEADS
    if not path.exists():
        return None
    kept = folder / f"heads-until-{at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.jsonl"
    path.rename(kept)
    sync_folder(folder)
    return kept
