"""Sealed secrets: opened with the key they were sealed with, or not at all."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.secret_box import SecretBox

SECRET = "a secret, é and all"


@pytest.fixture
def box(tmp_path: Path) -> SecretBox:
    made = SecretBox(tmp_path / "home" / "secrets.key")
    made.create_key()
    return made


def test_what_was_sealed_is_opened_and_is_not_to_be_read_without(box: SecretBox) -> None:
    sealed = box.seal(SECRET)
    assert box.open(sealed) == SECRET and SECRET.encode() not in sealed
    assert box.seal(SECRET) != sealed


def test_the_key_file_is_its_owners_alone_and_is_made_once(box: SecretBox, tmp_path: Path) -> None:
    file = tmp_path / "home" / "secrets.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    threads = [threading.Thread(target=box.create_key) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert file.read_bytes() == before and [one.name for one in file.parent.iterdir()] == ["secrets.key"]


def test_after_a_new_key_was_put_in_front_older_secrets_still_open(box: SecretBox, tmp_path: Path) -> None:
    file, sealed = tmp_path / "home" / "secrets.key", box.seal(SECRET)
    old = file.read_text()
    file.write_text(f"# made in May\n{Fernet.generate_key().decode()}\n\n  # the one before it\n{old}")
    assert box.open(sealed) == SECRET
    fresh = box.seal(SECRET)
    file.write_text(old)
    with pytest.raises(StoreError) as refused:
        box.open(fresh)
    assert refused.value.code == "secret.sealed_otherwise"


@pytest.mark.parametrize(
    ("content", "code"), [(None, "secret.key_lost"), (b"", "secret.key_unreadable"), (b"\xff", "secret.key_unreadable")]
)
def test_a_key_that_is_lost_or_spoilt_is_said_without_what_it_held(
    box: SecretBox, tmp_path: Path, content: bytes | None, code: str
) -> None:
    file, sealed = tmp_path / "home" / "secrets.key", box.seal(SECRET)
    key = file.read_text().strip()
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    for use in (lambda: box.open(sealed), lambda: box.seal(SECRET)):
        with pytest.raises(StoreError) as refused:
            use()
        assert refused.value.code == code and key not in str(refused.value) and SECRET not in str(refused.value)
