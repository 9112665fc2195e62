"""Runs mmdebstrap in the toolbox and turns what it writes into a base."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from farm.debian import apt, archive, oci, toolbox
from farm.errors import BaseError, FarmError
from farm.events import TaskProgress
from farm.host import programs

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from farm.debian.rootfs import RootfsSpec
    from farm.debian.toolbox import Toolbox
    from farm.events import Sink

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

# The mirror and apt's settings may name hosts or even hold passwords: they must
# not travel in an image, nor change its digest.
_FORGOTTEN = (
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/*",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/resolv.conf",
    "etc/hostname",
)

_STEPS = 9
"""Lines of progress that mmdebstrap 1.5 writes."""

_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""Debian's keys inside the toolbox: as new as its packages."""


def make(
    spec: RootfsSpec,
    folder: Path,
    tools: Toolbox,
    sink: Sink,
    *,
    cancel: threading.Event | None = None,
) -> None:
    """Bootstrap into ``folder``, which appears whole or not at all.

    Raises:
        BaseError: A package does not exist, or the mirror cannot be reached.
        StorageError: The disk is full.
        OSError: Likewise, in the last steps.
    """
    work = folder.with_suffix(".part")
    result = work / "result"
    for path in (work, result):
        path.mkdir()
        path.chmod(0o755)  # apt inside fetches as a user of its own
    _run(spec, work, tools, sink, cancel=cancel)
    ids = oci.write_archive(
        work / "layer.tar",
        result / "image.tar",
        name=f"farm-base:{spec.suite}",
        comment=f"farm: bootstrapped from Debian {spec.suite}",
    )
    facts = {
        "key": spec.key,
        "suite": spec.suite,
        "snapshot": spec.snapshot,
        "origin": "snapshot" if spec.snapshot else "mirror",
        "digest": ids.layer,
        "image_id": ids.config,
        "manifest_digest": ids.manifest,
        "tag": ids.tag,
        "size_bytes": (result / "image.tar").stat().st_size,
        "packages": installed((work / "status").read_text(encoding="utf-8")),
    }
    (result / "base.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    result.rename(folder)
    shutil.rmtree(work)


def installed(status: str) -> list[tuple[str, str]]:
    """Return name and version of every installed package of a dpkg status file, sorted."""
    found = []
    for stanza in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", stanza, re.MULTILINE))
        if fields.get("Status") == "install ok installed":
            found.append((fields["Package"], fields["Version"]))
    return sorted(found)


def command(spec: RootfsSpec) -> tuple[str, ...]:
    """Return mmdebstrap's command line; its work folder is ``/mnt/work``."""
    settings = [line.removesuffix(";") for line in archive.network_settings(host_files=False)]
    forget = " ".join(f'"$1"/{name}' for name in _FORGOTTEN)
    snapshot = f" snapshot={spec.snapshot}" if spec.snapshot else ""
    components = " ".join(("main", *spec.components))
    return (
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar"),
        *(f"--include={name}" for name in spec.packages),
        *(f"--aptopt={line}" for line in settings),
        '--aptopt=Acquire::Retries "3"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in (*LEFT_OUT, *spec.exclude_paths)),
        *(f"--dpkgopt=path-include={pattern}" for pattern in KEPT),
        '--customize-hook=cp "$1"/var/lib/dpkg/status /mnt/work/status',
        f"--customize-hook=rm -f {forget}",
        *(spec.suite, "/mnt/work/layer.tar"),
        f"deb [signed-by={_KEYS}{snapshot}] {archive.mirror()} {spec.suite} {components}",
    )


def _run(
    spec: RootfsSpec,
    work: Path,
    tools: Toolbox,
    sink: Sink,
    *,
    cancel: threading.Event | None,
) -> None:
    task = f"bootstrap Debian {spec.suite}"
    env = {
        **toolbox.host_environment(),
        "SOURCE_DATE_EPOCH": str(EPOCH_S),
        "TMPDIR": "/mnt/work",  # on disk: the tree would take gigabytes of memory in /tmp
    }
    steps = 0

    def progress(line: str) -> None:
        nonlocal steps
        if line.startswith("I: "):
            steps = min(steps + 1, _STEPS)
            sink(TaskProgress(task=task, done=steps, total=_STEPS, unit_of_measure="steps"))

    inside = tools.inside(command(spec), folders={"work": work})
    done = programs.run(inside, env=env, merged=True, cancel=cancel, on_line=progress)
    sink(
        TaskProgress(task=task, done=_STEPS, total=_STEPS, unit_of_measure="steps", finished=True)
    )
    if done.status:
        log = work / "mmdebstrap.log"
        with suppress(OSError):  # the disk may be full
            log.write_text(archive.shown(done.text), encoding="utf-8")
        raise explain(done.text, spec, log=log)


def explain(text: str, spec: RootfsSpec, *, log: Path) -> FarmError:
    """Return what mmdebstrap's complaint means for the user."""
    if apt.said_full(text):
        return apt.full_disk(log.parent)
    missing = re.findall(
        r"E: Unable to locate package (\S+)|E: Package '(\S+)' has no installation candidate",
        text,
    )
    if missing:
        names = ", ".join(sorted({one or other for one, other in missing}))
        return BaseError(
            f"Debian {spec.suite} has no package {names}",
            hint="correct the packages of the recipe, its toolchain or its base",
        )
    wrong = [line for line in apt.last_lines(text, 1000) if re.match(r"(E|Err|W):", line)]
    details = tuple(wrong[-6:]) or apt.last_lines(text)
    unreachable = r"Failed to fetch|Could not resolve|Could not connect|Unable to connect"
    if re.search(unreachable, text):
        where = "the snapshot archive" if spec.snapshot else archive.mirror()
        return BaseError(
            f"cannot fetch Debian {spec.suite} from {archive.shown(where)}",
            hint=f"check network and proxy settings, or set {archive.MIRROR_VARIABLE}",
            details=details,
        )
    return BaseError(
        f"cannot bootstrap Debian {spec.suite}", hint=f"the whole log: {log}", details=details
    )
