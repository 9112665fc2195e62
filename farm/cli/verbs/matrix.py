"""``farm matrix``: the jobs of a CI service for what is not built yet."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common, shared

if TYPE_CHECKING:
    from farm.ci.missing import Missing
    from farm.ci.named import NamedJob


class Format(StrEnum):
    """How the jobs are told."""

    GITHUB = "github"
    GITLAB = "gitlab"
    JSON = "json"


def matrix(
    context: typer.Context,
    selectors: common.Selectors = None,
    variant: common.Variants = None,
    feature: common.Features = None,
    python: common.Python = None,
    output_dir: common.OutputDir = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="For a GitHub workflow, a GitLab child pipeline, or plain."),
    ] = Format.JSON,
    changed_since: Annotated[
        str | None,
        typer.Option(
            "--changed-since",
            metavar="commit",
            help="Only units whose inputs changed since this commit, branch or tag.",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Jobs of each level, about equally long.  [default: one "
            "for each unit]"
        ),
    ] = None,
    levels: Annotated[
        int | None,
        typer.Option(
            "--levels", min=1, help="Levels of jobs that wait for each other.  [default: 3 for "
            "github, else as many as it takes]"
        ),
    ] = None,
    runner: Annotated[
        list[str] | None,
        typer.Option(
            "--runner", envvar="FARM_RUNNER", metavar="label", help="Label of the machine for "
            "units whose recipe names none; may be repeated.  [default: self-hosted for github]"
        ),
    ] = None,
    locked: common.Locked = False,
    results: shared.Results = None,
    trust_key: shared.TrustKey = None,
    no_preflight: common.NoPreflight = False,
) -> None:  # fmt: skip
    """Hand out what is not built yet to the jobs of a CI service."""
    from farm.ci import github
    from farm.ci.missing import missing_units
    from farm.ci.named import named
    from farm.ci.packing import pack
    from farm.run.options import BuildOptions
    from farm.run.sharing import open_shared

    place = common.workplace_of(context, output_dir)
    names = selectors or place.project.own_recipes()
    wanted = common.asked(names, variant, feature, python)
    plan = common.plan_of(place.project, wanted, preflight=not no_preflight)
    among = None
    if changed_since is not None:
        from farm.ci.since import changed

        among = changed(plan, place, changed_since)
    labels = checked_labels(runner or ())
    if form is Format.GITHUB:
        labels, levels = labels or github.RUNNER, levels or github.LEVELS
    there = shared.shared_of(results, trust_key, read_only=True)
    options = BuildOptions(locked=locked, results=there)
    asked = open_shared(options, shared.tell)
    units = missing_units(plan, place, options, runner=labels, among=among, shared=asked)
    _print(form, named(pack(units, jobs=jobs, levels=levels)), units, levels or 1)


def checked_labels(labels: list[str] | tuple[()]) -> tuple[str, ...]:
    """The labels of ``--runner``, each as a recipe may have it.

    Raises:
        UsageError: one is none.
    """
    from pydantic import TypeAdapter, ValidationError

    from farm.errors import UsageError
    from farm.model.strict import RunnerLabel

    for label in labels:
        try:
            TypeAdapter(RunnerLabel).validate_python(label)
        except ValidationError as error:
            raise UsageError(f"--runner: {error.errors()[0]['msg']}") from error
    return tuple(labels)


def _print(
    form: Format, jobs: tuple[NamedJob, ...], units: tuple[Missing, ...], levels: int
) -> None:
    if form is Format.JSON:
        common.print_json({"jobs": jobs, "units": units})
    elif form is Format.GITLAB:
        from farm.ci.gitlab import pipeline

        typer.echo(pipeline(jobs), nl=False)
    else:
        from farm.ci import github

        values = github.outputs(jobs, levels=levels)
        typer.echo(values["matrix"])
        if os.environ.get("GITHUB_OUTPUT"):
            github.write_outputs(values, Path(os.environ["GITHUB_OUTPUT"]))
