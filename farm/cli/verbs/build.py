"""``farm build``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common, shared
from farm.cli.recall import asked_now, remember_all_built
from farm.cli.reports import reports_of
from farm.errors import FarmError, UsageError
from farm.host.urls import redact

if TYPE_CHECKING:
    from farm.cli.reports import Reports
    from farm.console.gathered import Gathered
    from farm.engine.caches import LayerCache
    from farm.events import Event
    from farm.load.limits import CacheLimit
    from farm.model.look import Look
    from farm.plan.plan import Plan
    from farm.run.options import BuildOptions, Workplace
    from farm.run.session import Outcomes


def build(
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
    engine: common.Engine = "auto",
    progress: Annotated[
        str, typer.Option("--progress", help="auto, plain, quiet or json.")
    ] = "auto",
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Compile again, even what is built or cached.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go through the engine; its cache may answer.")
    ] = False,
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast/--keep-going", help="End the others when one unit fails."),
    ] = False,
    offline: common.Offline = False,
    locked: common.Locked = False,
    source_mirror: common.SourceMirror = None,
    cache_from: common.CacheFrom = None,
    cache_to: common.CacheTo = None,
    compile_cache: common.CompileCache = "10 GiB",
    no_compile_cache: common.NoCompileCache = False,
    results: shared.Results = None,
    results_read_only: shared.ReadOnly = False,
    trust_key: shared.TrustKey = None,
    sign_key: common.SignKey = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", help="configure: end there, and count the build's steps by kind; no wheel."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="glob", help="Make only these objects after configuring; no wheel."
        ),
    ] = None,
    no_preflight: common.NoPreflight = False,
    summary: Annotated[
        Path | None,
        typer.Option("--summary", metavar="file", help="Write what it came to as Markdown."),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", metavar="file", help="Write it as JUnit XML, a case per unit."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only show what would be built and why.")
    ] = False,
) -> None:
    """Build wheels: what is not built yet, in parallel containers."""
    from farm.load.limits import cache_limit
    from farm.run.options import Again, BuildOptions
    from farm.run.unchanged import Answer

    before = asked_now(sys.argv[1:])
    wanted = common.asked(selectors, variant, feature, python)
    place = common.workplace_of(context, output_dir)
    plan = common.plan_of(place.project, wanted, preflight=not no_preflight)
    common.known_engine(engine)
    again = Again.REBUILD if rebuild else Again.FORCE if force else Again.KEEP
    options = BuildOptions(
        parallel=jobs,
        max_jobs=max_jobs,
        nvcc_threads=nvcc_threads,
        memory_bytes=common.memory_bytes(memory),
        again=again,
        fail_fast=fail_fast,
        offline=offline,
        locked=locked,
        engine=engine,
        preflight=not no_preflight,
        look=_look(until, only),
        source_mirror=common.mirror_at(source_mirror),
        cache_from=_caches("--cache-from", cache_from, plan),
        cache_to=_caches("--cache-to", cache_to, plan),
        results=shared.shared_of(results, trust_key, read_only=results_read_only),
        sign_key=common.sign_key_at(sign_key),
        cache_bytes=common.cache_bytes(compile_cache, none=no_compile_cache),
        command=("farm", *map(redact, sys.argv[1:])),
    )
    if dry_run:
        from farm.cli.verbs.plan import show_plan

        show_plan(plan, place, options, as_json=progress == "json")
        return
    reports = reports_of(plan, place, summary=summary, junit=junit)
    limit = cache_limit(place.cache)
    outcomes = _run(plan, place, options, progress, reports)
    if not outcomes.stood:
        _keep_within(limit, place)
    if outcomes.stood:
        answer = Answer(out=place.out, progress=progress, units=outcomes.stood)
        remember_all_built(before, sys.argv[1:], answer)
    raise typer.Exit(outcomes.exit_code)


def _keep_within(limit: CacheLimit, place: Workplace) -> None:
    from farm.upkeep.cleaning import keep_within_limit

    freed = keep_within_limit(place.cache)
    if freed:
        from farm.console.words import size

        text = f"used longest ago and let go: {size(freed)} of {place.cache}, which may take"
        typer.echo(f"{text} {size(limit.total_bytes)} (FARM_CACHE_LIMIT)", err=True)


def _caches(option: str, texts: list[str] | None, plan: Plan) -> tuple[LayerCache, ...]:
    if not texts:
        return ()
    from farm.engine.caches import parse_cache, require_apart

    found = tuple(parse_cache(option, text) for text in texts)
    if option == "--cache-to":
        require_apart(found, len(plan.units))
    return found


def _look(until: str | None, only: list[str] | None) -> Look | None:
    """Whether the build ends after configuring."""
    from farm.model.look import Look

    if until not in {None, "configure"}:
        raise UsageError(f"--until {str(until)[:40]!r} is not configure")
    if until is None and not only:
        return None
    try:
        return Look(only=tuple(only or ()))
    except ValueError as error:
        raise UsageError(f"--only: {error}") from error


def _run(
    plan: Plan, place: Workplace, options: BuildOptions, progress: str, reports: Reports | None
) -> Outcomes:
    import threading

    from farm.console.choose import make_view
    from farm.console.gathered import Gathered
    from farm.run.session import build as run_build

    gathered = Gathered()
    with make_view(progress) as view:

        def sink(event: Event) -> None:
            gathered(event)
            view(event)

        outcomes = run_build(plan, place, options, sink, threading.Event())
    if reports:
        _report(reports, gathered, failed=bool(outcomes.exit_code))
    return outcomes


def _report(reports: Reports, gathered: Gathered, *, failed: bool) -> None:
    """Write the reports; that one cannot be written is no reason to hide why a build failed."""
    try:
        reports.write(gathered)
    except FarmError as error:
        if not failed:
            raise
        from farm.console.choose import render_error

        render_error(error, debug=False)
