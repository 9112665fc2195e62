"""``farm plan``: what would be built, in which order, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common, shared

if TYPE_CHECKING:
    from farm.plan.plan import Plan
    from farm.run.forecast import Forecast
    from farm.run.options import BuildOptions, Workplace

Check = Annotated[
    bool,
    typer.Option("--check", help="End with an error if a unit cannot be built yet; for CI."),
]
_UNKNOWN = (
    "planned for this machine: the engine that DOCKER_HOST or docker's context names was not "
    "asked yet; a build asks it"
)
Explain = Annotated[
    bool, typer.Option("--explain", help="Show the arithmetic behind the forecast, too.")
]


def plan(
    context: typer.Context,
    selectors: common.Selectors = None,
    variant: common.Variants = None,
    feature: common.Features = None,
    python: common.Python = None,
    output_dir: common.OutputDir = None,
    max_jobs: common.MaxJobs = None,
    nvcc_threads: common.NvccThreads = None,
    memory: common.Memory = None,
    jobs: common.Parallel = None,
    locked: common.Locked = False,
    results: shared.Results = None,
    trust_key: shared.TrustKey = None,
    no_preflight: common.NoPreflight = False,
    check: Check = False,
    explain: Explain = False,
    as_json: common.AsJson = False,
) -> None:
    """Show what would be built and why; no engine is asked."""
    from farm.run.options import BuildOptions

    place = common.workplace_of(context, output_dir)
    wanted = common.asked(selectors, variant, feature, python)
    made = common.plan_of(place.project, wanted, preflight=not no_preflight)
    options = BuildOptions(
        parallel=jobs,
        max_jobs=max_jobs,
        nvcc_threads=nvcc_threads,
        locked=locked,
        memory_bytes=common.memory_bytes(memory),
        results=shared.shared_of(results, trust_key, read_only=True),
    )
    rows = show_plan(made, place, options, as_json=as_json, explain=explain)
    if check:
        from farm.run.forecast import refuse_unbuildable

        refuse_unbuildable(rows)


def show_plan(
    plan: Plan, place: Workplace, options: BuildOptions, *, as_json: bool, explain: bool = False
) -> tuple[Forecast, ...]:
    """Print a plan as text, or as JSON; its rows."""
    from farm.console.outlook import outlook_lines
    from farm.events import Notice
    from farm.run.forecast import forecast
    from farm.run.sharing import open_shared

    found = forecast(plan, place, options, open_shared(options, shared.tell))
    rows = found.units
    if as_json:
        common.print_json({"units": rows, "run": found.run.as_json if found.run else None})
        return rows
    for row in rows:
        typer.echo(f"{row.label}  {row.standing}")
        typer.echo(f"  why       {row.why}")
        for text in row.refused:
            typer.echo(f"  refused   {text}")
        for text in row.lockstep:
            typer.echo(f"  lockstep  {text}")
        typer.echo(
            f"  toolchain {row.toolchain}{' for ' + ', '.join(row.archs) if row.archs else ''}"
        )
        typer.echo(f"  jobs      {row.jobs}")
        if row.jobs_reason:
            typer.echo(f"            ({row.jobs_reason})")
        if row.needs:
            typer.echo(f"  needs     {', '.join(row.needs)}")
        typer.echo(f"  identity  {row.identity or 'known once its base and needed wheels exist'}")
    if not found.machine_known:
        shared.tell(Notice(text=_UNKNOWN))
    if found.run:
        for line in outlook_lines(found.run, explained=explain):
            typer.echo(line)
    return rows
