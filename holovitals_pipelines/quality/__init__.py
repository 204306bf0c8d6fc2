"""Expectation suites as data, and their runner; importing this package loads neither pandas nor Great Expectations."""

from holovitals_pipelines.model.quality import CheckOutcome
from holovitals_pipelines.quality.expectations import DaysFromToday, Expectation
from holovitals_pipelines.quality.runner import run_structural, run_suite
from holovitals_pipelines.quality.suites import RESOURCE_TYPES_WITH_SUITES, row_level_for, structural_for, suite_for

__all__ = [
    "RESOURCE_TYPES_WITH_SUITES",
    "CheckOutcome",
    "DaysFromToday",
    "Expectation",
    "row_level_for",
    "run_structural",
    "run_suite",
    "structural_for",
    "suite_for",
]
