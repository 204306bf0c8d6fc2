"""Instance templates: how Dagster is set up for one machine."""
