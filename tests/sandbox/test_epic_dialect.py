from __future__ import annotations

from typing import Any

import pytest

from sandbox.loopback import Loopback, codes, entries, serving


def warnings(page: dict[str, Any]) -> list[str]:
    return [c for e in page.get("entry", []) if e["search"]["mode"] == "outcome" for c in codes(e["resource"])]


def test_no_resource_shows_version_or_update_time(sandbox: Loopback) -> None:
    patient = sandbox.ids("epic")[0]
    read = sandbox.get("epic", f"Patient/{patient}")
    assert "etag" not in read.headers and set(read.json()["meta"]) == {"profile"}
    page = sandbox.get("epic", f"Condition?patient={patient}")
    assert entries(page.json()) and b"lastUpdated" not in page.content


def test_a_clinical_search_without_patient_is_fatal(sandbox: Loopback) -> None:
    answer = sandbox.get("epic", "Condition?category=problem-list-item")
    assert answer.status_code == 400 and codes(answer.json()) == ["4111"]
    assert answer.json()["issue"][0]["severity"] == "fatal"
    assert codes(sandbox.get("epic", "Condition").json()) == ["4110"]
    one, other = sandbox.ids("epic")[:2]
    assert codes(sandbox.get("epic", f"Condition?patient={one}&patient={other}").json()) == ["4112"]
    assert codes(sandbox.get("epic", "Condition?patient=nobody").json()) == ["4100"]


def test_an_observation_search_needs_a_category_or_a_code(sandbox: Loopback) -> None:
    patient = sandbox.ids("epic")[0]
    refused = sandbox.get("epic", f"Observation?patient={patient}")
    assert refused.status_code == 400 and codes(refused.json()) == ["59108"]
    for by in ("category=vital-signs", "code=http://loinc.org|8867-4", "code=8867-4,8302-2"):
        assert entries(sandbox.get("epic", f"Observation?patient={patient}&{by}").json()), by


def test_pages_come_short_and_even_empty_while_next_goes_on(sandbox: Loopback) -> None:
    sizes: list[int] = []
    for patient in sandbox.ids("epic"):
        pages = list(sandbox.pages("epic", f"Observation?patient={patient}&category=laboratory&_count=4"))
        assert len({r["id"] for p in pages for r in entries(p)}) == sum(len(entries(p)) for p in pages)
        sizes += [len(entries(page)) for page in pages[:-1]]
    assert 0 in sizes and 4 in sizes and {1, 2, 3} & set(sizes)


def test_post_filtered_pages_bring_all_that_match(sandbox: Loopback) -> None:
    patient = sandbox.ids("epic")[0]
    paged = [
        r["id"]
        for category in ("laboratory", "vital-signs", "social-history")
        for page in sandbox.pages("epic", f"Observation?patient={patient}&category={category}&_count=5")
        for r in entries(page)
    ]
    site = sandbox.sites["epic"].records
    assert sorted(paged) == sorted(site.identity(n) for n in site.in_chart("Observation", patient))


def test_a_page_session_expires_with_4113(sandbox: Loopback) -> None:
    patient = sandbox.ids("epic")[0]
    first = sandbox.get("epic", f"Observation?patient={patient}&category=vital-signs&_count=5").json()
    link = next(each["url"] for each in first["link"] if each["relation"] == "next")
    assert sandbox.http.get(link).status_code == 200
    sandbox.admin("POST", "clock", json={"shift_seconds": 601})
    expired = sandbox.http.get(link)
    assert expired.status_code == 400 and codes(expired.json()) == ["4113"]


def test_no_results_and_unknown_parameters_are_warnings_inside_200(sandbox: Loopback) -> None:
    patient = sandbox.ids("epic")[0]
    nothing = sandbox.get("epic", f"Goal?patient={patient}")
    assert nothing.status_code == 200 and warnings(nothing.json()) == ["4101"] and not entries(nothing.json())
    unknown = sandbox.get("epic", f"Condition?patient={patient}&zzzzzz=1&_lastUpdated=ge2020").json()
    assert warnings(unknown) == ["4122", "4122"] and entries(unknown)


def test_last_updated_is_searchable_on_documents_only(sandbox: Loopback) -> None:
    watermark = sandbox.admin("POST", "clock", json={"shift_seconds": 60})["now"]
    patient = next(p for p in sandbox.ids("epic") if sandbox.sites["epic"].records.in_chart("DocumentReference", p))
    page = sandbox.get("epic", f"DocumentReference?patient={patient}").json()
    document = entries(page)[0]
    sandbox.admin("PUT", f"epic/DocumentReference/{document['id']}", json={**document, "description": "addendum"})
    for spelling in ("_lastUpdated", "_lastupdated"):
        found = sandbox.get("epic", f"DocumentReference?patient={patient}&{spelling}=ge{watermark}").json()
        assert [r["description"] for r in entries(found)] == ["addendum"] and warnings(found) == []


def test_documents_give_their_content_through_binary_only(sandbox: Loopback) -> None:
    attachments = []
    for patient in sandbox.ids("epic"):
        for page in sandbox.pages("epic", f"DocumentReference?patient={patient}"):
            attachments += [r["content"][0]["attachment"] for r in entries(page)]
    assert attachments and all("data" not in a for a in attachments)
    assert sandbox.get("epic", attachments[0]["url"]).json()["resourceType"] == "Binary"


def test_patients_are_found_by_demographics_only_and_at_most_100() -> None:
    with serving(patients=220, dialects=("epic",)) as sandbox:
        assert warnings(sandbox.get("epic", "Patient").json()) == ["59133"]
        everybody = sandbox.get("epic", "Patient?birthdate=ge1900-01-01")
        assert everybody.status_code == 400 and codes(everybody.json()) == ["4127", "59133"]
        patient = sandbox.get("epic", f"Patient/{sandbox.ids('epic')[5]}").json()
        family, born = patient["name"][0]["family"], patient["birthDate"]
        found = sandbox.get("epic", "Patient", params={"family": family, "birthdate": born}).json()
        assert patient["id"] in [r["id"] for r in entries(found)]
        mrn = patient["identifier"][0]
        by_number = sandbox.get("epic", "Patient", params={"identifier": f"{mrn['system']}|{mrn['value']}"}).json()
        assert [r["id"] for r in entries(by_number)] == [patient["id"]]
        by_id = sandbox.get("epic", f"Patient?_id={','.join(sandbox.ids('epic')[:3])}").json()
        assert len(entries(by_id)) == 3


def test_a_deleted_resource_answers_4103(sandbox: Loopback) -> None:
    patient = sandbox.ids("epic")[0]
    gone = entries(sandbox.get("epic", f"Condition?patient={patient}").json())[0]["id"]
    sandbox.admin("DELETE", f"epic/Condition/{gone}")
    read = sandbox.get("epic", f"Condition/{gone}")
    assert read.status_code == 404 and codes(read.json()) == ["4103"]
    assert codes(sandbox.get("epic", "Condition/nothing").json()) == ["4102"]
    assert gone not in [r["id"] for r in entries(sandbox.get("epic", f"Condition?patient={patient}").json())]


def test_a_merged_patient_answers_4107_and_leads_to_the_survivor(sandbox: Loopback) -> None:
    retired, survivor = sandbox.ids("epic")[:2]
    theirs = entries(sandbox.get("epic", f"Condition?patient={retired}").json())
    moved = sandbox.admin("POST", "epic/merge", json={"retired": retired, "survivor": survivor})["moved"]
    assert moved > len(theirs) > 0
    read = sandbox.get("epic", f"Patient/{retired}")
    assert read.is_redirect and codes(read.json()) == ["4107"]
    assert sandbox.http.get(read.headers["location"]).json()["id"] == survivor
    now = entries(sandbox.get("epic", f"Condition?patient={survivor}").json())
    assert {r["id"] for r in theirs} <= {r["id"] for r in now}
    assert {r["subject"]["reference"] for r in now} == {f"Patient/{survivor}"}


def test_break_the_glass_patients_are_refused_and_not_exported() -> None:
    with serving(settings={"epic": {"break_the_glass": 2}}) as sandbox:
        hidden, _, free = sandbox.ids("epic")[:3]
        for path in (f"Patient/{hidden}", f"Condition?patient={hidden}"):
            refused = sandbox.get("epic", path)
            assert refused.status_code == 403 and codes(refused.json()) == ["4130"], path
        assert sandbox.get("epic", f"Patient/{free}").status_code == 200
        manifest = sandbox.export("epic", f"Group/{sandbox.sites['epic'].dialect.group}/$export?_type=Patient")[1]
        assert manifest["output"][0]["count"] == len(sandbox.ids("epic")) - 2


def test_the_daily_document_maximum_is_lifted_tomorrow() -> None:
    with serving(settings={"epic": {"documents_per_day": "2"}}) as sandbox:
        search = f"DocumentReference?patient={sandbox.ids('epic')[0]}"
        assert [sandbox.get("epic", search).status_code for _ in range(2)] == [200, 200]
        refused = sandbox.get("epic", search)
        assert refused.status_code == 400 and codes(refused.json()) == ["4135"]
        sandbox.admin("POST", "clock", json={"shift_seconds": 86_400})
        assert sandbox.get("epic", search).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "Patient/x", 405),
        ("PUT", "AllergyIntolerance/x", 405),
        ("POST", "Encounter", 405),
        ("POST", "MedicationRequest", 405),
        ("DELETE", "Condition/x", 405),
        ("PATCH", "Observation/x", 405),
        ("GET", "Condition/x/_history", 405),
        ("GET", "ValueSet?url=x", 405),
        ("GET", "Basic/x", 404),
        ("GET", "Basic?_id=x", 404),
        ("POST", "Basic", 404),
        ("GET", "$export", 404),
        ("GET", "Patient/$export", 404),
    ],
)
def test_what_epic_does_not_offer_is_404_or_405(sandbox: Loopback, method: str, path: str, status: int) -> None:
    answer = sandbox.http.request(method, f"{sandbox.url('epic')}/{path}", json={"resourceType": path.split("/")[0]})
    assert answer.status_code == status


def test_a_create_gives_a_location_and_no_body_and_a_second_is_a_duplicate(sandbox: Loopback) -> None:
    patient = sandbox.ids("epic")[0]
    allergy = {
        "resourceType": "AllergyIntolerance",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "424213003"}]},
        "patient": {"reference": f"Patient/{patient}"},
    }
    url = f"{sandbox.url('epic')}/AllergyIntolerance"
    made = sandbox.http.post(url, json=allergy)
    assert made.status_code == 201 and made.content == b"" and "etag" not in made.headers
    assert sandbox.http.get(made.headers["location"]).json()["code"] == allergy["code"]
    again = sandbox.http.post(url, json=allergy)
    assert again.status_code == 400 and codes(again.json()) == ["59141"]
    nobody = sandbox.http.post(url, json={**allergy, "patient": {"reference": "Patient/nobody"}})
    assert codes(nobody.json()) == ["59108"]
    twin = sandbox.http.post(f"{sandbox.url('epic')}/Patient", json=sandbox.get("epic", f"Patient/{patient}").json())
    assert codes(twin.json()) == ["59141"]


def test_an_update_is_for_what_exists_and_ignores_if_match(sandbox: Loopback) -> None:
    patient = sandbox.ids("epic")[0]
    observation = entries(sandbox.get("epic", f"Observation?patient={patient}&category=vital-signs").json())[0]
    url = f"{sandbox.url('epic')}/Observation/{observation['id']}"
    done = sandbox.http.put(url, json={**observation, "status": "corrected"}, headers={"If-Match": 'W/"99"'})
    assert done.status_code == 200 and sandbox.http.get(url).json()["status"] == "corrected"
    assert (
        sandbox.http.put(f"{sandbox.url('epic')}/Observation/new", json={**observation, "id": "new"}).status_code == 404
    )


def test_types_the_user_may_not_see_are_403() -> None:
    with serving(settings={"epic": {"unauthorized_types": "Procedure,Condition"}}) as sandbox:
        patient = sandbox.ids("epic")[0]
        refused = sandbox.get("epic", f"Condition?patient={patient}")
        assert refused.status_code == 403 and codes(refused.json()) == ["4118"]
        assert sandbox.get("epic", f"Encounter?patient={patient}").status_code == 200


def test_types_without_a_patient_parameter_need_an_id(sandbox: Loopback) -> None:
    identity = sandbox.ids("epic", "Practitioner")[0]
    assert codes(sandbox.get("epic", f"Claim?patient={sandbox.ids('epic')[0]}").json()) == ["4111"]
    assert entries(sandbox.get("epic", f"Practitioner?_id={identity}").json())[0]["id"] == identity
    assert sandbox.get("epic", f"Practitioner/{identity}").status_code == 200
