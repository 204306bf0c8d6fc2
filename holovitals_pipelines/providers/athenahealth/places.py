"""The practice's departments: whose charts are read, whose clocks appointments keep, who is named in writes.

Law: every department the connection names is one of the practice's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.providers.athenahealth.calls import ListOf, Practice, members_of, text_of

_DEPARTMENTS = ListOf("departments", "departments", "departments")


@dataclass(frozen=True, slots=True)
class Departments:
    """`chosen` are read and written, all where the connection names none; `for_charts` has one of them for each group
    of departments that share their charts."""

    chosen: Sequence[str]
    for_charts: Sequence[str]
    zones: Mapping[str, str]

    @property
    def written(self) -> str:
        """The one that writes name."""
        return self.chosen[0]


async def read_departments(practice: Practice, config: ConnectionConfig) -> Departments:
    """Raises ConfigurationError for a department the practice does not have."""
    groups: dict[str, str] = {}
    zones: dict[str, str] = {}
    async for page in practice.pages(_DEPARTMENTS):
        for item in page.items:
            try:
                members = members_of(item)
                department = text_of(members, "departmentid")
                groups[department] = text_of(members, "chartsharinggroupid") or department
                zones[department] = text_of(members, "timezonename")
            except ValueError:
                continue
    groups.pop("", None)
    chosen = list(config.vendor.department_ids) or list(groups)
    if not chosen or any(department not in groups for department in chosen):
        raise ConfigurationError(
            "the practice has no departments" if not chosen else "the practice does not have such a department",
            code="athenahealth.no_department",
            place=f"connection {config.name}, vendor.department_ids",
            remedy=f"choose from {', '.join(groups) or 'nothing: ask athenahealth to open the practice to the app'}",
        )
    # unverified: that one department's view of a chart is that of all which share it.
    first_of_group = {groups[department]: department for department in reversed(chosen)}
    for_charts = [department for department in chosen if department in first_of_group.values()]
    return Departments(chosen, for_charts, zones)
