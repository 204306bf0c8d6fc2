"""Reading CDA: every statement is a record with a lasting id, everything else a finding, and attacks are refused."""

from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from holovitals_pipelines.fhir.exact import write_document
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.transform.cda import CdaDocument, read_cda
from holovitals_pipelines.transform.cda.xml_tree import MOST_BYTES

HERE = Path(__file__).parent
CCD, ODD = (HERE / "ccd.xml").read_bytes(), (HERE / "odd.xml").read_bytes()
SECRET = "Zyxwvut"


def ids(document: CdaDocument) -> dict[str, list[str]]:
    return {kind: [record["id"] for record in records] for kind, records in document.records.items()}


def codes(document: CdaDocument) -> list[str]:
    return sorted(finding.code for finding in document.findings)


def refusal(body: bytes) -> MalformedResource:
    with pytest.raises(MalformedResource) as refused:
        read_cda(body)
    return refused.value


def attributes(body: bytes) -> set[str]:
    """Everything that a document's attributes say, but what xsi:type says of its prefix and where schemas are."""
    found: set[str] = set()
    for element in ElementTree.fromstring(body).iter():
        found |= {value.rpartition(":")[2] if name.endswith("}type") else value for name, value in element.items()}
    return found


def leaves(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(leaves, value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*map(leaves, value)) if value else set()
    return {str(value)}


def test_each_statement_is_a_record_named_by_its_own_id() -> None:
    assert ids(read_cda(CCD)) == {
        "Patient": ["1.3.6.1.4.1.99999.2-MRN-417"],
        "DocumentReference": ["1.3.6.1.4.1.99999.1-DOC-77"],
        "AllergyIntolerance": ["4adc1020-7b14-11db-9fe1-0800200c9a66"],
        "Condition": ["1.3.6.1.4.1.99999.3-P-1", "1.3.6.1.4.1.99999.3-P-9"],
        "MedicationRequest": ["cdbd33f0-6cde-11db-9fe1-0800200c9a66"],
        "Observation": [
            *("1.3.6.1.4.1.99999.4-O-1", "1.3.6.1.4.1.99999.4-O-2", "1.3.6.1.4.1.99999.4-O-3"),
            *("1.3.6.1.4.1.99999.5-V-1.1", "1.3.6.1.4.1.99999.5-V-1.2"),
        ],
        "Immunization": ["e6f1ba43-c0ed-4b9b-9f12-f435d8ad8f92", "e6f1ba43-c0ed-4b9b-9f12-f435d8ad8f93"],
        "Procedure": ["1.3.6.1.4.1.99999.7-PR-1"],
        "Encounter": ["2a620155-9d11-439e-92b3-5d9815ff4de8"],
    }


@pytest.mark.parametrize("body", [CCD, ODD])
def test_every_attribute_of_a_document_is_in_a_record_or_a_finding(body: bytes) -> None:
    document = read_cda(body)
    held = leaves([record for kind, records in document.records.items() for record in records])
    found = b"\n".join(finding.body or b"" for finding in document.findings).decode()
    in_narrative = set(re.findall(r'ID="([^"]+)"', body.decode()))
    assert {said for said in attributes(body) - held - in_narrative if said not in found} == set()


@pytest.mark.parametrize("body", [CCD, ODD])
def test_the_document_itself_is_kept(body: bytes) -> None:
    [reference] = read_cda(body).records["DocumentReference"]
    assert b64decode(reference["content"]["data"]) == body


def test_a_record_has_the_context_of_its_statement() -> None:
    record = read_cda(CCD).records["Observation"][1]
    assert record["patient"] == {"id": "1.3.6.1.4.1.99999.2-MRN-417"}
    assert record["document"]["id"] == "1.3.6.1.4.1.99999.1-DOC-77"
    assert record["section"]["code"][0]["code"] == "30954-2"
    assert record["container"]["id"] == [{"root": "1.3.6.1.4.1.99999.4", "extension": "R-1"}]
    assert [list(component) for component in record["container"]["component"]] == [["procedure"]]
    assert read_cda(CCD).records["AllergyIntolerance"][0]["link"] == {"typeCode": "SUBJ"}
    assert read_cda(CCD).records["AllergyIntolerance"][0]["container"]["link"] == {"typeCode": "DRIV"}


def test_the_diagnosis_of_an_encounter_names_it() -> None:
    diagnosis = read_cda(CCD).records["Condition"][1]
    assert diagnosis["within"] == {"type": "Encounter", "id": "2a620155-9d11-439e-92b3-5d9815ff4de8"}
    assert diagnosis["container"]["code"][0]["code"] == "29308-4"


def test_references_into_the_narrative_are_followed() -> None:
    records = read_cda(CCD).records
    assert records["Condition"][0]["entry"]["value"][0]["originalText"] == [
        {"characters": "Pneumonia", "reference": [{"value": "#p1"}]}
    ]
    assert records["Observation"][1]["entry"]["value"][0]["characters"] == "Trace\nof blood"
    assert records["AllergyIntolerance"][0]["entry"]["value"][0]["originalText"][0]["characters"] == "Penicillin hives"
    assert records["MedicationRequest"][0]["entry"]["text"][0]["characters"] == "Albuterol\none puff twice a day"


def test_a_text_beside_a_reference_stays_and_the_narrative_stands_with_the_reference() -> None:
    body = CCD.replace(
        b'<originalText><reference value="#p1"/></originalText>',
        b'<originalText>Lungs<reference value="#p1"/></originalText>',
    )
    assert read_cda(body).records["Condition"][0]["entry"]["value"][0]["originalText"] == [
        {"characters": "Lungs", "reference": [{"value": "#p1", "characters": "Pneumonia"}]}
    ]


def test_translations_and_null_flavors_are_kept() -> None:
    value = read_cda(ODD).records["Condition"][0]["entry"]["value"][0]
    assert (value["nullFlavor"], value["xsi_type"]) == ("OTH", "CD")
    assert [one["code"] for one in value["translation"]] == ["HIPFX", "S72.009A"]


def test_what_is_not_understood_is_a_finding_with_its_bytes() -> None:
    document = read_cda(ODD)
    assert codes(document) == sorted(
        ["cda.entry", "cda.reference", "cda.repeated", "cda.section", "cda.shared_id", "cda.shared_id"]
    )
    bodies = {finding.code: finding.body or b"" for finding in document.findings}
    assert b"LOCAL" in bodies["cda.entry"]
    assert b"a cough for a week" in bodies["cda.section"]
    [plan] = read_cda(CCD).findings
    assert plan.code == "cda.section" and b"73761001" in (plan.body or b"")


def test_a_body_that_is_no_xml_is_a_finding_and_the_patient_is_read() -> None:
    start, end = CCD.index(b"<component>"), CCD.rindex(b"</component>") + len(b"</component>")
    unstructured = b"<component><nonXMLBody><text mediaType='application/pdf'>JVBERi0=</text></nonXMLBody></component>"
    document = read_cda(CCD[:start] + unstructured + CCD[end:])
    assert list(document.records) == ["Patient", "DocumentReference"]
    assert codes(document) == ["cda.body"]
    assert b"JVBERi0=" in (document.findings[0].body or b"")


def test_no_message_holds_a_value() -> None:
    for finding in read_cda(ODD.replace(b"#nowhere", f"#{SECRET}".encode())).findings:
        assert SECRET not in finding.message + finding.remedy + finding.source


def test_ids_are_the_same_however_often_a_document_is_read_and_whatever_the_narrative_calls_its_places() -> None:
    renamed = ODD.replace(b'"#x1"', b'"#y7"').replace(b'ID="x1"', b'ID="y7"')
    assert renamed != ODD
    apart = {kind: records for kind, records in ids(read_cda(renamed)).items() if kind != "DocumentReference"}
    again = {kind: records for kind, records in ids(read_cda(ODD)).items() if kind != "DocumentReference"}
    assert apart == again


def test_a_statement_without_an_id_is_told_from_one_of_another_time_or_patient() -> None:
    hemoglobins = [
        record["id"] for record in read_cda(ODD).records["Observation"] if "718-7" in write_document(record).decode()
    ]
    assert len(set(hemoglobins)) == 2
    other = read_cda(ODD.replace(b"Ann Example", b"Bob Example"))
    assert not {record["id"] for record in other.records["Observation"]} & set(hemoglobins)


def test_statements_that_share_an_id_and_differ_are_all_kept() -> None:
    first, second = read_cda(ODD).records["Condition"]
    assert first["entry"]["id"] == second["entry"]["id"]
    assert first["id"] != second["id"]
    assert all(re.fullmatch("[0-9a-f]{64}", record["id"]) for record in (first, second))


def test_a_social_security_number_names_no_patient() -> None:
    for body in (CCD, ODD):
        [patient] = read_cda(body).records["Patient"]
        assert "999-00-1234" not in patient["id"]


@pytest.mark.parametrize("body", [CCD, ODD])
def test_every_id_can_be_a_fhir_id_and_is_there_once(body: bytes) -> None:
    for found in ids(read_cda(body)).values():
        assert all(re.fullmatch("[A-Za-z0-9.-]{1,64}", id) for id in found)
        assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "cda.document_type"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "cda.document_type"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "cda.document_type"),
        (b"<a>&undefined;</a>", "cda.malformed_xml"),
        (b"<a>" * 101, "cda.too_deep"),
        (b"<a><b></a>", "cda.malformed_xml"),
        (b"", "cda.malformed_xml"),
        (b'{"resourceType": "Patient"}', "cda.malformed_xml"),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', "cda.malformed_xml"),
        (b"<a>\xff</a>", "cda.malformed_xml"),
        (CCD[:5000], "cda.malformed_xml"),
        (b"<ClinicalDocument/>", "cda.no_document"),
        (b"<ClinicalDocument xmlns='urn:hl7-org:v3'/>", "cda.patient"),
        (b" " * (MOST_BYTES + 1), "cda.too_large"),
    ],
)
def test_what_is_no_document_or_an_attack_is_refused(body: bytes, code: str) -> None:
    assert refusal(body).code == code


def test_an_attack_in_a_real_document_is_refused_before_any_of_it_is_read() -> None:
    doctype = f'<!DOCTYPE c [<!ENTITY a "{SECRET}"><!ENTITY b "&a;&a;">]>'.encode()
    refused = refusal(CCD.replace(b"<ClinicalDocument", doctype + b"<ClinicalDocument", 1).replace(b"Ann", b"&b;"))
    assert refused.code == "cda.document_type"
    assert SECRET not in str(refused)
    assert refused.__cause__ is None


def test_a_document_of_two_patients_is_refused() -> None:
    target = CCD[CCD.index(b"<recordTarget>") : CCD.index(b"</recordTarget>") + len(b"</recordTarget>")]
    assert refusal(CCD.replace(target, target * 2)).code == "cda.patient"


def test_documents_in_other_encodings_are_read() -> None:
    text = ODD.decode().replace("Ann Example", "Änn Éxample")
    for encoding in ("utf-16", "iso-8859-1"):
        body = text.replace("UTF-8", encoding).encode(encoding)
        assert "Änn Éxample" in str(read_cda(body).records["Patient"])
