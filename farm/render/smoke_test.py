"""The Dockerfile and the context in which a unit's wheel is tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.render.context import (
    PATHS,
    Entry,
    digests_of,
    pin_entries,
    program_entries,
    requirement_lines,
    text_entry,
    wheel_entries,
)
from farm.render.dockerfile import render_template

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model.unit import SmokeTest, Unit
    from farm.render.context import Wheel

SCRIPT = f"{PATHS.smoke}/script.py"
"""Where the recipe's script lies in the context."""
DRIVER_FOLDER = "/farm/driver"
"""Where a container with a GPU has the libraries of its driver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeTestBuild:
    """A wheel and what it is tried with.

    ``clean`` is the image of the clean container, ``build`` the one that the wheel was
    built in, if `takes_build_base`; ``needed`` are wheels of other units.
    """

    unit: Unit
    smoke_test: SmokeTest
    wheel: Wheel
    needed: tuple[Wheel, ...]
    clean: str
    build: str


def takes_build_base(unit: Unit, test: SmokeTest) -> bool:
    """Whether libraries of a toolkit are taken from the build's base, or empty ones made there."""
    return bool(unit.toolkit or test.stubs or test.drivers)


def render_smoke_test(trial: SmokeTestBuild, templates: tuple[Path, ...]) -> str:
    """The text of the Dockerfile; see `farm.render.dockerfile.render`."""
    return render_template(
        "smoke_test.dockerfile.j2",
        templates,
        unit=trial.unit,
        smoke_test=trial.smoke_test,
        wheel=trial.wheel,
        clean=trial.clean,
        build=trial.build,
        context=PATHS,
        digests=digests_of(smoke_test_entries(trial)),
        driver=DRIVER_FOLDER,
    )


def smoke_test_entries(trial: SmokeTestBuild) -> tuple[Entry, ...]:
    """Every file of the context, sorted by where it lies."""
    test = trial.smoke_test
    wheels = (trial.wheel, *trial.needed)
    sources = [source for source in trial.unit.sources if source.kind == "wheel"]
    lines = requirement_lines(test.lock, wheels, sources)
    programs = ["step.py", "smoke.py"]
    programs += ["stubs.py"] if test.stubs or test.drivers else []
    programs += ["toolkit.py"] if trial.unit.toolkit else []
    entries = [
        *program_entries(programs),
        text_entry(f"{PATHS.wheels}/requirements.txt", lines),
        *pin_entries(test.lock.pins if test.lock else (), PATHS.wheels),
        *pin_entries(trial.unit.toolkit.wheels if trial.unit.toolkit else (), PATHS.toolkit),
        *wheel_entries(wheels),
        *(
            Entry(target=f"{PATHS.wheels}/{s.filename}", digest=s.digest, origin="store")
            for s in sources
        ),
    ]
    entries += [text_entry(SCRIPT, test.script)] if test.script else []
    return tuple(sorted(entries, key=lambda entry: entry.target))
