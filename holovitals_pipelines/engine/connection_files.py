"""connections.yaml as it is changed through the API, and as a process that stays open follows it.

Law: the file stays the one place where connections are declared: an entry is written into it, everything else in it
stays to the letter, and a secret is only ever named in it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import yaml

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import ConfigurationError, HoloVitalsError
from holovitals_pipelines.settings import load_connections
from holovitals_pipelines.store.connections import remember_connections
from holovitals_pipelines.store.database import Database


class FollowedConnections(Mapping[str, ConnectionConfig]):
    """The connections as the file has them now. While it cannot be read, those it had before."""

    def __init__(self, path: Path, database: Database, known: Mapping[str, ConnectionConfig]) -> None:
        self._path, self._database = path, database
        self._known = dict(known)
        self._seen = _signature(path)
        self._copied = True
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> ConnectionConfig:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> dict[str, ConnectionConfig]:
        signature = _signature(self._path)
        if signature != self._seen:
            with self._lock:
                if signature != self._seen:
                    self._read()
                    self._seen = signature
        if not self._copied and not self._database.is_writing:
            self._copy()
        return self._known

    def _read(self) -> None:
        try:
            self._known = {one.name: one for one in load_connections(self._path)}
        except (HoloVitalsError, OSError):
            return  # readiness tells of it, with what to do
        self._copied = False

    def _copy(self) -> None:
        """Tell the store, which has a copy; where it cannot be told now, at the next look."""
        with suppress(HoloVitalsError), self._database.write() as transaction:
            self._copied = True  # before it is read: what is read after this is copied by a later look
            remember_connections(transaction, self._known.values())
            return
        self._copied = False


def following_file(home: Home) -> Home:
    """The same home, whose connections are those of the file whenever they are asked for."""
    path = home.settings.resolved_connections_file
    return replace(home, connections=FollowedConnections(path, home.database, home.connections))


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


_writing = threading.Lock()


def put_connection(path: Path, declared: ConnectionConfig) -> None:
    """Write one entry: in the place of the one of its name, else at the end.

    Raises ConfigurationError (`settings.connections_by_hand`) for a file that is written so that one entry cannot be
    told from the rest, and what `load_connections` raises.
    """
    with _writing:
        before = load_connections(path)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        changed = _with_entry(text, declared)
        partial = path.with_name(f".{path.name}.part")
        try:
            partial.write_text(changed, encoding="utf-8")
            if {one.name: one for one in load_connections(partial)} != (
                {one.name: one for one in before} | {declared.name: declared}
            ):
                raise _by_hand(path)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _with_entry(text: str, declared: ConnectionConfig) -> str:
    root = yaml.compose(text) if text.strip() else None
    if root is None:
        return f"{text}connections:\n{_entry(declared, 2)}"
    listed = _listed(root)
    on_one_line = isinstance(root, yaml.CollectionNode) and root.flow_style
    if listed is None or on_one_line or (listed.flow_style and listed.value):
        return _whole(text, declared)
    if not listed.value:
        start, end = listed.start_mark.index, listed.end_mark.index
        return f"{text[:start].rstrip(' ')}\n{_entry(declared, 2)}{text[end:].lstrip(' ').removeprefix(chr(10))}"
    for item in listed.value:
        if _name(item) == declared.name:
            start = text.rfind("\n", 0, item.start_mark.index) + 1
            return text[:start] + _entry(declared, listed.start_mark.column) + _rest(text, item)
    last = listed.value[-1]
    rest = _rest(text, last)
    head = text[: len(text) - len(rest)]
    return (head if head.endswith("\n") else head + "\n") + _entry(declared, listed.start_mark.column) + rest


def _listed(root: yaml.Node) -> yaml.SequenceNode | None:
    if isinstance(root, yaml.MappingNode):
        for key, value in root.value:
            if key.value == "connections" and isinstance(value, yaml.SequenceNode):
                return value
    return None


def _name(item: yaml.Node) -> str | None:
    if isinstance(item, yaml.MappingNode):
        return next((str(value.value) for key, value in item.value if key.value == "name"), None)
    return None


def _rest(text: str, item: yaml.Node) -> str:
    """What comes after an item's last line."""
    newline = text.find("\n", len(text[: _end(item)].rstrip()))  # a block of text ends after its blank lines
    return "" if newline < 0 else text[newline + 1 :]


def _end(node: yaml.Node) -> int:
    """A block ends where the next begins, comments in between and all; what is in it ends where it ends."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _entry(declared: ConnectionConfig, indent: int) -> str:
    plain = declared.model_dump(mode="json", exclude_defaults=True) | {"provider": declared.provider.value}
    dumped = yaml.safe_dump([plain], sort_keys=False, allow_unicode=True)
    return "".join(f"{' ' * indent}{line}\n" for line in dumped.splitlines())


def _whole(text: str, declared: ConnectionConfig) -> str:
    """A file of one line, such as JSON, has nothing to be kept but its data."""
    if "#" in text:
        raise _by_hand(Path("connections.yaml"))
    parsed = yaml.safe_load(text) or {}
    entries = [one for one in parsed.get("connections") or [] if one.get("name") != declared.name]
    plain = declared.model_dump(mode="json", exclude_defaults=True) | {"provider": declared.provider.value}
    return yaml.safe_dump(parsed | {"connections": [*entries, plain]}, sort_keys=False, allow_unicode=True)


def _by_hand(path: Path) -> ConfigurationError:
    return ConfigurationError(
        "one entry of the file cannot be changed without touching others",
        code="settings.connections_by_hand",
        place=str(path),
        remedy="change it by hand: it has aliases, or lists its connections on one line",
    )
