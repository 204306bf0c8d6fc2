"""`drop_folder`: takes the deliveries that receivers outside of ours put down as files."""

import dagster as dg

from holovitals_pipelines.engine.drop_folder import take_dropped
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.orchestration.run_ends import SECONDS_BETWEEN_LOOKS


def drop_sensors() -> list[dg.SensorDefinition]:
    @dg.sensor(
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        description="Files in `drop/<connection>/` of the home, or of an object store that is the landing zone, go "
        "into the inbox; then they lie in `drop/done/`.",
    )
    def drop_folder(home: HomeResource) -> dg.SkipReason:
        with home.open() as opened:
            dropped = take_dropped(opened)
        return dg.SkipReason(f"{dropped.taken} files taken, {dropped.refused} refused, {dropped.waiting} left")

    return [drop_folder]
