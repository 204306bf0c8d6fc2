"""The `holovitals` command."""
