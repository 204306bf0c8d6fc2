"""The landing zone in an S3-compatible object store: whole parts or none, and a store that is away is no loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pyarrow as pa
import pytest
from pyarrow import fs

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import Dataset
from holovitals_pipelines.store.landing import LandingZone, WrittenPart
from tests.deploy.several_machines import object_store
from tests.local_http import LOCAL

ROWS = pa.table({"remote_id": ["a", "b"], "body": [b"{}", b"{}"]})


@pytest.fixture(scope="module")
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def url(running: ExitStack) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield running.enter_context(object_store("parts"))


@pytest.fixture
def zone(url: str) -> LandingZone:
    return LandingZone(url)


def write(zone: LandingZone) -> WrittenPart:
    return zone.write_part("clinic", "job", Dataset.EXTRACT, "Patient", ROWS)


def address(url: str, part: WrittenPart) -> str:
    place = url.split("endpoint_override=")[1].split("&")[0]
    return f"http://{place}/parts/zone/{part.path}"


def test_a_part_is_read_as_it_was_written(zone: LandingZone) -> None:
    part = write(zone)
    assert zone.open_parts([part.path]).read_all() == ROWS
    zone.verify(part.path, part.sha256)


def test_a_part_that_is_gone_or_damaged_is_called_that(zone: LandingZone, url: str) -> None:
    gone, damaged = write(zone), write(zone)
    LOCAL.delete(address(url, gone)).raise_for_status()
    LOCAL.put(address(url, damaged), content=b"no parquet").raise_for_status()
    for part, code in ((gone, "landing.part_missing"), (damaged, "landing.part_damaged")):
        with pytest.raises(StoreError) as caught:
            zone.open_parts([part.path])
        assert caught.value.code == code
        with pytest.raises(StoreError):
            zone.verify(part.path, part.sha256)


def test_parts_that_no_job_lists_are_swept_and_what_is_not_ours_stays(zone: LandingZone, url: str) -> None:
    listed, left_over = write(zone), write(zone)
    foreign = address(url, listed).rpartition("/")[0] + "/notes.txt"
    LOCAL.put(foreign, content=b"somebody's").raise_for_status()
    swept = zone.sweep([listed.path], older_than=timedelta())
    assert left_over.path in swept and listed.path not in swept
    assert zone.open_parts([listed.path]).read_all() == ROWS
    files, root = fs.FileSystem.from_uri(url)
    assert files.get_file_info(f"{root}/{listed.path.rpartition('/')[0]}/notes.txt").size == len(b"somebody's")


def test_a_store_that_does_not_answer_has_lost_nothing(zone: LandingZone, running: ExitStack) -> None:
    """The last test: the store is ended here."""
    part = write(zone)
    running.close()
    with pytest.raises(StoreError) as caught:
        zone.open_parts([part.path])
    assert caught.value.code == "landing.unreachable"
