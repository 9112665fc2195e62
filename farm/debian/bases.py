"""Bases: root file systems of Debian packages, known by hash before they are made.

`known` says which packages a base is made of, from a lock or from what this machine
remembers; `resolve` asks the mirror where nothing does.  Then `made` and `make`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected by callers
from typing import TYPE_CHECKING, Literal

from farm.errors import BaseError, EngineError, LockError
from farm.events import Notice
from farm.host.files import storage_error, write_whole
from farm.host.locks import holding, remove_unheld
from farm.model.debian import Deb, DebSet, ResolvedBase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.events import Sink
    from farm.host.programs import Cancel
    from farm.model.unit import RootfsBase

_ALWAYS = ("?essential", "?priority(required)", "apt")
"""What a Debian system has in any case: mmdebstrap's variant ``minbase``."""
_DRIFT_S = 24 * 3600.0
"""How long packages that took the place of locked ones are kept to, so that identities stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """A bootstrapped base.

    ``digest`` is that of its packages (`ResolvedBase.digest`); ``image_id`` and
    ``manifest_digest`` are what engines call the image (classic store,
    containerd's store), ``debs`` its packages, ``size_bytes`` the archive's.
    """

    tag: str
    digest: str
    origin: Literal["lock", "mirror", "drift"]
    image_id: str
    manifest_digest: str
    debs: tuple[Deb, ...]
    archive: Path
    size_bytes: int


def known(base: RootfsBase, cache: Path, *, locked: bool = False) -> ResolvedBase | None:
    """What a base is made of, if that is known without asking anybody.

    With ``locked`` only a lock counts, not what took its place on this machine.
    """
    remembered = None if locked else _remembered(base, cache)
    if base.locked is None:
        return remembered
    return remembered or _resolved(base, base.locked, "lock")


def resolve(  # noqa: PLR0913 - independent switches
    base: RootfsBase,
    cache: Path,
    sink: Sink,
    cancel: Cancel | None = None,
    *,
    offline: bool = False,
    locked: bool = False,
) -> ResolvedBase:
    """Ask the mirror what a base is made of now; it is remembered.

    That is for a base without a lock, and for one whose locked packages can no
    longer be had: then it says so.

    Raises:
        LockError: ``locked`` forbids it.
        BaseError: ``offline`` forbids it, or a package does not exist.
        EngineError, FetchError, StorageError: As `farm.debian.apt.Apt`.
    """
    gone = base.locked is not None
    if locked:
        lack = "packages that can no longer be had" if gone else "no lock"
        raise LockError(
            f"the base {base.name} has {lack}, and --locked takes nothing else",
            hint=f"farm lock --bases {base.name}",
        )
    if offline:
        raise BaseError(
            f"which packages the base {base.name} is made of is not known here",
            hint="build once without --offline, or lock it: farm lock --bases",
        )
    found = _resolved(base, current(base, cache, sink, cancel), "drift" if gone else "mirror")
    _remember(base, found, cache)
    if gone:
        why = "its locked packages can no longer be had"
        sink(
            Notice(text=f"base {base.name}: {why}; going on with what there is now ({found.tag})")
        )
    return found


def current(base: RootfsBase, cache: Path, sink: Sink, cancel: Cancel | None = None) -> DebSet:
    """What apt would install for a base today.

    Raises:
        BaseError: A package does not exist.
        EngineError: apt, a mirror or Debian's keys are missing.
        FetchError: The mirror cannot be reached.
        StorageError: The disk is full.
    """
    from farm.debian import apt, archive

    check_names(base)
    archive.require_tools(apt.HOST_TOOLS, purpose="finding the packages of a base")
    folder = cache / "bases" / f"apt-{base.suite}"
    suites = [suite for suite, _ in base.further_suites]
    sources = archive.sources_of(base.suite, base.components, suites)
    try:
        lock, what = folder.with_suffix(".lock"), f"the base {base.suite}"
        with holding(lock, cancel=cancel, sink=sink, what=what):
            asked = apt.Apt(folder, sources=sources, pins=base.further_suites, cancel=cancel)
            asked.prepare()
            asked.update(sink)
            debs = tuple(asked.closure((*_ALWAYS, *base.packages)).values())
    except OSError as error:
        raise storage_error(error, folder) from error
    except EngineError as error:
        raise BaseError(error.message, hint=error.hint, details=error.details) from error
    return DebSet.of(debs, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))


def made(resolved: ResolvedBase, cache: Path) -> BaseImage | None:
    """The base if it is already bootstrapped and its archive is whole."""
    folder = _folder(resolved, cache)
    archive = folder / "image.tar"
    try:
        kept = json.loads((folder / "base.json").read_text(encoding="utf-8"))
        if archive.stat().st_size != kept["size_bytes"]:
            return None
        with suppress(OSError):
            os.utime(folder)  # used now: others go before it
        return BaseImage(
            tag=resolved.tag,
            digest=resolved.digest,
            origin=resolved.origin,
            debs=resolved.debs,
            archive=archive,
            **kept,
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None


def make(  # noqa: PLR0913 - what it is made of, where, and how it is told
    resolved: ResolvedBase,
    deb_paths: Mapping[str, Path],
    cache: Path,
    sink: Sink,
    cancel: Cancel | None = None,
    *,
    offline: bool = False,
) -> BaseImage:
    """Return the base, bootstrapping it from its packages, by sha256, if it is not there.

    Raises:
        BaseError: It cannot be bootstrapped.
        EngineError: Root rights or programs are missing, or there are no tools.
        FetchError: The tools cannot be fetched.
        StorageError: The disk is full.
        CancelledError: ``cancel`` was set.
    """
    found = made(resolved, cache)
    if found:
        return found
    from farm.debian import bootstrapping, toolbox

    tools = toolbox.prepare(cache, sink, cancel=cancel, offline=offline)
    folder = _folder(resolved, cache)
    lock, what = folder.with_suffix(".lock"), f"the base {resolved.suite}"
    try:
        with holding(lock, cancel=cancel, sink=sink, what=what), toolbox.held(tools):
            found = made(resolved, cache)
            if found:
                return found
            for leftover in (folder, folder.with_suffix(".part")):
                if leftover.exists():
                    shutil.rmtree(leftover)
            for other in folder.parent.glob("*.part"):  # of bootstraps that were killed
                remove_unheld(other, other.with_suffix(".lock"))
            bootstrapping.make(resolved, deb_paths, folder, tools, sink, cancel=cancel)
    except OSError as error:
        raise storage_error(error, folder) from error
    found = made(resolved, cache)
    if found is None:
        raise BaseError(f"the base in {folder} vanished while it was made")
    return found


def _folder(resolved: ResolvedBase, cache: Path) -> Path:
    return cache / "bases" / resolved.digest[:24]


def _resolved(
    base: RootfsBase, packages: DebSet, origin: Literal["lock", "mirror", "drift"]
) -> ResolvedBase:
    return ResolvedBase(
        suite=base.suite, packages=packages, exclude_paths=base.exclude_paths, origin=origin
    )


def _memory(base: RootfsBase, cache: Path) -> Path:
    return cache / "bases" / f"{base.key}.json"


def _remember(base: RootfsBase, found: ResolvedBase, cache: Path) -> None:
    kept = {
        "instead_of": base.locked.digest if base.locked else None,
        "at_s": time.time(),
        "date": found.packages.date,
        "debs": [asdict(deb) for deb in found.debs],
    }
    write_whole(_memory(base, cache), json.dumps(kept, indent=1) + "\n")


def _remembered(base: RootfsBase, cache: Path) -> ResolvedBase | None:
    try:
        kept = json.loads(_memory(base, cache).read_text(encoding="utf-8"))
        if kept["instead_of"] != (base.locked.digest if base.locked else None):
            return None
        if base.locked and time.time() - kept["at_s"] > _DRIFT_S:
            return None
        packages = DebSet.of(tuple(Deb(**deb) for deb in kept["debs"]), kept["date"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return _resolved(base, packages, "drift" if base.locked else "mirror")


def check_names(base: RootfsBase) -> None:
    """Refuse what would mean something else on a command line or in apt's files.

    Raises:
        BaseError: a suite, package, component or path is called so.
    """
    patterns = (
        *((r"[a-z][a-z0-9-]{0,30}", name) for name in (base.suite, *dict(base.further_suites))),
        *((r"[a-z0-9][a-z0-9+.-]+", name) for name in base.packages),
        *((r"[a-z0-9*][a-z0-9+.*-]*", n) for _, names in base.further_suites for n in names),
        *((r"[a-z][a-z-]+", name) for name in base.components),
        *((r"/[A-Za-z0-9_.+*/-]+", path) for path in base.exclude_paths),
    )
    for pattern, text in patterns:
        if not re.fullmatch(pattern, text):
            raise BaseError(f"no name of a Debian suite, package or file: {text!r}")
