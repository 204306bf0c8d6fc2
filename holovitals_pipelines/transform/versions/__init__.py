"""Resources of FHIR STU3 and DSTU2 made into FHIR R4.

Law: nothing is lost: what R4 has no place for is kept as an extension, and a finding names it, never its value.
"""

from holovitals_pipelines.transform.versions.conversion import CONVERTED_TYPES, Converted, to_r4

__all__ = ["CONVERTED_TYPES", "Converted", "to_r4"]
