"""A child pipeline for GitLab CI: a job for each that has to build, with what it needs.

Limits: https://docs.gitlab.com/ci/pipelines/downstream_pipelines/ and
https://docs.gitlab.com/administration/instance_limits/ (5 MB), and
https://docs.gitlab.com/ci/yaml/#needs (50 for each job).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farm.errors import UsageError

if TYPE_CHECKING:
    from farm.ci.named import NamedJob

MOST_BYTES = 5_000_000
MOST_NEEDS = 50
BUILD, COLLECT = ".farm-build", ".farm-collect"
"""What jobs extend: defined in the file that is included beside this pipeline."""
_HEAD = "# Made by 'farm matrix --format gitlab': the jobs for what is not built yet.\n"


def pipeline(jobs: tuple[NamedJob, ...]) -> str:
    """The YAML of a child pipeline; its last job comes after all others.

    Raises:
        UsageError: it would be beyond GitLab's limits.
    """
    import yaml

    for job in jobs:
        if len(job.needs) > MOST_NEEDS:
            raise UsageError(
                f"{job.name} needs {len(job.needs)} jobs, but GitLab allows {MOST_NEEDS}",
                hint="pack what it needs into fewer jobs: --jobs N",
            )
    levels = sorted({job.level for job in jobs})
    whole: dict[str, Any] = {"stages": [*(f"level-{level}" for level in levels), "collect"]}
    whole |= {job.name: _job(job) for job in jobs}
    whole["collect"] = {"extends": COLLECT, "stage": "collect"}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # of libyaml, where PyYAML has it
    text = _HEAD + yaml.dump(whole, Dumper=dumper, sort_keys=False, width=100)
    size = len(text.encode())
    if size > MOST_BYTES:
        raise UsageError(
            f"the child pipeline would have {size:,} bytes, but GitLab reads {MOST_BYTES:,}",
            hint="pack more units into a job: --jobs N",
        )
    return text


def _job(job: NamedJob) -> dict[str, Any]:
    found: dict[str, Any] = {
        "extends": BUILD,
        "stage": f"level-{job.level}",
        "needs": list(job.needs),
        "variables": {"UNITS": " ".join(job.units), "JOB_ID": job.id},
    }
    return found | ({"tags": list(job.runner)} if job.runner else {})
