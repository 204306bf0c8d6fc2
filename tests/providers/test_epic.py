"""Epic's ways (vendors.md §3): population by Group or list, crawling, date windows, its error codes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.model.connection import SecretRef
from holovitals_pipelines.model.errors import ConfigurationError, NotPermittedError, PermanentError, TransientError
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.vocabulary import ChangeMechanism, ErrorSeverity

from .loopback import (
    FastClock,
    Handler,
    Outcome,
    Server,
    bundle,
    capability,
    connection,
    interrupted,
    json,
    opened,
    outcome,
    read_all,
    serving,
)

REFUSED = "Error processing Bulk Data Kickoff request: Request not allowed: "
TOO_RECENT = f"{REFUSED}The Client requested this Group too recently."
STILL_OPEN = f"{REFUSED}The Client already has an open request for this Group."


def rows(resource_type: str, who: str, count: int = 2) -> list[dict[str, str]]:
    return [{"resourceType": resource_type, "id": f"{resource_type[0].lower()}-{who}-{n}"} for n in range(count)]


@dataclass
class Epic:
    """A site with patients a, b, c …: searches want a patient, exports are by Group."""

    patients: str = "abc"
    answer: Callable[[Request, str], Response | None] = lambda request, who: None
    read: Callable[[str], Response | None] = lambda who: None
    refusal: str | None = None
    delays: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def run(self) -> Iterator[Server]:
        def export(_: Request) -> Response:
            if self.refusal is not None:
                return Response(self.refusal, 400, media_type="text/plain")
            return Response(status_code=202, headers={"content-location": "/status"})

        def status(_: Request) -> Response:
            files = [{"type": "Patient", "url": "/file"}, {"type": "Observation", "url": "/file2"}]
            return json({"transactionTime": "2026-01-01T00:00:00Z", "requiresAccessToken": False, "output": files})

        async def search(request: Request) -> Response:
            who = request.query_params.get("patient")
            if who is None:
                return json(outcome("4111"), 400)
            await asyncio.sleep(self.delays.get(who, 0))
            special = self.answer(request, who)
            return special or json(bundle(rows(request.path_params["type"], who), total=99))

        def read(request: Request) -> Response:
            who = request.path_params["id"]
            return self.read(who) or json({"resourceType": request.path_params["type"], "id": who})

        ndjson = b"".join(orjson.dumps({"resourceType": "Patient", "id": who}) + b"\n" for who in self.patients)
        types = ["Patient", "Observation", "Condition", "Group"]
        routes: dict[str, Handler] = {
            "/R4/metadata": lambda _: json(capability({name: [] for name in types}, exports=["group"])),
            "/R4/Group/{id}/$export": export,
            "/status": status,
            "/file": lambda _: Response(ndjson),
            "/file2": lambda _: Response(orjson.dumps(rows("Observation", "x")[0]) + b"\n"),
            "/R4/{type}": search,
            "/R4/{type}/{id}": read,
        }
        with serving(routes) as server:
            yield server


def declared(server: Server, **settings: Any) -> Any:
    settings = {"max_retries": 1, **settings}
    return connection(f"{server.url}/R4", provider="epic", read=settings)


def secret(_: SecretRef) -> str:
    return "c\n\n a \nb\n"


def asking(*types: str, patients: str = "abc", **more: Any) -> ReadRequest:
    return ReadRequest(resource_types=types, patients=lambda: list(patients), **more)


def read(server: Server, clock: FastClock, request: ReadRequest, **settings: Any) -> Outcome:
    return read_all(declared(server, **settings), request, clock=clock.as_clock(), resolve_secret=secret)


def test_each_type_declares_how_its_changes_are_found(clock: FastClock) -> None:
    async def run(server: Server) -> Any:
        async with opened(declared(server), clock=clock.as_clock()) as adapter:
            return adapter.mechanisms()

    with Epic().run() as server:
        found = asyncio.run(run(server))
    assert found["Patient"] is ChangeMechanism.FULL_RESCAN
    assert found["Observation"] is ChangeMechanism.DATE_RESCAN
    assert found["DocumentReference"] is ChangeMechanism.LAST_UPDATED
    assert list(found).index("Patient") < list(found).index("Observation")


def test_patients_come_from_the_group_and_the_rest_is_crawled(clock: FastClock) -> None:
    with Epic().run() as server:
        result = read(server, clock, asking("Observation", "Patient", "Condition"), group="g1")
        searches = [seen for seen in server.seen if seen.path == "/R4/Observation"]
        [condition] = {seen.param("category") for seen in server.of("/R4/Condition")}
    assert [done.resource_type for done in result.done.values()] == ["Patient", "Condition", "Observation"]
    assert not any(done.error for done in result.done.values())
    assert all(done.snapshot for done in result.done.values())
    assert [seen.param("patient") for seen in searches] == ["a", "b", "c"]
    categories = set((searches[0].param("category") or "").split(","))
    assert categories >= {"vital-signs", "laboratory", "social-history", "survey"}
    assert not categories & {"procedure", "therapy", "activity"}, "Epic fails on them"
    assert condition == "problem-list-item,encounter-diagnosis,health-concern"
    assert result.ids[:3] == ["a", "b", "c"]
    assert len(result.ids) == 3 + 6 + 6


def test_totals_that_count_before_the_filters_are_only_a_warning(clock: FastClock) -> None:
    with Epic(patients="a").run() as server:
        result = read(server, clock, asking("Observation", patients="a"))
    [problem] = result.problems
    assert (problem.code, problem.severity) == ("search.fewer_than_total", ErrorSeverity.WARNING)
    assert result.done["Observation"].error is None


@pytest.mark.parametrize("refusal", [TOO_RECENT, STILL_OPEN])
def test_a_group_that_may_not_be_exported_now_falls_back_to_the_patients_known(clock: FastClock, refusal: str) -> None:
    with Epic(refusal=refusal).run() as server:
        result = read(server, clock, asking("Patient", patients="ab"), group="g1")
        assert len([seen for seen in server.seen if "$export" in seen.path]) == 1, "never repeated"
    assert result.ids == ["a", "b"]
    [problem] = result.problems
    assert (problem.code, problem.severity) == ("epic.group_too_recent", ErrorSeverity.WARNING)
    assert result.done["Patient"].error is None
    assert not result.done["Patient"].snapshot, "newcomers are not seen"


def test_patients_may_be_listed_in_a_file(clock: FastClock) -> None:
    with Epic().run() as server:
        result = read(server, clock, asking("Patient", patients=""), patient_ids={"file": "ids"}, group="g1")
        assert not [seen for seen in server.seen if "$export" in seen.path]
    assert result.ids == ["a", "b", "c"]
    assert result.done["Patient"].snapshot


def test_a_connection_without_any_population_says_what_to_set(clock: FastClock) -> None:
    with Epic().run() as server:
        result = read(server, clock, asking("Patient", "Observation", patients=""))
    for done in result.done.values():
        assert isinstance(done.error, ConfigurationError)
        assert "read.group" in done.error.remedy


def test_known_patients_are_asked_for_only_after_the_patient_type_is_done(clock: FastClock) -> None:
    asked_after: list[int] = []

    async def run(server: Server) -> None:
        done: list[str] = []

        def known() -> list[str]:
            asked_after.append(len(done))
            return ["a"]

        request = ReadRequest(resource_types=["Observation", "Patient"], patients=known)
        async with opened(declared(server, group="g1"), clock=clock.as_clock()) as adapter:
            async for event in adapter.read(request):
                if hasattr(event, "watermark"):
                    done.append(event.resource_type)
        assert done == ["Patient", "Observation"]

    with Epic().run() as server:
        asyncio.run(run(server))
    assert asked_after == [1]


@pytest.mark.parametrize(
    ("resource_type", "parameter", "value"),
    [
        ("Observation", "date", "ge2026-02-28"),
        ("Condition", "recorded-date", "ge2026-02-28"),
        ("MedicationRequest", "authoredon", "ge2026-02-28"),
        ("Encounter", "date", "ge2026-02-28"),
        ("DocumentReference", "_lastUpdated", "ge2026-03-11T10:00:00.000Z"),
    ],
)
def test_an_incremental_read_narrows_by_the_date_the_type_has(
    clock: FastClock, resource_type: str, parameter: str, value: str
) -> None:
    since = {resource_type: datetime(2026, 3, 11, 10, 0, tzinfo=UTC)}
    with Epic().run() as server:
        result = read(server, clock, asking(resource_type, patients="a", since=since), date_rescan_days=10)
        [seen] = server.of(f"/R4/{resource_type}")
    assert seen.param(parameter) == value
    assert not result.done[resource_type].snapshot


@pytest.mark.parametrize("resource_type", ["Immunization", "Procedure", "AllergyIntolerance"])
def test_a_type_without_a_usable_date_is_read_whole_every_time(clock: FastClock, resource_type: str) -> None:
    since = {resource_type: datetime(2026, 3, 11, tzinfo=UTC)}
    with Epic().run() as server:
        result = read(server, clock, asking(resource_type, patients="a", since=since))
        [seen] = server.of(f"/R4/{resource_type}")
    assert {name for name, _ in seen.query} == {"patient", "_count"}
    assert result.done[resource_type].snapshot


def test_rows_come_in_the_order_of_the_patients_whoever_answers_first(clock: FastClock) -> None:
    site = Epic(delays={"a": 0.08, "b": 0.04})
    with site.run() as server:
        result = read(server, clock, asking("Observation", patients="abcdef"), concurrency=4)
    assert result.ids == [f"o-{who}-{n}" for who in "abcdef" for n in range(2)]


def test_a_crawl_killed_half_way_goes_on_at_the_next_patient(clock: FastClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holovitals_pipelines.providers.crawl._PAGE_IDS", 2)
    with Epic().run() as server:
        request = asking("Observation", patients="abcdefg")
        config = declared(server, concurrency=1)
        killed = interrupted(config, request, after=2, clock=clock.as_clock())
        server.seen.clear()
        again = asking("Observation", patients="abcdefg", cursor=killed.events[-1].cursor)
        result = read_all(config, again, clock=clock.as_clock())
        assert [seen.param("patient") for seen in server.of("/R4/Observation")] == ["e", "f", "g"]
    assert killed.ids + result.ids == [f"o-{who}-{n}" for who in "abcdefg" for n in range(2)]
    assert result.done["Observation"].error is None


def only(who: str, answer: Callable[[], Response]) -> Callable[[Request, str], Response | None]:
    return lambda _, asked: answer() if asked == who else None


def test_break_the_glass_is_a_problem_never_repeated_and_the_others_go_on(clock: FastClock) -> None:
    with Epic(answer=only("b", lambda: json(outcome("4130"), 403))).run() as server:
        result = read(server, clock, asking("Observation"), max_retries=5)
        assert [seen.param("patient") for seen in server.of("/R4/Observation")] == ["a", "b", "c"]
    problems = [problem for problem in result.problems if problem.code == "epic.break_the_glass"]
    assert [problem.remote_id for problem in problems] == ["b"]
    assert result.done["Observation"].error is None
    assert not result.done["Observation"].snapshot, "absence of what may not be seen says nothing"
    assert result.ids == ["o-a-0", "o-a-1", "o-c-0", "o-c-1"]


def test_a_deleted_patient_is_evidence_and_a_merged_one_is_a_problem(clock: FastClock) -> None:
    def answers(who: str) -> Response | None:
        if who == "a":
            return json(outcome("4103"), 404)
        if who == "b":
            return json(outcome("4107"), 301, {"location": "/R4/Patient/survivor"})
        return None

    with Epic(read=answers).run() as server:
        result = read(server, clock, asking("Patient"))
        assert not server.of("/R4/Patient/survivor")
    assert result.ids == ["c"]
    assert [(found.remote_id, found.evidence) for found in result.deletions] == [("a", "vendor code 4103 on read")]
    assert [(problem.code, problem.remote_id) for problem in result.problems] == [("epic.merged", "b")]
    assert result.done["Patient"].error is None


def test_the_daily_limit_ends_the_type_until_tomorrow(clock: FastClock) -> None:
    def answer(request: Request, who: str) -> Response | None:
        documents = request.path_params["type"] == "DocumentReference"
        return json(outcome("4135"), 400) if documents and who == "b" else None

    with Epic(answer=answer).run() as server:
        result = read(server, clock, asking("DocumentReference", "Condition"), concurrency=1)
        assert [seen.param("patient") for seen in server.of("/R4/DocumentReference")] == ["a", "b"]
    error = result.done["DocumentReference"].error
    assert isinstance(error, PermanentError)
    assert error.code == "epic.daily_limit"
    assert "tomorrow" in error.remedy
    assert result.done["Condition"].error is None


def test_an_internal_error_is_repeated(clock: FastClock) -> None:
    failed: list[str] = []

    def answer(_: Request, who: str) -> Response | None:
        if who == "b" and not failed:
            failed.append(who)
            return json(outcome("59177"), 400)
        return None

    with Epic(answer=answer).run() as server:
        result = read(server, clock, asking("Observation"))
    assert result.done["Observation"].error is None
    assert len(result.ids) == 6


def test_no_results_is_no_problem_and_partial_results_are_a_warning(clock: FastClock) -> None:
    def answer(_: Request, who: str) -> Response | None:
        if who == "a":
            return json(bundle([outcome("4101", severity="warning")], total=0))
        if who == "b":
            return json(bundle([*rows("Observation", "b"), outcome("4119", severity="warning")]))
        return json(bundle(rows("Observation", who)))

    with Epic(answer=answer).run() as server:
        result = read(server, clock, asking("Observation"))
    [problem] = result.problems
    assert (problem.code, problem.severity, problem.remote_id) == ("epic.partial", ErrorSeverity.WARNING, "b")
    assert result.done["Observation"].error is None
    assert not result.done["Observation"].snapshot


def test_a_paging_session_that_expires_is_started_again(clock: FastClock) -> None:
    expired: list[bool] = []

    def answer(request: Request, who: str) -> Response | None:
        if "sessionID" in request.query_params and not expired:
            expired.append(True)
            return json(outcome("4113"), 400)
        last = "sessionID" in request.query_params
        next_url = None if last else f"{request.url}&sessionID=1"
        return json(bundle(rows("Observation", f"{who}{int(last)}"), next_url=next_url))

    with Epic(answer=answer).run() as server:
        result = read(server, clock, asking("Observation", patients="a"))
    assert result.done["Observation"].error is None
    assert set(result.ids) == {"o-a0-0", "o-a0-1", "o-a1-0", "o-a1-1"}


def test_one_failing_patient_stops_neither_the_others_nor_goes_unnoticed(clock: FastClock) -> None:
    with Epic(answer=only("b", lambda: Response(status_code=503))).run() as server:
        result = read(server, clock, asking("Observation"))
    error = result.done["Observation"].error
    assert isinstance(error, TransientError)
    assert error.code == "crawl.incomplete"
    assert error.message.startswith("1 of 3 ids")
    assert result.ids == ["o-a-0", "o-a-1", "o-c-0", "o-c-1"]
    assert result.done["Observation"].watermark is None


def test_a_type_that_fails_for_everyone_is_given_up_early(clock: FastClock) -> None:
    patients = [f"p{number:03}" for number in range(200)]
    with Epic(answer=lambda *_: json(outcome(code="forbidden"), 403)).run() as server:
        request = ReadRequest(resource_types=["Observation"], patients=lambda: patients)
        result = read(server, clock, request)
        assert len(server.of("/R4/Observation")) < 30
    assert isinstance(result.done["Observation"].error, NotPermittedError)


def test_bulk_mode_takes_everything_from_the_group(clock: FastClock) -> None:
    with Epic().run() as server:
        result = read(server, clock, asking("Patient", "Observation"), group="g1", mode="bulk")
        [kick_off] = [seen for seen in server.seen if "$export" in seen.path]
        assert not server.of("/R4/Observation")
    assert kick_off.param("_type") == "Patient,Observation"
    assert kick_off.param("_since") is None
    assert result.ids == ["a", "b", "c", "o-x-0"]


def test_bulk_mode_too_soon_is_an_error_that_says_how_long_to_wait(clock: FastClock) -> None:
    with Epic(refusal=TOO_RECENT).run() as server:
        result = read(server, clock, asking("Patient", "Observation"), group="g1", mode="bulk")
    for done in result.done.values():
        assert isinstance(done.error, NotPermittedError)
        assert "24 hours" in done.error.remedy


def test_bulk_mode_without_a_group_is_refused(clock: FastClock) -> None:
    with Epic().run() as server, pytest.raises(ConfigurationError, match="Group"):
        read(server, clock, asking("Patient"), mode="bulk")


def test_some_patients_are_read_whole_and_alone(clock: FastClock) -> None:
    since = {"Observation": datetime(2026, 3, 11, tzinfo=UTC)}
    with Epic().run() as server:
        request = asking("Patient", "Observation", only_patients=["b"], since=since)
        result = read(server, clock, request, group="g1")
        [seen] = server.of("/R4/Observation")
        assert not [seen for seen in server.seen if "$export" in seen.path]
    assert seen.param("date") is None
    assert result.ids == ["b", "o-b-0", "o-b-1"]
    assert not any(done.snapshot for done in result.done.values())


def test_single_resources_are_read_by_id(clock: FastClock) -> None:
    with Epic().run() as server:
        request = asking("Observation", only_ids={"Observation": ["x.1-Y"]})
        result = read(server, clock, request)
    assert result.ids == ["x.1-Y"]


def test_no_problem_or_error_text_holds_an_id(clock: FastClock) -> None:
    with Epic(answer=lambda *_: json(outcome("4107"), 400), read=lambda _: json(outcome("4102"), 400)).run() as server:
        patients = ["marker-1", "marker-2"]
        request = ReadRequest(resource_types=["Patient", "Observation"], patients=lambda: patients)
        result = read(server, clock, request)
    texts = [f"{problem.code} {problem.message} {problem.remedy} {problem.source}" for problem in result.problems]
    texts += [str(done.error) for done in result.done.values()]
    assert len(result.problems) == 4
    assert not any("marker" in text or "Smith" in text for text in texts)
