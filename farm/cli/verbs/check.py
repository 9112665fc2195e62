"""``farm check``: what is in a wheel, and whether it is what it should be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from farm.cli import common
from farm.errors import CheckError, FarmError, SmokeTestError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.attest.beside import Vouched
    from farm.inspect.facts import WheelFacts
    from farm.inspect.findings import Finding
    from farm.model.unit import Unit
    from farm.store.signing import PublicKey

Wheels = Annotated[
    list[Path],
    typer.Argument(metavar="WHEEL...", help="Wheels to look into; no recipe is needed."),
]
As = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="PACKAGE[@VERSION]:VARIANT",
        help="Hold them against what the recipe of this unit promises.",
    ),
]
Thorough = Annotated[
    bool,
    typer.Option("--thorough", help="Disassemble all of the host code, not samples of it."),
]

SmokeTest = Annotated[
    bool,
    typer.Option(
        "--smoke-test",
        help="With --as: install each in a clean container and try it, as a build does.",
    ),
]


def check(
    context: typer.Context,
    wheels: Wheels,
    selector: As = None,
    thorough: Thorough = False,
    smoke_test: SmokeTest = False,
    trust_key: common.TrustKey = None,
    engine: common.Engine = "auto",
    as_json: common.AsJson = False,
) -> None:
    """Say what is in wheels, and refuse those that are unsound."""
    common.known_engine(engine)
    trusted = common.trusted_keys(trust_key)
    if smoke_test and selector is None:
        raise UsageError("--smoke-test needs --as", hint="which recipe's smoke test?")
    try:
        unit = _unit(context, selector) if selector else None
    except FarmError as error:
        error.details += tuple(f"besides, {text}" for text in _unsound(wheels, thorough=thorough))
        raise
    told: list[dict[str, Any]] = []
    refused: list[str] = []
    failed: list[FarmError] = []
    for path in wheels:
        try:
            facts, findings = _look(path, unit, thorough=thorough)
            beside, unfit = _vouched(path, facts, trusted)
        except CheckError as error:
            failed.append(error)
            told.append({"path": str(path), "error": error.message})
            continue
        findings += unfit
        told.append(
            {
                "wheel": facts,
                "oldest_system": _oldest(facts),
                "findings": findings,
                "provenance": beside,
            }
        )
        if not as_json:
            _print(facts, findings, beside)
        wrong = _wrong(path, findings)
        refused += wrong
        if smoke_test and unit and not wrong:
            try:
                told[-1]["smoke_test"] = _try(context, path, unit, engine, as_json=as_json)
            except SmokeTestError as error:
                failed.append(error)
    if as_json:
        common.print_json({"wheels": told})
    if refused or failed:
        raise _refusal(refused, failed, as_json=as_json)


def _unit(context: typer.Context, selector: str) -> Unit:
    """The unit that a selector names.

    Raises:
        UsageError: it names none, or several.
    """
    project = common.project_of(context)
    plan = common.plan_of(project, common.asked([selector], None, None, None), preflight=False)
    units = [unit for unit in plan.units if unit.label in plan.requested]
    if len(units) != 1:
        names = ", ".join(unit.label for unit in units)
        raise UsageError(f"--as {selector} names several units: {names}", hint="name one")
    return units[0]


def _look(
    path: Path, unit: Unit | None, *, thorough: bool
) -> tuple[WheelFacts, tuple[Finding, ...]]:
    from farm.inspect.host_code import ALL_CODE_BYTES, FEW_CODE_BYTES
    from farm.inspect.policy import check_alone
    from farm.inspect.wheel import read_wheel
    from farm.run.acceptance import findings_for

    limit = ALL_CODE_BYTES if thorough or unit else FEW_CODE_BYTES
    facts = read_wheel(path, code_limit_bytes=limit)
    return facts, findings_for(facts, unit) if unit else check_alone(facts)


def _vouched(
    path: Path, facts: WheelFacts, trusted: list[PublicKey]
) -> tuple[Vouched | None, tuple[Finding, ...]]:
    from farm.attest.beside import vouched

    return vouched(path, facts.sha256, trusted)


def _print(facts: WheelFacts, findings: tuple[Finding, ...], beside: Vouched | None) -> None:
    from farm.console.contents import print_contents

    print_contents(facts, findings)
    if beside:
        typer.echo(f"provenance beside it: {beside}")


def _unsound(wheels: list[Path], *, thorough: bool) -> Iterator[str]:
    """What is wrong with wheels whatever they should be, to be told together with the rest."""
    for path in wheels:
        try:
            yield from _wrong(path, _look(path, None, thorough=thorough)[1])
        except CheckError as error:
            yield error.message


def _wrong(path: Path, findings: tuple[Finding, ...]) -> list[str]:
    from farm.inspect.findings import Severity

    errors = [each for each in findings if each.severity is Severity.ERROR]
    return [f"{path.name}: {each.message}" for each in errors]


def _oldest(facts: WheelFacts) -> dict[str, object]:
    """What a system must have; modules and licences are in the facts already."""
    from farm.run.acceptance import contents_of

    contents = contents_of(facts).items()
    return {name: value for name, value in contents if name not in {"modules", "licences"}}


def _try(
    context: typer.Context, path: Path, unit: Unit, engine: str, *, as_json: bool
) -> dict[str, object]:
    from farm.console.choose import make_view
    from farm.run.given import try_given_wheel
    from farm.run.options import BuildOptions

    place = common.workplace_of(context, None)
    with make_view("quiet" if as_json else "auto") as view:
        found = try_given_wheel(unit, path, place, BuildOptions(engine=engine), view)
    if not as_json:
        passed = (str(each["what"]) for each in cast("list[dict[str, str]]", found["passed"]))
        typer.echo(f"smoke test in a clean container: {', '.join(passed)}")
    return found


def _refusal(refused: list[str], failed: list[FarmError], *, as_json: bool) -> FarmError:
    """What the process ends with; what the tables say already is not said again."""
    if len(failed) == 1 and not refused:
        return failed[0]
    lines = [*(refused if as_json else ()), *(each.message for each in failed)]
    return CheckError("not every wheel is what it should be", details=lines)
