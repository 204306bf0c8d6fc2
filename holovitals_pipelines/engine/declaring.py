"""Connections declared and changed by a program: checked, named secrets only, and written into connections.yaml.

Law: a caller can name no secret that was not put there for connections, nor send one that is there to another host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from holovitals_pipelines.engine.connection_files import put_connection
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.people import person_named
from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.settings import load_connections
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.connections import remember_connections
from holovitals_pipelines.store.documents import queue_for_documents

VARIABLES_BEGIN = "HOLOVITALS_SECRET_"
"""Environment variables that a connection made by a program may name begin so."""

_declaring = Lock()


def secrets_folder(home: Home) -> Path:
    """Files that a connection made by a program may name are in here."""
    return home.settings.root / "secrets"


def code_of(connection: ConnectionConfig) -> str:
    """Changes with anything that is declared; says nothing of it."""
    return sha256(connection.model_dump_json().encode()).hexdigest()[:16]


def declare_connection(
    home: Home, name: str, entry: Mapping[str, Any], *, actor: str, seen: str | None, new: bool = False
) -> ConnectionConfig:
    """Declare a connection, or change it against the code of what was seen.

    Raises ConfigurationError (`connection.invalid`, `connection.secret_elsewhere`), StoreError (`connection.exists`,
    `connection.changed`).
    """
    wanted = _checked(name, entry)
    if urlsplit(wanted.base_url).username is not None:
        raise ConfigurationError(
            "an address with user and password in it is a secret that would be shown",
            code="connection.invalid",
            place="body.declared.base_url",
            remedy="leave them out, and declare `auth`",
        )
    path = home.settings.resolved_connections_file
    with _declaring, home.database.write() as transaction:
        queue_for_documents(transaction)  # one at a time, here and in other processes: what was seen is still there
        person = person_named(transaction, actor)
        known = {one.name: one for one in load_connections(path)}
        before = known.get(name)
        _refuse_unseen(name, before, seen, new)
        _refuse_secrets(home, wanted, before, known.values())
        remember_connections(transaction, [*(one for one in known.values() if one.name != name), wanted])
        action = "connection_add" if before is None else "connection_change"
        changed = sorted(_changed(before, wanted)) if before is not None else []
        entry_of_it = audit.Entry(action=action, actor=person, connection=name, detail={"fields": changed})
        audit.append(transaction, [entry_of_it], at=datetime.now(UTC))
        put_connection(path, wanted)
    return wanted


def _refuse_unseen(name: str, before: ConnectionConfig | None, seen: str | None, new: bool) -> None:
    if before is not None and new:
        raise StoreError(
            "there is a connection of this name",
            code="connection.exists",
            place=f"connection {name}",
            remedy="read it and change it with PUT and If-Match, or choose another name",
        )
    if not new and seen != (code_of(before) if before is not None else None):
        raise StoreError(
            "the connection is not what it was when it was read",
            code="connection.changed",
            place=f"connection {name}",
            remedy="read it again and repeat the change",
        )


def _checked(name: str, entry: Mapping[str, Any]) -> ConnectionConfig:
    try:
        return ConnectionConfig.model_validate({**entry, "name": name})
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
    told = "; ".join(f"{_field(one['loc'])}: {one['type'].replace('_', ' ')}" for one in problems[:5])
    raise ConfigurationError(
        f"the connection cannot be declared so: {told}",
        code="connection.invalid",
        place="body",
        remedy="see docs/connections.md for the fields of a connection",
    )


def _field(loc: Sequence[str | int]) -> str:
    """Only names of ours: another is something that was sent."""
    known = _field_names()
    return ".".join(str(part) if isinstance(part, int) or part in known else "(unnamed)" for part in loc)


@cache
def _field_names() -> frozenset[str]:
    schema = ConnectionConfig.model_json_schema()
    shapes = [schema, *schema["$defs"].values()]
    return frozenset(name for shape in shapes for name in shape.get("properties", ()))


def _refuse_secrets(
    home: Home, wanted: ConnectionConfig, before: ConnectionConfig | None, known: Iterable[ConnectionConfig]
) -> None:
    """What a person declared in the file may stay as it is, as long as it goes to the same hosts; a secret that some
    connection uses goes to no others."""
    used_elsewhere = {
        _place_of(one)
        for other in known
        if not set(_hosts(wanted)) <= set(_hosts(other))
        for one in references_of(other)
    }
    kept = set(references_of(before)) if before is not None and _hosts(before) == _hosts(wanted) else set()
    folder = secrets_folder(home)
    for reference in references_of(wanted):
        in_folder = reference.file is not None and Path(reference.file).resolve().is_relative_to(folder.resolve())
        named = reference.env is not None and reference.env.startswith(VARIABLES_BEGIN)
        if not (in_folder or named or reference in kept) or _place_of(reference) in used_elsewhere:
            raise ConfigurationError(
                "a secret is named that is not meant for connections declared so",
                code="connection.secret_elsewhere",
                place=f"connection {wanted.name}",
                remedy=f"name a file in {folder}, or an environment variable that begins with {VARIABLES_BEGIN}; "
                "or declare the connection in connections.yaml by hand",
            )


def _place_of(reference: SecretRef) -> str:
    """The same for every way to write the same file."""
    return f"env:{reference.env}" if reference.file is None else f"file:{Path(reference.file).resolve()}"


def references_of(value: Any) -> Iterator[SecretRef]:
    """Every secret that a connection names."""
    if isinstance(value, SecretRef):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from references_of(getattr(value, name))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from references_of(one)


def _hosts(connection: ConnectionConfig) -> tuple[str, ...]:
    token_url = getattr(connection.auth, "token_url", None)
    parts = [urlsplit(url) for url in (connection.base_url, token_url) if url]
    return tuple(f"{one.scheme}://{one.netloc}" for one in parts)


def _changed(before: ConnectionConfig, after: ConnectionConfig) -> Iterator[str]:
    for name in ConnectionConfig.model_fields:
        if getattr(before, name) != getattr(after, name):
            yield name
