"""The demo from beginning to end: read everything, play the story, compare everything, complain of what is not so.

Law: every line of it is checked at both stores; the complaints are what the exit code tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from holovitals_pipelines.cli.demo.at_vendor import AtVendor
from holovitals_pipelines.cli.demo.both_sides import Compared, compare_patients, compare_stores
from holovitals_pipelines.cli.demo.expectation import complaints_about_expectation
from holovitals_pipelines.cli.demo.message_feed import Settled
from holovitals_pipelines.cli.demo.scenes import FIRST_ACT, ROLES, SECOND_ACT, WITHOUT_FHIR, Came, Scene
from holovitals_pipelines.cli.demo.stage import Stage, cast_of
from holovitals_pipelines.cli.demo.telling import Teller
from holovitals_pipelines.engine.auditing import AuditReport, verify
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.model.job import JobReport
from holovitals_pipelines.sandbox.process import RunningSandbox
from holovitals_pipelines.settings import Settings

if TYPE_CHECKING:
    from holovitals_pipelines.orchestration.launch.in_process import RunInProcess


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the story."""

    connection: str
    scene: str
    done: str
    came: Came


@dataclass(slots=True)
class Performance:
    """What the demo did and found."""

    passes: list[tuple[str, list[JobReport]]] = field(default_factory=list)
    story: list[Line] = field(default_factory=list)
    writes_of_last_pass: dict[str, int] = field(default_factory=dict)
    """By vendor with FHIR, from its own request log."""
    changes_of_last_pass: dict[str, int] = field(default_factory=dict)
    """By vendor: 0 where nothing that it holds was touched."""
    compared: list[Compared] = field(default_factory=list)
    audit: AuditReport | None = None
    complaints: list[str] = field(default_factory=list)


TELLS = "fhir"
"""The vendor of the scene with webhooks."""

Run = Callable[[str], JobReport]
Playing = tuple[Stage, Scene, str, Generator[str, None, Came]]


@dataclass(frozen=True, slots=True)
class Player:
    """Plays on running vendors and one home. `data` is what is served instead of the population: then without story."""

    settings: Settings
    running: RunningSandbox
    vendors: Sequence[str]
    data: Path | None
    teller: Teller
    settled: Settled
    performance: Performance = field(default_factory=Performance)

    def play(self) -> Performance:
        runner = self._load()
        self._pass("Everything the vendors hold", self.vendors, lambda v: runner.sync(self.settings, v, full=True))
        if self.data is None:
            with open_home(self.settings) as home:
                self._story(runner, home)
        self._last_pass(runner)
        self._judge()
        return self.performance

    def _load(self) -> RunInProcess:
        from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
        from holovitals_pipelines.orchestration.launch.in_process import RunInProcess

        with self.teller.waiting("Loading Dagster"):
            home = prepare_dagster_home(self.settings.dagster_home, distributed=self.settings.is_distributed)
            return RunInProcess(home)

    def _pass(self, title: str, vendors: Sequence[str], run: Run, *, whole: bool = True) -> list[JobReport]:
        with self.teller.waiting("Taking the messages that are sent to us"):
            self.settled()
        started = time.monotonic()
        reports = []
        for vendor in vendors:
            with self.teller.waiting(f"{title}: {vendor}"):
                reports.append(run(vendor))
        self.performance.passes.append((title, reports))
        number, seconds = len(self.performance.passes), time.monotonic() - started
        self.teller.told_pass(f"{number}. {title} ({seconds:.1f} s)", reports, whole=whole)
        return reports

    # the story

    def _story(self, runner: RunInProcess, home: Home) -> None:
        stages = self._stages(home)
        if not stages:
            return
        playing = self._begin(stages, FIRST_ACT)
        self._pass(
            "After edits on both sides",
            [stage.name for stage in stages],
            lambda vendor: runner.sync(self.settings, vendor, full=False),
            whole=False,
        )
        self._end(playing)
        if playing := self._begin(stages, SECOND_ACT):
            self._pass(
                "Everything compared, after an undo and a delete",
                list(dict.fromkeys(stage.name for stage, *_ in playing)),
                lambda vendor: runner.compare(self.settings, vendor),
                whole=False,
            )
            self._end(playing)
        self._operations([stage for stage in stages if stage.name == TELLS])

    def _operations(self, stages: Sequence[Stage]) -> None:
        """What the vendor tells by itself, taken by the receiver and done by the warm lane."""
        from holovitals_pipelines.cli.demo.webhook_scene import forged_webhook, hooked, told_by_webhook

        for stage in stages:
            with hooked(stage) as at:
                done = "a clinician changes a patient's name at the vendor, which tells of it by a webhook"
                with self.teller.waiting("Waiting for the vendor's webhook"):
                    came = told_by_webhook(at)
                self._tell_line(Line(stage.name, "told_by_webhook", done, came))
                done = "somebody without the secret sends a webhook"
                self._tell_line(Line(stage.name, "forged_webhook", done, forged_webhook(at)))

    def _stages(self, home: Home) -> list[Stage]:
        stages = []
        for vendor in self.vendors:
            cast = cast_of(home, vendor, ROLES[vendor])
            if cast is None:
                self.teller.say(f"{vendor}: too few resources for the story; --patients 40 has enough of them")
            else:
                stages.append(Stage(home, AtVendor(self.running.admin_url, vendor), cast))
        return stages

    def _begin(self, stages: Sequence[Stage], acts: Mapping[str, Sequence[Scene]]) -> list[Playing]:
        playing = []
        for stage in stages:
            for scene in acts.get(stage.name, ()):
                run = scene(stage)
                done = next(run)
                playing.append((stage, scene, done, run))
                self.teller.did(f"{stage.name}: {done}")
        return playing

    def _end(self, playing: Sequence[Playing]) -> None:
        for stage, scene, done, run in playing:
            self._tell_line(Line(stage.name, scene.__name__, done, _what_came(run)))

    def _tell_line(self, line: Line) -> None:
        self.performance.story.append(line)
        self.teller.came(line.connection, line.done, line.came)
        if not line.came.holds:
            said = f"{line.connection}: {line.done}: not so at both stores: {line.came.text}"
            self.performance.complaints.append(said)

    # the end

    def _last_pass(self, runner: RunInProcess) -> None:
        vendors = [AtVendor(self.running.admin_url, name) for name in self.vendors]
        for vendor in vendors:
            vendor.forget_requests()
        before = {vendor.name: vendor.changes() for vendor in vendors}
        self._pass(
            "Everything compared once more, unchanged",
            self.vendors,
            lambda vendor: runner.compare(self.settings, vendor),
            whole=False,
        )
        performance = self.performance
        performance.changes_of_last_pass = {v.name: v.changes() - before[v.name] for v in vendors}
        performance.writes_of_last_pass = {v.name: v.writes() for v in vendors if v.name not in WITHOUT_FHIR}
        with self.teller.waiting("Comparing both stores"), open_home(self.settings) as home:
            performance.compared = [
                compare_patients(home, vendor) if vendor.name in WITHOUT_FHIR else compare_stores(home, vendor)
                for vendor in vendors
            ]
            performance.audit = verify(home, records=True)

    def _judge(self) -> None:
        performance, teller = self.performance, self.teller
        for title, reports in performance.passes:
            performance.complaints += [sentence for report in reports for sentence in _about_job(title, report)]
        for report in performance.passes[-1][1]:
            writes = performance.writes_of_last_pass.get(report.connection, 0)
            moved, moved_there = _moved(report), performance.changes_of_last_pass[report.connection]
            if moved or moved_there or writes:
                performance.complaints.append(
                    f"the last pass changed {moved} records of {report.connection}, wrote {writes} times to the"
                    f" vendor, and {moved_there} versions were made there; none of it may be"
                )
            elif report.succeeded:
                there = "no record there was touched"
                if report.connection in performance.writes_of_last_pass:
                    there = "0 writes in the vendor's request log"
                teller.holds(f"{report.connection}: {report.total.unchanged:,} unchanged in the last pass, and {there}")
        for compared in performance.compared:
            told = _told(compared)
            if compared.apart:
                performance.complaints.append(f"{told}; {compared.apart:,} differ and nothing excuses it")
            else:
                teller.holds(told)
        self._judge_audit()
        if self.data is not None:
            performance.complaints += complaints_about_expectation(self.settings, self.data, teller)

    def _judge_audit(self) -> None:
        audit = self.performance.audit
        assert audit is not None, "it was verified after the last pass"
        if audit.intact:
            self.teller.holds(
                f"audit log: {audit.entries:,} entries and {audit.heads} signed heads verified; every record is what"
                " the log says"
            )
        self.performance.complaints += [f"{finding.code}: {finding.message}" for finding in audit.findings]


def _what_came(run: Generator[str, None, Came]) -> Came:
    try:
        next(run)
    except StopIteration as end:
        came: Came = end.value
        return came
    raise AssertionError("a scene waits for one sync")


def _about_job(title: str, report: JobReport) -> list[str]:
    found = []
    if not report.succeeded:
        found.append(f"{title}: the job of {report.connection} ended {report.status.value.lower()}")
    if report.total.unaccounted:
        found.append(f"{title}: {report.total.unaccounted} resources of {report.connection} are unaccounted for")
    if report.total.refused_writes:
        found.append(f"{title}: {report.connection} refused {report.total.refused_writes} writes")
    return found


def _moved(report: JobReport) -> int:
    total = report.total
    return total.created + total.updated + total.conflicts + total.removed + total.pushed


def _told(compared: Compared) -> str:
    excused = (("standing differences", compared.standing), ("held conflicts", compared.held))
    but = "; ".join(f"{what}: {count:,}" for what, count in excused if count)
    equal = f"{compared.connection}: {compared.equal:,} of {compared.linked:,} {compared.of} are equal at both stores"
    return f"{equal} ({but})" if but else equal
