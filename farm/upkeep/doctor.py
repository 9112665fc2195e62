"""All checks, in the order in which a build would meet what they look at."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from farm.engine.probe import ProbeReport, probe_user_engine
from farm.errors import ExitCode, FarmError
from farm.upkeep import engines, environment, machine, network, project
from farm.upkeep.checks import problem, refused
from farm.upkeep.later import later

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from farm.upkeep.checks import Check, Situation

_REACH_S = 3.0
"""For the user's Docker to answer at all."""
_WAIT_S = 60.0
"""For the trial build on the user's Docker; it takes less than a second where all is well."""


def diagnose(situation: Situation) -> tuple[Check, ...]:
    """Look at everything; what takes time is looked at at the same time.

    Nothing is changed, and nothing is started but clients.
    """
    user = later(partial(probe_user_engine, timeout_s=_REACH_S))
    net = later(lambda: tuple(_all("network", network.checks(situation))))
    first = (
        *_all("machine", machine.checks(situation)),
        *_all("environment", environment.checks(situation.environ)),
    )
    last = tuple(_all("project", project.checks(situation.project)))
    middle = tuple(_all("engines", engines.checks(situation, _probed(user))))
    return (*first, *middle, *net.result(), *last)


def _all(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """The checks, and what kept the rest of them from being made."""
    try:
        yield from checks
    except FarmError as error:
        yield refused(name, error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remedy = "change its rights, or run farm as somebody who may"
        yield problem(name, f"{where}{error.strerror or error}", remedy, ExitCode.STORAGE)


def _probed(user: Future[ProbeReport]) -> ProbeReport:
    try:
        return user.result(timeout=_WAIT_S)
    except TimeoutError:
        return ProbeReport(found=False, detail=f"its trial build hangs for {_WAIT_S:g} s")
