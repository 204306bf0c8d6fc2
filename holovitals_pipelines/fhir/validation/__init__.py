"""Does a resource follow FHIR R4? A fast verdict for every resource, and a slow one for outbound and refused ones.

Law: a verdict names place, rule and remedy, never a value; and it never changes the bytes it judges.
"""

from holovitals_pipelines.fhir.validation.explaining import explain
from holovitals_pipelines.fhir.validation.issues import RULES, Issue, is_refused
from holovitals_pipelines.fhir.validation.structure import check_structure

__all__ = ["RULES", "Issue", "check_structure", "explain", "is_refused"]
