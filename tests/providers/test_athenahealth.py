"""The athenahealth adapter over answers in the vendor's shapes: tokens, lists, feeds, and every refusal."""

from __future__ import annotations

import base64
import json as json_text
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import (
    AuthenticationError,
    ConfigurationError,
    HoloVitalsError,
    NotFoundError,
    NotPermittedError,
    OutcomeUnknownError,
    PermanentError,
    ProtocolError,
    TransientError,
)
from holovitals_pipelines.model.extract import ReadRequest, TypeDone
from holovitals_pipelines.model.writing import Absent, Present, Written
from holovitals_pipelines.providers.adapter import Adapter

from .loopback import FastClock, Handler, Outcome, Server, at_desk, connection, interrupted, json, read_all, serving

V1 = "/v1/195900"
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "vendor-athenahealth-rest" / "responses.json"
DEPARTMENT = {"departmentid": "1", "timezonename": "US/Eastern", "chartsharinggroupid": "1"}
TOKEN = {"access_token": "token-1", "expires_in": "3600"}
SINCE = datetime(2026, 1, 31, 13, 0, tzinfo=UTC)
PEEK = [("leaveunprocessed", "true"), ("limit", "200")]
PROBLEM = {"problemid": 1942, "name": "Fatigue", "codeset": "SNOMED", "code": "84229001"}


def always(content: Any, status: int = 200, **headers: str) -> Handler:
    return lambda request: json(content, status, headers)


def in_turn(*answers: Callable[[], Response]) -> Handler:
    """One after the other; the last one again and again."""
    left = list(answers)
    return lambda request: (left.pop(0) if len(left) > 1 else left[0])()


def practice(**routes: Handler) -> dict[str, Handler]:
    """The practice's addresses, `__` for each slash, beside a token and one department."""
    return {
        "/oauth2/v1/token": always(TOKEN),
        f"{V1}/departments": always({"totalcount": 1, "departments": [DEPARTMENT]}),
        **{f"{V1}/{name.replace('__', '/')}": handler for name, handler in routes.items()},
    }


def secret(reference: SecretRef) -> str:
    return "s:cret "


def declared(server: Server, **settings: Any) -> ConnectionConfig:
    base = {
        "provider": "athenahealth",
        "auth": {"kind": "client_secret", "client_id": "app", "client_secret": {"env": "SECRET"}},
        "read": {"max_retries": 2, "retry_delay_ms": 1},
        "write": {"enabled": True, "creates": True},
    }
    return connection(server.url + V1, **{**base, **settings})


def read(server: Server, request: ReadRequest, clock: FastClock, **settings: Any) -> Outcome:
    return read_all(declared(server, **settings), request, resolve_secret=secret, clock=clock.as_clock())


def of_charts(kind: str, *patients: str, **more: Any) -> ReadRequest:
    return ReadRequest(resource_types=[kind], patients=lambda: patients or ("71",), **more)


def desk(server: Server, work: Callable[[Adapter], Awaitable[Any]], clock: FastClock, **settings: Any) -> Any:
    return at_desk(declared(server, **settings), work, resolve_secret=secret, clock=clock.as_clock())


def failed(server: Server, request: ReadRequest, clock: FastClock) -> HoloVitalsError:
    error = next(iter(read(server, request, clock).done.values())).error
    assert error is not None
    return error


# Tokens.


def test_a_token_is_asked_for_once_with_basic_credentials_and_the_vendors_scope(clock: FastClock) -> None:
    with serving(practice(chart__71__allergies=always({"allergies": []}))) as server:
        read(server, of_charts("AllergyIntolerance"), clock)
        (asked,) = server.of("/oauth2/v1/token")
        assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"app:s%3Acret").decode()
        assert dict(parse_qsl(asked.body.decode())) == {
            "grant_type": "client_credentials",
            "scope": "athena/service/Athenanet.MDP.*",
        }
        others = [one for one in server.seen if one.path != "/oauth2/v1/token"]
        assert {one.headers["authorization"] for one in others} == {"Bearer token-1"}
        assert len({one.headers["x-request-id"] for one in others}) == len(others)


def test_another_token_address_other_scopes_and_credentials_in_the_form_are_used_where_told(clock: FastClock) -> None:
    auth = {
        **{"kind": "client_secret", "client_id": "app", "client_secret": {"env": "SECRET"}, "sent_as": "form"},
        **{"scopes": "one two", "token_url": "/elsewhere/token"},
    }
    routes = {**practice(chart__71__allergies=always({"allergies": []})), "/elsewhere/token": always(TOKEN)}
    with serving(routes) as server:
        assert read(server, of_charts("AllergyIntolerance"), clock, auth=auth).done["AllergyIntolerance"].error is None
        (asked,) = server.of("/elsewhere/token")
    assert "authorization" not in asked.headers
    form = dict(parse_qsl(asked.body.decode()))
    assert (form["client_id"], form["client_secret"], form["scope"]) == ("app", "s:cret", "one two")


def test_a_token_is_renewed_a_minute_early_and_when_it_is_refused(clock: FastClock) -> None:
    unauthorized: Handler = in_turn(
        lambda: json({"error": "Unauthorized"}, 401), lambda: json({"allergies": []}), lambda: json({"allergies": []})
    )
    with serving(practice(chart__71__allergies=unauthorized)) as server:

        async def twice(adapter: Adapter) -> None:
            await adapter.read_current("AllergyIntolerance", "71-1")
            clock.ahead += 3600 - 61
            await adapter.read_current("AllergyIntolerance", "71-1")
            assert len(server.of("/oauth2/v1/token")) == 2
            clock.ahead += 2
            await adapter.read_current("AllergyIntolerance", "71-1")

        desk(server, twice, clock)
        assert len(server.of("/oauth2/v1/token")) == 3


@pytest.mark.parametrize(("status", "word"), [(401, "invalid_client"), (400, "invalid_scope")])
def test_refused_credentials_stop_everything(clock: FastClock, status: int, word: str) -> None:
    routes = {**practice(), "/oauth2/v1/token": always({"error": word}, status)}
    with serving(routes) as server, pytest.raises(AuthenticationError) as refused:
        read(server, of_charts("Condition"), clock)
    assert refused.value.code == f"auth.{word}" and "s:cret" not in str(refused.value)


def test_an_address_without_a_practice_and_a_department_that_is_not_there_are_told(clock: FastClock) -> None:
    with serving(practice()) as server:
        config = connection(server.url, **{**declared(server).model_dump(exclude={"base_url", "name"})})
        with pytest.raises(ConfigurationError) as unnamed:
            read_all(config, of_charts("Condition"), resolve_secret=secret)
        with pytest.raises(ConfigurationError) as unknown:
            read(server, of_charts("Condition"), clock, vendor={"department_ids": ["7"]})
    assert unnamed.value.code == "athenahealth.no_practice"
    assert unknown.value.code == "athenahealth.no_department"


# Lists.


def test_records_keep_the_vendors_bytes_and_say_whose_they_are(clock: FastClock) -> None:
    item = b'{"allergenid":18939 , "allergenname":"lat\\u0065x","dose":1.00}'
    listed: Handler = lambda request: json(b'{"totalcount":1,"allergies":[' + item + b"]}")  # noqa: E731
    with serving(practice(chart__71__allergies=listed)) as server:
        result = read(server, of_charts("AllergyIntolerance"), clock)
        assert server.of(f"{V1}/chart/71/allergies")[0].query == [("departmentid", "1"), ("limit", "200")]
    assert result.bodies == [b'{"patient":{"patientid":"71"},"item":' + item + b"}"]
    assert [name.remote_id for page in result.pages for name in page.named or ()] == ["71-18939"]
    assert result.done["AllergyIntolerance"].snapshot


def test_a_list_is_followed_by_its_offsets_whatever_path_the_link_names(clock: FastClock) -> None:
    def page(request: Request) -> Response:
        offset = int(request.query_params.get("offset", 0))
        more = {"next": f"/foo?limit=1&offset={offset + 1}"} if offset < 2 else {}
        return json({"totalcount": 3, "problems": [{"problemid": offset}], **more})

    state = always({"status": "ACTIVE"})
    with serving(
        practice(chart__71__problems=page, chart__healthhistory__problems__changed__subscription=state)
    ) as server:
        result = read(server, of_charts("Condition"), clock)
    assert [name.remote_id for one in result.pages for name in one.named or ()] == ["71-0", "71-1", "71-2"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"totalcount": 2, "allergies": [{"allergenid": 1}]}, "list.incomplete"),
        ({"next": "/foo?offset=0", "allergies": [{"allergenid": 1}]}, "list.cycle"),
        ({"allergies": {"allergenid": 1}}, "list.shape"),
        ([{"allergenid": 1}], "list.shape"),
        ({"lastupdated": "01/11/2021"}, "list.shape"),
        (b'{"next":"\xff","allergies":null}', "list.shape"),
        ({"error": "Smith, John is locked."}, "read.refused"),
    ],
)
def test_a_list_that_is_not_what_it_should_be_is_no_read(clock: FastClock, answer: Any, code: str) -> None:
    with serving(practice(chart__71__allergies=always(answer))) as server:

        async def current(adapter: Adapter) -> Any:
            return await adapter.read_current("AllergyIntolerance", "71-2")

        with pytest.raises(PermanentError) as refused:
            desk(server, current, clock)
        assert refused.value.code == code and "Smith" not in str(refused.value)
        assert failed(server, of_charts("AllergyIntolerance"), clock).code == "crawl.incomplete"


def test_an_empty_list_is_one_that_says_so(clock: FastClock) -> None:
    for answer in ({"allergies": []}, {"totalcount": 0}):
        with serving(practice(chart__71__allergies=always(answer))) as server:
            result = read(server, of_charts("AllergyIntolerance"), clock)
        assert result.bodies == [] and result.done["AllergyIntolerance"].snapshot


def test_bytes_that_are_no_text_are_handed_on_as_they_came(clock: FastClock) -> None:
    item = b'{"allergenid":1,"allergenname":"\xff\xfe"}'
    with serving(practice(chart__71__allergies=lambda request: json(b'{"allergies":[' + item + b"]}"))) as server:
        result = read(server, of_charts("AllergyIntolerance"), clock)
    assert result.bodies == [b'{"patient":{"patientid":"71"},"item":' + item + b"}"]


def test_an_item_without_its_number_is_kept_with_its_bytes(clock: FastClock) -> None:
    listed = always({"medications": [[{"medication": "one"}, {"medicationentryid": "H1"}], {"odd": 1}]})
    with serving(practice(chart__71__medications=listed)) as server:
        result = read(server, of_charts("MedicationRequest"), clock)
    assert [(one.code, one.body) for one in result.problems] == [
        ("extract.no_id", b'{"medication":"one"}'),
        ("extract.no_id", b'{"odd":1}'),
    ]
    assert [name.remote_id for page in result.pages for name in page.named or ()] == ["71-H1"]


def test_charts_are_read_once_for_each_group_of_departments_that_share_them(clock: FastClock) -> None:
    departments = [
        DEPARTMENT,
        {"departmentid": 2, "timezonename": "US/Central", "chartsharinggroupid": "1"},
        {"departmentid": "3", "timezonename": "US/Pacific", "chartsharinggroupid": "9"},
    ]
    routes = practice(
        departments=always({"departments": departments}),
        chart__71__allergies=always({"allergies": [{"allergenid": 5}]}),
    )
    with serving(routes) as server:
        result = read(server, of_charts("AllergyIntolerance"), clock)
        asked = [one.param("departmentid") for one in server.of(f"{V1}/chart/71/allergies")]
    assert asked == ["1", "3"] and len(result.bodies) == 1


def test_an_appointment_says_the_zone_of_its_department(clock: FastClock) -> None:
    booked = {"appointmentid": "3132", "departmentid": "1", "patientid": "71", "lastmodified": "07/15/2020 13:01:49"}
    routes = practice(
        patients__71__appointments=always({"appointments": [booked]}),
        appointments__changed__subscription=always({"status": "ACTIVE"}),
    )
    with serving(routes) as server:
        result = read(server, of_charts("Appointment"), clock)
    assert json_text.loads(result.bodies[0]) == {"site": {"timezone": "US/Eastern"}, "item": booked}
    (name,) = result.pages[0].named or ()
    assert name.remote_id == "71-3132"
    assert name.last_updated is not None and name.last_updated.astimezone(UTC).hour == 17


def test_of_the_hour_that_clocks_show_twice_no_moment_is_told(clock: FastClock) -> None:
    booked = {"appointmentid": "1", "departmentid": "1", "patientid": "71", "lastmodified": "11/02/2025 01:30:00"}
    with serving(practice(patients__71__appointments=always({"appointments": [booked]}))) as server:
        current = desk(server, lambda adapter: adapter.read_current("Appointment", "71-1"), clock)
    assert current.last_updated is None and json_text.loads(current.body)["item"] == booked


def test_everybody_is_found_by_department_and_read_one_by_one(clock: FastClock) -> None:
    routes = practice(
        patients=always({"patients": [{"patientid": "9"}, {"patientid": 71}]}),
        patients__9=always([{"patientid": "9", "localpatientid": "L"}]),
        patients__71=always([{"patientid": "71"}]),
        patients__changed__subscription=always({"status": "ACTIVE"}),
    )
    with serving(routes) as server:
        result = read(server, ReadRequest(resource_types=["Patient"]), clock)
        assert server.of(f"{V1}/patients")[0].query == [("departmentid", "1"), ("limit", "200")]
    assert [json_text.loads(body) for body in result.bodies] == [
        {"patientid": "71"},
        {"patientid": "9", "localpatientid": "L"},
    ]


def test_a_patient_without_an_id_is_kept_with_its_bytes(clock: FastClock) -> None:
    routes = practice(
        patients=always({"patients": [{"lastname": "Example"}, {"patientid": "9"}]}),
        patients__9=always([{"patientid": "9"}]),
        patients__changed__subscription=always({"status": "ACTIVE"}),
    )
    with serving(routes) as server:
        result = read(server, ReadRequest(resource_types=["Patient"]), clock)
    assert [(one.code, one.body) for one in result.problems] == [("extract.no_id", b'{"lastname":"Example"}')]
    assert len(result.bodies) == 1 and not result.done["Patient"].snapshot


# Refusals of reads.


def test_the_old_gateways_403_is_a_throttle_and_another_is_not(clock: FastClock) -> None:
    over = {"x-mashery-error-code": "ERR_403_DEVELOPER_OVER_QPS", "retry-after": "1"}
    throttled = in_turn(lambda: HTMLResponse("<h1>Developer Over Qps</h1>", 403, over), lambda: json({"allergies": []}))
    with serving(practice(chart__71__allergies=throttled)) as server:
        assert read(server, of_charts("AllergyIntolerance"), clock).done["AllergyIntolerance"].error is None
        assert max(clock.slept) >= 1
    with serving(practice(chart__71__allergies=always({"error": "Smith, John is not yours"}, 403))) as server:
        result = read(server, of_charts("AllergyIntolerance"), clock)
        assert len(server.of(f"{V1}/chart/71/allergies")) == 1
        assert [(one.code, one.remote_id) for one in result.problems] == [("http.403", "71")]
        assert "Smith" not in str(result.done["AllergyIntolerance"].error)


@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("Service not registered with API gateway.", 404),
        HTMLResponse("<html>Sign in</html>"),
        HTMLResponse("<html>Gone</html>", 410),
    ],
)
def test_what_is_not_the_apis_own_word_is_no_absence(clock: FastClock, answer: Response) -> None:
    with serving(practice(patients__71=lambda request: answer)) as server, pytest.raises(ProtocolError) as refused:
        desk(server, lambda adapter: adapter.read_current("Patient", "71"), clock)
    assert refused.value.code == "athenahealth.not_the_api"


def test_what_the_api_says_is_not_there_is_absent(clock: FastClock) -> None:
    routes = practice(patients__71=always({"error": "The patient does not exist."}, 404), patients__72=always([]))
    with serving(routes) as server:
        for patient in ("71", "72"):
            current = desk(server, lambda adapter, number=patient: adapter.read_current("Patient", number), clock)
            assert isinstance(current, Absent)


def test_a_damaged_answer_is_asked_for_again(clock: FastClock) -> None:
    damaged = in_turn(lambda: json(b'[{"patientid":"7'), lambda: json([{"patientid": "71"}]))
    with serving(practice(patients__71=damaged)) as server:
        current = desk(server, lambda adapter: adapter.read_current("Patient", "71"), clock)
    assert current == Present("71", b'{"patientid":"71"}', None)


def test_another_patient_than_was_asked_for_is_refused(clock: FastClock) -> None:
    with serving(practice(patients__71=always([{"patientid": "72"}]))) as server, pytest.raises(ProtocolError):
        desk(server, lambda adapter: adapter.read_current("Patient", "71"), clock)


# Feeds.

FEED = f"{V1}/chart/healthhistory/problems/changed"


def problems_feed(changed: Handler, subscription: Handler | None = None) -> dict[str, Handler]:
    return practice(
        chart__71__problems=always({"problems": [PROBLEM, {"problemid": 5}]}),
        chart__healthhistory__problems__changed=changed,
        chart__healthhistory__problems__changed__subscription=subscription or always({"status": "ACTIVE"}),
    )


def one_message(request: Request) -> Response:
    waiting = "showprocessedstartdatetime" not in request.query_params
    return json({"totalcount": 1, "problems": [{**PROBLEM, "patientid": 71}]} if waiting else {"problems": []})


def test_a_feed_is_looked_at_its_records_are_read_and_only_then_it_is_emptied(clock: FastClock) -> None:
    request = of_charts("Condition", since={"Condition": SINCE})
    with serving(problems_feed(one_message)) as server:
        result = read(server, request, clock)
        calls = [(one.path.removeprefix(V1), one.query) for one in server.seen if one.path.startswith(f"{V1}/chart")]
    assert calls == [
        (FEED.removeprefix(V1), PEEK),
        (
            FEED.removeprefix(V1),
            [PEEK[0], ("showprocessedstartdatetime", "01/31/2026 08:00:00"), PEEK[1]],
        ),
        ("/chart/71/problems", [("departmentid", "1"), ("limit", "200")]),
        (FEED.removeprefix(V1), [("limit", "1")]),
    ]
    assert [name.remote_id for page in result.pages for name in page.named or ()] == ["71-1942"]
    assert json_text.loads(result.bodies[0])["item"] == PROBLEM


def test_nothing_is_taken_from_a_feed_by_a_read_that_stops_at_its_type_done(clock: FastClock) -> None:
    request = of_charts("Condition", since={"Condition": SINCE})
    with serving(problems_feed(one_message)) as server:
        whole = read(server, request, clock)
        before = len(server.of(FEED))
        stopped = interrupted(declared(server), request, after=len(whole.events), resolve_secret=secret)
        assert isinstance(stopped.events[-1], TypeDone)
        assert [one.param("leaveunprocessed") for one in server.of(FEED)[before:]] == ["true", "true"]


def test_a_type_that_failed_leaves_its_feed_as_it_was(clock: FastClock) -> None:
    routes = {**problems_feed(one_message), f"{V1}/chart/71/problems": always({"error": "no"}, 500)}
    with serving(routes) as server:
        assert failed(server, of_charts("Condition", since={"Condition": SINCE}), clock).code == "crawl.incomplete"
        assert all(one.param("leaveunprocessed") == "true" for one in server.of(FEED))


def test_messages_about_nobody_are_kept_open_slots_are_not_and_what_is_gone_is_told(clock: FastClock) -> None:
    messages = [
        {"appointmentid": "1", "appointmentstatus": "o"},
        {"appointmentid": "2", "appointmentstatus": "f"},
        {"appointmentid": "3", "patientid": "71", "appointmentstatus": "x"},
    ]
    routes = practice(
        appointments__changed=always({"appointments": messages}),
        patients__71__appointments=always({"appointments": []}),
    )
    with serving(routes) as server:
        result = read(server, of_charts("Appointment", since={"Appointment": SINCE}), clock)
    kept = {(one.code, one.body, one.remote_id) for one in result.problems}
    assert kept == {
        ("extract.no_id", b'{"appointmentid":"2","appointmentstatus":"f"}', None),
        ("resource.not_in_chart", None, "71-3"),
    }
    assert result.deletions == [] and result.done["Appointment"].error is None


@pytest.mark.parametrize(
    ("settings", "read_ids"),
    [
        ({}, ["71", "72", "73"]),
        ({"vendor": {"department_ids": ["1"]}}, ["71", "73"]),
        ({"read": {"patient_ids": {"env": "IDS"}}}, ["72"]),
    ],
)
def test_a_connection_reads_its_own_patients_of_a_feed_that_is_the_whole_practices(
    clock: FastClock, settings: dict[str, Any], read_ids: list[str]
) -> None:
    messages = [
        {"patientid": "71", "departmentid": "1"},
        {"patientid": "72", "departmentid": "2"},
        {"patientid": "73", "departmentid": "2"},
    ]
    one: Handler = lambda request: json([{"patientid": request.url.path.rpartition("/")[2]}])  # noqa: E731
    routes = practice(
        patients__changed=always({"patients": messages}),
        **{f"patients__{number}": one for number in ("71", "72", "73")},
    )
    request = ReadRequest(resource_types=["Patient"], since={"Patient": SINCE}, patients=lambda: ["73"])
    secrets = {"SECRET": "s:cret", "IDS": "72\n"}
    with serving(routes) as server:
        config = declared(server, **settings)
        result = read_all(
            config, request, resolve_secret=lambda reference: secrets[str(reference.env)], clock=clock.as_clock()
        )
    assert [name.remote_id for page in result.pages for name in page.named or ()] == read_ids


def test_an_id_that_names_no_patient_is_told(clock: FastClock) -> None:
    with serving(practice()) as server:
        result = read(server, of_charts("Observation", only_ids={"Observation": ["1083579"]}), clock)
    assert [(one.code, one.remote_id) for one in result.problems] == [("resource.not_in_chart", "1083579")]


@pytest.mark.parametrize("status", ["INACTIVE", "PARTIAL"])
def test_a_full_read_subscribes_to_everything_before_it_reads(clock: FastClock, status: str) -> None:
    state = in_turn(lambda: json({"status": status, "subscriptions": []}), lambda: json({"success": True}))
    with serving(problems_feed(one_message, state)) as server:
        result = read(server, of_charts("Condition"), clock)
        calls = [(one.method, one.path.rpartition("/")[2]) for one in server.seen if "/chart" in one.path]
    assert calls == [("GET", "subscription"), ("POST", "subscription"), ("GET", "problems")]
    assert result.done["Condition"].snapshot and len(result.bodies) == 2


def test_a_feed_that_nobody_subscribed_to_means_a_full_read(clock: FastClock) -> None:
    refused = always({"error": "Changed messages require setup (subscription) that has not been done."}, 403)
    with serving(problems_feed(refused)) as server:
        result = read(server, of_charts("Condition", since={"Condition": SINCE}), clock)
    assert result.done["Condition"].snapshot and len(result.bodies) == 2


def test_an_interrupted_read_of_a_feed_begins_again(clock: FastClock) -> None:
    messages = [{**PROBLEM, "patientid": 71}]

    def changed(request: Request) -> Response:
        waiting = "showprocessedstartdatetime" not in request.query_params
        return json({"problems": messages if waiting else []})

    routes = {
        **problems_feed(changed),
        f"{V1}/chart/70/problems": always({"problems": [{"problemid": 8}]}),
    }
    request = of_charts("Condition", since={"Condition": SINCE})
    with serving(routes) as server:
        first = interrupted(declared(server), request, after=2, resolve_secret=secret)
        messages.append({"patientid": 70, "problemid": 8})
        resumed = of_charts("Condition", since={"Condition": SINCE}, cursor=first.events[-1].cursor)
        rest = read(server, resumed, clock)
    assert "70-8" in [name.remote_id for page in rest.pages for name in page.named or ()]


# Writes.

FORM = b'{"lastname":"Example","firstname":"Ann & Bob","dob":"02/29/1980"}'
CREATED = [{"patientid": "100", "errormessage": ""}]


def patients(written: Handler) -> dict[str, Handler]:
    def one(request: Request) -> Response | Awaitable[Response]:
        return written(request) if request.method == "PUT" else json([{"patientid": "100", "lastname": "EXAMPLE"}])

    return practice(patients=written, patients__100=one)


WRITING = ("GET", "POST", "PUT")


def create(server: Server, clock: FastClock, **settings: Any) -> Written:
    made: Written = desk(server, lambda adapter: adapter.create("Patient", FORM), clock, **settings)
    return made


def update(server: Server, clock: FastClock) -> Written:
    work: Callable[[Adapter], Awaitable[Any]] = lambda adapter: adapter.update("Patient", "100", FORM, version=None)  # noqa: E731
    made: Written = desk(server, work, clock)
    return made


def test_a_patient_is_sent_as_a_form_with_its_department_and_read_back(clock: FastClock) -> None:
    with serving(patients(always(CREATED)), methods=WRITING) as server:
        made = create(server, clock)
        assert update(server, clock) == made
        sent = [one for one in server.seen if one.path.startswith(f"{V1}/patients") and one.method != "GET"]
    assert made == Written("100", None, b'{"patientid":"100","lastname":"EXAMPLE"}')
    assert [(one.method, one.path) for one in sent] == [("POST", f"{V1}/patients"), ("PUT", f"{V1}/patients/100")]
    for one in sent:
        assert one.headers["content-type"] == "application/x-www-form-urlencoded"
        assert parse_qsl(one.body.decode()) == [
            *[("lastname", "Example"), ("firstname", "Ann & Bob"), ("dob", "02/29/1980")],
            ("departmentid", "1"),
        ]


def test_a_problem_goes_to_its_patients_chart(clock: FastClock) -> None:
    listed: Handler = lambda request: json(  # noqa: E731
        {"success": True, "problemid": 1942} if request.method == "POST" else {"problems": [PROBLEM]}
    )
    body = b'{"patientid":"71","snomedcode":"84229001"}'
    with serving(practice(chart__71__problems=listed), methods=WRITING) as server:
        made = desk(server, lambda adapter: adapter.create("Condition", body), clock)
        (sent,) = (one for one in server.seen if one.method == "POST" and "chart" in one.path)
    assert made.remote_id == "71-1942" and json_text.loads(made.stored)["item"] == PROBLEM
    assert parse_qsl(sent.body.decode()) == [("snomedcode", "84229001"), ("departmentid", "1")]


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (always([{"patientid": "", "errormessage": "Smith, John exists"}]), PermanentError, "write.refused"),
        (always({"success": False, "errormessage": ""}), PermanentError, "write.refused"),
        (always({"success": "false"}), PermanentError, "write.refused"),
        (always({"error": "Smith, John"}, 400), PermanentError, "write.refused"),
        (always({"success": False, "errormessage": "Smith, John"}, 409), PermanentError, "write.refused"),
        (always({"error": "Smith, John"}, 403), NotPermittedError, "write.not_permitted"),
        (always({"error": "Unauthorized"}, 401), AuthenticationError, "write.not_authenticated"),
        (always({"error": "oops"}, 500), OutcomeUnknownError, "write.outcome_unknown"),
        (always([]), OutcomeUnknownError, "write.outcome_unknown"),
        (lambda request: HTMLResponse("<html>"), OutcomeUnknownError, "write.outcome_unknown"),
        (lambda request: PlainTextResponse("Service not registered", 404), ProtocolError, "http.not_fhir"),
    ],
)
def test_each_refusal_of_a_write_is_what_it_means_and_never_sent_twice(
    clock: FastClock, answer: Handler, error: type[HoloVitalsError], code: str
) -> None:
    for write, method in ((create, "POST"), (update, "PUT")):
        with serving(patients(answer), methods=WRITING) as server, pytest.raises(error) as refused:
            write(server, clock)
        assert type(refused.value) is error and refused.value.code == code
        assert "Smith" not in str(refused.value)
        sent = [one for one in server.seen if one.method == method and "patients" in one.path]
        assert len(sent) == (2 if code == "write.not_authenticated" else 1)


def test_a_patient_that_is_gone_is_not_found_by_an_update(clock: FastClock) -> None:
    with serving(patients(always({"error": "The patient does not exist."}, 404)), methods=WRITING) as server:
        with pytest.raises(NotFoundError):
            update(server, clock)
        with pytest.raises(PermanentError) as refused:
            create(server, clock)
    assert refused.value.code == "write.refused"


def test_a_throttled_write_was_not_taken_and_is_sent_again(clock: FastClock) -> None:
    over = {"x-mashery-error-code": "ERR_403_DEVELOPER_OVER_QPS"}
    for answer in (lambda: json({}, 429), lambda: HTMLResponse("<h1>Developer Over Qps</h1>", 403, over)):
        with serving(patients(in_turn(answer, lambda: json(CREATED))), methods=WRITING) as server:
            assert create(server, clock).remote_id == "100"
    with serving(patients(always({}, 429)), methods=WRITING) as server, pytest.raises(TransientError) as refused:
        create(server, clock)
    assert not isinstance(refused.value, OutcomeUnknownError)


@pytest.mark.parametrize("status", [404, 500, 403])
def test_a_record_that_cannot_be_read_back_is_written_all_the_same(clock: FastClock, status: int) -> None:
    routes = {**patients(always(CREATED)), f"{V1}/patients/100": always({"error": "not yet"}, status)}
    with serving(routes, methods=WRITING) as server:
        assert create(server, clock) == Written("100", None, None)


def test_a_record_whose_number_is_not_told_may_have_been_made(clock: FastClock) -> None:
    with serving(patients(always({"success": True})), methods=WRITING) as server, pytest.raises(OutcomeUnknownError):
        create(server, clock)


def test_nothing_is_sent_that_the_settings_do_not_allow(clock: FastClock) -> None:
    with serving(patients(always(CREATED)), methods=WRITING) as server:
        for write in ({}, {"enabled": True}):
            with pytest.raises(ConfigurationError):
                create(server, clock, write=write)
        with pytest.raises(ConfigurationError):
            desk(server, lambda adapter: adapter.delete("Patient", "100", version=None), clock)
        assert not [one for one in server.seen if one.path.startswith(f"{V1}/patients")]


# Recorded answers.


@pytest.fixture(scope="module")
def recorded() -> Callable[[str], Any]:
    if not RECORDED.is_file():
        pytest.skip("needs ../shared/data/vendor-athenahealth-rest beside the project; small answers show the same")
    answers = json_text.loads(RECORDED.read_text(encoding="utf-8"))
    return lambda name: json_text.loads(answers[name])


def without_links(listed: dict[str, Any], name: str) -> dict[str, Any]:
    """Recorded pages name neighbours that were not recorded, and counts that are not theirs."""
    return {name: listed[name]}


def test_recorded_charts_are_read_item_by_item(clock: FastClock, recorded: Callable[[str], Any]) -> None:
    routes = practice(
        departments=always(without_links(recorded("ListDepartments"), "departments")),
        chart__71__medications=always(recorded("ListMedications")),
        chart__71__labresults=always(recorded("ListLabResults")),
        chart__71__problems=always(recorded("ListProblems")),
        patients__71__documents__admin=always(without_links(recorded("ListAdminDocuments"), "admins")),
        patients__71__documents__encounterdocument=always(
            without_links(recorded("ListEncounterDocuments"), "encounterdocuments")
        ),
        labresults__changed__subscription=always(recorded("GetSubscription")),
        chart__healthhistory__problems__changed__subscription=always(recorded("GetSubscription")),
    )
    types = ["Condition", "MedicationRequest", "Observation", "DocumentReference"]
    with serving(routes) as server:
        result = read(server, ReadRequest(resource_types=types, patients=lambda: ["71"]), clock)
    assert {name: done.error for name, done in result.done.items()} == dict.fromkeys(types)
    flat = [entry for entries in recorded("ListMedications")["medications"] for entry in entries]
    expected = {
        "Condition": [f"71-{one['problemid']}" for one in recorded("ListProblems")["problems"]],
        "MedicationRequest": [f"71-{one['medicationentryid']}" for one in flat],
        "Observation": [f"71-{one['labresultid']}" for one in recorded("ListLabResults")["results"]],
        "DocumentReference": ["71-44987", "71-44987"],
    }
    for kind in types:
        names = [name for page in result.pages if page.resource_type == kind for name in page.named or ()]
        assert [name.remote_id for name in names] == expected[kind]


def test_recorded_changes_name_their_records(clock: FastClock, recorded: Callable[[str], Any]) -> None:
    changed = recorded("ListChangedLabResults")
    numbers = [one["labresultid"] for one in changed["labresults"]]
    results = [{"labresultid": number, "description": "x"} for number in (*numbers, 7)]
    routes = practice(
        labresults__changed=lambda request: json(
            {"labresults": []} if "showprocessedstartdatetime" in request.query_params else changed
        ),
        chart__71111__labresults=always({"results": results}),
    )
    with serving(routes) as server:
        result = read(server, of_charts("Observation", since={"Observation": SINCE}), clock)
        assert server.of(f"{V1}/labresults/changed")[-1].query == [("limit", "3")]
    assert [name.remote_id for page in result.pages for name in page.named or ()] == [f"71111-{n}" for n in numbers]
