"""Northwind EHR, a vendor that does not exist: the worked example of docs/adapters.md."""
