"""``farm show``: one recipe with the reason of each setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from farm.cli import common

if TYPE_CHECKING:
    from farm.model.unit import Unit


def show(
    context: typer.Context,
    selectors: common.Selectors = None,
    variant: common.Variants = None,
    feature: common.Features = None,
    python: common.Python = None,
    as_json: common.AsJson = False,
) -> None:
    """Show units whole, and why each setting is as it is."""
    project = common.project_of(context)
    wanted = common.asked(selectors, variant, feature, python)
    plan = common.plan_of(project, wanted, preflight=False)
    units = [unit for unit in plan.units if unit.label in plan.requested]
    if as_json:
        common.print_json({"units": units})
        return
    for number, unit in enumerate(units):
        if number:
            typer.echo()
        _print(unit)


def _print(unit: Unit) -> None:
    typer.secho(unit.label, bold=True)
    for of_what, text in unit.about:
        typer.echo(f"  {of_what:13} {text}")
    typer.echo(f"  accelerator   {unit.accelerator} {' '.join(unit.archs)}".rstrip())
    typer.echo(f"  toolchain     {unit.toolchain}, host compiler {'-'.join(unit.host_compiler)}")
    typer.echo(f"  base          {unit.base.name}, Python {unit.python}")
    for text in unit.refused:
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
    if unit.expected.extensions is not None:
        listed = ", ".join(unit.expected.extensions) or "none"
        typer.echo(f"  extensions    {listed}")
    _print_reasons(unit)


def _print_reasons(unit: Unit) -> None:
    told = [reason for reason in unit.reasons if reason.reason]
    if told:
        typer.secho("  reasons", bold=True)
    for reason in told:
        typer.echo(f"    {reason.setting} = {reason.value}")
        checked = f" (verified: {reason.verified})" if reason.verified else ""
        typer.echo(f"      {reason.reason}{checked}")
