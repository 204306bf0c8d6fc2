"""Quality over HTTP: what failed, what it holds back, letting it pass, and the page, which says no value."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from holovitals_pipelines.model.quality import CheckOutcome
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.quality.suites import VOLUME
from holovitals_pipelines.store.quality import save_quality
from tests.api.service import Service, is_problem

ACCEPT = {"connection": "clinic", "resourceType": "Observation", "claim": VOLUME.name, "reason": "archive moved"}


@pytest.fixture(scope="module")
def collapsed(api: Service) -> Service:
    outcome = CheckOutcome(
        VOLUME.name, VOLUME.expectation_type, ErrorSeverity.ERROR, False, False, 300, 240, VOLUME.description, True
    )
    with api.home.database.write() as transaction:
        save_quality(transaction, "job-1", "clinic", "Observation", [outcome], datetime.now(UTC))
    return api


def test_a_failure_that_holds_a_type_back_is_told_and_let_pass_with_a_reason(collapsed: Service) -> None:
    api = collapsed
    [told] = api.get("/api/quality?connection=clinic")["items"]
    assert (told["claim"], told["heldBack"], told["unexpected"], told["acceptedBy"]) == (VOLUME.name, True, 240, None)
    page = api.call("GET", "/quality")
    assert page.status_code == 200 and "write-back held" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    stranger = api.call("GET", "/quality", None)
    assert (stranger.status_code, stranger.headers["location"]) == (303, "/dashboard?then=/quality")
    is_problem(api.call("GET", "/quality", None, headers={"Authorization": "Bearer hv_no"}), 401, "api.token_invalid")

    accepted = api.call("POST", "/api/quality/accept", "operator", json=ACCEPT)
    assert accepted.status_code == 200 and accepted.json()["acceptedBy"]
    assert not api.get("/api/quality?connection=clinic")["items"][0]["heldBack"]
    is_problem(api.call("POST", "/api/quality/accept", "operator", json=ACCEPT), 409, "quality.nothing_held")
