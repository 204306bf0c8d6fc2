"""Where a run's steps are done: in the run's own process, or by Celery workers on any machine.

Law: one setting chooses, and nothing else differs: the same steps, the same store, the same end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.settings import Settings

LOOKS_A_SILENCE = 4
"""How often, within the time after which a silent worker's step is given away, workers sign and look."""


def step_executor(settings: Settings | None = None) -> dg.ExecutorDefinition:
    """The executor of every job. Raises ConfigurationError where the setting lacks its broker."""
    chosen = settings or Settings()
    if chosen.executor == "in_process":
        return dg.in_process_executor
    require_broker(chosen)
    from dagster_celery import celery_executor

    # By reference, so that no password is part of what Dagster keeps and shows.
    broker = {"env": "HOLOVITALS_BROKER_URL"}
    configured: dg.ExecutorDefinition = celery_executor.configured(
        {"broker": broker, "backend": broker, "config_source": dict(celery_settings(chosen))}, name="celery"
    )
    return configured


def fans_out(settings: Settings | None = None) -> bool:
    """Whether steps that need not wait for one another are done at once, by several workers."""
    return (settings or Settings()).executor == "celery"


def celery_settings(settings: Settings) -> Mapping[str, Any]:
    """What the runs, which hand steps out, and the workers, which do them, have to agree on."""
    silence = settings.broker_silence_seconds
    return {
        "broker_transport_options": {
            "visibility_timeout": silence,
            "unacked_restore_interval": max(1, silence // LOOKS_A_SILENCE),
            "unacked_restore_throttle": 1,
        },
        "broker_connection_retry_on_startup": True,
        "worker_redirect_stdouts": False,
        "worker_prefetch_multiplier": 1,  # a step waits for whoever is free, not behind another step
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_deduplicate_successful_tasks": True,
        "result_expires": 86_400,
        "task_default_queue": "dagster",
        "task_default_priority": 5,
    }


def require_broker(settings: Settings) -> str:
    """The broker's address. Raises ConfigurationError."""
    if settings.broker_url is None:
        raise ConfigurationError(
            "steps are to be done by Celery workers, and nothing says where their broker is",
            code="settings.broker_missing",
            place="HOLOVITALS_BROKER_URL",
            remedy="set it to redis://host:6379/0, or HOLOVITALS_EXECUTOR to in_process",
        )
    if not settings.broker_url.startswith(("redis://", "rediss://")):
        raise ConfigurationError(
            "the broker has to be Redis-compatible: what a dead worker had is found there",
            code="settings.broker_url",
            place="HOLOVITALS_BROKER_URL",
            remedy="give redis://host:6379/0, or rediss://… for TLS",
        )
    return settings.broker_url
