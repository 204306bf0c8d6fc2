"""Secrets that have to be kept, encrypted with the installation's key, which lies beside the store and never in it.

Law: neither a secret nor the key is in any message; what was sealed with a lost key is an error, never an empty secret.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from holovitals_pipelines.model.errors import StoreError

_COMMENT = "#"


class SecretBox:
    """Seals and opens with the keys of a file, one a line, the newest first; older ones still open."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    @property
    def has_key(self) -> bool:
        return self._key_file.exists()

    def create_key(self) -> None:
        """Make the key file, readable by its owner only. Of several processes that do it at once, one wins."""
        self._key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self._key_file.with_name(f".{self._key_file.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
        handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(Fernet.generate_key() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, self._key_file)
        except FileExistsError:
            pass  # another process was first, and its key is as good
        finally:
            partial.unlink(missing_ok=True)

    def seal(self, secret: str) -> bytes:
        """Raises StoreError (`secret.key_lost`, `secret.key_unreadable`)."""
        return self._keys().encrypt(secret.encode())

    def open(self, sealed: bytes) -> str:
        """Raises StoreError (`secret.key_lost`, `secret.key_unreadable`, `secret.sealed_otherwise`)."""
        keys = self._keys()
        try:
            return keys.decrypt(sealed).decode()
        except InvalidToken:
            raise StoreError(
                "a secret was sealed with a key that is not in the key file",
                code="secret.sealed_otherwise",
                place=str(self._key_file),
                remedy="put the old key back as a further line of it; or give each webhook a new secret:"
                " holovitals webhooks rotate",
            ) from None

    def _keys(self) -> MultiFernet:
        try:
            lines = [line.strip() for line in self._key_file.read_text(encoding="ascii").splitlines()]
            return MultiFernet([Fernet(line) for line in lines if line and not line.startswith(_COMMENT)])
        except FileNotFoundError:
            raise StoreError(
                "the key that webhook secrets are sealed with is not there",
                code="secret.key_lost",
                place=str(self._key_file),
                remedy="put it back from a backup; without it, delete the webhooks and register them anew",
            ) from None
        except (OSError, ValueError, UnicodeDecodeError):
            raise StoreError(
                "the key file cannot be read",
                code="secret.key_unreadable",
                place=str(self._key_file),
                remedy="each line is a key of 32 bytes in URL-safe Base64; check its permissions too",
            ) from None
