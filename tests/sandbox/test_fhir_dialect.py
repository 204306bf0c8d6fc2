from __future__ import annotations

import httpx
import orjson

from sandbox.loopback import Loopback, entries, serving


def test_the_base_tells_what_it_can(sandbox: Loopback) -> None:
    statement = sandbox.get("fhir", "metadata").json()
    assert statement["resourceType"] == "CapabilityStatement" and statement["fhirVersion"] == "4.0.1"
    assert "Patient" in {r["type"] for r in statement["rest"][0]["resource"]}
    configuration = sandbox.get("fhir", ".well-known/smart-configuration").json()
    assert configuration["token_endpoint"].startswith(sandbox.origin)


def test_a_resource_comes_with_version_time_and_etag(sandbox: Loopback) -> None:
    identity = sandbox.ids("fhir")[0]
    answer = sandbox.get("fhir", f"Patient/{identity}")
    meta = answer.json()["meta"]
    assert answer.headers["content-type"].startswith("application/fhir+json")
    assert answer.headers["etag"] == 'W/"1"' and meta["versionId"] == "1" and meta["lastUpdated"] and meta["profile"]
    assert sandbox.get("fhir", "Patient/nobody").status_code == 404


def test_paging_brings_everything_once(sandbox: Loopback) -> None:
    pages = list(sandbox.pages("fhir", "Observation?_count=100"))
    found = [r["id"] for page in pages for r in entries(page)]
    expected = sandbox.admin("GET", "counts")["fhir"]["Observation"]
    assert len(found) == len(set(found)) == expected == pages[0]["total"]
    assert len(pages) == -(-expected // 100)


def test_a_next_link_can_be_asked_again(sandbox: Loopback) -> None:
    first = sandbox.get("fhir", "Observation?_count=10").json()
    link = next(each["url"] for each in first["link"] if each["relation"] == "next")
    once, again = (sandbox.http.get(link).json() for _ in range(2))
    assert once == again and entries(once) != entries(first)


def test_search_is_by_id_patient_and_time(sandbox: Loopback) -> None:
    one, other = sandbox.ids("fhir")[:2]
    by_id = sandbox.get("fhir", f"Patient?_id={one},{other},nobody").json()
    assert {r["id"] for r in entries(by_id)} == {one, other}
    chart = sandbox.get("fhir", f"Condition?patient={one}&_count=1000").json()
    assert all(r["subject"]["reference"] == f"Patient/{one}" for r in entries(chart)) and entries(chart)
    same = sandbox.get("fhir", f"Condition?subject=Patient/{one}&_count=1000").json()
    assert entries(same) == entries(chart)
    vitals = sandbox.get("fhir", f"Observation?patient={one}&category=vital-signs&date=ge2000&_count=1000").json()
    assert {r["category"][0]["coding"][0]["code"] for r in entries(vitals)} == {"vital-signs"}


def test_last_updated_finds_what_was_edited_since(sandbox: Loopback) -> None:
    identity = sandbox.ids("fhir")[3]
    before = sandbox.get("fhir", "Patient?_count=1").headers["date"]
    assert before.endswith("GMT")
    watermark = sandbox.admin("POST", "clock", json={"shift_seconds": 3600})["now"]
    patient = sandbox.admin("GET", f"fhir/Patient/{identity}")
    sandbox.admin("PUT", f"fhir/Patient/{identity}", json={**patient, "active": False})
    found = entries(sandbox.get("fhir", f"Patient?_lastUpdated=ge{watermark}").json())
    assert [(r["id"], r["active"], r["meta"]["versionId"]) for r in found] == [(identity, False, "2")]
    assert entries(sandbox.get("fhir", f"Patient?_lastUpdated=lt{watermark}&_count=1000").json())
    updated = found[0]["meta"]["lastUpdated"]
    for prefix, expected in (("gt", 0), ("ge", 1), ("le", 1), ("lt", 0), ("eq", 1)):
        window = f"Patient?_lastUpdated={prefix}{updated}&_id={identity}"
        assert len(entries(sandbox.get("fhir", window).json())) == expected, prefix


def test_an_unknown_parameter_is_200_with_an_outcome_entry(sandbox: Loopback) -> None:
    page = sandbox.get("fhir", "Patient?zzz=1&_sort=-_lastUpdated").json()
    outcomes = [e["resource"] for e in page["entry"] if e["search"]["mode"] == "outcome"]
    assert len(outcomes) == 1 and outcomes[0]["issue"][0]["severity"] == "warning"
    assert "zzz" in outcomes[0]["issue"][0]["diagnostics"] and entries(page)
    assert sandbox.get("fhir", "Patient?_lastUpdated=geyesterday").status_code == 400


def test_an_update_needs_the_current_version_when_it_names_one(sandbox: Loopback) -> None:
    identity = sandbox.ids("fhir")[0]
    url = f"{sandbox.url('fhir')}/Patient/{identity}"
    patient = sandbox.http.get(url).json()
    stale = sandbox.http.put(url, json=patient, headers={"If-Match": 'W/"7"'})
    assert stale.status_code == 412
    done = sandbox.http.put(url, json={**patient, "active": False}, headers={"If-Match": 'W/"1"'})
    assert (done.status_code, done.headers["etag"]) == (200, 'W/"2"')
    assert sandbox.http.put(url, json=patient, headers={"If-Match": "W/2"}).status_code == 412


def test_create_delete_and_history_keep_every_version(sandbox: Loopback) -> None:
    made = sandbox.http.post(f"{sandbox.url('fhir')}/Basic", content=b'{"resourceType":"Basic","code":{"text":"1"}}')
    assert made.status_code == 201 and made.headers["location"].endswith("/_history/1")
    url = made.headers["location"].removesuffix("/_history/1")
    identity = url.rsplit("/", 1)[1]
    body = {"resourceType": "Basic", "id": identity, "code": {"text": "2"}}
    assert sandbox.http.put(url, json=body).status_code == 200
    assert sandbox.http.delete(url).status_code == 204
    assert sandbox.http.get(url).status_code == 410
    history = sandbox.http.get(f"{url}/_history").json()
    assert [e["request"]["method"] for e in history["entry"]] == ["DELETE", "PUT", "POST"]
    assert sandbox.http.get(f"{url}/_history/1").json()["code"]["text"] == "1"
    assert entries(sandbox.get("fhir", f"Basic?_id={identity}").json()) == []
    assert sandbox.http.put(url, json=body).status_code == 201, "a put revives it"


def test_a_written_resource_keeps_its_digits(sandbox: Loopback) -> None:
    body = b'{"resourceType":"Observation","status":"final",\n"code":{"text":"x"},"valueQuantity":{"value":1.500}}'
    location = sandbox.http.post(f"{sandbox.url('fhir')}/Observation", content=body).headers["location"]
    read = sandbox.http.get(location).content
    assert b'"valueQuantity":{"value":1.500}' in read and b"\n" not in read


def test_a_conditional_create_makes_one(sandbox: Loopback) -> None:
    body = {"resourceType": "Basic", "identifier": [{"system": "urn:x", "value": "1"}]}
    ask = {"If-None-Exist": "identifier=urn:x|1"}
    answers = [sandbox.http.post(f"{sandbox.url('fhir')}/Basic", json=body, headers=ask) for _ in range(2)]
    assert [a.status_code for a in answers] == [201, 200]
    assert answers[0].json()["id"] == answers[1].json()["id"]


def test_a_body_that_is_no_resource_is_400(sandbox: Loopback) -> None:
    url = f"{sandbox.url('fhir')}/Basic"
    for content in (b"{", b"[]", b'{"resourceType":"Patient"}', b"\xff"):
        assert sandbox.http.post(url, content=content).status_code == 400
    assert sandbox.http.put(f"{url}/a", json={"resourceType": "Basic", "id": "b"}).status_code == 400


def test_a_search_session_ends_with_its_time() -> None:
    with serving(settings={"fhir": {"session_seconds": 60}}) as sandbox:
        first = sandbox.get("fhir", "Observation?_count=10").json()
        link = next(each["url"] for each in first["link"] if each["relation"] == "next")
        assert sandbox.http.get(link).status_code == 200
        sandbox.admin("POST", "clock", json={"shift_seconds": 61})
        assert sandbox.http.get(link).status_code == 410


def test_two_vendors_over_one_population_share_people_not_ids(sandbox: Loopback) -> None:
    def people(dialect: str) -> dict[str, str]:
        found = {}
        for identity in sandbox.ids(dialect):
            patient = sandbox.admin("GET", f"{dialect}/Patient/{identity}")
            found[patient["identifier"][1]["value"]] = patient["id"]
        return found

    here, there = people("fhir"), people("epic")
    assert here.keys() & there.keys() and not set(here.values()) & set(there.values())


def test_a_post_search_reads_its_body(sandbox: Loopback) -> None:
    identity = sandbox.ids("fhir")[0]
    answer: httpx.Response = sandbox.http.post(f"{sandbox.url('fhir')}/Patient/_search", data={"_id": identity})
    assert [r["id"] for r in entries(orjson.loads(answer.content))] == [identity]
