"""``farm status``: what was built when, how long it took, how big it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from farm.cli import common

if TYPE_CHECKING:
    from pathlib import Path

    from farm.run.runs import Run, RunSummary
    from farm.store.record import Record


def status(
    context: typer.Context,
    output_dir: common.OutputDir = None,
    as_json: common.AsJson = False,
) -> None:
    """Show results and the latest runs."""
    from farm.run.runs import is_running, list_runs, read_summary

    place = common.workplace_of(context, output_dir)
    records = _records(place.out)
    runs = [(run, read_summary(run)) for run in list_runs(place.out)[:10]]
    if as_json:
        common.print_json({
            "results": records,
            "runs": [
                summary or {"name": run.name, "unfinished": True, "running": is_running(run)}
                for run, summary in runs
            ],
        })  # fmt: skip
        return
    from farm.console.tables import print_table

    if not records and not runs:
        typer.echo(f"nothing was built in {place.out} yet")
        return
    print_table(
        ("unit", "built", "took", "size", "wheel"),
        [_row(record) for record in records],
    )
    print_table(
        ("run", "took", "exit", "units"),
        [_run_row(run, summary) for run, summary in runs],
    )


def _run_row(run: Run, summary: RunSummary | None) -> tuple[str, ...]:
    from farm.run.runs import is_running

    if summary is None:
        return run.name, "running" if is_running(run) else "was killed", "", ""
    units = ", ".join(f"{unit} {how}" for unit, how in summary.units.items())
    return run.name, f"{summary.seconds:.1f} s", str(summary.exit_code), units


def _records(out: Path) -> list[Record]:
    from farm.store.record import read_record

    folders = sorted(path.parent for path in out.glob("*/*/record.json"))
    return [record for record in map(read_record, folders) if record]


def _row(record: Record) -> tuple[str, ...]:
    built = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started_s))
    size = sum(wheel.size_bytes for wheel in record.wheels)
    names = ", ".join(wheel.filename for wheel in record.wheels)
    return record.unit, built, f"{record.seconds:.1f} s", f"{size / 1e6:.1f} MB", names
