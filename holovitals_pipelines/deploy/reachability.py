"""Whether what an installation on several machines stands on can be reached: the broker, and Dagster's own database.

Law: an answer within seconds, in words that name the setting; never an address with its password.
"""

from __future__ import annotations

import redis
import sqlalchemy as sa

from holovitals_pipelines.model.errors import ConfigurationError, StoreError

SECONDS = 5


def require_reachable_broker(url: str) -> None:
    """Raises StoreError when nobody answers, ConfigurationError for an address that is none."""
    try:
        with redis.Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS) as client:
            client.ping()
    except ValueError:
        raise ConfigurationError(
            "the broker's address cannot be used",
            code="settings.broker_url",
            place="HOLOVITALS_BROKER_URL",
            remedy="give redis://host:6379/0, or rediss://… for TLS",
        ) from None
    except redis.RedisError as error:
        raise StoreError(
            f"the broker does not answer ({type(error).__name__})",
            code="broker.unreachable",
            place="HOLOVITALS_BROKER_URL",
            remedy="check that it runs, its address, password and the network between",
        ) from None


def require_own_database(url: str, operational_url: str) -> None:
    """Dagster's history answers, and is not the operational store: both number the versions of their tables alike.

    Raises ConfigurationError or StoreError.
    """
    if _place(url) == _place(operational_url):
        raise ConfigurationError(
            "Dagster's history and the operational store are one database, and would mistake each other's tables",
            code="settings.dagster_database",
            place="HOLOVITALS_DAGSTER_DATABASE_URL",
            remedy="make a second database on the same server: CREATE DATABASE dagster",
        )
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": SECONDS})
    try:
        with engine.connect():
            pass
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(
            f"Dagster's database cannot be opened ({type(error).__name__})",
            code="dagster.database_unreachable",
            place="HOLOVITALS_DAGSTER_DATABASE_URL",
            remedy="check that it runs, that the database exists, its user and password",
        ) from None


def _place(url: str) -> tuple[object, int, str | None]:
    """Server and database; a server can be named in the query as well."""
    parsed = sa.make_url(url)
    return parsed.host or parsed.query.get("host"), parsed.port or 5432, parsed.database
