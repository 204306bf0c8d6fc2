"""What several vendors' servers have in common: FHIR search and pages, outcomes, SMART Backend Services, Bulk Data."""
