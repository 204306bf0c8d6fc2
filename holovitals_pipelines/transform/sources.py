"""What is sent, in whatever it is written, as documents that rules can read.

Law: one place knows how each source format is read; what is no such thing is refused, never guessed at.
"""

from __future__ import annotations

from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.model.vocabulary import SourceFormat
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.cda import read_cda
from holovitals_pipelines.transform.hl7v2_document import read_message, split_messages
from holovitals_pipelines.transform.hl7v2_records import records_of
from holovitals_pipelines.transform.xml_document import read_xml_document


def documents_of(body: bytes, source_format: SourceFormat, resource_type: str) -> list[Document]:
    """The records in a body for rules of `resource_type`: what messages of HL7 v2 speak of that is of the type, every
    statement of it in a C-CDA document, otherwise the one it is. Raises MalformedResource.
    """
    match source_format:
        case SourceFormat.HL7_V2:
            records = (records_of(read_message(message)) for message in split_messages(body))
            return [record for found in records for record in found.get(resource_type, ())]
        case SourceFormat.CUSTOM_XML:
            return [read_xml_document(body)]
        case SourceFormat.CDA:
            return list(read_cda(body).records.get(resource_type, ()))
        case _:
            return [read_document(body)]
