"""``farm show``: one recipe with the reason of each setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from farm.cli import common

if TYPE_CHECKING:
    from farm.model.unit import Unit
    from farm.plan.reasons import Explanation


def show(
    context: typer.Context,
    selectors: common.Selectors = None,
    variant: common.Variants = None,
    feature: common.Features = None,
    python: common.Python = None,
    as_json: common.AsJson = False,
) -> None:
    """Show units whole, and why each setting is as it is."""
    from farm.load.library import gather
    from farm.plan.reasons import explain

    project = common.project_of(context)
    wanted = common.asked(selectors, variant, feature, python)
    plan = common.plan_of(project, wanted, preflight=False)
    units = [unit for unit in plan.units if unit.label in plan.requested]
    library = gather(project, {unit.key.package for unit in units})
    explained = {unit.label: explain(library, unit) for unit in units}
    if as_json:
        told = {"units": units, "explained": explained, "refused": plan.refused}
        common.print_json(told)
        return
    for number, unit in enumerate(units):
        if number:
            typer.echo()
        _print(unit, explained[unit.label], plan.refused.get(unit.label, ()))


def _print(unit: Unit, explained: Explanation, refused: tuple[str, ...]) -> None:
    typer.secho(unit.label, bold=True)
    for of_what, text in explained.about:
        typer.echo(f"  {of_what:13} {text}")
    typer.echo(f"  accelerator   {unit.accelerator} {' '.join(unit.archs)}".rstrip())
    typer.echo(f"  toolchain     {unit.toolchain}, host compiler {'-'.join(unit.host_compiler)}")
    typer.echo(f"  base          {unit.base.name}, Python {unit.python}")
    for text in refused:
        typer.echo(f"  refused       {text}")
    gib = unit.jobs.memory_per_job_bytes / 2**30
    typer.echo(
        f"  memory        {gib:g} GiB per compile job: {unit.jobs.reason or 'no reason given'}"
    )
    for source in (unit.source, *unit.sources):
        typer.echo(f"  source        {source.name}  {source.digest}  {source.url}".rstrip())
    for need in unit.needs:
        typer.echo(f"  needs         {need.label}")
    for patch in unit.patches:
        typer.echo(f"  patch         {patch.path.name} (on {patch.source})")
        typer.echo(f"                why: {patch.why}")
        typer.echo(f"                upstream: {patch.upstream}; goes when: {patch.remove_when}")
    for edit in unit.edits:
        typer.echo(f"  edit          {edit.source}/{edit.file}: {edit.replace!r} → {edit.by!r}")
    for name, value in unit.env:
        typer.echo(f"  env           {name}={value}")
    if unit.runner:
        typer.echo(f"  runner        {', '.join(unit.runner)}")
    if unit.expected.extensions is not None:
        listed = ", ".join(unit.expected.extensions) or "none"
        typer.echo(f"  extensions    {listed}")
    _print_reasons(explained)


def _print_reasons(explained: Explanation) -> None:
    told = [reason for reason in explained.reasons if reason.reason]
    if told:
        typer.secho("  reasons", bold=True)
    for reason in told:
        typer.echo(f"    {reason.setting} = {reason.value}")
        checked = f" (verified: {reason.verified})" if reason.verified else ""
        typer.echo(f"      {reason.reason}{checked}")
