"""The transformation engine: rules as data, one plan, two back ends that must agree.

Law: no database, no network, no Dagster; SQL is text here.
"""
