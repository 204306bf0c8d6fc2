"""How the demo is told: on a terminal while it happens, and as JSON when it is over.

Law: elements, versions, counts and names of rules; no value of a resource.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from holovitals_pipelines.cli.output import print_outcome, report_as_json, say
from holovitals_pipelines.model.job import JobReport, Outcome

if TYPE_CHECKING:
    from holovitals_pipelines.cli.demo.play import Performance
    from holovitals_pipelines.cli.demo.scenes import Came


@dataclass(frozen=True, slots=True)
class Teller:
    """Says what happens, to `target`."""

    target: Console

    def waiting(self, what: str) -> AbstractContextManager[Any]:
        """Shows that there is something to wait for, where somebody looks at a terminal."""
        return self.target.status(f"{what} …")

    def told_pass(self, title: str, reports: list[JobReport], *, whole: bool) -> None:
        """`whole`: every resource type; else those in which something happened, and the others in one row."""
        print_outcome(self.target, title, reports if whole else [_in_short(report) for report in reports])

    def did(self, text: str) -> None:
        self._marked("✎", "cyan", text)

    def came(self, connection: str, done: str, came: Came) -> None:
        mark, colour = ("✓", "green") if came.holds else ("✗", "red")
        self._marked(mark, colour, f"{connection}: {done}")
        say(self.target, f"    → {came.text}")
        if came.look:
            say(self.target, Text(f"      look: {came.look}", style="dim"))

    def holds(self, text: str) -> None:
        self._marked("✓", "green", text)

    def say(self, text: str) -> None:
        say(self.target, text)

    def _marked(self, mark: str, colour: str, text: str) -> None:
        say(self.target, Text.assemble((mark, colour), f" {text}"))


def _in_short(report: JobReport) -> JobReport:
    eventful = {name: outcome for name, outcome in report.outcomes.items() if _happened(outcome)}
    quiet = [outcome for name, outcome in report.outcomes.items() if name not in eventful]
    if len(quiet) < 2:
        return report
    together = Outcome()
    for outcome in quiet:
        together = together.plus(outcome)
    return replace(report, outcomes={**eventful, f"{len(quiet)} other types" if eventful else "all types": together})


def _happened(outcome: Outcome) -> bool:
    counts = ("created", "updated", "conflicts", "quarantined", "deletions", "absent", "resolved", "held", "pushed",
              "removed", "refused_writes", "missed")  # fmt: skip
    return any(getattr(outcome, name) for name in counts)


def performance_as_json(home: str, performance: Performance) -> dict[str, Any]:
    """Everything the demo did and found, for scripts."""
    audit = performance.audit
    assert audit is not None, "the demo is over"
    return {
        "home": home,
        "passes": [
            {"title": title, "reports": [report_as_json(report) for report in reports]}
            for title, reports in performance.passes
        ],
        "story": [
            {
                "connection": line.connection,
                "scene": line.scene,
                "done": line.done,
                "came": line.came.text,
                "holds": line.came.holds,
                "facts": dict(line.came.facts),
                "look": line.came.look,
            }
            for line in performance.story
        ],
        "writesOfLastPass": performance.writes_of_last_pass,
        "bothStores": [compared.as_json() for compared in performance.compared],
        "audit": {"entries": audit.entries, "heads": audit.heads, "findings": audit.finding_count},
        "complaints": performance.complaints,
    }
