"""From the JSON that asks for a job, as the HTTP API and the command line have it, to the request.

Law: what is not understood is refused with its name and what there is instead; nothing that was asked for is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.job import JobOptions, SyncRequest, check_request
from holovitals_pipelines.model.vocabulary import Direction, JobType, Priority

_E = TypeVar("_E", bound=Enum)

FIELDS = (
    "type",
    "direction",
    "priority",
    "ehrProvider",
    "ehrConnectionId",
    "patientId",
    "resourceType",
    "resourceIds",
    "filters",
    "options",
)
FILTERS = ("resourceTypes", "since", "until")
OPTIONS: Mapping[str, str] = {
    "batchSize": "batch_size",
    "maxRetries": "max_retries",
    "retryDelay": "retry_delay_ms",
    "timeout": "timeout_ms",
    "validateData": "validate_data",
    "resolveConflicts": "resolve_conflicts",
    "notifyOnComplete": "notify_on_complete",
}
"""The options' names in JSON (vocabulary of the API), and in `JobOptions`. Times are in milliseconds."""


def request_of(home: Home, body: Mapping[str, Any]) -> SyncRequest:
    """The job that `body` asks for. Raises ConfigurationError naming the field, also for an unknown connection."""
    _only(body, FIELDS, "request")
    connection = connection_of(home, _text(body, "ehrConnectionId"), body.get("ehrProvider"))
    filters = _object(body, "filters")
    _only(filters, FILTERS, "filters")
    resource_type = _text(body, "resourceType", None)
    named = _texts(body, "resourceIds")
    if named and resource_type is None:
        raise _wrong("resourceIds", "ids are of one resource type", "give resourceType with resourceIds")
    types = _texts(filters, "resourceTypes", "filters.")
    if resource_type is not None and not named:
        types = (resource_type, *types)
    patient = _text(body, "patientId", None)
    request = SyncRequest(
        connection=connection,
        type=_member(JobType, body, "type"),
        direction=_member(Direction, body, "direction", Direction.BIDIRECTIONAL),
        priority=_priority(body.get("priority", Priority.NORMAL)),
        resource_types=tuple(dict.fromkeys(types)),
        patients=() if patient is None else (patient,),
        ids=tuple((resource_type, remote_id) for remote_id in named) if resource_type is not None else (),
        window=_window(filters),
        options=options_of(_object(body, "options")),
    )
    check_request(request)
    return request


def connection_of(home: Home, connection_id: str, provider: object = None) -> str:
    """The name of the connection that the API calls so; hyphens of an id are underscores of a name.

    Raises ConfigurationError for one that is not declared, and for one of another provider than was named.
    """
    known = connection_id in home.connections
    connection = home.connection(connection_id if known else connection_id.replace("-", "_"))
    if provider is not None and provider != connection.provider.value:
        raise _wrong(
            "ehrProvider",
            f"the connection {connection.name} is one to {connection.provider}",
            f"say {connection.provider}, leave ehrProvider out, or name another connection",
        )
    return connection.name


def options_of(plain: Mapping[str, Any]) -> JobOptions:
    """Raises ConfigurationError for an unknown option, or a value that is none of its kind."""
    _only(plain, OPTIONS, "options")
    given: dict[str, int | bool | None] = {}
    for name, value in plain.items():
        kind = bool if isinstance(getattr(JobOptions(), OPTIONS[name]), bool) else int
        optional = getattr(JobOptions(), OPTIONS[name]) is None
        if type(value) is not kind and not (optional and value is None):
            said = "true or false" if kind is bool else "a whole number"
            raise _wrong(f"options.{name}", f"{said} was expected", f"give {said}")
        given[OPTIONS[name]] = value
    return JobOptions(**given)  # type: ignore[arg-type]  # checked one by one above


def options_as_json(options: JobOptions) -> dict[str, int | bool | None]:
    """The inverse of `options_of`, every option spelled out."""
    return {name: getattr(options, field) for name, field in OPTIONS.items()}


def _window(filters: Mapping[str, Any]) -> tuple[datetime, datetime | None] | None:
    since, until = _instant(filters, "since"), _instant(filters, "until")
    if since is None and until is None:
        return None
    if since is None:
        raise _wrong("filters.until", "a window needs its beginning", "give since too, or leave until out")
    return since, until


def _instant(filters: Mapping[str, Any], name: str) -> datetime | None:
    text = _text(filters, name, None, "filters.")
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        pass  # raised below, without what was given
    else:
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    raise _wrong(f"filters.{name}", "an instant with its zone was expected", "write it as 2026-11-01T00:00:00Z")


def _priority(value: object) -> Priority:
    try:
        if isinstance(value, str):
            return Priority[value.upper()]
        if isinstance(value, int) and not isinstance(value, bool):
            return Priority(value)
    except (KeyError, ValueError):
        pass  # raised below, with what there is
    listed = ", ".join(f"{int(one)} {one.name}" for one in Priority)
    raise _wrong("priority", "there is no such priority", f"choose from {listed}")


def _member(kind: Callable[[Any], _E], body: Mapping[str, Any], name: str, default: _E | None = None) -> _E:
    if name not in body and default is not None:
        return default
    try:
        return kind(body.get(name))
    except ValueError:
        listed = ", ".join(one.value for one in kind)  # type: ignore[attr-defined]  # every Enum class is its members
        raise _wrong(name, f"{name} is missing or unknown", f"choose from {listed}") from None


_REQUIRED = object()


def _text(body: Mapping[str, Any], name: str, default: Any = _REQUIRED, within: str = "") -> Any:
    value = body.get(name)
    if value is None and default is not _REQUIRED:
        return default
    if not isinstance(value, str) or not value.strip():
        raise _wrong(f"{within}{name}", "a text was expected", f"give {name} as a text that is not empty")
    return value


def _texts(body: Mapping[str, Any], name: str, within: str = "") -> tuple[str, ...]:
    values = body.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
        raise _wrong(f"{within}{name}", "a list of texts was expected", f'write {name} as ["…", "…"]')
    return tuple(dict.fromkeys(values))


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name) or {}
    if not isinstance(value, Mapping):
        raise _wrong(name, "an object was expected", f"write {name} as {{…}}")
    return value


def _only(body: Mapping[str, Any], known: Collection[str], what: str) -> None:
    """A field's name may be anything a caller wrote, so it is not repeated."""
    if any(name not in known for name in body):
        raise _wrong(what, "there is a field that means nothing here", f"the fields are: {', '.join(known)}")


def _wrong(field: str, message: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(message, code="job.request_invalid", place=field, remedy=remedy)
