"""Bringing one link after another into agreement: read, decide, commit, write back. No Dagster, no HTTP of its own."""
