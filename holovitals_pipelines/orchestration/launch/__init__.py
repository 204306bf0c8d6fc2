"""Ways to start a run: how long it takes from asking to working is decided here."""
