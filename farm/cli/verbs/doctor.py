"""``farm doctor``: what could go wrong on this machine, and what to do about it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from farm.cli import common


def doctor(
    context: typer.Context,
    output_dir: common.OutputDir = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask nothing on the network.")
    ] = False,
    as_json: common.AsJson = False,
) -> None:
    """Say what could go wrong on this machine, each with its remedy."""
    from farm.load.folders import cache_folder
    from farm.upkeep.checks import Situation, exit_code
    from farm.upkeep.doctor import diagnose

    project = common.project_if_any(context)
    out = output_dir.absolute() if output_dir else project.out if project else None
    checks = diagnose(
        Situation(
            cache=cache_folder(),
            environ=dict(os.environ),
            project=project,
            out=out,
            offline=offline,
        )
    )
    code = exit_code(checks)
    if as_json:
        common.print_json({"exit_code": int(code), "checks": checks})
    else:
        from farm.console.checks import print_checks

        print_checks(checks)
    raise typer.Exit(int(code))
