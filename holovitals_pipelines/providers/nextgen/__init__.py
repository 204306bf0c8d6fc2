"""NextGen Enterprise through its native API: a token, a practice's session, JSON of its own (vendors.md §7.1)."""
