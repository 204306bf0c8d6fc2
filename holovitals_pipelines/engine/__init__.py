"""The use cases: extract, transform, reconcile, publish statistics. No Dagster and no HTTP server in here."""
