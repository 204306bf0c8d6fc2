"""What rules name by `name@version`: functions and lookup tables.

Law: no version is given twice, so what a rule meant yesterday can be named today.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from holovitals_pipelines.model.errors import ConfigurationError


class Named(Protocol):
    @property
    def full_name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._items: dict[str, T] = {}

    def register(self, item: T) -> None:
        """Raises ConfigurationError for a name and version that is taken."""
        if item.full_name in self._items:
            raise ConfigurationError(
                f"a {self._kind} {item.full_name} is registered already",
                code=f"{self._kind}s.taken",
                remedy="give what has changed a new version",
            )
        self._items[item.full_name] = item

    def get(self, full_name: str, place: str = "") -> T:
        """Raises ConfigurationError naming `place` and the names that come near."""
        item = self._items.get(full_name)
        if item is None:
            raise ConfigurationError(
                f"there is no {self._kind} {full_name!r}",
                code=f"{self._kind}s.unknown",
                place=place,
                remedy=self._remedy(full_name),
            )
        return item

    def __contains__(self, full_name: object) -> bool:
        return full_name in self._items

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._items))

    def _remedy(self, full_name: str) -> str:
        name = full_name.partition("@")[0]
        versions = [known for known in self.names() if known.partition("@")[0] == name]
        near = versions or difflib.get_close_matches(full_name, self.names(), n=3)
        return f"did you mean {' or '.join(near)}?" if near else f"register it; known are {', '.join(self.names())}"
