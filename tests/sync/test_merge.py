"""The three-way merge, case by case: who may change what, what moves as one, and which item of a list is which."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

import pytest

from holovitals_pipelines.fhir.exact import Number, read_document
from holovitals_pipelines.model.writing import READ_ONLY, Document, UnitWrite, WriteCapability
from holovitals_pipelines.sync.merge import MISSING, Merged, merge
from holovitals_pipelines.sync.walk import DEEPEST
from tests.sync.merge_cases import canonical

WRITABLE = WriteCapability(create=True, update=True)
VALUE = "value[x]+dataAbsentReason+interpretation+referenceRange"
MEDICATION = "medication[x]+dosageInstruction+dispenseRequest"
STATUS = "clinicalStatus+verificationStatus"
PHONE = {"system": "phone", "value": "555"}
EMAIL = {"system": "email", "value": "ann@example.org"}


def patient(**elements: Any) -> Document:
    return {"resourceType": "Patient", "id": "1", **elements}


def three_way(
    base: Document | None,
    local: Document,
    remote: Document,
    *,
    base_remote: Document | None = None,
    capability: WriteCapability = WRITABLE,
    choices: dict[str, Any] | None = None,
) -> Merged:
    return merge(
        local["resourceType"],
        base_local=base,
        base_remote=base if base_remote is None else base_remote,
        local=local,
        remote=remote,
        capability=capability,
        choices=choices,
    )


def kinds(merged: Merged) -> dict[str, str]:
    return {unit.name: str(unit.kind) for unit in merged.units}


def test_each_side_changed_something_else_and_both_get_both() -> None:
    base = patient(gender="female", birthDate="1950-01-01")
    merged = three_way(base, {**base, "gender": "other"}, {**base, "birthDate": "1951-01-01"})
    assert merged.local == merged.remote == patient(gender="other", birthDate="1951-01-01")
    assert merged.shadow_local == patient(gender="female", birthDate="1951-01-01"), "the push is not confirmed yet"
    assert kinds(merged) == {"gender": "pushed", "birthDate": "pulled"}


def test_a_contradiction_stays_at_its_base_and_is_never_picked() -> None:
    base = patient(gender="female")
    merged = three_way(base, {**base, "gender": "other"}, {**base, "gender": "male"})
    assert merged.local == merged.remote == merged.shadow_local == base
    (conflict,) = merged.conflicts
    assert (conflict.base_local, conflict.base_remote, conflict.local, conflict.remote) == (
        "female",
        "female",
        "other",
        "male",
    )
    assert conflict.element == conflict.name == "gender"


def test_an_edit_against_a_removal_is_a_contradiction() -> None:
    base = patient(maritalStatus={"text": "single"})
    merged = three_way(base, patient(), patient(maritalStatus={"text": "married"}))
    assert [(unit.local, unit.remote) for unit in merged.conflicts] == [(MISSING, {"text": "married"})]


def test_agreed_absent_is_a_base_too() -> None:
    merged = three_way(None, patient(gender="female", active=True), patient(gender="female", birthDate="1950"))
    assert merged.local == merged.remote == patient(gender="female", active=True, birthDate="1950")
    assert kinds(merged) == {"gender": "agreed", "active": "pushed", "birthDate": "pulled"}


@pytest.mark.parametrize(
    ("before", "after"), [("1.0", "1.00"), ("1", "1.0"), ("1e2", "100"), ("-0", "0"), ("true", "1"), ('"1"', "1")]
)
def test_a4_another_spelling_of_a_number_is_a_change(before: str, after: str) -> None:
    base, local = (
        read_document(b'{"resourceType":"Observation","valueQuantity":{"value":%s}}' % text.encode())
        for text in (before, after)
    )
    merged = three_way(base, local, deepcopy(base))
    assert kinds(merged) == {VALUE: "pushed"}
    assert merged.remote == local and str(merged.remote) == str(local)


def test_a3_bookkeeping_member_order_and_empty_members_are_no_change() -> None:
    base = patient(
        gender="female", meta={"versionId": "1", "lastUpdated": "2020", "source": "a", "tag": [{"code": "t"}]}
    )
    remote = {
        "meta": {"tag": [{"code": "t"}], "versionId": "2", "lastUpdated": "2021"},
        "text": {"status": "generated", "div": "<div>new</div>"},
        **{"telecom": [], "contact": None, "maritalStatus": {"text": None}, "gender": "female"},
        **{"id": "remote-7", "resourceType": "Patient"},
    }
    merged = three_way(base, {**base, "gender": "other"}, remote)
    assert kinds(merged) == {"gender": "pushed"}
    assert merged.local == {**base, "gender": "other"}
    assert canonical(merged.remote) == canonical({**remote, "gender": "other"})
    for name in ("id", "text", "meta"):
        assert merged.remote[name] == remote[name], "each side keeps its id, its narrative and its bookkeeping"


def test_meta_content_is_merged_beside_each_sides_bookkeeping() -> None:
    base = patient(meta={"versionId": "1", "security": [{"system": "c", "code": "N"}], "profile": ["http://a"]})
    local = patient(meta={"versionId": "1", "security": [{"system": "c", "code": "R"}], "profile": ["http://a"]})
    remote = patient(meta={"versionId": "2", "security": base["meta"]["security"], "profile": ["http://b", "http://a"]})
    merged = three_way(base, local, remote)
    assert merged.remote["meta"] == {**local["meta"], "versionId": "2", "profile": ["http://b", "http://a"]}
    assert merged.local["meta"] == {**merged.remote["meta"], "versionId": "1"}
    changed = patient(meta={"security": [{"system": "c", "code": "V"}]})
    assert [unit.name for unit in three_way(base, local, changed).conflicts] == ["meta.security"]


# lists (§4.2)


def test_a11_union_removal_and_reordering_of_one_list_are_no_contradiction() -> None:
    base = patient(telecom=[PHONE, EMAIL])
    work = {"system": "phone", "value": "777"}
    local = patient(telecom=[PHONE, {**EMAIL, "rank": 1}, {"system": "url", "value": "x"}])
    remote = patient(telecom=[work, EMAIL])
    merged = three_way(base, local, remote)
    assert merged.local == merged.remote
    assert merged.local["telecom"] == [work, {**EMAIL, "rank": 1}, {"system": "url", "value": "x"}]
    assert kinds(merged) == {
        "telecom[email|ann@example.org]": "pushed",
        "telecom[phone|555]": "pulled",
        "telecom[phone|777]": "pulled",
        "telecom[url|x]": "pushed",
    }
    reordered = three_way(base, patient(telecom=[EMAIL, PHONE]), base)
    assert reordered.remote["telecom"] == [EMAIL, PHONE] and kinds(reordered) == {"telecom": "pushed"}
    emptied = three_way(patient(telecom=[PHONE]), patient(), patient(telecom=[PHONE, EMAIL]))
    assert emptied.local == emptied.remote == patient(telecom=[EMAIL])


def test_a11_no_compatible_edit_of_a_list_raises_a_conflict() -> None:
    """A census: one side adds an item, the other adds another, removes one or re-orders them."""
    chance = random.Random(1)
    everything = [{"system": system, "value": value} for system in "xyz" for value in "123"]
    for number in range(2_000):
        base = patient(identifier=chance.sample(everything, 4))
        local, remote = deepcopy(base), deepcopy(base)
        local["identifier"].insert(chance.randrange(5), {"system": "new", "value": "L"})
        expected = {("new", "L"), *((item["system"], item["value"]) for item in base["identifier"])}
        if number % 3 == 0:
            gone = remote["identifier"].pop(chance.randrange(4))
            expected.discard((gone["system"], gone["value"]))
        elif number % 3 == 1:
            chance.shuffle(remote["identifier"])
        else:
            remote["identifier"].insert(chance.randrange(5), {"system": "new", "value": "R"})
            expected.add(("new", "R"))
        merged = three_way(base, local, remote)
        assert merged.conflicts == ()
        assert merged.local == merged.remote
        assert {(item["system"], item["value"]) for item in merged.local["identifier"]} == expected


def test_both_edits_of_one_item_contradict_each_other_in_that_part_alone() -> None:
    base = patient(telecom=[{**PHONE, "use": "home"}, EMAIL])
    local = patient(telecom=[{**PHONE, "use": "work", "rank": 1}, EMAIL])
    remote = patient(telecom=[EMAIL, {**PHONE, "use": "old"}])
    merged = three_way(base, local, remote)
    assert [(unit.name, unit.element) for unit in merged.conflicts] == [("telecom[phone|555].use", "telecom")]
    chosen = three_way(base, local, remote, choices={"telecom[phone|555].use": "work"})
    assert chosen.local == chosen.remote == patient(telecom=[{**PHONE, "use": "work", "rank": 1}, EMAIL])


def test_items_without_an_identity_of_their_own_make_the_list_one_unit() -> None:
    for telecom in ([PHONE, PHONE], [{"use": "home"}]):
        base = patient(telecom=telecom)
        merged = three_way(base, patient(telecom=[*telecom, EMAIL]), patient(telecom=[EMAIL, *telecom]))
        assert [unit.name for unit in merged.conflicts] == ["telecom"]


@pytest.mark.parametrize("element", ["given", "prefix", "suffix"])
def test_parts_of_a_name_are_never_put_together_from_two_sides(element: str) -> None:
    before, here, there = (
        {"resourceType": "Practitioner", "name": [{"family": "Doe", element: parts}]}
        for parts in (["A"], ["A", "B"], ["C", "A"])
    )
    merged = three_way(before, here, there)
    assert len(merged.conflicts) == 1
    assert merged.local == before


def test_replacing_the_same_item_differently_is_a_contradiction_not_a_union() -> None:
    def named(family: str) -> Document:
        return patient(name=[{"use": "official", "family": family}, {"use": "nickname", "given": ["Annie"]}])

    merged = three_way(named("Doe"), named("Smith"), named("Jones"))
    assert [unit.name for unit in merged.conflicts] == ["name"]
    numbers = [patient(identifier=[{"system": "mrn", "value": value}]) for value in "123"]
    assert [unit.name for unit in three_way(*numbers).conflicts] == ["identifier"]


@pytest.mark.parametrize(
    ("element", "item", "name"),
    [
        ("identifier", {"system": "urn:x", "value": "1", "use": "?"}, "identifier[urn:x|1].use"),
        ("name", {"use": "official", "family": "Doe", "given": ["Ann"], "text": "?"}, "name[official|Doe|Ann].text"),
        ("address", {"use": "home", "postalCode": "1", "line": ["a b"], "period": "?"}, "address[home||1|a b].period"),
        ("category", {"coding": [{"system": "s", "code": "c"}], "id": "?"}, "category[s|c].id"),
        ("reasonCode", {"text": "Chest  Pain", "id": "?"}, "reasonCode[||chest pain]"),
        ("performer", {"reference": "P/1", "display": "?"}, "performer[P/1]"),
        ("extension", {"url": "http://x", "valueString": "?"}, "extension[http://x].value[x]"),
        ("note", {"time": "2020", "text": "t", "authorString": "?"}, "note[2020|t].author[x]"),
        ("dosageInstruction", {"sequence": 2, "text": "?"}, "dosageInstruction[2]"),
        ("component", {"code": {"text": "x"}, "valueString": "?"}, "component[||x].value[x]"),
        ("reaction", {"manifestation": [{"text": "rash"}], "severity": "?"}, "reaction[||rash].severity"),
        ("link", {"other": {"reference": "P/2"}, "type": "?"}, "link[P/2].type"),
        ("participant", {"individual": {"reference": "P/3"}, "period": "?"}, "participant[P/3].period"),
        ("contained", {"resourceType": "Device", "id": "d", "status": "?"}, "contained[Device|d].status"),
        ("item", {"linkId": "x", "text": "?"}, "item[%78].text"),
        ("insurance", {"sequence": 1, "focal": "?"}, "insurance[1].focal"),
        ("vendor.list", {"reference": "[P|4]", "x": "?"}, "vendor%2Elist[%5BP%7C4%5D].x"),
    ],
)
def test_list_items_go_by_what_names_them(element: str, item: Document, name: str) -> None:
    base, local, remote = (
        {"resourceType": "Basic", element: [{key: value if old == "?" else old for key, old in item.items()}]}
        for value in ("1", "2", "3")
    )
    assert [unit.name for unit in three_way(base, local, remote).conflicts] == [name]


def test_codings_join_while_the_concept_keeps_its_meaning_and_recoding_is_one_decision() -> None:
    def concept(*codes: str, **more: Any) -> Document:
        return patient(
            maritalStatus={"coding": [dict(zip(("system", "code"), c.split("|"), strict=True)) for c in codes], **more}
        )

    union = three_way(concept("a|1"), concept("a|1", "b|1"), concept("c|1", "a|1"))
    assert union.local == union.remote == concept("c|1", "a|1", "b|1")
    both = three_way(concept("a|1"), concept("a|1", "b|1"), concept("a|1", "b|1", "c|1"))
    assert both.local == both.remote == concept("a|1", "b|1", "c|1")
    for local, remote in (
        (concept("a|2"), concept("a|1", "b|1")),  # a translation of what it no longer says
        (concept("a|1", "b|1"), concept("a|1", "b|2")),
        (concept("a|1", text="one"), concept("a|1", "b|1")),
    ):
        assert [unit.name for unit in three_way(concept("a|1"), local, remote).conflicts] == ["maritalStatus"]


# what moves as one (§4.2)


def test_a12_dose_value_and_unit_are_never_split() -> None:
    def order(value: str, unit: str, text: str = "daily") -> Document:
        dose = {"doseQuantity": {"value": Number(value), "unit": unit}}
        dosage = {"sequence": 1, "text": text, "doseAndRate": [dose]}
        return {"resourceType": "MedicationRequest", "status": "active", "dosageInstruction": [dosage]}

    for local, remote in (
        (order("500", "mg"), order("5.0", "g")),
        (order("5.0", "g"), order("5.0", "mg", "twice a day")),
    ):
        merged = three_way(order("5.0", "mg"), local, {**remote, "priority": "urgent"})
        assert [unit.name for unit in merged.conflicts] == [MEDICATION]
        assert merged.local["dosageInstruction"] == order("5.0", "mg")["dosageInstruction"]
        assert merged.local["priority"] == "urgent"


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ({"value": Number("1.0"), "unit": "g"}, {"value": Number("2.0"), "unit": "mg"}),
        ({"value": 5, "currency": "EUR"}, {"value": 7, "currency": "USD"}),
        ({"start": "2020", "end": "2021"}, {"start": "2019"}),
        ({"low": {"value": 2}, "high": {"value": 3}}, {"low": {"value": 1}, "high": {"value": 4}}),
        ({"numerator": {"value": 2}, "denominator": {"value": 3}}, {"numerator": {"value": 1}}),
        ({"system": "s", "code": "a", "display": "A"}, {"system": "s", "code": "b"}),
        ({"reference": "P/1", "display": "A"}, {"reference": "P/2", "type": "Patient"}),
        ({"contentType": "text/plain", "data": "YQ=="}, {"contentType": "image/png", "url": "u"}),
    ],
)
def test_a_value_means_nothing_in_halves(here: Document, there: Document) -> None:
    base = {"resourceType": "Basic", "vendorValue": {name: f"old {name}" for name in {**here, **there}}}
    merged = three_way(base, {**base, "vendorValue": here}, {**base, "vendorValue": there})
    assert [unit.name for unit in merged.conflicts] == ["vendorValue"]


@pytest.mark.parametrize(
    ("resource_type", "here", "there", "name"),
    [
        ("Observation", {"valueString": "1"}, {"dataAbsentReason": {"text": "?"}}, VALUE),
        ("Observation", {"effectiveDateTime": "2020"}, {"effectivePeriod": {"start": "2020"}}, "effective[x]"),
        ("MedicationRequest", {"status": "stopped"}, {"statusReason": {"text": "?"}}, "status+statusReason"),
        ("MedicationRequest", {"medicationReference": {"reference": "M/1"}}, {"dispenseRequest": {"x": 1}}, MEDICATION),
        ("AllergyIntolerance", {"clinicalStatus": {"text": "a"}}, {"verificationStatus": {"text": "b"}}, STATUS),
        ("Condition", {"clinicalStatus": {"text": "a"}}, {"abatementString": "b"}, f"{STATUS}+abatement[x]"),
        ("Patient", {"deceasedBoolean": False}, {"deceasedDateTime": "2020"}, "deceased[x]"),
        ("Patient", {"multipleBirthBoolean": True}, {"multipleBirthInteger": 2}, "multipleBirth[x]"),
        ("Patient", {"birthDate": "1950"}, {"_birthDate": {"extension": [{"url": "u"}]}}, "birthDate"),
        ("Condition", {"onsetAge": {"value": 4}}, {"onsetString": "early"}, "onset[x]"),
        ("Immunization", {"occurrenceDateTime": "2020"}, {"occurrenceString": "once"}, "occurrence[x]"),
        ("Procedure", {"performedDateTime": "2020"}, {"performedPeriod": {"start": "2020"}}, "performed[x]"),
    ],
)
def test_what_says_one_thing_together_comes_whole_from_one_side(
    resource_type: str, here: Document, there: Document, name: str
) -> None:
    base = {"resourceType": resource_type, "language": "en"}
    merged = three_way(base, {**base, **here}, {**base, **there})
    assert merged.local == base
    (conflict,) = merged.conflicts
    assert (conflict.name, conflict.element) == (name, name.partition("+")[0])
    assert (conflict.base_local, conflict.local, conflict.remote) == ({}, here, there)
    chosen = three_way(base, {**base, **here}, {**base, **there}, choices={name: there})
    assert chosen.local == chosen.remote == {**base, **there}
    removed = three_way(base, {**base, **here}, {**base, **there}, choices={name: MISSING})
    assert removed.local == removed.remote == base


def test_a_place_is_not_put_together_from_two_addresses() -> None:
    def living(city: str, state: str, **more: str) -> Document:
        home = {"use": "home", "line": ["1 High St"], "postalCode": "1"}
        return patient(address=[{**home, "city": city, "state": state, **more}])

    merged = three_way(living("Bath", "X"), living("Wells", "X"), living("Bath", "Y", country="Z"))
    assert [unit.name for unit in merged.conflicts] == ["address[home||1|1 High St].city+district+state+country+text"]


def test_groups_hold_inside_components_and_contained_resources_too() -> None:
    code = {"code": {"coding": [{"system": "loinc", "code": "8480-6"}]}}
    here, there = {"valueString": "1"}, {"interpretation": [{"text": "high"}]}

    def observation(more: Document) -> Document:
        return {"resourceType": "Observation", "id": "o", "component": [{**code, **more}]}

    merged = three_way(observation({}), observation(here), observation(there))
    assert [unit.name for unit in merged.conflicts] == [f"component[loinc|8480-6].{VALUE}"]
    base, local, remote = (
        {"resourceType": "DiagnosticReport", "contained": [observation(more)]} for more in ({}, here, there)
    )
    inside = f"contained[Observation|o].component[loinc|8480-6].{VALUE}"
    assert [unit.name for unit in three_way(base, local, remote).conflicts] == [inside]


# what may be written (§2.7)


def test_a45_a_read_only_vendor_is_sent_nothing_and_differences_stand() -> None:
    base = patient(gender="female", telecom=[PHONE])
    local = patient(gender="other", telecom=[EMAIL, {**PHONE, "use": "work"}])
    merged = three_way(base, local, base, capability=READ_ONLY)
    assert merged.remote == base and merged.local == merged.shadow_local == local
    assert kinds(merged) == {
        "gender": "standing",
        "telecom[email|ann@example.org]": "standing",
        "telecom[phone|555].use": "standing",
    }
    later = three_way(local, local, {**base, "gender": "male"}, base_remote=base, capability=READ_ONLY)
    assert [unit.name for unit in later.conflicts] == ["gender"], "the vendor never saw ours"
    kept = three_way(
        local, local, {**base, "gender": "male"}, base_remote=base, capability=READ_ONLY, choices={"gender": "other"}
    )
    assert kept.local == kept.shadow_local == local and kept.remote["gender"] == "male"
    assert kinds(kept)["gender"] == "standing"


def test_an_element_that_cannot_be_changed_stands_while_the_others_are_pushed() -> None:
    fixed = WriteCapability(update=True, elements={"birthDate": UnitWrite.IMMUTABLE, "value[x]": UnitWrite.READ_ONLY})
    base = patient(birthDate="1950", gender="female")
    merged = three_way(base, patient(birthDate="1951", gender="other"), base, capability=fixed)
    assert merged.remote == patient(birthDate="1950", gender="other")
    assert merged.shadow_local == patient(birthDate="1951", gender="female")
    observed = {"resourceType": "Observation", "valueString": "1", "interpretation": [{"text": "low"}]}
    changed = {**observed, "valueString": "2"}
    assert three_way(observed, changed, observed, capability=fixed).remote == observed
    reread = {**observed, "interpretation": [{"text": "high"}]}
    assert three_way(observed, reread, observed, capability=fixed).remote == reread


def test_an_append_only_list_takes_new_items_and_nothing_else() -> None:
    appending = WriteCapability(
        update=True, elements={"telecom": UnitWrite.APPEND_ONLY, "contact": UnitWrite.APPEND_ONLY}
    )
    url = {"system": "url", "value": "x"}
    base = patient(telecom=[PHONE, EMAIL], contact=[{"gender": "male"}])
    local = patient(telecom=[url, {**EMAIL, "use": "work"}], contact=[{"gender": "male"}, {"gender": "female"}])
    merged = three_way(base, local, base, capability=appending)
    assert merged.local == local
    assert merged.remote == patient(telecom=[PHONE, EMAIL, url], contact=local["contact"])
    assert merged.shadow_local == patient(telecom=[local["telecom"][1]], contact=base["contact"])
    assert kinds(merged) == {
        "telecom[url|x]": "pushed",
        "telecom[email|ann@example.org].use": "standing",
        "telecom[phone|555]": "standing",
        "contact": "pushed",
    }
    replaced = patient(telecom=base["telecom"], contact=[{"gender": "female"}])
    assert kinds(three_way(base, replaced, base, capability=appending)) == {"contact": "standing"}


def test_a46_what_only_the_vendor_knows_survives_our_update() -> None:
    vendor_only = {"vendorField": {"a": [1, None]}, "extension": [{"url": "urn:vendor", "valueString": "x"}]}
    base = patient(name=[{"family": "Doe"}])
    base_remote = {**patient(name=[{"family": "Doe", "vendorRank": 1}]), "id": "r", **vendor_only}
    local = patient(name=[{"family": "Doe", "text": "Ann Doe"}], extension=[{"url": "urn:ours", "valueCode": "y"}])
    merged = three_way(base, local, deepcopy(base_remote), base_remote=base_remote)
    assert merged.local == local
    assert merged.remote["vendorField"] == vendor_only["vendorField"] and merged.remote["id"] == "r"
    assert merged.remote["name"] == [{"family": "Doe", "vendorRank": 1, "text": "Ann Doe"}]
    assert {item["url"] for item in merged.remote["extension"]} == {"urn:vendor", "urn:ours"}


# vendors that store something else (§2.1)


def folded(document: Document) -> Document:
    """Lower-cases the values of contact points, and has no gender."""
    kept = {name: value for name, value in document.items() if name != "gender"}
    if "telecom" in kept:
        kept["telecom"] = [{name: value.lower() for name, value in item.items()} for item in kept["telecom"]]
    return kept


FOLDING = WriteCapability(update=True, project=folded)


def test_a_vendors_own_form_of_our_value_is_neither_a_change_nor_pushed_again() -> None:
    local = patient(gender="female", telecom=[{"system": "email", "value": "Ann@X"}])
    stored = folded(local)
    quiet = three_way(local, local, stored, base_remote=stored, capability=FOLDING)
    assert quiet.units == () and quiet.local == local and quiet.remote == stored
    unseen = three_way(local, {**local, "gender": "other"}, stored, base_remote=stored, capability=FOLDING)
    assert kinds(unseen) == {"gender": "agreed"} and unseen.shadow_local == unseen.local and unseen.remote == stored
    both = three_way(
        local,
        patient(gender="female", telecom=[{"system": "email", "value": "Ann@X", "use": "HOME"}]),
        patient(telecom=[{"system": "email", "value": "ann@x"}, PHONE]),
        base_remote=stored,
        capability=FOLDING,
    )
    assert both.local == patient(gender="female", telecom=[{"system": "email", "value": "Ann@X", "use": "HOME"}, PHONE])
    assert kinds(both) == {"telecom[email|ann@x].use": "pushed", "telecom[phone|555]": "pulled"}


def test_a_vendor_that_sorts_keeps_its_order_and_local_keeps_ours() -> None:
    def by_value(document: Document) -> Document:
        return {**document, "identifier": sorted(document["identifier"], key=lambda item: str(item["value"]))}

    one, two, three = ({"system": "s", "value": value} for value in "123")
    base, base_remote = patient(identifier=[three, one]), patient(identifier=[one, three])
    sorting = WriteCapability(update=True, project=by_value)
    local, remote = patient(identifier=[three, {**one, "use": "old"}]), patient(identifier=[one, two, three])
    merged = three_way(base, local, remote, base_remote=base_remote, capability=sorting)
    assert merged.local["identifier"] == [three, {**one, "use": "old"}, two]
    assert merged.remote["identifier"] == [{**one, "use": "old"}, two, three]
    assert kinds(merged) == {"identifier[s|1]": "pushed", "identifier[s|2]": "pulled"}


def test_a_value_neither_side_had_is_not_pushed_where_the_vendor_has_its_form_already() -> None:
    base = patient(telecom=[{"system": "email", "value": "a", "use": "x"}])
    local, remote = (patient(telecom=[{"system": "email", "value": "a", "use": use}]) for use in ("y", "z"))
    merged = three_way(base, local, remote, capability=FOLDING, choices={"telecom[email|a].use": "Z"})
    assert merged.local == merged.shadow_local == patient(telecom=[{"system": "email", "value": "a", "use": "Z"}])


# robustness


@pytest.mark.parametrize(
    "odd",
    [
        [[1, [None, {}]], {"x": {"y": []}}],
        {"coding": "text", "text": 7},
        {"coding": [{"code": {"deep": 1}}, None]},
        [{"system": {"deep": [1]}, "value": ["x"]}],
        [{"system": "a", "value": 1}, {"system": "a", "value": True}],
        [{"given": "not a list", "line": {"x": 1}, "url": 5, "reference": [1]}],
        "text",
        0,
        False,
    ],
)
@pytest.mark.parametrize(
    "element", ["telecom", "name", "extension", "meta", "code", "value[x]", "_x", "text", "contained"]
)
def test_elements_of_any_shape_are_merged_without_complaint(element: str, odd: Any) -> None:
    sides = [
        patient(),
        patient(**{element: odd}),
        patient(**{element: [{"system": "a", "value": "b"}]}),
        patient(**{element: {}}),
    ]
    for base in [None, *sides]:
        for local in sides:
            for remote in sides:
                merged = three_way(base, deepcopy(local), deepcopy(remote))
                assert bool(merged.units) or canonical(local) == canonical(remote)
                assert all(unit.element for unit in merged.units)


def test_documents_as_deep_as_json_may_be_are_merged() -> None:
    def nested(value: str) -> Document:
        inner: Document = {"url": "u", "valueString": value, "valueCode": None}
        for _ in range(120):
            inner = {"url": "u", "extension": [inner]}
        return patient(extension=[inner])

    merged = three_way(nested("a"), nested("b"), nested("c"))
    (conflict,) = merged.conflicts
    assert conflict.element == "extension" and conflict.name.count("extension") == DEEPEST + 1
    assert canonical(three_way(nested("a"), nested("b"), nested("a")).remote) == canonical(nested("b"))
