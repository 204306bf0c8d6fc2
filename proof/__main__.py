"""`python -m proof`: play the schedules, crash everywhere, try the mutants, and say what was found.

The exit code is 1 when an invariant was violated or a mutant survived.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from proof.campaign import HITS, cores, prove
from proof.page import page, summary


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m proof", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000, help="random schedules, the star's among them (10000)")
    parser.add_argument("--seconds", type=float, help="begin no further random schedules after this time")
    parser.add_argument("--jobs", type=int, default=min(2, cores()), help="processes (2)")
    parser.add_argument("--hits", type=int, default=HITS, help=f"crash at each failpoint's first so many hits ({HITS})")
    parser.add_argument("--write", type=Path, help="write the page (docs/proof.md) here")
    given = parser.parse_args()
    console = Console()
    deadline = None if given.seconds is None else time.monotonic() + given.seconds
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bars = {name: progress.add_task(name, total=None) for name in ("schedules", "failpoints", "mutants")}
        report = prove(
            given.schedules,
            given.jobs,
            hits=given.hits,
            deadline=deadline,
            advanced=lambda phase, done, of: progress.update(bars[phase], completed=done, total=of),
        )
    console.print(summary(report))
    for verdict in [*report.random.bad, *report.planned.bad][:20]:
        plan = f", crash at {verdict.plan[0]!r} hit {verdict.plan[1]}" if verdict.plan else ""
        console.print(f"[red]{verdict.kind}, seed {verdict.seed}{plan}[/]: {'; '.join(verdict.violations)}")
    for survivor in report.survivors:
        console.print(f"[red]mutant survived[/]: {survivor.mutant.name} ({survivor.kind})")
    if given.write:
        given.write.write_text(page(report), encoding="utf-8")
    sys.exit(0 if report.holds else 1)


if __name__ == "__main__":
    main()
