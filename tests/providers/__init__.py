"""Vendor adapters against real HTTP servers on loopback: our own small ones, and one nobody here wrote."""
