"""Hold what a build brought out against what its recipe promises."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from farm.errors import CheckError
from farm.inspect import floors
from farm.inspect.compilers import check_compilers
from farm.inspect.findings import Severity
from farm.inspect.policy import Asked, check
from farm.inspect.wheel import read_wheel
from farm.run.settle import expectation
from farm.store.record import WheelFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.inspect.facts import WheelFacts
    from farm.inspect.findings import Finding
    from farm.model.compiler import Compiler
    from farm.model.unit import Unit
    from farm.store.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A wheel that may be served, warnings about it, what it holds, and how it was tried."""

    wheel: WheelFile
    warnings: tuple[str, ...]
    contents: dict[str, object]
    tried: dict[str, object] = field(default_factory=dict)


def accept(
    exported: Path, unit: Unit, *, aside: Path, compilers: tuple[Compiler, ...] = ()
) -> Accepted:
    """The one wheel that a build brought out.

    ``compilers`` are those that the build really used.
    A wheel that is refused is moved to ``aside``, where it can be looked at but
    is never served.

    Raises:
        CheckError: no wheel, several, or one that is not what was asked for.
    """
    paths = sorted(exported.glob("*.whl"))
    if len(paths) != 1:
        names = ", ".join(path.name for path in paths) or "none"
        raise CheckError(f"expected one wheel, got {names}", step="check")
    facts = read_wheel(paths[0])
    findings = _findings(facts, unit, compilers)
    wrong = _errors(findings)
    if wrong:
        raise _refused(paths[0], wrong, aside)
    warnings = [*(finding.message for finding in findings), *_of_its_sbom(paths[0])]
    wheel = WheelFile(filename=paths[0].name, sha256=facts.sha256, size_bytes=facts.size_bytes)
    return Accepted(
        wheel=wheel,
        warnings=tuple(warnings),
        contents=contents_of(facts),
    )


def _of_its_sbom(wheel: Path) -> Iterator[str]:
    """What is wrong with the SBOM in a wheel: no reason to throw a build of hours away."""
    from farm.attest.sbom import embedded, fault_of  # 0.2 s

    text = embedded(wheel)
    fault = fault_of(text) if text else "there is none (farm.cdx.json)"
    if fault:
        yield f"the SBOM in {wheel.name} is not what it should be: {fault}"


def still_accepted(record: Record, unit: Unit, folder: Path) -> Record:
    """The record of a result, after another look where something else is expected by now.

    What is expected changes nothing in a build, so it is no part of the identity:
    a result that is found again may have been held against less.

    Raises:
        CheckError: it is not what the recipe promises now; it stays where it is.
    """
    expected = expectation(unit)
    if record.expected == expected:
        return record
    facts = read_wheel(folder / record.wheels[0].filename)
    wrong = _errors(_findings(facts, unit, record.compilers))
    if wrong:
        raise CheckError(
            f"{record.wheels[0].filename}, built before, is not what the recipe promises now",
            details=[finding.message for finding in wrong],
            hint=f"it stays in {folder}; change what the recipe builds, or what it expects",
            step="check",
        )
    return replace(record, expected=expected, contents=contents_of(facts))


def _findings(
    facts: WheelFacts, unit: Unit, compilers: tuple[Compiler, ...]
) -> tuple[Finding, ...]:
    return (*check_compilers(compilers, unit.host_compiler), *findings_for(facts, unit))


def _errors(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def findings_for(facts: WheelFacts, unit: Unit) -> tuple[Finding, ...]:
    """Everything in which a wheel is not what a unit promises."""
    asked = Asked(
        package=unit.key.package,
        version=unit.key.version,
        python=unit.python,
        accelerator=unit.accelerator,
        archs=unit.archs,
        glibc=unit.lock_inputs.glibc,
    )
    return check(facts, unit.expected, asked)


def contents_of(facts: WheelFacts) -> dict[str, object]:
    """What a wheel holds, as it stands in its record and in what ``farm check`` prints."""
    return {
        "glibc": floors.floor(facts.modules, "GLIBC"),
        "libstdcxx": floors.floor(facts.modules, "GLIBCXX"),
        "manylinux": floors.manylinux(facts.modules) if facts.modules else "",
        "licences": list(facts.licences),
        "modules": [asdict(module) for module in facts.modules],
    }


def _refused(wheel: Path, wrong: list[Finding], aside: Path) -> CheckError:
    return CheckError(
        f"{wheel.name} is not what the recipe promises",
        details=[finding.message for finding in wrong],
        hint=put_aside(wheel, aside),
        step="check",
    )


def put_aside(wheel: Path, aside: Path) -> str:
    """Move a wheel to where it is never served, but can be looked at; says so."""
    aside.mkdir(exist_ok=True)
    shutil.move(wheel, aside / wheel.name)
    return f"the wheel was put aside in {aside}"
