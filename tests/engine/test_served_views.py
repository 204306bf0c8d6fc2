"""What the API asks the store, on either database: tokens, pages of records and persons, numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from holovitals_pipelines.engine.gauges import read_gauges
from holovitals_pipelines.engine.person_pages import person_of, person_page
from holovitals_pipelines.engine.record_pages import RecordFilter, record_named, record_page
from holovitals_pipelines.engine.tokens import authenticate, create_token, list_tokens, revoke_token
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.paging import cursor_of, place_of
from holovitals_pipelines.model.vocabulary import Role
from holovitals_pipelines.store.database import Database
from tests.engine.toy_vendor import PATIENT, Bench


def test_a_token_is_known_by_its_secret_until_it_ends(database: Database) -> None:
    now = datetime.now(UTC)
    made = create_token(database, "ann", [Role.AUDITOR, Role.VIEWER], by="test", expires_at=now + timedelta(days=1))
    caller = authenticate(database, made.secret, now)
    assert caller is not None and caller.name == "ann" and caller.roles == {Role.VIEWER, Role.AUDITOR}
    assert authenticate(database, made.secret + "x", now) is None
    assert authenticate(database, made.secret, now + timedelta(days=1)) is None
    [kept] = list_tokens(database)
    assert kept.last_used_at == now.replace(minute=0, second=0, microsecond=0)
    revoke_token(database, kept.token_id[:8], by="test")
    assert authenticate(database, made.secret, now) is None
    again = create_token(database, "ann", [Role.VIEWER], by="test")
    assert authenticate(database, again.secret, now) is not None, "the name is free again"


def test_records_are_found_by_filter_and_by_either_id(database: Database) -> None:
    bench = Bench(database)
    made = {bench.taken_in("Patient", f"p{number}", PATIENT) for number in range(5)}
    seen, cursor = [], None
    while True:
        page = record_page(database, RecordFilter("Patient", "clinic", "active"), cursor=cursor, limit=2)
        seen += [one.record_id for one in page.items]
        if (cursor := page.next) is None:
            break
    assert seen == sorted(made)
    since = RecordFilter(changed_since=datetime.now(UTC) + timedelta(hours=1))
    assert record_page(database, since, cursor=None, limit=2).items == ()
    assert record_named(database, "Patient", "p1") in made
    assert record_named(database, "Patient", seen[0]) == seen[0]
    for resource_type, identity in (("Patient", "nobody"), ("Observation", seen[0]), ("Patient", "")):
        with pytest.raises(StoreError, match=r"record\.unknown"):
            record_named(database, resource_type, identity)


def test_numbers_name_every_status_and_count_what_is_there(database: Database) -> None:
    bench = Bench(database)
    bench.taken_in("Patient", "p1", PATIENT)
    told = {gauge.name: dict(gauge.samples) for gauge in read_gauges(database)}
    assert told["jobs"]["PROCESSING",] == 1 and told["jobs"]["FAILED",] == 0
    assert told["conflicts_open"]["CRITICAL",] == 0 and told["webhook_events"]["RECEIVED",] == 0
    assert told["queue_jobs"] == {} and told["outbox_writes"]


def test_nobody_is_found_where_nobody_is(database: Database) -> None:
    assert person_page(database, connection="clinic", cursor=None, limit=5).items == ()
    with pytest.raises(StoreError, match=r"person\.unknown"):
        person_of(database, "nobody")


@pytest.mark.parametrize("cursor", ["", "x", "é", cursor_of("others", "a"), cursor_of("some", 1), cursor_of("some")])
def test_a_cursor_of_something_else_is_refused(cursor: str) -> None:
    assert place_of(cursor_of("some", "a", 1), "some", str, int) == ["a", 1]
    with pytest.raises(StoreError, match=r"page\.cursor_invalid"):
        place_of(cursor, "some", str)
