"""What the Runs page is filtered by: the same tags on the runs of every lane.

Law: no tag names a patient or a resource. How many are named is a tag; who they are is known to the job alone.
"""

from __future__ import annotations

from holovitals_pipelines.model.job import SyncRequest

CONNECTION_TAG = "holovitals/connection"
PROVIDER_TAG = "holovitals/provider"
TYPE_TAG = "holovitals/type"
PRIORITY_TAG = "holovitals/priority"
DIRECTION_TAG = "holovitals/direction"
PATIENTS_TAG = "holovitals/patients"
RESOURCES_TAG = "holovitals/resources"
REPLAY_TAG = "holovitals/replay"


def connection_tags(connection: str, provider: str) -> dict[str, str]:
    """Known before a run has begun."""
    return {CONNECTION_TAG: connection, PROVIDER_TAG: provider}


def request_tags(request: SyncRequest) -> dict[str, str]:
    """What the run's job is asked to do."""
    tags = {
        TYPE_TAG: request.type.value,
        PRIORITY_TAG: request.priority.name,
        DIRECTION_TAG: request.direction.value,
    }
    if request.patients:
        tags[PATIENTS_TAG] = str(len(request.patients))
    if request.ids:
        tags[RESOURCES_TAG] = str(len(request.ids))
    if request.replay:
        tags[REPLAY_TAG] = "true"
    return tags
