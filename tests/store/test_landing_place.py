"""Where the landing zone is, as people and logs may see it."""

from __future__ import annotations

import pytest

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.urls import redacted
from holovitals_pipelines.store.landing import LandingZone

KEYS = "s3://AKIAKEY:the-secret@bucket/zone?region=us-east-1&endpoint_override=127.0.0.1:9"


@pytest.mark.parametrize(
    "url",
    [
        KEYS,
        "postgresql+psycopg2://us:the-secret@db/x?password=the-secret",
        "s3://AKIAKEY:the?the-secret/the-secret@bucket/zone",
        "https://host/path?token=the-secret&mail=a@b",
    ],
)
def test_a_url_is_shown_without_what_opens_it(url: str) -> None:
    assert "the-secret" not in redacted(url) and "@" in redacted(url)


def test_a_landing_zone_names_its_place_without_the_keys_in_its_url() -> None:
    assert LandingZone(KEYS).place == "s3://AKIAKEY:…@bucket/zone?…"


def test_an_unusable_url_is_refused_without_being_repeated() -> None:
    with pytest.raises(ConfigurationError) as refused:
        LandingZone("s4://AKIAKEY:the-secret@bucket/zone")
    assert "the-secret" not in f"{refused.value} {refused.value.place} {refused.value.remedy}"
