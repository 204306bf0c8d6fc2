"""The Ed25519 keys that heads of the audit log are signed with.

Law: the private key never leaves its file, which only its owner can read; every public key ever used stays beside it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from holovitals_pipelines.model.errors import StoreError

PRIVATE_KEY = "head-signing.pem"
PUBLIC_KEYS = "head-*.pub.pem"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """`key_id` is the beginning of sha256 over the 32 bytes of the key."""

    key_id: str
    _key: Ed25519PublicKey = field(repr=False)

    def signed(self, signature: bytes, text: bytes) -> bool:
        """Whether `signature` was made over `text` with the private half."""
        try:
            self._key.verify(signature, text)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair; `stored` says whether it lies in the folder already."""

    public: PublicKey
    stored: bool
    _key: Ed25519PrivateKey = field(repr=False)

    def sign(self, text: bytes) -> bytes:
        return self._key.sign(text)

    def keep_public(self, folder: Path) -> None:
        """Put the public half into the folder, where it stays when the private one is replaced."""
        path = folder / f"head-{self.public.key_id}.pub.pem"
        if not path.exists():
            _write_new(
                path, self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644
            )

    def keep_private(self, folder: Path) -> None:
        if not self.stored:
            pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            _write_new(folder / PRIVATE_KEY, pem, 0o600)


def has_signing_key(folder: Path) -> bool:
    return (folder / PRIVATE_KEY).exists()


def signing_key(folder: Path) -> SigningKey:
    """The key in `folder`, or a new one that is not stored yet. Raises StoreError for a file that is no such key."""
    path = folder / PRIVATE_KEY
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        return SigningKey(_public(made.public_key()), False, made)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unreadable(path) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _unreadable(path)
    return SigningKey(_public(key.public_key()), True, key)


def public_keys(folder: Path) -> dict[str, PublicKey]:
    """Every public key kept in `folder`, by id."""
    found = (read_public_key(path) for path in sorted(folder.glob(PUBLIC_KEYS)))
    return {key.key_id: key for key in found}


def read_public_key(path: Path) -> PublicKey:
    """Raises StoreError for a file that is no Ed25519 public key, OSError where there is none."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        raise _unreadable(path) from None
    if not isinstance(key, Ed25519PublicKey):
        raise _unreadable(path)
    return _public(key)


def _public(key: Ed25519PublicKey) -> PublicKey:
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return PublicKey(hashlib.sha256(raw).hexdigest()[:16], key)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Readers see the whole file or none, also after a power failure."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's list of names durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unreadable(path: Path) -> StoreError:
    return StoreError(
        "the file is not an Ed25519 key in PEM form",
        code="audit.key_unreadable",
        place=str(path),
        remedy="restore it from a backup, or move it away: the next signature makes a new key",
    )
