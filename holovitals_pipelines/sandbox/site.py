"""One running vendor: its dialect, what it holds, its clock, its knobs, and what it remembers of its clients."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import orjson
from starlette.responses import Response
from starlette.routing import BaseRoute

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.clock import Clock
from holovitals_pipelines.sandbox.protocols.outcomes import refusal
from holovitals_pipelines.sandbox.records import Present, Records

if TYPE_CHECKING:
    from holovitals_pipelines.sandbox.protocols.bulk import Exports
    from holovitals_pipelines.sandbox.protocols.smart_backend import TokenPolicy, TokenService

Kept = TypeVar("Kept")


Failure = Callable[[int, str, dict[str, str]], Response]
"""(status, words, headers) → how a vendor says it."""


_ISSUE_TYPES = {
    400: "invalid", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 409: "conflict",
    410: "deleted", 412: "conflict", 413: "too-long", 422: "processing", 429: "throttled", 500: "exception",
}  # fmt: skip
"""http://hl7.org/fhir/R4/valueset-issue-type.html, by status."""


def _fhir_failure(status: int, words: str, headers: dict[str, str]) -> Response:
    return refusal(status, _ISSUE_TYPES.get(status, "transient"), words, headers)


def _fhir_target(site: Site, path: str, body: bytes) -> tuple[str, str] | None:
    kind, _, identity = path.partition("/")
    return (kind, identity) if identity else None


@dataclass(frozen=True, slots=True)
class Dialect:
    """What makes a vendor: one module of `dialects` declares one of these as `DIALECT`.

    `prefix` is the first path segment and everything of the vendor lives below it; `base` is the base URL's path.
    `settings` is a frozen dataclass of knobs, every one with a default. `template` turns a path below the prefix into
    one without ids, for the request log and for faults.
    """

    name: str
    base: str
    settings: type[Any]
    present: Present
    open: Callable[[Site], list[BaseRoute]]
    template: Callable[[str], str]
    tokens: Callable[[Any], TokenPolicy] | None = None
    """The demands on client assertions, from the settings; None for vendors with another way in."""
    turned: Callable[[Site], None] | None = None
    """Called when the settings have been turned, also at the start."""
    group: str | None = None
    """The id of the Group of all patients, where the vendor exports by group; clients are told it out of band."""
    faces: Mapping[str, str] = field(default_factory=dict)
    """Other interfaces to the same records: what a client is told of each, and the base URL's path."""
    failure: Failure = _fhir_failure
    """How the vendor says that it is busy or failing."""
    target: Callable[[Site, str, bytes], tuple[str, str] | None] = _fhir_target
    """(type, id) of what a write to a path below the base is about: what somebody else may edit just before it."""
    action: Callable[[bytes], str] | None = None
    """What a request's body asks for, where one path serves many actions; it ends the template by which faults and the
    request log know the request."""

    @property
    def prefix(self) -> str:
        return "/" + self.base.split("/")[1]


class Link(Protocol):
    """What a vendor has beside HTTP: a port of its own, and whom it calls itself."""

    @property
    def address(self) -> str:
        """The URL a client is given; only once bound."""
        ...

    def bind(self, host: str) -> None:
        """Take the port; does nothing when it is taken already."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Expiring(Generic[Kept]):
    """Things remembered under an unguessable token until they expire; the oldest go first when there are too many."""

    def __init__(self, clock: Clock, limit: int = 2000) -> None:
        self._clock = clock
        self._limit = limit
        self._kept: OrderedDict[str, tuple[float, Kept]] = OrderedDict()

    def keep(self, thing: Kept, seconds: float) -> str:
        token = secrets.token_urlsafe(18)
        self._kept[token] = (self._clock.now_ms() + seconds * 1000, thing)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return token

    def find(self, token: str) -> Kept | None:
        expires, thing = self._kept.get(token, (0.0, None))
        return thing if expires > self._clock.now_ms() else None

    def forget_all(self) -> None:
        self._kept.clear()


@dataclass(slots=True)
class Session:
    """A search in progress: the numbers it found, and what each page still filters (Epic's post-filters)."""

    kind: str
    numbers: Sequence[int]
    count: int
    self_query: str
    keep: Callable[[bytes], bool] | None = None
    warnings: list[dict[str, Any]] = field(default_factory=list)
    total: int | None = None


@dataclass(slots=True)
class Site:
    """A vendor at work. `settings` is an instance of the dialect's settings and may be replaced while running."""

    dialect: Dialect
    records: Records
    clock: Clock
    settings: Any
    tokens: TokenService | None
    sessions: Expiring[Session]
    exports: Exports
    merged: dict[str, str] = field(default_factory=dict)
    """Retired patient → survivor."""
    note_merge: Callable[[str, str], None] | None = None
    """Told of every merge: who was retired, and the survivor."""
    watch_merge: Callable[[str, str], None] | None = None
    """The same once it is done, for a vendor that passes changes on."""
    link: Link | None = None
    shared: dict[str, Any] = field(default_factory=dict)
    """What the dialect itself remembers (counters of the day)."""
    own_sessions: list[Callable[[], None]] = field(default_factory=list)
    own_tokens: list[Callable[[], None]] = field(default_factory=list)
    """What ends the sessions and revokes the tokens that the dialect itself gave out."""

    def end_sessions(self) -> None:
        self.sessions.forget_all()
        for forget in self.own_sessions:
            forget()

    def revoke_tokens(self) -> None:
        if self.tokens is not None:
            self.tokens.revoke_all()
        for forget in self.own_tokens:
            forget()

    def turn(self, changes: Mapping[str, Any]) -> None:
        """Turn knobs while running. Raises ConfigurationError for unknown knobs, ValueError for unfit values."""
        self.settings = apply_settings(self.settings, changes)
        if self.dialect.turned is not None:
            self.dialect.turned(self)


def base_urls(sites: Mapping[str, Site], here: str) -> dict[str, str]:
    """What clients are told: each vendor's base URL, and those of its other interfaces, seen from `here`."""
    urls: dict[str, str] = {}
    for name, site in sites.items():
        urls[name] = here + site.dialect.base if site.link is None else site.link.address
        urls |= {face: here + base for face, base in site.dialect.faces.items()}
    return urls


def apply_settings(settings: Any, changes: Mapping[str, Any]) -> Any:
    """The knobs with some turned; text is read as the knob's own type. Raises ConfigurationError for unknown knobs."""
    known = {knob.name: getattr(settings, knob.name) for knob in fields(settings)}
    turned: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in known:
            raise ConfigurationError(
                f"there is no setting {name!r}",
                code="sandbox.unknown_setting",
                remedy=f"choose from {', '.join(known)}",
            )
        turned[name] = _as_type_of(known[name], value)
    return replace(settings, **turned)


_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _as_type_of(known: Any, value: Any) -> Any:
    """The value as the knob's type: text is a comma-separated list, a yes or no, or JSON. Raises ValueError."""
    if isinstance(known, bool):
        word = str(value).lower()
        if word not in (*_TRUE, *_FALSE):
            raise ValueError("neither yes nor no")
        return word in _TRUE
    if isinstance(known, tuple):
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else tuple(value)
    if isinstance(known, Mapping):
        return dict(orjson.loads(value) if isinstance(value, str) else value)
    return type(known)(value)
