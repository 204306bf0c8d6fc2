"""The eClinicalWorks adapter over small answers of our own: settings, and what a write-back's numbers mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import (
    ConfigurationError,
    DuplicateError,
    ErrorAction,
    HoloVitalsError,
    NotPermittedError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
    VendorError,
)
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.vocabulary import ChangeMechanism
from holovitals_pipelines.model.writing import Concurrency, Written
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.eclinicalworks import ECW_TYPES, EXPORTED_ONLY
from holovitals_pipelines.providers.eclinicalworks_errors import ECW_ERRORS

from .loopback import FastClock, Server, at_desk, bundle, capability, connection, json, patient, read_all, serving

BODY = orjson.dumps({"resourceType": "Encounter", "id": "e1", "status": "finished"})
WRITE = {"enabled": True, "creates": True, "resource_types": ["Patient", "Encounter", "Observation"]}
Answers = Callable[[Request], Response]


def practice(server: Server, **settings: Any) -> ConnectionConfig:
    given = {"provider": "eclinicalworks", "write": WRITE, "read": {"retry_delay_ms": 1}, **settings}
    return connection(f"{server.url}/fhir/r4/ABCDEF", **given)


class Practice:
    """A practice that answers each write with the next of `answers`, the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.writes = 0

    def run(self, work: Callable[[Adapter], Awaitable[Any]], clock: FastClock, **settings: Any) -> Any:
        def write(request: Request) -> Response:
            if request.method == "GET":
                return json(BODY)
            self.writes += 1
            given = self._answers[min(self.writes, len(self._answers)) - 1]
            return given if isinstance(given, Response) else json(given)

        stated = capability({"Encounter": ["patient"], "Patient": ["_id", "identifier"]})
        routes: dict[str, Answers] = {
            "/fhir/r4/ABCDEF/metadata": lambda _: json(stated),
            "/fhir/r4/ABCDEF/Encounter": write,
            "/fhir/r4/ABCDEF/Patient": write,
            "/fhir/r4/ABCDEF/Encounter/{id}": write,
            "/fhir/r4/ABCDEF/Patient/{id}": write,
        }
        with serving(routes, methods=("GET", "POST", "PUT")) as server:
            return at_desk(practice(server, **settings), work, clock=clock.as_clock())


def failed(practice: Practice, clock: FastClock, *, create: str | None = None, **settings: Any) -> HoloVitalsError:
    """The error of an update of an Encounter, or of a create of this type."""

    async def work(adapter: Adapter) -> HoloVitalsError:
        with pytest.raises(HoloVitalsError) as caught:
            if create is not None:
                await adapter.create(create, b'{"resourceType":"%s"}' % create.encode())
            else:
                await adapter.update("Encounter", "e1", BODY, version=None)
        return caught.value

    error = practice.run(work, clock, **settings)
    assert isinstance(error, HoloVitalsError)
    return error


def told(status: Any, key: str | None = None, **more: Any) -> dict[str, Any]:
    return {"status": status, **({"key": key} if key is not None else {}), **more}


# what a number means


def test_one_is_success_and_what_is_there_then_is_read_back(clock: FastClock) -> None:
    async def work(adapter: Adapter) -> tuple[Written, Written]:
        updated = await adapter.update("Encounter", "e1", BODY, version=None)
        return updated, await adapter.create("Encounter", b'{"resourceType":"Encounter"}')

    answers = Practice(told(1, "SUCCESS"), told(1, "SUCCESS", id=1))
    updated, created = answers.run(work, clock)
    assert (updated.remote_id, updated.stored, answers.writes) == ("e1", BODY, 2)
    assert created.remote_id == "1"


@pytest.mark.parametrize(
    ("answer", "error", "action", "code"),
    [
        (told(139, "ENCOUNTER_IS_LOCKED"), NotPermittedError, ErrorAction.NOT_PERMITTED, "ecw.139"),
        (told(100, "INVALID_PATIENT"), PermanentError, ErrorAction.FIX_DATA, "ecw.100"),
        (told(611, "INVALID_UNIT"), PermanentError, ErrorAction.FIX_DATA, "ecw.611"),
        (told(612, "INVALID_VITAL_VALUE"), PermanentError, ErrorAction.FIX_DATA, "ecw.612"),
        (told(308, "DEFAULT_WRITEBACK_USER_NOT_CONFIGURED"), NotPermittedError, ErrorAction.NOT_PERMITTED, "ecw.308"),
        (told(615, "UPDATE_NOT_SUPPORTED_REFERRAL"), NotPermittedError, ErrorAction.NOT_PERMITTED, "ecw.615"),
        (told(615, "INVALID_ORGNIZATION_ID"), PermanentError, ErrorAction.FIX_DATA, "ecw.615"),
        (told(139), NotPermittedError, ErrorAction.NOT_PERMITTED, "ecw.139"),
        (told("2", "FAILURE"), PermanentError, ErrorAction.FIX_DATA, "ecw.2"),
        # What is not in the guide, or is another interface's: permanent, and nobody's guess.
        (told(615), PermanentError, ErrorAction.POISON, "ecw.unknown"),
        (told(302, "Exception occurred while making entry"), PermanentError, ErrorAction.POISON, "ecw.unknown"),
        (told(4711, "BRAND_NEW_CODE"), PermanentError, ErrorAction.POISON, "ecw.unknown"),
    ],
    ids=str,
)
def test_a_number_is_read_with_its_key(
    clock: FastClock, answer: dict[str, Any], error: type[VendorError], action: ErrorAction, code: str
) -> None:
    site = Practice(answer)
    raised = failed(site, clock)
    assert type(raised) is error
    assert isinstance(raised, VendorError)
    assert (raised.code, raised.action, raised.vendor_code) == (code, action, str(answer["status"]))
    assert site.writes == 1, "never sent again"


def test_an_unknown_code_keeps_the_vendors_words_and_a_sentence_is_never_shown(clock: FastClock) -> None:
    assert "4711 BRAND_NEW_CODE" in str(failed(Practice(told(4711, "BRAND_NEW_CODE")), clock))
    sentence = str(failed(Practice(told(4711, "Smith, John is not to be shown")), clock))
    assert "4711" in sentence and "Smith" not in sentence


@pytest.mark.parametrize("code", ["103 UNKNOWN_MAPPING_ERROR", "112 UPLOAD_FTP_FAILED", "115 INVALID_TODO_ID"])
def test_the_vendors_own_failure_is_repeated_once_and_no_more(clock: FastClock, code: str) -> None:
    number, _, key = code.partition(" ")
    passing = Practice(told(int(number), key), told(1, "SUCCESS"))

    async def work(adapter: Adapter) -> Written:
        return await adapter.update("Encounter", "e1", BODY, version=None)

    assert passing.run(work, clock).stored == BODY
    assert passing.writes == 2
    lasting = Practice(told(int(number), key))
    error = failed(lasting, clock)
    assert isinstance(error, PermanentError) and lasting.writes == 2
    impatient = Practice(told(int(number), key))
    error = failed(impatient, clock, read={"max_retries": 0})
    assert isinstance(error, PermanentError) and impatient.writes == 1


@pytest.mark.parametrize("key", ["INVALID_PATIENT_ALREADY_EXIST", "PATIENT_ALREADY_EXIST", None])
def test_a_patient_who_is_there_is_a_duplicate_and_never_sent_again(clock: FastClock, key: str | None) -> None:
    site = Practice(told(202, key))
    assert type(failed(site, clock, create="Patient")) is DuplicateError
    assert site.writes == 1
    assert type(failed(Practice(told(202, key)), clock)) is PermanentError, "an update makes no second one"


def test_every_code_of_the_guide_has_a_class_and_every_error_says_what_to_do() -> None:
    assert len(ECW_ERRORS) == 91, "92 are published, success among them"
    assert all(rule.message and rule.remedy and rule.next_action is not None for rule in ECW_ERRORS.values())
    assert {name for name in ECW_ERRORS if name.startswith("615 ")} == {
        "615 UPDATE_NOT_SUPPORTED_REFERRAL",
        "615 INVALID_ORGNIZATION_ID",
    }


@pytest.mark.parametrize(
    "answer",
    [
        Response(b"{}", 200),
        Response(b"", 200),
        Response(b"<html>Sign in</html>", 200, media_type="text/html"),
        Response(BODY, 200),
        Response(orjson.dumps(told(1, "SUCCESS")), 500),
        Response(b"oops", 500),
    ],
    ids=["empty object", "nothing", "a web page", "a resource", "1 in a 500", "a 500"],
)
def test_an_answer_without_a_clear_number_is_an_unknown_outcome(clock: FastClock, answer: Response) -> None:
    site = Practice(answer)
    assert type(failed(site, clock)) is OutcomeUnknownError
    assert site.writes == 1


def test_a_success_that_names_nothing_made_is_an_unknown_outcome(clock: FastClock) -> None:
    assert type(failed(Practice(told(1, "SUCCESS")), clock, create="Encounter")) is OutcomeUnknownError


def test_a_refusal_in_plain_http_is_read_as_anywhere(clock: FastClock) -> None:
    assert type(failed(Practice(Response(b"", 403)), clock)) is NotPermittedError
    throttled = Practice(Response(b"", 429), told(1, "SUCCESS"))

    async def work(adapter: Adapter) -> Written:
        return await adapter.update("Encounter", "e1", BODY, version=None)

    assert throttled.run(work, clock).remote_id == "e1", "turned away unread, so it is sent again"
    assert throttled.writes == 2
    assert isinstance(failed(Practice(Response(b"", 429)), clock, read={"max_retries": 0}), TransientError)


# what may be written


def test_only_what_the_connection_names_is_written_beside_what_the_statement_declares(clock: FastClock) -> None:
    async def work(adapter: Adapter) -> dict[str, tuple[bool, bool]]:
        named = {kind: adapter.write_capability(kind) for kind in ("Encounter", "Condition", "QuestionnaireResponse")}
        assert all(one.concurrency is Concurrency.NONE and not one.keeps_identifiers for one in named.values())
        return {kind: (one.create, one.update) for kind, one in named.items()}

    everything = capability({"Encounter": ["patient"]})
    everything["rest"][0]["resource"].append({"type": "QuestionnaireResponse", "interaction": [{"code": "create"}]})
    with serving({"/fhir/r4/ABCDEF/metadata": lambda _: json(everything)}) as server:
        offered = at_desk(practice(server), work, clock=clock.as_clock())
        assert offered == {
            "Encounter": (True, True),
            "Condition": (False, False),
            "QuestionnaireResponse": (False, False),
        }
        unnamed = practice(server, write={"enabled": True, "creates": True})
        assert at_desk(unnamed, work, clock=clock.as_clock())["QuestionnaireResponse"] == (True, False)
        assert at_desk(unnamed, work, clock=clock.as_clock())["Encounter"] == (False, False)


def test_only_a_patient_is_found_by_identifier(clock: FastClock) -> None:
    async def work(adapter: Adapter) -> None:
        with pytest.raises(NotPermittedError) as caught:
            await adapter.find("Condition", [("urn:x", "1")])
        assert caught.value.code == "ecw.no_identifier_search"

    Practice().run(work, clock)


# reading


def test_each_type_declares_how_its_changes_are_found(clock: FastClock) -> None:
    async def work(adapter: Adapter) -> dict[str, ChangeMechanism]:
        return dict(adapter.mechanisms())

    with serving({"/fhir/r4/ABCDEF/metadata": lambda _: json(capability({"Patient": []}))}) as server:
        by_list = at_desk(practice(server), work, clock=clock.as_clock())
        by_group = at_desk(practice(server, read={"group": "1001"}), work, clock=clock.as_clock())
        exported = at_desk(practice(server, read={"group": "1001", "mode": "bulk"}), work, clock=clock.as_clock())
    rescanned = dict.fromkeys(ECW_TYPES, ChangeMechanism.FULL_RESCAN) | {"Observation": ChangeMechanism.DATE_RESCAN}
    assert by_list == rescanned and next(iter(by_list)) == "Patient"
    assert by_group == rescanned | dict.fromkeys(EXPORTED_ONLY, ChangeMechanism.FULL_RESCAN)
    assert exported == dict.fromkeys([*ECW_TYPES, *EXPORTED_ONLY], ChangeMechanism.BULK_SINCE)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"read": {"mode": "bulk"}}, "ecw.no_group"),
        (
            {
                "auth": {
                    "kind": "smart_backend",
                    "client_id": "us",
                    "keys": [{"env": "KEY"}],
                    "algorithm": "ES384",
                }
            },
            "ecw.algorithm",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_the_vendor_cannot_satisfy_are_refused_before_a_token_is_asked_for(
    clock: FastClock, settings: dict[str, Any], code: str
) -> None:
    with serving({"/fhir/r4/ABCDEF/metadata": lambda _: json(capability({"Patient": []}))}) as server:
        with pytest.raises(ConfigurationError) as caught:
            read_all(practice(server, **settings), ReadRequest(("Patient",)), clock=clock.as_clock())
        assert caught.value.code == code and len(server.seen) == 1


def test_without_any_population_the_reader_is_told_what_to_set(clock: FastClock) -> None:
    with serving({"/fhir/r4/ABCDEF/metadata": lambda _: json(capability({"Patient": []}))}) as server:
        read = read_all(practice(server), ReadRequest(("Patient", "Location")), clock=clock.as_clock())
    assert {name: done.error.code for name, done in read.done.items() if done.error} == {
        "Patient": "ecw.no_population",
        "Location": "ecw.only_exported",
    }


def test_charge_items_name_their_patient_as_subject_and_observations_are_narrowed(clock: FastClock) -> None:
    def searched(_: Request) -> Response:
        return json(bundle([]))

    base = "/fhir/r4/ABCDEF"
    routes: dict[str, Answers] = {
        f"{base}/metadata": lambda _: json(capability({"Patient": []})),
        f"{base}/Patient/{{id}}": lambda request: json(patient(request.path_params["id"][1:])),
        f"{base}/ChargeItem": searched,
        f"{base}/Observation": searched,
        f"{base}/Condition": searched,
    }

    def listed(_: SecretRef) -> str:
        return "p1\np2\n"

    types = ("Patient", "Condition", "Observation", "ChargeItem")
    since = dict.fromkeys(types, datetime(2026, 3, 10, tzinfo=UTC))
    with serving(routes) as server:
        config = practice(server, read={"patient_ids": {"file": "x"}, "date_rescan_days": 4})
        read = read_all(config, ReadRequest(types, since=since), clock=clock.as_clock(), resolve_secret=listed)
        assert [seen.param("subject") for seen in server.of(f"{base}/ChargeItem")] == ["p1", "p2"]
        assert [seen.param("_since") for seen in server.of(f"{base}/Observation")] == ["2026-03-05"] * 2
        assert [seen.param("_since") for seen in server.of(f"{base}/Condition")] == [None] * 2
    assert {name: done.snapshot for name, done in read.done.items()} == {
        "Patient": True, "Condition": True, "Observation": False, "ChargeItem": True,
    }  # fmt: skip
