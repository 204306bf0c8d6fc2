"""`python -m benchmarks`: the main job at one or more sizes, beside baselines, as a table and as JSON.

The sandbox runs in a process of its own and is not counted; everything the pipeline does is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Cost, run_case
from holovitals_pipelines.sandbox.population import population
from holovitals_pipelines.sandbox.process import start_sandbox

BASELINES = ("read_lines", "parse", "canonical", "check", "duckdb_parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--resources", type=int, action="append", help="size of the input; repeat for several (default 100000)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    given = parser.parse_args()
    console = Console()
    figures: dict[str, dict[str, object]] = {}
    for size in given.resources or [100_000]:
        folder = Path(tempfile.mkdtemp(prefix="holovitals-bench-"))
        try:
            costs = measure(folder, size, console)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        console.print(table(size, costs))
        figures[str(size)] = {
            name: asdict(cost) | {"per_cpu_second": cost.per_cpu_second} for name, cost in costs.items()
        }
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def measure(folder: Path, size: int, console: Console) -> dict[str, Cost]:
    file = folder / "population.ndjson"
    with console.status(f"writing {size:,} resources"):
        write_population(file, size)
    costs = {}
    for name in BASELINES:
        with console.status(f"baseline: {name}"):
            extra = {"target": str(folder / "baseline.parquet")} if name == "duckdb_parquet" else {}
            costs[name] = run_case(name, file=str(file), **extra)
    with console.status("starting the sandbox"):
        running = start_sandbox(dialects=["fhir"], data=file)
    with running:
        for name in ("first load", "unchanged re-sync"):
            with console.status(name):
                costs[name] = run_case("pipeline", home=str(folder / "home"), base_url=running.base_urls["fhir"])
    return costs | kernel_costs(folder, size, console)


def kernel_costs(folder: Path, size: int, console: Console) -> dict[str, Cost]:
    """The sync kernel by itself, over snapshots of the same size."""
    costs = {}
    for name, case in (("detection, hashes only", "detection"), ("reconcile, 1 % in conflict", "conflict_tables")):
        place = folder / case
        place.mkdir()
        with console.status(name):
            costs[name] = run_case(case, folder=str(place), rows=size)
        shutil.rmtree(place)
    with console.status("field merge"):
        costs["field merge"] = run_case("field_merge")
    with console.status("audit log"):
        costs["audit log"] = run_case("audit_chain", entries=size)
    for name, case in (
        ("rules in SQL", "rules_in_sql"),
        ("rules by record", "rules_by_record"),
        ("rules, both compared", "rules_differences"),
    ):
        with console.status(name):
            costs[name] = run_case(case, records=size)
    return costs | message_costs(min(size, 12_000), console) | webhook_costs(min(size, 6_000), console)


def message_costs(messages: int, console: Console) -> dict[str, Cost]:
    """HL7 v2 intake to FHIR, and what reading the same messages costs others."""
    costs = {}
    for name, case, count in (
        ("HL7 v2, split only", "hl7v2_split", messages),
        ("HL7 v2, hl7apy's parse", "hl7v2_hl7apy", min(messages, 1_200)),
        ("HL7 v2, stored to FHIR", "hl7v2_intake", messages),
    ):
        with console.status(name):
            costs[name] = run_case(case, messages=count)
    return costs


def webhook_costs(deliveries: int, console: Console) -> dict[str, Cost]:
    """Webhooks received over HTTP, 200 at once, and what a handler that only inserts does."""
    costs = {}
    for name, case in (
        ("webhooks, inserted only", "webhooks_baseline"),
        ("webhooks, verified and kept", "webhooks_received"),
        ("webhooks, `holovitals serve`", "webhooks_served"),
    ):
        with console.status(name):
            costs[name] = run_case(case, deliveries=max(deliveries, 1_000))
    return costs


def write_population(file: Path, size: int) -> None:
    """Exactly `size` resources of the synthetic population, seed 1."""
    written = 0
    with file.open("wb") as out:
        for body in population(patients=size, seed=1):
            out.write(body + b"\n")
            written += 1
            if written == size:
                return


def table(size: int, costs: dict[str, Cost]) -> Table:
    shown = Table(title=f"{size:,} resources", title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    for column in ("case", "per CPU-second", "CPU s", "wall s", "peak MiB"):
        shown.add_column(column, justify="left" if column == "case" else "right", no_wrap=True)
    for name, cost in costs.items():
        _row(shown, name, cost.items, cost.cpu_seconds, cost.wall_seconds, cost.peak_mib)
        for stage, lap in cost.laps.items():
            _row(shown, f"  {stage}", cost.items, lap["cpu_seconds"], lap["wall_seconds"], lap["peak_mib"])
    return shown


def _row(table: Table, name: str, items: int, cpu: float, wall: float, peak: float) -> None:
    rate = f"{items / cpu:,.0f}" if cpu else "-"
    table.add_row(name, rate, f"{cpu:.2f}", f"{wall:.2f}", f"{peak:,.0f}")


if __name__ == "__main__":
    main()
