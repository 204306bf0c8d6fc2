"""FHIR R4 as it travels: exact bytes in, one canonical form to compare, and verdicts that never change the bytes."""
