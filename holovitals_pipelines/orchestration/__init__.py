"""Dagster, and nothing but Dagster: each op opens the engine, calls one use case and reports what came of it."""
