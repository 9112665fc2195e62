"""``farm bisect``: which of several changes breaks a wheel."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common
from farm.errors import UsageError

if TYPE_CHECKING:
    from farm.load.project import Project
    from farm.repro.bisect import Found, State
    from farm.repro.tries import Try

Good = Annotated[str, typer.Argument(help="A unit that works, or a commit.")]
Bad = Annotated[str, typer.Argument(help="The same package, broken, or a commit.")]
Check = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- check...]",
        help="Judges a wheel, whose path is in FARM_WHEEL: ends with 0 if it is good.",
        show_default=False,
    ),
]


def bisect(
    context: typer.Context,
    good: Good,
    bad: Bad,
    check: Check = None,
    about: Annotated[
        str,
        typer.Option("--unit", help="What it is about, where GOOD and BAD are git's commits."),
    ] = "",
    max_jobs: common.MaxJobs = None,
    nvcc_threads: common.NvccThreads = None,
    memory: common.Memory = None,
    engine: common.Engine = "auto",
    offline: common.Offline = False,
    locked: common.Locked = False,
    source_mirror: common.SourceMirror = None,
    progress: Annotated[
        str, typer.Option("--progress", help="Of the builds: auto, plain or quiet.")
    ] = "quiet",
    as_json: common.AsJson = False,
) -> None:
    """Find the fewest changes that, together, break a wheel."""
    import threading

    from farm.console.choose import make_view
    from farm.repro.bisect import Bisection, Means

    place = common.workplace_of(context, None)
    options = common.options_for_one(
        max_jobs=max_jobs,
        nvcc_threads=nvcc_threads,
        memory=memory,
        engine=engine,
        offline=offline,
        locked=locked,
        source_mirror=source_mirror,
    )
    with ExitStack() as held, make_view(progress) as view:
        means = Means(
            check=tuple(check or ()),
            options=options,
            sink=view,
            on_try=_silent if as_json else _tell,
            cancel=threading.Event(),
        )
        first, second = (_state(held, place.project, word, about) for word in (good, bad))
        found = Bisection(first, second, place, means).run()
    _show(found, as_json=as_json)


def _state(held: ExitStack, project: Project, word: str, about: str) -> State:
    """What a word of the command line names: a unit of today, or that of a commit."""
    from farm.repro.bisect import State
    from farm.source.commit import project_at

    text = about or word
    if about:
        project = held.enter_context(project_at(project, word))
    plan = common.plan_of(project, common.Asked(selectors=(text,)), preflight=False)
    if len(plan.requested) != 1:
        raise UsageError(f"{text} names {len(plan.requested)} units: a bisection is about one")
    units = {unit.label: unit for unit in plan.units}
    unit = units.pop(next(iter(plan.requested)))
    return State(unit=unit, needed=tuple(units.values()))


def _silent(tried: Try) -> None:
    del tried


def _tell(tried: Try) -> None:
    what = ", ".join(tried.changes) or "no change"
    what += f", {tried.only.rpartition('/')[2]} alone" if tried.only else ""
    said = f"  ({tried.message})" if tried.message else ""
    typer.echo(f"{tried.verdict}: {what}{said}")


def _show(found: Found, *, as_json: bool) -> None:
    if as_json:
        common.print_json(found)
        return
    count = len(found.guilty)
    head = "this change breaks it" if count == 1 else f"these {count} changes break it together"
    typer.echo(f"\n{head} ({len(found.tries)} states tried):")
    for change in found.guilty:
        typer.echo(f"  {change}")
