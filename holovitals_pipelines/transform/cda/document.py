"""A CDA document taken apart: its patient, and a record for each clinical statement with what it stands in.

Law: the records and the findings together hold every entry of the document; findings have bytes and no values.
"""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from xml.etree.ElementTree import Element

from holovitals_pipelines.fhir.exact import write_document
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.cda.elements import V3, as_document, narrative, plain_text, unresolved
from holovitals_pipelines.transform.cda.identity import hash_of, id_of
from holovitals_pipelines.transform.cda.statements import Linked, Statement, kind_of, statements, without_statements
from holovitals_pipelines.transform.cda.xml_tree import read_xml, write_xml

_SOURCE: Final = "cda"
_LASTING: Final = ("name", "birthTime", "administrativeGenderCode")
_BODY: Final = f"{V3}component"


@dataclass(frozen=True, slots=True)
class CdaDocument:
    id: str
    header: Document
    """All of the document but its body, as JSON."""
    records: Mapping[str, list[Document]]
    """By resource type. A record's `id` is the id of the resource that is made of it."""
    findings: tuple[Problem, ...]
    """What became no record, with its bytes, and what is remarkable of records."""


@dataclass(frozen=True, slots=True)
class _Context:
    document: Document
    patient: Document
    texts: Mapping[str, str]
    section: Document = field(default_factory=dict)
    containers: dict[int, Document] = field(default_factory=dict)
    """What acts and organizers of the section say, by identity: each is read once, however many statements it has."""


def read_cda(body: bytes) -> CdaDocument:
    """The records of one document. Raises MalformedResource for what is no XML, no CDA or has no one patient."""
    root = read_xml(body)
    if root.tag != f"{V3}ClinicalDocument":
        raise MalformedResource(
            "cda.no_document", "the XML is no CDA document", "Its root has to be ClinicalDocument of urn:hl7-org:v3."
        )
    texts = narrative(root)
    header = as_document(_without(root, _BODY), texts)
    patient = _patient(header)
    about: Document = {"id": id_of(header.get("id", ())) or hash_of("document", header)}
    about |= {name: header[name] for name in ("code", "effectiveTime") if name in header}
    context = _Context(about, {"id": patient["id"]}, texts)
    collected = _Collected()
    collected.add("Patient", {"id": patient["id"], "document": about, "entry": patient["entry"]})
    collected.add("DocumentReference", _as_reference(body, header, context))
    for holder in root.iterfind(_BODY):
        for part in holder:
            _read_body(part, context, collected)
    return CdaDocument(about["id"], header, collected.records(), tuple(collected.findings))


def _as_reference(body: bytes, header: Document, context: _Context) -> Document:
    """The document itself: its narrative, and all that no other record holds."""
    return {
        "id": context.document["id"],
        "patient": context.patient,
        "entry": {name: value for name, value in header.items() if name != "recordTarget"},
        "content": {"contentType": "text/xml", "data": b64encode(body).decode("ascii")},
    }


class _Collected:
    """Records by type and id, as they come; two that share an id and differ get ids of what they say."""

    def __init__(self) -> None:
        self._records: dict[str, list[Document]] = defaultdict(list)
        self.findings: list[Problem] = []

    def add(self, resource_type: str, record: Document) -> None:
        self._records[resource_type].append(record)

    def records(self) -> dict[str, list[Document]]:
        return {resource_type: self._apart(resource_type, records) for resource_type, records in self._records.items()}

    def _apart(self, resource_type: str, records: list[Document]) -> list[Document]:
        named: dict[str, list[Document]] = defaultdict(list)
        for record in records:
            named[record["id"]].append(record)
        shared = {id for id, same in named.items() if any(one["entry"] != same[0]["entry"] for one in same[1:])}
        apart: dict[str, Document] = {}
        for record in records:
            if record["id"] in shared:
                record = {**record, "id": hash_of(record["id"], record["entry"])}
                self.findings.append(_finding("cda.shared_id", record, resource_type))
            if record["id"] in apart:
                self.findings.append(_finding("cda.repeated", record, resource_type))
            else:
                apart[record["id"]] = record
        return list(apart.values())


_SAID: Final = {
    "cda.shared_id": ("several statements have this id", "Their ids are made of what they say. Tell the sender."),
    "cda.repeated": ("the statement stands in the document again", "Nothing: the first is taken, this one is kept."),
    "cda.reference": ("a reference into the narrative leads nowhere", "Nothing: the reference itself is kept."),
    "cda.section": ("no entry of this section is understood", "Read it in the document; its bytes are kept."),
    "cda.entry": ("the entry is not understood", "Read it in the document; its bytes are kept."),
    "cda.body": ("the document has no structured body", "Read it in the document; its bytes are kept."),
}


def _finding(code: str, record: Document, resource_type: str) -> Problem:
    return _problem(code, write_document(record), resource_type=resource_type, remote_id=record["id"])


def _problem(code: str, body: bytes, **more: Any) -> Problem:
    message, remedy = _SAID[code]
    return Problem(code, message, remedy, _SOURCE, severity=ErrorSeverity.WARNING, body=body, **more)


def _patient(header: Document) -> Document:
    targets = header.get("recordTarget", [])
    roles = [role for target in targets for role in target.get("patientRole", ())]
    if len(roles) != 1:
        raise MalformedResource(
            "cda.patient",
            f"the document is of {len(roles)} patients",
            "Only documents of exactly one patient are read. Ask the sender for one document for each.",
        )
    return {"id": id_of(roles[0].get("id", ())) or _hash_of_patient(roles[0]), "entry": targets[0]}


def _hash_of_patient(role: Document) -> str:
    """Of what seldom changes; of everything where that is not said."""
    people = role.get("patient", [])
    said = [{name: person[name] for name in _LASTING if name in person} for person in people]
    return hash_of("Patient", said if any(said) else role)


def _read_body(body: Element, context: _Context, collected: _Collected) -> None:
    if body.tag != f"{V3}structuredBody":
        collected.findings.append(_problem("cda.body", write_xml(body)))
        return
    for section in body.iterfind(f"{V3}component/{V3}section"):
        _read_section(section, context, collected)


def _read_section(section: Element, context: _Context, collected: _Collected) -> None:
    known = 0
    unknown: list[Element] = []
    context = replace(context, section=_about_section(section, context.texts), containers={})
    for entry in section.iterfind(f"{V3}entry"):
        found = list(statements(entry))
        known += len(found)
        if not found:
            unknown.append(entry)
        for statement in found:
            _add(statement, context, collected)
    if known:
        collected.findings += [_problem("cda.entry", write_xml(entry)) for entry in unknown]
    elif unknown or _says_something(section):
        collected.findings.append(_problem("cda.section", write_xml(_without(section, f"{V3}component"))))
    for inner in section.iterfind(f"{V3}component/{V3}section"):
        _read_section(inner, context, collected)


def _says_something(section: Element) -> bool:
    text = section.find(f"{V3}text")
    return text is not None and bool(plain_text(text))


def _about_section(section: Element, texts: Mapping[str, str]) -> Document:
    return as_document(_without(section, f"{V3}entry", f"{V3}component", f"{V3}text"), texts)


def _add(statement: Statement, context: _Context, collected: _Collected) -> None:
    kind, texts = statement.resource_type, context.texts
    entry = as_document(statement.linked.element, texts)
    around = _around(statement.containers, context)
    own_id = id_of(entry.get("id", ())) or hash_of(kind, context.patient["id"], entry, around)
    record: Document = {
        "id": own_id,
        "document": context.document,
        "patient": context.patient,
        "section": context.section,
        "entry": entry,
        **_link(statement.linked, texts),
        **around,
    }
    if statement.within is not None:
        outer = id_of(as_document(one, texts) for one in statement.within.iterfind(f"{V3}id"))
        record["within"] = {"type": kind_of(statement.within)} | ({} if outer is None else {"id": outer})
    collected.add(kind, record)
    if unresolved(entry):
        collected.findings.append(_finding("cda.reference", record, kind))


def _around(containers: tuple[Linked, ...], context: _Context) -> Document:
    """The nearest act or organizer as `container`, with the one around it as its own, and so on."""
    around: Document = {}
    for container in reversed(containers):
        said = context.containers.get(id(container.element))
        if said is None:
            said = as_document(without_statements(container.element), context.texts) | _link(container, context.texts)
            context.containers[id(container.element)] = said
        around = {"container": {**said, **around}}
    return around


def _link(linked: Linked, texts: Mapping[str, str]) -> Document:
    """What is said of how something stands where it stands, as `link`."""
    copy = Element(linked.link.tag, linked.link.attrib)
    copy.extend(child for child in linked.link if child is not linked.element)
    said = as_document(copy, texts)
    return {"link": said} if said else {}


def _without(element: Element, *tags: str) -> Element:
    """A copy without the child elements of these tags; the children themselves are shared."""
    copy = Element(element.tag, element.attrib)
    copy.text = element.text
    copy.extend(child for child in element if child.tag not in tags)
    return copy
