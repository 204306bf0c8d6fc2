"""CDA R2 documents (C-CDA, US Realm) as a source of records: one JSON record for each clinical statement.

Law: what a document says is in a record or in a finding with its bytes; nothing is dropped (docs/cda.md).
"""

from __future__ import annotations

from holovitals_pipelines.transform.cda.document import CdaDocument, read_cda

__all__ = ["CdaDocument", "read_cda"]
