"""athenahealth through its v1 REST API: charts list by list, and change feeds that reading empties (vendors.md §5)."""
