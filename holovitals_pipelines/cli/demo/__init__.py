"""The demo: simulated vendors, a story of edits on both sides, and what is checked against both stores."""
