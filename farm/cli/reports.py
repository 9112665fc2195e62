"""Reports of a run for whoever was not there: Markdown and JUnit XML, where they are asked for."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.console.gathered import Gathered
    from farm.plan.plan import Plan
    from farm.run.options import Workplace

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""Names the file that GitHub Actions shows as a step's summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Files that tell of a run; ``page`` is a service's, to which is only added.

    ``forecasts`` are seconds by label, as they were known before the run.
    """

    summary: Path | None
    junit: Path | None
    page: Path | None
    forecasts: Mapping[str, float]

    def write(self, gathered: Gathered) -> None:
        """Write what is asked for.

        Raises:
            StorageError: the disk is full, or a file cannot be written.
        """
        from farm.ci.github import append
        from farm.console.junit import junit
        from farm.console.markdown import MOST_BYTES, MarkdownReport
        from farm.host.files import write_whole

        report = MarkdownReport(gathered=gathered, forecasts=self.forecasts, here=Path.cwd())
        if self.junit:
            write_whole(self.junit, junit(gathered))
        if self.summary:
            write_whole(self.summary, report.text())
        if self.page:
            size = 0
            with suppress(OSError):
                size = self.page.stat().st_size
            append(report.text(MOST_BYTES - size), self.page)


def reports_of(
    plan: Plan, place: Workplace, *, summary: Path | None, junit: Path | None
) -> Reports | None:
    """The reports that are asked for, by options or by the service; None if there are none.

    Raises:
        UsageError: one is to be written where there is a folder.
    """
    from farm.run.estimates import recorded_s

    named = os.environ.get(STEP_SUMMARY)
    if not (summary or junit or named):
        return None
    for option, path in (("--summary", summary), ("--junit", junit)):
        if path and path.is_dir():
            raise UsageError(f"{option}: {path} is a folder", hint="name a file")
    known = ((unit.label, recorded_s(unit.key, place)) for unit in plan.units)
    return Reports(
        summary=summary,
        junit=junit,
        page=Path(named) if named else None,
        forecasts={label: seconds for label, seconds in known if seconds},
    )
