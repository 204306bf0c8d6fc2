"""How an interface shows what a vendor holds: under which ids, with which meta.

The law: what is shown under an id is found under it, and references lead to what is shown.
"""

from __future__ import annotations

from typing import Protocol

from holovitals_pipelines.sandbox.site import Site
from holovitals_pipelines.sandbox.splice import glance, with_server_meta, without_version


class View(Protocol):
    """`number` is that of the store: what `Records` knows a resource by."""

    def number(self, site: Site, kind: str, shown_id: str) -> int | None:
        """What is shown under the id; None where nothing ever was."""
        ...

    def shown_id(self, site: Site, number: int) -> str: ...

    def show(self, site: Site, number: int, body: bytes | None = None) -> bytes:
        """The resource as it stands, or as `body` has it."""
        ...

    def take(self, body: bytes) -> bytes:
        """What is held of a resource that a client sent."""
        ...


class PlainView:
    """As it is held; `with_times`: with the time of its last update."""

    def __init__(self, *, with_times: bool = False) -> None:
        self._with_times = with_times

    def number(self, site: Site, kind: str, shown_id: str) -> int | None:
        return site.records.number(kind, shown_id)

    def shown_id(self, site: Site, number: int) -> str:
        return site.records.identity(number)

    def show(self, site: Site, number: int, body: bytes | None = None) -> bytes:
        current = body if body is not None else site.records.body(number)
        assert current is not None, "only living resources are shown"
        return timed(site, number, current) if self._with_times else current

    def take(self, body: bytes) -> bytes:
        return body


def timed(site: Site, number: int, body: bytes) -> bytes:
    """With `meta.lastUpdated`, without a version."""
    version = site.records.version(number)
    return without_version(with_server_meta(body, glance(body), version.number, version.updated_ms))


PLAIN = PlainView()
TIMED = PlainView(with_times=True)
