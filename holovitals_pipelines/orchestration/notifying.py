"""The sensor that delivers notifications; there is one only where HOLOVITALS_NOTIFY_URL is set.

Law: a notification that could not be delivered makes no run and fails no job; a wrong secret fails the tick, visibly.
"""

import dagster as dg

from holovitals_pipelines.engine.notifications import deliver_due
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.settings import Settings

SECONDS_BETWEEN_LOOKS = 5


def notification_sensors() -> list[dg.SensorDefinition]:
    if Settings().notify_url is None:
        return []

    @dg.sensor(
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        description="Tells HOLOVITALS_NOTIFY_URL that jobs have ended, which had asked for it.",
    )
    def notifications(home: HomeResource) -> dg.SkipReason:
        with home.open() as opened:
            done = deliver_due(opened)
        return dg.SkipReason(f"{done.delivered} delivered, {done.waiting} to be tried again, {done.failed} given up")

    return [notifications]
