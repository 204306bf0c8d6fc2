"""One module a vendor, over shared protocol modules (HTTP, SMART auth, FHIR REST, Bulk Data)."""
