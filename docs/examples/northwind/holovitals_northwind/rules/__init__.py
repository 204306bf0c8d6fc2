"""The rule sets: Northwind's JSON as FHIR R4, and back."""
