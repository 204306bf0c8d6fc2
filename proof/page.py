"""The proof's outcome as a table for the terminal and as docs/proof.md.

Law: every figure comes from the run that is told of.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table

from proof.campaign import PLANNED_KINDS, Report
from proof.kinds import KINDS, STAR
from proof.runs import STAR_STEPS, STEPS

INVARIANTS = (
    ("I1", "every event answered 2xx is in the inbox and reaches its final state"),
    ("I2", "every write of a client is still there, or was overwritten by somebody who saw it, or lost in a recorded "
           "conflict"),
    ("I3", "at rest both sides agree on everything that can be written, standing differences are listed, decided "
           "conflicts are closed, and a further pass writes nothing and logs nothing"),
    ("I4", "the log alone rebuilds the store, and every image before is true"),
    ("I5", "a write takes effect at most once; one record never becomes two resources unnoticed"),
    ("I6", "no value of ours that comes back is taken for the vendor's"),
    ("I7", "the log's hash chain is whole"),
    ("I9", "a critical conflict is never decided automatically (A8)"),
    ("I10", "a person's decision is applied only to the values the person saw, and only when a second person has "
            "approved it where that is asked for (A9)"),
    ("A19", "a star of seven is quiet after at most five rounds"),
    ("A20", "a vendor's delete is carried to no other vendor"),
)  # fmt: skip


def summary(report: Report) -> Table:
    random = report.random
    shown = Table(title="Proof", title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    shown.add_column()
    shown.add_column(justify="right")
    for name, value in (
        ("schedules, at random", f"{random.schedules:,}"),
        ("schedules, one planned crash each", f"{report.planned.schedules:,}"),
        ("crashes", f"{random.crashes.total() + report.fired:,}"),
        (
            "failpoints reached / crashed at",
            f"{len(report.failpoints)} / {len(random.crashes | report.planned.crashes)}",
        ),
        ("conflicts made", f"{random.counts['settled conflicts'] + report.planned.counts['settled conflicts']:,}"),
        ("most rounds to quiet", str(random.rounds)),
        ("mutants caught", f"{len(report.caught) - len(report.survivors)} of {len(report.caught)}"),
        ("violations", str(len(random.bad) + len(report.planned.bad))),
        ("time", f"{report.seconds:,.0f} s, {report.cpu_seconds:,.0f} s of CPU, {report.jobs} processes"),
    ):
        shown.add_row(name, value)
    return shown


def page(report: Report) -> str:
    """docs/proof.md."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    random = report.random
    yield "# The proof"
    yield ""
    yield "Made by `python -m proof --write docs/proof.md`; do not edit."
    yield ""
    yield (
        "A seeded simulation in one process: the real kernel and store, simulated vendors with people of their "
        "own, clients here, people who decide conflicts, a network that loses answers, and a process that is killed "
        "between any two steps. A checker that shares no decision with the kernel judges from what the clients know of "
        "their own writes and from what the stores hold at rest. Every write carries a token of its own, so it can be "
        "followed wherever it goes. A failure is a vendor kind and a seed; both reproduce it."
    )
    yield ""
    yield "| | |"
    yield "| --- | ---: |"
    for name, value in (
        ("schedules at random", f"{random.schedules:,}"),
        ("steps a schedule", f"{STEPS} ({STAR_STEPS} in the star)"),
        ("schedules with one planned crash", f"{report.planned.schedules:,} ({report.fired:,} fired)"),
        ("crashes in all", f"{random.crashes.total() + report.fired:,}"),
        ("conflicts made", f"{random.counts['settled conflicts']:,}"),
        ("writes confirmed by a vendor", f"{random.counts['push pushed']:,}"),
        ("outcomes that were unknown at first", f"{random.counts['push unknown']:,}"),
        ("mutants caught", f"{len(report.caught) - len(report.survivors)} of {len(report.caught)}"),
        ("**violations**", f"**{len(random.bad) + len(report.planned.bad)}**"),
        ("time", f"{report.seconds / 60:.1f} min on {report.jobs} cores, {report.cpu_seconds / 60:.1f} min of CPU"),
    ):
        yield f"| {name} | {value} |"
    yield from _invariants()
    yield from _kinds(report)
    yield from _mutants(report)
    yield from _failpoints(report)
    yield from _limits()


def _invariants() -> Iterator[str]:
    yield ""
    yield "## What must hold"
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    for name, text in INVARIANTS:
        yield f"| {name} | {text} |"


def _kinds(report: Report) -> Iterator[str]:
    yield ""
    yield "## Vendors"
    yield ""
    yield "| kind | what it does | schedules | crashes | conflicts | rounds to quiet | violations |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for name, totals in report.by_kind.items():
        what = KINDS[name].what if name in KINDS else f"one store, {len(STAR)} vendors that each keep something else"
        yield (
            f"| {name} | {what} | {totals.schedules:,} | {totals.crashes.total():,} "
            f"| {totals.counts['settled conflicts']:,} | {totals.rounds} | {len(totals.bad)} |"
        )
    lost = report.random.counts["lost in the open window"]
    yield ""
    yield (
        "A vendor without versions whose people write between our look and our write cannot be written to without a "
        f"window: {lost} of their writes were lost in it, each by a write that the outbox shows as unguarded. "
        "No other kind lost any."
    )


def _mutants(report: Report) -> Iterator[str]:
    yield ""
    yield "## Mutants"
    yield ""
    yield "One rule broken each. A mutant that survives means that the checker looks away, and fails the proof."
    yield ""
    yield "| mutant | the rule | vendor | caught after | as |"
    yield "| --- | --- | --- | ---: | --- |"
    for one in report.caught:
        after = f"{one.schedules} schedules" if one.violations else "**survived**"
        yield f"| {one.mutant.name} | {one.mutant.breaks} | {one.kind} | {after} | {one.by} |"


def _failpoints(report: Report) -> Iterator[str]:
    crashes = report.random.crashes + report.planned.crashes
    yield ""
    yield "## Failpoints"
    yield ""
    yield (
        "Every commit, before and after, by who commits; every answer of a vendor that is lost. Besides crashes at "
        f"random, each was made to crash at its first hits, one at a time: {' and '.join(PLANNED_KINDS)}."
    )
    yield ""
    yield "| failpoint | reached | crashed |"
    yield "| --- | ---: | ---: |"
    for name in sorted(report.failpoints):
        yield f"| `{name}` | {report.failpoints[name]:,} | {crashes[name]:,} |"


def _limits() -> Iterator[str]:
    yield ""
    yield "## Limits of this evidence"
    yield ""
    for line in (
        "A crash is an exception that nothing catches, and a store opened anew: a killed process, not a power failure. "
        "Real kills of real processes are in the tests.",
        "SQLite. The same code runs on PostgreSQL in the tests, not here.",
        "One worker a connection, as the job lease enforces; two at once are the lease's tests.",
        "A late write to a vendor without conditions can undo somebody's newer one; nothing on our side can prevent "
        "that, so late writes are simulated where they are guarded, and for creates.",
        "What an adapter does not know of its vendor (dropped elements, changed case) comes back as the vendor's own "
        "doing: no value is lost, but I6 is not asked there, and items of lists may stand apart.",
        "Simulated vendors keep to what they say of versions. No real vendor was contacted.",
    ):
        yield f"- {line}"
