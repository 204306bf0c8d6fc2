"""Unity's adapter over answers as they are on record: the session, the feed, rows, refusals, and writes read back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import (
    AuthenticationError,
    ConfigurationError,
    HoloVitalsError,
    NotPermittedError,
    OutcomeUnknownError,
    PermanentError,
    ProtocolError,
    TransientError,
)
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.vocabulary import ChangeMechanism
from holovitals_pipelines.model.writing import Absent, Present, UnitWrite

from .loopback import (
    FastClock,
    Handler,
    Server,
    at_desk,
    connection,
    interrupted,
    json,
    no_secrets,
    opened,
    read_all,
    serving,
)

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "vendor-allscripts-unity"
SERVICE = "/Unity/UnityService.svc/json"
IDLE = [{"Error": "Magic Error - Action: X - As a Security precaution, you have been logged out due to inactivity."}]
NAMES_A_PATIENT = [{"Error": "Magic Error - Action: X - Smith, John is not to be shown"}]
SECRETS = {"SERVICE_USER": "svc", "SERVICE_PASSWORD": "hush\n", "EHR_PASSWORD": "whisper"}


def secret(reference: SecretRef) -> str:
    return SECRETS[reference.env or ""]


@dataclass
class Unity:
    """A Unity of our own: actions and what they answer; `calls` are those that came, in their order."""

    actions: dict[str, Any] = field(default_factory=dict)
    tokens: int = 0
    calls: list[dict[str, str]] = field(default_factory=list)

    def token(self, request: Request) -> Response:
        self.tokens += 1
        return PlainTextResponse(f'"12345678-90AB-CDEF-1234-{self.tokens:012}"')

    async def magic(self, request: Request) -> Response:
        call = orjson.loads(await request.body())
        self.calls.append(call)
        given = self.actions.get(call["Action"], [])
        made = given(call) if callable(given) and not isinstance(given, Response) else given
        if isinstance(made, Response):
            return made
        named = f"{call['Action'].lower()}info"
        is_error = isinstance(made, list) and made[:1] != [] and isinstance(made[0], dict) and "Error" in made[0]
        return json(made if is_error else [{named: made}])

    def of(self, action: str) -> list[dict[str, str]]:
        return [call for call in self.calls if call["Action"] == action]


def known(**actions: Any) -> Unity:
    return Unity({"GetUserAuthentication": [{"ValidUser": "YES"}], **actions})


@contextmanager
def running(unity: Unity, **more: Handler) -> Iterator[tuple[Server, ConnectionConfig]]:
    routes: Mapping[str, Handler] = {
        f"{SERVICE}/GetToken": unity.token,
        f"{SERVICE}/MagicJson": unity.magic,
        f"{SERVICE}/RetireSecurityToken": lambda request: PlainTextResponse("<RetireSecurityTokenResponse/>"),
    }
    with serving({**routes, **{f"{SERVICE}/{name}": handler for name, handler in more.items()}}) as server:
        yield server, declared(server.url)


def declared(url: str, **settings: Any) -> ConnectionConfig:
    auth = {
        "kind": "unity",
        "application": "HoloVitals",
        "service_user": {"env": "SERVICE_USER"},
        "service_password": {"env": "SERVICE_PASSWORD"},
        "ehr_user": "jmedici",
        "ehr_password": {"env": "EHR_PASSWORD"},
    }
    quick = {"max_retries": 1, "retry_delay_ms": 1}
    return connection(url, **{"provider": "allscripts", "auth": auth, "read": quick, **settings})


def writing(config: ConnectionConfig) -> ConnectionConfig:
    return ConnectionConfig.model_validate({**config.model_dump(), "write": {"enabled": True, "creates": True}})


def failure(config: ConnectionConfig) -> HoloVitalsError:
    """What opening and reading every provider raises, or ends in."""
    with pytest.raises(HoloVitalsError) as caught:
        result = read_all(config, ReadRequest(["Practitioner"]), resolve_secret=secret)
        error = result.done["Practitioner"].error
        assert error is not None
        raise error
    assert not any(told in str(caught.value) for told in ("Smith", "hush", "whisper", "12345678"))
    return caught.value


def provider(number: str, **more: str) -> dict[str, str]:
    return {"personid": number, "LastName": "Example   ", "FirstName": "Pat", **more}


def row(number: str, **more: str) -> dict[str, str]:
    return {"transid": number, "section": "Problems", "description": "Fatigue   ", "status": "Active", **more}


# The session.


def test_a_token_and_a_user_come_before_the_first_action_and_the_token_is_given_back() -> None:
    unity = known(GetProviders=[provider("368")])
    with running(unity) as (server, config):
        assert len(read_all(config, ReadRequest(["Practitioner"]), resolve_secret=secret).bodies) == 1
    (asked,) = server.of(f"{SERVICE}/GetToken")
    assert orjson.loads(asked.body) == {"Username": "svc", "Password": "hush", "Appname": "HoloVitals"}
    assert [call["Action"] for call in unity.calls] == ["GetUserAuthentication", "GetProviders"]
    first, second = unity.calls
    assert (first["AppUserID"], first["Parameter1"]) == ("jmedici", "whisper")
    assert set(second) == {"Action", "AppUserID", "Appname", "PatientID", "Token", "Data"} | {
        f"Parameter{number}" for number in range(1, 7)
    }
    assert second["Token"] == "12345678-90AB-CDEF-1234-000000000001"
    assert {one.headers["content-type"] for one in server.of(f"{SERVICE}/MagicJson")} == {"application/json"}
    (retired,) = server.of(f"{SERVICE}/RetireSecurityToken")
    assert orjson.loads(retired.body) == {"Token": second["Token"], "Appname": "HoloVitals"}


def test_a_service_of_another_address_is_named_by_its_file() -> None:
    unity = known(GetProviders=[provider("1")])
    routes: dict[str, Handler] = {
        "/Ubiquity/UnityService.svc/json/GetToken": unity.token,
        "/Ubiquity/UnityService.svc/json/MagicJson": unity.magic,
    }
    with serving(routes) as server:
        config = declared(f"{server.url}/Ubiquity/UnityService.svc")
        assert len(read_all(config, ReadRequest(["Practitioner"]), resolve_secret=secret).bodies) == 1


def test_a_session_that_unity_ended_is_made_anew_once() -> None:
    ends = iter([IDLE])
    unity = known(GetProviders=lambda call: next(ends, [provider("368")]))
    with running(unity) as (_, config):
        assert len(read_all(config, ReadRequest(["Practitioner"]), resolve_secret=secret).bodies) == 1
    assert (unity.tokens, len(unity.of("GetProviders"))) == (2, 2)


def test_a_session_that_ends_again_and_again_is_an_error() -> None:
    unity = known(GetProviders=IDLE)
    with running(unity) as (_, config):
        assert isinstance(failure(config), AuthenticationError)
    assert len(unity.of("GetProviders")) == 2


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        (
            "error: Username and Password not valid for any licenses on this server",
            AuthenticationError,
            "unity.no_token",
        ),
        ('"not a token of any kind"', AuthenticationError, "unity.no_token"),
        ("<html>Sign in</html>", ProtocolError, "unity.not_unity"),
    ],
)
def test_what_is_no_token_is_told_from_one(text: str, kind: type[HoloVitalsError], code: str) -> None:
    unity = known()
    with running(unity, GetToken=lambda request: PlainTextResponse(text)) as (_, config):
        error = failure(config)
    assert isinstance(error, kind) and error.code == code
    assert unity.calls == []


def test_a_user_who_is_not_valid_is_an_error_of_configuration_at_the_vendor() -> None:
    with running(Unity({"GetUserAuthentication": [{"ValidUser": "NO"}]})) as (_, config):
        error = failure(config)
    assert isinstance(error, AuthenticationError) and error.code == "unity.invalid_user"


def test_another_kind_of_auth_is_refused_before_anything_is_sent() -> None:
    with serving({}) as server:
        config = connection(server.url, provider="allscripts")
        with pytest.raises(ConfigurationError) as caught:
            read_all(config, ReadRequest(["Patient"]), resolve_secret=no_secrets)
    assert caught.value.code == "unity.auth" and server.seen == []


def test_one_call_at_a_time_is_made_in_a_session() -> None:
    at_once: list[int] = [0, 0]

    async def slow(request: Request) -> Response:
        call = orjson.loads(await request.body())
        at_once[0] += 1
        at_once[1] = max(at_once)
        await asyncio.sleep(0.005)
        at_once[0] -= 1
        return json([{f"{call['Action'].lower()}info": [{"ValidUser": "YES", **row("0", description="")}]}])

    with running(known(), MagicJson=slow) as (_, config):
        request = ReadRequest(["Condition"], only_patients=[str(number) for number in range(8)])
        assert read_all(config, request, resolve_secret=secret).done["Condition"].error is None
    assert at_once == [0, 1]


# Answers.


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (NAMES_A_PATIENT, NotPermittedError, "unity.refused"),
        (Response("<html>Sign in</html>", media_type="text/html"), ProtocolError, "unity.not_unity"),
        (Response('[{"getprovidersinfo":[{"personid"'), TransientError, "unity.damaged"),
        (Response('[{"othersinfo":[]}]'), TransientError, "unity.damaged"),
        (Response('{"getprovidersinfo":[]}'), TransientError, "unity.damaged"),
        (Response("Smith", 500), TransientError, "http.500"),
    ],
)
def test_an_answer_that_is_none_is_told_without_its_text(answer: Any, kind: type[HoloVitalsError], code: str) -> None:
    with running(known(GetProviders=answer)) as (_, config):
        error = failure(config)
    assert isinstance(error, kind) and error.code == code


def test_providers_are_records_as_they_came_and_the_row_that_stands_for_none_is_none() -> None:
    text = b'{"personid": "368 ", "orderingauthority": 8.50, "LastName":"Example   "}'
    answer = Response(b'[{"getprovidersinfo": [%s, {"personid":"0","LastName":" "}, {"personid":""}]}]' % text)
    with running(known(GetProviders=answer)) as (_, config):
        result = read_all(config, ReadRequest(["Practitioner"]), resolve_secret=secret)
    (page,) = result.pages
    assert list(page.bodies) == [text] and [named.remote_id for named in page.named or ()] == ["368"]
    assert result.problems == [] and result.done["Practitioner"].snapshot


def test_a_row_without_its_number_is_a_problem_with_its_bytes() -> None:
    rows = [row("9"), {"transid": " ", "description": "Something"}, {"transid": "0", "description": "More"}]
    with running(known(GetClinicalSummary=rows)) as (_, config):
        request = ReadRequest(["Condition"], only_patients=["71"])
        result = read_all(config, request, resolve_secret=secret)
    assert [problem.code for problem in result.problems] == ["extract.no_id", "extract.no_id"]
    assert [orjson.loads(problem.body or b"")["item"] for problem in result.problems] == rows[1:]
    (page,) = result.pages
    assert [named.remote_id for named in page.named or ()] == ["71.9"]
    assert orjson.loads(page.bodies[0]) == {"patient": {"patientid": "71"}, "item": rows[0]}


def test_damaged_texts_are_handed_on_for_quarantine_and_a_row_that_is_no_row_is_a_problem() -> None:
    damaged = b'{"transid":"9","description":"caf\xe9"}'
    chart = Response(b'[{"getclinicalsummaryinfo":[%s, "Smith", {"transid":"\xe9"}]}]' % damaged)
    person = Response(b'[{"getpatientinfo":[{"LastName":"caf\xe9"}]}]')
    with running(known(GetClinicalSummary=chart, GetPatient=person)) as (_, config):
        request = ReadRequest(["Patient", "Condition"], only_patients=["71"])
        result = read_all(config, request, resolve_secret=secret)
    found = [named.remote_id for page in result.pages for named in page.named or ()]
    assert found == ["71", "71.9"] and damaged in result.bodies[1] and b"caf\xe9" in result.bodies[0]
    assert [problem.code for problem in result.problems] == ["extract.no_id", "extract.no_id"]
    assert all(problem.body for problem in result.problems)


def test_recorded_providers_are_read() -> None:
    file = RECORDED / "get_providers.json"
    if not file.is_file():
        pytest.skip(f"the recorded answers are not there: {RECORDED}")
    with running(known(GetProviders=Response(file.read_bytes()))) as (_, config):
        result = read_all(config, ReadRequest(["Practitioner"]), resolve_secret=secret)
    assert [named.remote_id for page in result.pages for named in page.named or ()] == ["368", "479", "963"]
    assert all(body in file.read_bytes() for body in result.bodies)


# Whom to read.


def patients_of(unity: Unity, action: str = "GetPatient") -> list[str]:
    return [call["PatientID"] for call in unity.of(action)]


def test_how_changes_are_found_is_said_patients_first() -> None:
    with running(known()) as (_, config):
        adapter = opened(config, resolve_secret=secret)
        assert next(iter(adapter.mechanisms())) == "Patient"
        assert adapter.mechanisms()["Condition"] is ChangeMechanism.IDS_ONLY_FEED
        assert adapter.mechanisms()["Practitioner"] is ChangeMechanism.FULL_RESCAN


FEED = [{"patientid": "9"}, {"patientid": "71 "}, {"patientid": "0"}, {"patientid": ""}]
ZONE = [{"ServerTimeZone": "Eastern Standard Time"}]


@pytest.mark.parametrize(
    ("since", "asked"),
    [
        (datetime(2026, 7, 1, 12, 0, 5, tzinfo=UTC), "07/01/2026 08:00:05"),
        (datetime(2026, 1, 1, 2, 0, tzinfo=UTC), "12/31/2025 21:00:00"),
        # The clocks show 01:00 to 02:00 twice: whoever asks in the first pass has to ask from before it.
        (datetime(2026, 11, 1, 5, 30, tzinfo=UTC), "11/01/2026 00:30:00"),
        (datetime(2026, 11, 1, 6, 30, tzinfo=UTC), "11/01/2026 01:30:00"),
    ],
)
def test_the_feed_is_asked_in_the_servers_local_time_and_only_those_it_names_are_read(
    since: datetime, asked: str
) -> None:
    unity = known(GetChangedPatients=FEED, GetServerInfo=ZONE, GetPatient=[{"LastName": "Example"}])
    with running(unity) as (_, config):
        request = ReadRequest(["Patient"], since={"Patient": since}, patients=lambda: ["1", "71"])
        result = read_all(config, request, resolve_secret=secret)
    (feed,) = unity.of("GetChangedPatients")
    assert (feed["Parameter1"], feed["PatientID"]) == (asked, "")
    assert patients_of(unity) == ["71", "9"]
    assert not result.done["Patient"].snapshot


def test_the_watermark_of_every_type_is_the_moment_at_which_the_feed_was_asked() -> None:
    early, late = "Wed, 01 Jul 2026 12:00:00 GMT", "Wed, 01 Jul 2026 12:30:00 GMT"

    async def answer(request: Request) -> Response:
        call = orjson.loads(await request.body())
        rows = FEED if call["Action"] == "GetChangedPatients" else [{"ValidUser": "YES", **row("3"), **ZONE[0]}]
        date = early if call["Action"] == "GetChangedPatients" else late
        return json([{f"{call['Action'].lower()}info": rows}], headers={"date": date})

    since = datetime(2026, 6, 1, tzinfo=UTC)
    with running(known(), MagicJson=answer) as (_, config):
        request = ReadRequest(["Condition", "Observation"], since={"Condition": since, "Observation": since})
        result = read_all(config, request, resolve_secret=secret)
    assert {done.watermark for done in result.done.values()} == {datetime(2026, 7, 1, 12, tzinfo=UTC)}


def test_a_full_read_takes_the_known_and_everybody_the_feed_ever_named() -> None:
    unity = known(GetChangedPatients=FEED, GetClinicalSummary=[row("3")])
    with running(unity) as (_, config):
        request = ReadRequest(["Condition"], patients=lambda: ["1", "71"])
        result = read_all(config, request, resolve_secret=secret)
    assert patients_of(unity, "GetClinicalSummary") == ["1", "71", "9"]
    assert result.done["Condition"].snapshot and unity.of("GetServerInfo") == []


def test_a_first_read_that_finds_nobody_says_where_to_name_the_patients() -> None:
    unity = known(GetChangedPatients=[{"patientid": "0"}], GetServerInfo=ZONE)
    with running(unity) as (_, config):
        error = read_all(config, ReadRequest(["Patient"]), resolve_secret=secret).done["Patient"].error
        assert isinstance(error, ConfigurationError) and error.code == "unity.no_population"
        since = {"Patient": datetime(2026, 6, 1, tzinfo=UTC)}
        nothing_new = read_all(config, ReadRequest(["Patient"], since=since), resolve_secret=secret)
    assert nothing_new.done["Patient"].error is None and nothing_new.bodies == []


def test_a_list_of_patients_is_all_that_is_read_and_newly_listed_ones_are_read_whole() -> None:
    unity = known(GetChangedPatients=FEED, GetServerInfo=ZONE, GetClinicalSummary=[row("3")])
    SECRETS["PATIENTS"] = "71\n200\n300\n"
    with running(unity) as (server, _):
        config = declared(server.url, read={"patient_ids": {"env": "PATIENTS"}})
        whole = ReadRequest(["Condition"])
        assert read_all(config, whole, resolve_secret=secret).done["Condition"].snapshot
        assert patients_of(unity, "GetClinicalSummary") == ["200", "300", "71"]
        assert unity.of("GetChangedPatients") == []
        unity.calls.clear()
        since = {"Condition": datetime(2026, 6, 1, tzinfo=UTC)}
        changes = ReadRequest(["Condition"], since=since, patients=lambda: ["200", "71"])
        read_all(config, changes, resolve_secret=secret)
        assert patients_of(unity, "GetClinicalSummary") == ["300", "71"]


def test_a_zone_that_nobody_names_is_asked_for_and_one_that_is_configured_is_not() -> None:
    since = {"Patient": datetime(2026, 7, 1, 12, tzinfo=UTC)}
    unity = known(GetChangedPatients=FEED, GetServerInfo=[{"ServerTimeZone": "Middle Earth Time"}])
    with running(unity) as (server, config):
        error = read_all(config, ReadRequest(["Patient"], since=since), resolve_secret=secret).done["Patient"].error
        assert isinstance(error, ConfigurationError) and error.code == "unity.timezone"
        assert unity.of("GetChangedPatients") == []
        told = declared(server.url, vendor={"timezone": "America/Denver"})
        read_all(told, ReadRequest(["Patient"], since=since), resolve_secret=secret)
    assert [call["Parameter1"] for call in unity.of("GetChangedPatients")] == ["07/01/2026 06:00:00"]


def test_both_sections_of_observations_are_read_one_a_call() -> None:
    unity = known(GetClinicalSummary=lambda call: [row(call["Parameter1"][:1], section=call["Parameter1"])])
    with running(unity) as (_, config):
        request = ReadRequest(["Observation"], only_patients=["71"])
        result = read_all(config, request, resolve_secret=secret)
    assert [call["Parameter1"] for call in unity.of("GetClinicalSummary")] == ["Vitals", "Results"]
    assert [named.remote_id for page in result.pages for named in page.named or ()] == ["71.V", "71.R"]


def test_a_patient_who_fails_is_a_problem_and_the_others_and_the_other_types_go_on() -> None:
    unity = known(
        GetClinicalSummary=lambda call: NAMES_A_PATIENT if call["PatientID"] == "2" else [row("3")],
        GetProviders=[provider("1")],
    )
    with running(unity) as (_, config):
        request = ReadRequest(["Condition", "Practitioner"], patients=lambda: ["1", "2", "3"])
        unity.actions["GetChangedPatients"] = []
        result = read_all(config, request, resolve_secret=secret)
    assert [(problem.code, problem.remote_id) for problem in result.problems] == [("unity.refused", "2")]
    found = [named.remote_id for page in result.pages for named in page.named or ()]
    assert sorted(found) == ["1", "1.3", "3.3"]
    assert isinstance(result.done["Condition"].error, PermanentError) and not result.done["Condition"].snapshot
    assert result.done["Practitioner"].error is None


def test_a_patient_who_is_not_there_and_a_type_that_is_not_read_are_told() -> None:
    unity = known(GetPatient=[{"mrn": "0", "LastName": "", "Firstname": " "}])
    with running(unity) as (_, config):
        request = ReadRequest(["Patient", "Encounter"], only_patients=["71"])
        result = read_all(config, request, resolve_secret=secret)
    assert [(problem.code, problem.remote_id) for problem in result.problems] == [("read.not_found", "71")]
    assert result.done["Patient"].error is None and result.deletions == []
    error = result.done["Encounter"].error
    assert error is not None and error.code == "unity.no_such_type"


def test_records_are_read_by_their_ids() -> None:
    unity = known(
        GetPatient=[{"LastName": "Example"}], GetProviders=[provider("1"), provider("2")], GetClinicalSummary=[row("3")]
    )
    with running(unity) as (_, config):
        ids = {"Patient": ["71"], "Practitioner": ["2"], "Condition": ["71.3", "71.4", "unheard-of"]}
        result = read_all(config, ReadRequest(list(ids), only_ids=ids), resolve_secret=secret)
    found = [named.remote_id for page in result.pages for named in page.named or ()]
    assert sorted(found) == ["2", "71", "71.3"]
    assert {problem.remote_id for problem in result.problems} == {"71.4", "unheard-of"}


def test_an_interrupted_read_goes_on_after_the_last_page() -> None:
    unity = known(
        GetPatient=[{"LastName": "Example"}], GetClinicalSummary=[row("3")], GetChangedPatients=[{"patientid": "71"}]
    )
    with running(unity) as (_, config):
        request = ReadRequest(["Patient", "Condition"])
        first = interrupted(config, request, after=3, resolve_secret=secret)
        unity.calls.clear()
        rest = read_all(
            config, ReadRequest(["Patient", "Condition"], cursor=first.events[-1].cursor), resolve_secret=secret
        )
    assert unity.of("GetPatient") == [] and unity.of("GetClinicalSummary") == []
    assert set(rest.done) == {"Condition"}


# Writes.

TITLE = {"fieldid": "problem", "attributeid": "title", "value1": 'Fatigue & "more"'}
PROBLEM = {"Action": "SaveProblemsData", "PatientID": "71", "Parameter1": [TITLE]}
ALLERGY = {"Action": "SaveAllergy", "PatientID": "71", "Parameter2": {"AllergyName": "Latex"}, "Parameter6": "mild"}
PERSON = {"Action": "SavePatient", "PatientID": "5", "Parameter1": {"LastName": "Example", "dateofbirth": "02/29/1980"}}


def body(told: Mapping[str, Any]) -> bytes:
    return orjson.dumps(told)


def test_nothing_is_written_that_the_settings_do_not_allow() -> None:
    unity = known()
    with running(unity) as (_, config):
        with pytest.raises(ConfigurationError):
            at_desk(
                config,
                lambda desk: desk.update("Condition", "71.3", body(PROBLEM), version=None),
                resolve_secret=secret,
            )
        for attempt in (
            lambda desk: desk.update("Observation", "71.3", b"{}", version=None),
            lambda desk: desk.create("Observation", b"{}"),
            lambda desk: desk.delete("Condition", "71.3", version=None),
        ):
            with pytest.raises(ConfigurationError):
                at_desk(writing(config), attempt, resolve_secret=secret)
    assert not any(call["Action"].startswith("Save") for call in unity.calls)


def test_a_problem_is_changed_under_its_number_in_xml_and_read_back() -> None:
    unity = known(GetClinicalSummary=[row("3"), row("4")], SaveProblemsData=[{"status": "success"}])
    carried = {
        **PROBLEM,
        "PatientID": "another",
        "Parameter1": [{"setid": "88", **TITLE}, {"fieldid": "status", "value1": "Active"}],
    }
    with running(unity) as (_, config):
        written = at_desk(
            writing(config),
            lambda desk: desk.update("Condition", "71.3", body(carried), version=None),
            resolve_secret=secret,
        )
    (sent,) = unity.of("SaveProblemsData")
    assert sent["PatientID"] == "71", "the record that was decided on, not what the resource carries along"
    request = ElementTree.fromstring(sent["Parameter1"])
    assert request.tag == "saveproblemsdatarequest"
    assert [(line.tag, line.attrib) for line in request] == [
        ("saveproblemsdata", {"setid": "3", **TITLE}),
        ("saveproblemsdata", {"setid": "3", "fieldid": "status", "value1": "Active"}),
    ]
    assert (written.remote_id, written.version) == ("71.3", None)
    assert orjson.loads(written.stored or b"") == {"patient": {"patientid": "71"}, "item": row("3")}


def test_of_an_allergy_only_the_status_is_changed() -> None:
    unity = known(GetClinicalSummary=[row("3")], DoSendback=[{"status": "success"}])
    told = {**ALLERGY, "Status": "Inactive"}
    with running(unity) as (_, config):

        async def change(desk: Any) -> Any:
            with pytest.raises(NotPermittedError):
                await desk.update("AllergyIntolerance", "71.3", body(ALLERGY), version=None)
            await desk.update("AllergyIntolerance", "71.3", body(told), version=None)
            return desk.write_capability("AllergyIntolerance")

        offered = at_desk(writing(config), change, resolve_secret=secret)
    (sent,) = unity.of("DoSendback")
    assert [sent[name] for name in ("PatientID", "Parameter1", "Parameter2", "Parameter3")] == [
        "71", "Allergies", "Inactive", "3",
    ]  # fmt: skip
    assert unity.of("SaveAllergy") == []
    assert (offered.of("code"), offered.of("clinicalStatus")) == (UnitWrite.IMMUTABLE, UnitWrite.WRITABLE)


@pytest.mark.parametrize(("answer", "known_outcome"), [([{"status": "success"}], True), (NAMES_A_PATIENT, False)])
def test_an_allergy_that_is_not_active_is_not_left_active(answer: Any, known_outcome: bool) -> None:
    rows = [row("3")]
    unity = known(GetClinicalSummary=lambda call: list(rows), DoSendback=answer)
    unity.actions["SaveAllergy"] = lambda call: rows.append(row("4")) or [{"status": "success"}]
    told = body({**ALLERGY, "Status": "Resolved"})
    with running(unity) as (_, config):
        if known_outcome:
            at_desk(writing(config), lambda desk: desk.create("AllergyIntolerance", told), resolve_secret=secret)
        else:
            with pytest.raises(OutcomeUnknownError):
                at_desk(writing(config), lambda desk: desk.create("AllergyIntolerance", told), resolve_secret=secret)
    (sent,) = unity.of("DoSendback")
    assert (sent["Parameter2"], sent["Parameter3"]) == ("Resolved", "4")


@pytest.mark.parametrize(("kind", "told"), [("Condition", PROBLEM), ("AllergyIntolerance", ALLERGY)])
def test_a_new_row_is_told_by_what_was_not_there_before(kind: str, told: dict[str, Any]) -> None:
    rows = [row("3")]
    unity = known(GetClinicalSummary=lambda call: list(rows))
    unity.actions[told["Action"]] = lambda call: rows.append(row("4")) or [{"status": "success"}]
    with running(unity) as (_, config):
        written = at_desk(writing(config), lambda desk: desk.create(kind, body(told)), resolve_secret=secret)
    assert written.remote_id == "71.4" and orjson.loads(written.stored or b"")["item"] == row("4")
    (sent,) = unity.of(told["Action"])
    assert "setid" not in sent["Parameter1"]
    if kind == "AllergyIntolerance":
        assert sent["Parameter2"] == '<saveallergy><field name="AllergyName" value="Latex" /></saveallergy>'
        assert sent["Parameter6"] == "mild"


def test_two_creates_at_once_are_told_apart() -> None:
    rows = [row("3")]
    unity = known(GetClinicalSummary=lambda call: list(rows))
    unity.actions["SaveProblemsData"] = lambda call: rows.append(row(str(len(rows) + 3))) or [{"status": "success"}]
    with running(unity) as (_, config):

        async def both(desk: Any) -> list[str]:
            made = await asyncio.gather(*(desk.create("Condition", body(PROBLEM)) for _ in range(2)))
            return [written.remote_id for written in made]

        assert sorted(at_desk(writing(config), both, resolve_secret=secret)) == ["71.4", "71.5"]


def test_a_new_patient_is_read_by_the_number_that_unity_answers() -> None:
    unity = known(SavePatient=[{"patientid": "72"}], GetPatient=[{"LastName": "Example"}])
    with running(unity) as (server, config):
        written = at_desk(writing(config), lambda desk: desk.create("Patient", body(PERSON)), resolve_secret=secret)
        assert (written.remote_id, patients_of(unity, "SavePatient")) == ("72", [""])
        assert {one.headers["content-type"] for one in server.of(f"{SERVICE}/MagicJson")} == {"application/json"}
        at_desk(
            writing(config),
            lambda desk: desk.update("Patient", "72", body(PERSON), version=None),
            resolve_secret=secret,
        )
    assert patients_of(unity, "SavePatient") == ["", "72"]
    assert (
        ElementTree.fromstring(unity.of("SavePatient")[0]["Parameter1"]).find("field[@name='dateofbirth']") is not None
    )


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (NAMES_A_PATIENT, PermanentError),
        ([{"patientid": "0"}], OutcomeUnknownError),
        (Response("<html>Sign in</html>", media_type="text/html"), OutcomeUnknownError),
        (Response("[]", 500), OutcomeUnknownError),
        (Response("", 302, {"location": "/elsewhere"}), ProtocolError),
    ],
)
def test_a_write_that_did_not_clearly_happen_is_sent_once_and_told_for_what_it_is(
    answer: Any, kind: type[HoloVitalsError]
) -> None:
    unity = known(SavePatient=answer)
    with running(unity) as (_, config), pytest.raises(kind) as caught:
        at_desk(writing(config), lambda desk: desk.create("Patient", body(PERSON)), resolve_secret=secret)
    assert len(unity.of("SavePatient")) == 1 and "Smith" not in str(caught.value)
    assert isinstance(caught.value, OutcomeUnknownError) is (kind is OutcomeUnknownError)


def test_a_write_in_a_session_that_had_ended_is_sent_again_in_a_new_one() -> None:
    ends = iter([IDLE])
    unity = known(SavePatient=lambda call: next(ends, [{"patientid": "72"}]), GetPatient=[{"LastName": "Example"}])
    with running(unity) as (_, config):
        written = at_desk(writing(config), lambda desk: desk.create("Patient", body(PERSON)), resolve_secret=secret)
    assert (written.remote_id, len(unity.of("SavePatient")), unity.tokens) == ("72", 2, 2)


def test_a_busy_server_gets_the_write_again_later(clock: FastClock) -> None:
    busy = iter([Response("", 429)])
    unity = known(SavePatient=lambda call: next(busy, [{"patientid": "72"}]), GetPatient=[{"LastName": "Example"}])
    with running(unity) as (_, config):
        at_desk(
            writing(config),
            lambda desk: desk.create("Patient", body(PERSON)),
            resolve_secret=secret,
            clock=clock.as_clock(),
        )
    assert len(unity.of("SavePatient")) == 2 and clock.slept


def test_a_create_of_which_no_single_trace_is_found_is_of_unknown_outcome() -> None:
    unity = known(GetClinicalSummary=[row("3")], SaveAllergy=[{"status": "success"}])
    with running(unity) as (_, config), pytest.raises(OutcomeUnknownError):
        at_desk(writing(config), lambda desk: desk.create("AllergyIntolerance", body(ALLERGY)), resolve_secret=secret)


def test_patients_who_are_not_shown_and_their_charts_are_not_taken_as_deleted() -> None:
    unity = known(GetPatient=[{"LastName": ""}], GetClinicalSummary=[{"transid": "0", "description": ""}])
    with running(unity) as (_, config):
        for kind, remote_id in (("Patient", "71"), ("Condition", "71.3")):
            with pytest.raises(NotPermittedError) as caught:
                at_desk(config, lambda desk, k=kind, i=remote_id: desk.read_current(k, i), resolve_secret=secret)
            assert caught.value.code == "unity.not_shown"
        unity.actions |= {"GetPatient": [{"LastName": "Example"}], "GetClinicalSummary": [{"description": "No number"}]}
        with pytest.raises(NotPermittedError):
            at_desk(config, lambda desk: desk.read_current("Condition", "71.3"), resolve_secret=secret)
        request = ReadRequest(["Condition"], patients=lambda: ["71"])
        unity.actions["GetChangedPatients"] = []
        assert not read_all(config, request, resolve_secret=secret).done["Condition"].snapshot


def test_what_is_there_now_is_told_from_what_is_not() -> None:
    unity = known(GetPatient=[{"LastName": "Example"}], GetClinicalSummary=[row("3")], GetProviders=[provider("368")])
    wanted = [("Patient", "71"), ("Condition", "71.3"), ("Condition", "71.9"), ("Condition", "x")]
    with running(unity) as (_, config):

        async def look(desk: Any) -> list[Any]:
            return [await desk.read_current(*one) for one in [*wanted, ("Practitioner", "368"), ("Practitioner", "1")]]

        found = at_desk(config, look, resolve_secret=secret)
    assert [type(one) for one in found] == [Present, Present, Absent, Absent, Present, Absent]


def test_patients_are_found_by_their_record_number_and_nothing_else_is() -> None:
    unity = known(
        GetPatientByMRN=lambda call: [{"ID": "71" if call["Parameter1"] == "0001" else "0"}],
        GetPatient=[{"LastName": "Example", "mrn": "0001"}],
    )
    system = "urn:holovitals:allscripts:mrn"
    with running(unity) as (_, config):
        found = at_desk(
            config, lambda desk: desk.find("Patient", [(system, "0001"), (system, "2")]), resolve_secret=secret
        )
        assert [present.remote_id for present in found] == ["71"]
        unity.actions["GetPatientByMRN"] = [{"ID": "71"}]
        for kind, identifier in (
            ("Patient", ("urn:other", "0001")),
            ("Condition", (system, "0001")),
            ("Patient", (system, "0002")),
        ):
            with pytest.raises(NotPermittedError):
                at_desk(config, lambda desk, k=kind, i=identifier: desk.find(k, [i]), resolve_secret=secret)
