"""The one typed settings object and the connections file; nobody else reads the environment.

Every setting is `HOLOVITALS_<NAME>`; `holovitals doctor` lists them with their values.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.urls import redacted


class Settings(BaseSettings):
    """Where things are and how large they may grow. Relative paths are taken from the current folder."""

    model_config = SettingsConfigDict(env_prefix="HOLOVITALS_", frozen=True)

    home: Annotated[Path, Field(description="folder of everything this installation keeps")] = Path(".holovitals")
    database_url: Annotated[
        str | None, Field(description="operational store; default: SQLite in the home folder; postgresql://… otherwise")
    ] = None
    landing_url: Annotated[
        str | None, Field(description="landing zone; default: a folder in the home folder; s3://… otherwise")
    ] = None
    executor: Annotated[
        Literal["in_process", "celery"],
        Field(description="who does the steps of Dagster's runs: the run itself, or any `holovitals celery-worker`"),
    ] = "in_process"
    broker_url: Annotated[
        str | None, Field(description="what Celery's workers take steps from: redis://… or rediss://…")
    ] = None
    broker_silence_seconds: Annotated[
        int, Field(ge=3, description="a step whose Celery worker is silent this long is given to another one")
    ] = 60
    dagster_database_url: Annotated[
        str | None, Field(description="Dagster's own history; default: SQLite in its folder; postgresql://… otherwise")
    ] = None
    scratch: Annotated[
        Path | None,
        Field(description="this machine's folder for what does not fit memory; default: in the home folder"),
    ] = None
    connections_file: Annotated[Path | None, Field(description="default: connections.yaml in the home folder")] = None
    policy_file: Annotated[
        Path | None, Field(description="conflict policy; default: policy.yml in the home folder, if it is there")
    ] = None
    severity_file: Annotated[
        Path | None, Field(description="severity matrix; default: severity.yml in the home folder, if it is there")
    ] = None
    quality_file: Annotated[
        Path | None, Field(description="quality thresholds; default: quality.yml in the home folder, if it is there")
    ] = None
    api_requests_per_second: Annotated[float, Field(gt=0, description="HTTP API: calls a token may make a second")] = (
        50.0
    )
    api_burst: Annotated[int, Field(ge=1, description="HTTP API: calls a token may make at once")] = 200
    api_max_body_bytes: Annotated[
        int, Field(ge=1024, description="HTTP API: the largest body that is taken, webhooks among them")
    ] = 16 * 1024 * 1024
    api_body_seconds: Annotated[
        float, Field(gt=0, description="HTTP API: how long a call's body may take to arrive (webhooks: as registered)")
    ] = 30.0
    api_open_metrics: Annotated[
        bool, Field(description="HTTP API: /metrics asks for no token; it holds counts only")
    ] = True
    api_least_free_bytes: Annotated[
        int, Field(ge=0, description="HTTP API: /readyz says no when the home's disk has less room")
    ] = 256 * 1024 * 1024
    api_url: Annotated[
        str | None,
        Field(
            pattern=r"^https?://\S+$",
            description="where people open the HTTP API and its pages; Dagster's assets link there (`holovitals up` "
            "knows by itself)",
        ),
    ] = None
    lab_url: Annotated[
        str | None,
        Field(pattern=r"^https?://\S+$", description="where people open JupyterLab, as https://…/lab; linked likewise"),
    ] = None
    batch_rows: Annotated[int, Field(ge=100, description="resources handled at a time; bounds memory")] = 10_000
    batch_bytes: Annotated[int, Field(ge=100_000, description="bytes of bodies handled at a time")] = 24 * 1024 * 1024
    commit_rows: Annotated[int, Field(ge=100, description="records decided in one transaction")] = 30_000
    duckdb_memory: Annotated[
        str, Field(pattern=r"^\d+(MB|GB)$", description="memory limit of each DuckDB computation")
    ] = "256MB"
    identity_systems: Annotated[
        str,
        Field(
            description="identifier systems whose values name one person everywhere, with blanks between; see identity"
        ),
    ] = "http://hl7.org/fhir/sid/us-ssn"
    identity_threshold: Annotated[
        float, Field(ge=0.5, lt=1, description="probability from which two patients are proposed as one person")
    ] = 0.9
    notify_url: Annotated[
        str | None, Field(description="who is told that a job has ended, if the job asks for it: https://…")
    ] = None
    notify_secret_file: Annotated[
        Path | None, Field(description="file with the secret notifications are signed with: whsec_…")
    ] = None
    notify_allow_private: Annotated[
        bool, Field(description="notifications may go to this machine and its network, and without TLS")
    ] = False
    queue_ageing_seconds: Annotated[
        int, Field(ge=1, description="a job that waits so long rises by one class of priority")
    ] = 600
    lease_seconds: Annotated[
        int, Field(ge=5, description="a job whose worker is silent this long may be taken over")
    ] = 60

    secret_key_file: Annotated[
        Path | None,
        Field(description="key that webhook secrets are sealed with; default: secrets.key in the home folder"),
    ] = None
    webhook_handlers: Annotated[
        str | None, Field(description="Python module with HANDLERS for webhook events; see docs/webhooks.md")
    ] = None

    worker_parallel: Annotated[int, Field(ge=1, le=64, description="jobs that `holovitals worker` does at once")] = 2
    worker_poll_seconds: Annotated[
        float, Field(ge=0.01, le=10, description="how often the worker looks whether anything was stored")
    ] = 0.1
    worker_grace_seconds: Annotated[
        float,
        Field(ge=0, description="a worker that is told to stop gives its jobs so long to end, then hands them back"),
    ] = 20.0
    connection_wait_seconds: Annotated[
        float, Field(ge=0, description="a Dagster run waits so long for a connection where another job is at work")
    ] = 900.0
    sensor_wait_seconds: Annotated[
        float,
        Field(ge=0, le=45, description="where no worker runs, the queue's sensor waits so long for a job to come"),
    ] = 18.5
    retention_event_days: Annotated[
        int,
        Field(
            ge=400, description="webhook events that have ended, and dropped files that were taken, are kept so long"
        ),
    ] = 400
    statistics_cron: Annotated[
        str, Field(description="when Dagster publishes the statistics, beside the ends of jobs; empty: never")
    ] = "7 * * * *"
    retention_cron: Annotated[str, Field(description="when Dagster removes what is old; empty: never")] = "40 3 * * *"

    @property
    def is_distributed(self) -> bool:
        """Whether Dagster's history is where several machines reach it."""
        return self.dagster_database_url is not None

    @property
    def root(self) -> Path:
        return self.home.expanduser().resolve()

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.root / 'operational.sqlite'}"

    @property
    def resolved_landing_url(self) -> str:
        return self.landing_url or str(self.root / "landing")

    @property
    def warehouse_folder(self) -> Path:
        return self.root / "warehouse"

    @property
    def dagster_home(self) -> Path:
        return self.root / "dagster"

    @property
    def scratch_folder(self) -> Path:
        """Where DuckDB may spill; it can hold health data. A home that machines share is too slow for it."""
        return self.scratch.expanduser().resolve() if self.scratch else self.root / "scratch"

    @property
    def resolved_connections_file(self) -> Path:
        return self.connections_file or self.root / "connections.yaml"

    @property
    def audit_folder(self) -> Path:
        """Where the audit log's signed heads are kept, outside the store."""
        return self.root / "audit"

    @property
    def resolved_secret_key_file(self) -> Path:
        return self.secret_key_file or self.root / "secrets.key"

    def redacted_database_url(self) -> str:
        """The database URL without its password, for people to look at."""
        return redacted(self.resolved_database_url)


_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Each step of a run reads the file; libyaml's parser is the faster one, where PyYAML has it."""


class ConnectionsFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    connections: list[ConnectionConfig] = Field(default_factory=list)


def load_connections(path: Path) -> list[ConnectionConfig]:
    """The connections declared in `path`; an absent file declares none.

    Raises ConfigurationError naming file, entry and field.
    """
    if not path.exists():
        return []
    try:
        parsed = yaml.load(path.read_text(encoding="utf-8"), Loader=_SafeLoader) or {}  # noqa: S506 it is one of the two safe ones
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigurationError(
            "the file is not YAML",
            code="settings.connections_yaml",
            place=f"{path}{line}",
            remedy="mend the line named",
        ) from None
    try:
        connections = ConnectionsFile.model_validate(parsed).connections
    except ValidationError as error:
        raise ConfigurationError(
            "; ".join(_describe(problem, parsed) for problem in error.errors()),
            code="settings.connections_invalid",
            place=str(path),
            remedy="see docs/connections.md for the fields of a connection",
        ) from None
    names = [connection.name for connection in connections]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigurationError(
            f"connection names must be unique; repeated: {', '.join(repeated)}",
            code="settings.connections_repeated",
            place=str(path),
            remedy="rename all but one",
        )
    return connections


def _describe(problem: Any, parsed: Any) -> str:
    where = list(problem["loc"])
    name = ""
    if len(where) >= 2 and where[0] == "connections" and isinstance(where[1], int):
        try:
            name = f"connection {parsed['connections'][where[1]].get('name', where[1])!r}, "
        except (KeyError, IndexError, AttributeError, TypeError):
            name = f"connection {where[1]}, "
        where = where[2:]
    return f"{name}{'.'.join(str(part) for part in where) or 'file'}: {problem['msg']}"


def save_connections(path: Path, connections: list[ConnectionConfig]) -> None:
    """Write the file whole: readers see the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = yaml.safe_dump(
        {
            "connections": [
                c.model_dump(mode="json", exclude_defaults=True) | {"provider": c.provider.value} for c in connections
            ]
        },
        sort_keys=False,
    )
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    partial.write_text(body, encoding="utf-8")
    partial.replace(path)


def resolve_secret(reference: SecretRef) -> str:
    """The secret behind a reference. The secret appears in no error."""
    if reference.env is not None:
        value = os.environ.get(reference.env)
        if value is None:
            raise ConfigurationError(
                f"the environment variable {reference.env} is not set",
                code="settings.secret_missing",
                remedy=f"export {reference.env} before starting",
            )
        return value
    assert reference.file is not None
    try:
        return Path(reference.file).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"the secret file cannot be read ({error.strerror})",
            code="settings.secret_missing",
            place=reference.file,
            remedy="check path and permissions",
        ) from None
