"""Allscripts, now Veradigm, through Unity: actions with parameters instead of resources (vendors.md §6)."""
