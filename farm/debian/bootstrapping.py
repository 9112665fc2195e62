"""Runs mmdebstrap in the toolbox and turns what it writes into a base."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from farm.debian import oci, toolbox
from farm.errors import BaseError, FarmError
from farm.events import TaskProgress
from farm.host import programs
from farm.host.files import full_disk, link, says_full, sync_tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from farm.debian.toolbox import Toolbox
    from farm.events import Sink
    from farm.host.programs import Cancel
    from farm.model.debian import ResolvedBase

EPOCH_S = 1_704_067_200
"""SOURCE_DATE_EPOCH of every base: 2024-01-01.  What is made during the bootstrap gets it."""

LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
    "/usr/bin/*lto-dump*",
)
KEPT = ("/usr/share/doc/*/copyright",)

# What is of the machine, and of the bootstrap, does not travel in an image.
_FORGOTTEN = (
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/*",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/resolv.conf",
    "etc/hostname",
)

_STEPS = 9
"""Lines of progress that mmdebstrap 1.5 writes."""

# Run in a folder of packages that are called <sha256>.deb: apt checks each against its name.
_INDEX = r"""
for file in *.deb; do
  dpkg-deb -f "$file" || exit 1
  printf 'Filename: ./%s\nSize: %s\n' "$file" "$(stat -c %s "$file")"
  printf 'SHA256: %s\n\n' "${file%.deb}"
done
"""


def make(  # noqa: PLR0913 - what it is made of, where, and how it is told
    resolved: ResolvedBase,
    deb_paths: Mapping[str, Path],
    folder: Path,
    tools: Toolbox,
    sink: Sink,
    *,
    cancel: Cancel | None = None,
) -> None:
    """Bootstrap into ``folder``, which appears whole or not at all; no network is asked.

    Raises:
        BaseError: The packages do not install.
        StorageError: The disk is full.
        OSError: Likewise, in the first and last steps.
    """
    work = folder.with_suffix(".part")
    result = work / "result"
    repository = work / "repository"
    for path in (work, result, repository):
        path.mkdir(parents=True)
        path.chmod(0o755)
    for deb in resolved.debs:
        link(deb_paths[deb.sha256], repository / f"{deb.sha256}.deb")
    _run(resolved, work, tools, sink, cancel=cancel)
    check(resolved, (work / "status").read_text(encoding="utf-8"))
    ids = oci.write_archive(
        work / "layer.tar",
        result / "image.tar",
        tag=resolved.tag,
        comment=f"farm: bootstrapped from Debian {resolved.suite}",
    )
    facts = {
        "image_id": ids.config,
        "manifest_digest": ids.manifest,
        "size_bytes": (result / "image.tar").stat().st_size,
    }
    (result / "base.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    sync_tree(result)
    result.rename(folder)
    shutil.rmtree(work)


def check(resolved: ResolvedBase, status: str) -> None:
    """Hold a dpkg status file against what was to be installed.

    Raises:
        BaseError: Something is missing, or more than was asked for.
    """
    asked = sorted((deb.name, deb.version) for deb in resolved.debs)
    differing = sorted(set(asked) ^ set(installed(status)))
    if differing:
        names = ", ".join(f"{name} {version}" for name, version in differing[:5])
        raise BaseError(
            f"the bootstrap of {resolved.tag} did not install exactly its packages: {names}",
            hint="renew its lock: farm lock --bases",
        )


def installed(status: str) -> list[tuple[str, str]]:
    """Return name and version of every installed package of a dpkg status file, sorted."""
    found = []
    for stanza in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", stanza, re.MULTILINE))
        if fields.get("Status") == "install ok installed":
            found.append((fields["Package"], fields["Version"]))
    return sorted(found)


def command(resolved: ResolvedBase) -> tuple[str, ...]:
    """Return mmdebstrap's command line; its work folder is ``/mnt/work``.

    Every package is named, so that apt has nothing to choose.
    """
    forget = " ".join(f'"$1"/{name}' for name in _FORGOTTEN)
    left_out = (*LEFT_OUT, *resolved.exclude_paths)
    return (
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar"),
        *(f"--include={deb.name}" for deb in resolved.debs),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in left_out),
        *(f"--dpkgopt=path-include={pattern}" for pattern in KEPT),
        '--customize-hook=cp "$1"/var/lib/dpkg/status /mnt/work/status',
        f"--customize-hook=rm -f {forget}",
        *("", "/mnt/work/layer.tar", "deb [trusted=yes] copy:/mnt/work/repository ./"),
    )


def _run(
    resolved: ResolvedBase, work: Path, tools: Toolbox, sink: Sink, *, cancel: Cancel | None
) -> None:
    task = f"bootstrap Debian {resolved.suite}"
    env = toolbox.host_environment()
    steps = 0

    def progress(line: str) -> None:
        nonlocal steps
        if line.startswith("I: "):
            steps = min(steps + 1, _STEPS)
            sink(TaskProgress(task=task, done=steps, total=_STEPS, unit_of_measure="steps"))

    repository = work / "repository"
    indexed = programs.run(("sh", "-c", _INDEX), env=env, cwd=repository, cancel=cancel)
    if indexed.status:
        raise explain(indexed.complaint, resolved, work)
    index = repository / "Packages"
    index.write_bytes(indexed.output)
    index.chmod(0o644)  # apt inside reads as a user of its own
    env["SOURCE_DATE_EPOCH"] = str(EPOCH_S)
    env["TMPDIR"] = "/mnt/work"  # on disk: the tree would take gigabytes of memory in /tmp
    inside = tools.inside(command(resolved), folders={"work": work})
    done = programs.run(inside, env=env, merged=True, cancel=cancel, on_line=progress)
    sink(
        TaskProgress(task=task, done=_STEPS, total=_STEPS, unit_of_measure="steps", finished=True)
    )
    if done.status:
        raise explain(done.text, resolved, work)


def explain(text: str, resolved: ResolvedBase, work: Path) -> FarmError:
    """Return what a complaint means for the user; the whole of it is kept in ``work``."""
    if says_full(text):
        return full_disk(work)
    log = work / "mmdebstrap.log"
    with suppress(OSError):  # the disk may be full
        log.write_text(text, encoding="utf-8")
    wrong = [line for line in programs.last_lines(text, 1000) if re.match(r"(E|Err|W):", line)]
    return BaseError(
        f"cannot bootstrap {resolved.tag}",
        hint=f"the whole log: {log}",
        details=tuple(wrong[-6:]) or programs.last_lines(text, 8),
    )
