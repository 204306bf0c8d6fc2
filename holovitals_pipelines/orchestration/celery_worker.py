"""The Celery application of the workers: a step is signed for while it is done, and done again when its worker died.

Law: a step is taken off the broker when it has ended, not before. Whoever does it renews the broker's entry; a worker
that dies falls silent, and another one takes the step. Celery alone would take a long step for a dead one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from celery import Celery, Task
from celery.exceptions import Ignore
from celery.signals import worker_ready
from dagster._core.events import DagsterEventType
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._grpc.types import ExecuteStepArgs
from dagster_celery.executor import CeleryExecutor
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task
from dagster_shared.serdes import unpack_value

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.job_queue import cancel
from holovitals_pipelines.engine.worker import worker_name
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.orchestration.executors import LOOKS_A_SILENCE, celery_settings, require_broker
from holovitals_pipelines.orchestration.steps import JOB_TAG
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.jobs import get_job

_log = logging.getLogger(__name__)
SECONDS_BETWEEN_LOOKS = 3.0
"""At the run whose step is done: whether it is being cancelled."""


class StepTask(Task):  # type: ignore[misc]
    """Does a step of a run that is not over; one that was left over from an ended run is let go."""

    abstract = True
    acks_late = True
    reject_on_worker_lost = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        asked = unpack_value(kwargs["execute_step_args_packed"], as_type=ExecuteStepArgs)
        if _status_of(asked) in FINISHED_STATUSES:
            return []
        delivery = (self.request.properties or {}).get("delivery_tag")
        with _signed_for(self.app, delivery), _cancelled_with(asked):
            events = self.run(*args, **kwargs)  # the base's own __call__ would hide the request from it
        if _was_superseded(asked, events):
            _await_the_other(self.app, delivery)
            raise Ignore  # the run waits for the result of whoever does the step now
        return events


def worker_app(settings: Settings, ready: Callable[[], None] = lambda: None) -> Celery:
    """`ready` is called when the worker takes steps. Raises ConfigurationError where no broker is set."""
    broker = require_broker(settings)
    executor = CeleryExecutor.for_cli(  # type: ignore[no-untyped-call]
        broker=broker, backend=broker, config_source=dict(celery_settings(settings))
    )
    app: Celery = make_app(executor.app_args())  # type: ignore[no-untyped-call]
    create_task(app, base=StepTask)  # type: ignore[no-untyped-call]
    worker_ready.connect(lambda **_: ready(), weak=False)
    return app


def _status_of(asked: ExecuteStepArgs) -> dg.DagsterRunStatus:
    """A run that is no longer known is as good as cancelled."""
    run = _run_of(asked)
    return run.status if run else dg.DagsterRunStatus.CANCELED


def _run_of(asked: ExecuteStepArgs) -> dg.DagsterRun | None:
    assert asked.instance_ref is not None
    with dg.DagsterInstance.from_ref(asked.instance_ref) as instance:
        return instance.get_run_by_id(asked.run_id)


def _was_superseded(asked: ExecuteStepArgs, events: Sequence[str]) -> bool:
    """Whether the step failed because another worker does it: this one was silent for too long, and lost its lease."""
    if not any(DagsterEventType.STEP_FAILURE.value in event for event in events):
        return False
    run = _run_of(asked)
    job_id = run.tags.get(JOB_TAG) if run else None
    if run is None or job_id is None:
        return False
    with open_home() as home, home.database.read() as transaction:
        job = get_job(transaction, job_id)
    of_this_run = job.run_id == (run.root_run_id or run.run_id)
    return of_this_run and job.is_live(datetime.now(UTC)) and job.owner not in (None, worker_name())


def _await_the_other(app: Celery, delivery: str | None) -> None:
    """Until the worker that has the step now has ended it, or lost it to the queue.

    Both have taken the same entry off the broker's queue. Whoever ends first takes it out of the broker; were that this
    one, nobody would find the step again should the other one die.
    """
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        while delivery is not None and channel.client.hexists(channel.unacked_key, delivery):
            time.sleep(1)


@contextmanager
def _cancelled_with(asked: ExecuteStepArgs) -> Iterator[None]:
    """Cancel the step's job as soon as its run is being cancelled: no signal reaches another machine."""
    with _meanwhile(lambda stop: _watch(asked, stop), "run-watch"):
        yield


def _watch(asked: ExecuteStepArgs, stop: threading.Event) -> None:
    while not stop.wait(SECONDS_BETWEEN_LOOKS):
        run = _run_of(asked)
        if run is None or run.status in (dg.DagsterRunStatus.CANCELING, *FINISHED_STATUSES):
            job_id = run.tags.get(JOB_TAG) if run else None
            if job_id is not None:
                with suppress(HoloVitalsError), open_home() as home:  # it has ended meanwhile
                    cancel(home, job_id, "dagster")
            return


@contextmanager
def _signed_for(app: Celery, delivery: str | None) -> Iterator[None]:
    """Renew the time of the broker's entry for this delivery for as long as the block runs."""
    if delivery is None:
        yield
        return
    with _meanwhile(lambda stop: _sign(app, delivery, stop), "step-signature"):
        yield


@contextmanager
def _meanwhile(do: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """`do` beside the block, until the event that it is given is set."""
    stop = threading.Event()
    thread = threading.Thread(target=do, args=(stop,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _sign(app: Celery, delivery: str, stop: threading.Event) -> None:
    pause = app.conf.broker_transport_options["visibility_timeout"] / LOOKS_A_SILENCE
    with app.connection_for_write() as connection:
        while True:
            try:
                channel = connection.default_channel
                channel.client.zadd(channel.unacked_index_key, {delivery: time.time()}, xx=True)
            except connection.recoverable_connection_errors:
                _log.warning("the broker cannot be reached; trying again")
            if stop.wait(pause):
                return
