"""Open a bundle, which may come from anybody: nothing of it is used before it was checked.

Its files go into a folder of their own, never into the store: a package that a later
bundle names must not be there by the grace of an earlier one.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected by callers
from typing import TYPE_CHECKING, Any, NoReturn

from farm.debian.bases import check_names
from farm.errors import BaseError, FetchError, IntegrityError, UsageError
from farm.host.urls import check_filename
from farm.load.baselocks import is_deb
from farm.model.codec import from_json
from farm.model.debian import DebSet, ResolvedBase
from farm.model.unit import ImageBase, RootfsBase, Unit
from farm.render.context import Entry, Wheel
from farm.render.manifest import FORMAT, MODE, BaseReference, Manifest
from farm.repro.dockerfile import check_dockerfile
from farm.run.replay import Replay
from farm.run.settle import Identified
from farm.source.giturls import check_git_url
from farm.source.inputs import inputs_of
from farm.source.kinds import GitCommit, UrlFile
from farm.store.bundle import MANIFEST, RECORD, UNIT, unpack_bundle
from farm.store.record import read_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.store.bundle import Contents
    from farm.store.record import Record

_WORDS = re.compile(r"[\w.+!~@/:%=,\[\]?*&#-]*", re.ASCII)
"""What a name, path, version or URL of a recipe is made of: nothing that a shell, a
Dockerfile or a line of a file could take for its end."""
_FREE = frozenset(
    {"after", "by", "env", "file", "forbid_output", "gpu_script", "place", "reason", "remove_when"}
    | {"replace", "requires", "says", "script", "unlocked", "untried", "upstream", "where", "why"}
)
"""Fields of a unit that may hold any text: none of them names anything on this machine."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,127}")
_FIELDS = {
    "filename": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!~-]{0,250}"),
    "name": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}"),
    "version": re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!:~-]{0,127}"),
    "sha256": re.compile(r"(?:[0-9a-f]{64})?"),
    "kind": re.compile(r"[a-z]{1,16}"),
}
"""Fields of which files and folders get their names here."""
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:-]{0,255}@sha256:[0-9a-f]{64}")
_TARGET = re.compile(r"[a-z]{1,32}/[A-Za-z0-9_][^/\x00-\x1f\x7f]{0,254}")
_DIGEST = re.compile(
    r"sha256:[0-9a-f]{64}|tree:[0-9a-f]{64}|git:[0-9a-f]{40,64}(?:\+submodules[\w=,./+-]*)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A bundle that was checked; its files lie below ``folder``.

    It is ``ours`` if it was found among the project's own runs and results; any other may be
    anybody's.
    """

    folder: Path
    contents: Contents
    replay: Replay
    record: Record | None
    ours: bool = False

    @property
    def unit(self) -> Unit:
        """The unit, which names no file of this machine."""
        return self.replay.identified.unit

    @property
    def debs(self) -> dict[str, Path]:
        """Packages of its bases that it holds, by sha256."""
        return {path.name: path for path in sorted((self.folder / "debs").glob("*"))}


def open_bundle(path: Path, folder: Path, *, networked: bool = False) -> Opened:
    """Unpack a bundle into an empty folder, and check all of it.

    With ``networked`` it may be one whose base is an image, which installs packages over
    the network.

    Raises:
        UsageError: it is no bundle, of another format, or needs ``networked``.
        IntegrityError: it was cut or changed, or asks for what farm never would.
        StorageError: the disk is full.
    """
    contents = unpack_bundle(path, folder)
    manifest = _manifest((folder / MANIFEST).read_bytes(), contents)
    text = (folder / UNIT).read_bytes()
    try:
        unit, told = from_json(Unit, text), json.loads(text)
    except (ValueError, RecursionError) as error:
        _wrong(f"{UNIT}: {error}")
    _check_unit(unit, manifest, told)
    _check_base(unit, manifest, networked=networked)
    for each in contents.needed:
        if not _FIELDS["filename"].fullmatch(each.filename):
            _wrong(f"a wheel that it needs is called {each.filename[:80]!r}")
    held = {blob.digest: folder / "blobs" / blob.sha256 for blob in contents.blobs}
    _check_blobs(held)
    _check_origins(unit, held)
    needed = tuple(
        Wheel(filename=each.filename, sha256=each.sha256, path=held[f"sha256:{each.sha256}"])
        for each in contents.needed
        if f"sha256:{each.sha256}" in held
    )
    identified = Identified(
        unit=_rooted(unit, folder), manifest=manifest, identity=contents.identity
    )
    return Opened(
        folder=folder,
        contents=contents,
        replay=Replay(identified=identified, held=held, needed=needed),
        record=_record(folder, contents),
    )


def _manifest(text: bytes, contents: Contents) -> Manifest:
    if hashlib.sha256(text).hexdigest() != contents.identity:
        _wrong(f"{MANIFEST} is not what its identity says")
    try:
        told = json.loads(text)
        if told["format"] != FORMAT:
            raise UsageError(
                f"its manifest has format {str(told['format'])[:20]}, made by farm "
                f"{contents.surroundings.farm!r}: this farm knows format {FORMAT}",
                hint="take the farm that made it",
            )
        manifest = Manifest(
            unit=told["unit"],
            base=BaseReference(image=told["base"]["image"], digest=told["base"]["digest"]),
            dockerfile=told["dockerfile"],
            context=tuple(
                Entry(target=each["path"], digest=each["digest"], origin="store")
                for each in told["context"]
            ),
        )
        same = manifest.text.encode() == text
    except (ValueError, LookupError, TypeError, RecursionError):
        same = False
    if not same:
        _wrong(f"{MANIFEST} is not as farm writes it (mode {MODE:04o}, sorted, no other key)")
    targets = [entry.target for entry in manifest.context]
    for entry in manifest.context:
        if not _TARGET.fullmatch(entry.target) or not _DIGEST.fullmatch(entry.digest):
            _wrong(f"a file of its context is called {entry.target[:80]!r}")
    if len(set(targets)) < len(targets):
        _wrong("two files of its context have one name")
    return manifest


def _check_unit(unit: Unit, manifest: Manifest, told: Any) -> None:  # noqa: ANN401 - any JSON
    for key in (unit.key, *unit.needs):
        for name in (key.package, key.version, key.variant):
            if not _NAME.fullmatch(name):
                _wrong(f"{name[:80]!r} names no package, version or variant")
    if unit.label != manifest.unit:
        _wrong(f"it is of {unit.label}, and its manifest of {manifest.unit[:200]!r}")
    for name, text in _fields(told):
        if not _FIELDS.get(name, _WORDS).fullmatch(text):
            _wrong(f"{UNIT} holds the {name or 'text'} {text[:80]!r}")
    for source in (unit.source, *unit.sources):
        if not _DIGEST.fullmatch(source.digest) or (source.kind == "tree" and not source.path):
            _wrong(f"the source {source.name} has no digest, or no folder")
    if not 0 < unit.jobs.memory_per_job_bytes < 1 << 50:
        _wrong("its compile jobs take no memory, or more than there is")


def _fields(value: Any, field: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON
    """Each text with the name of its field, but those that may be anything."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, list):
        for each in value:
            yield from _fields(each, field)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in _FREE:
                yield from _fields(each, name)


def _check_base(unit: Unit, manifest: Manifest, *, networked: bool) -> None:
    roots = [unit.base, *([unit.smoke_test.base] if unit.smoke_test else [])]
    for root in roots:
        if isinstance(root, RootfsBase):
            _check_packages(root)
        elif not _IMAGE.fullmatch(root.image):
            _wrong(f"it starts from {root.image[:80]!r}, which is no image with its digest")
        elif root.packages and not networked:
            raise UsageError(
                f"its base {root.image} takes packages over the network, in a container whose "
                "steps may then reach it",
                hint="--allow-network, if you know who made the bundle",
            )
    if isinstance(unit.base, ImageBase):
        reference = BaseReference(image=unit.base.image, digest=unit.base.image.partition("@")[2])
    else:
        base = resolved(unit.base)
        reference = BaseReference(image=base.tag, digest=base.digest)
    if reference != manifest.base:
        _wrong(f"its manifest is built on {manifest.base.image[:80]!r}, its unit on another base")
    check_dockerfile(
        manifest.dockerfile, manifest.base.image, networked=isinstance(unit.base, ImageBase)
    )


def _check_packages(base: RootfsBase) -> None:
    if base.locked is None:
        _wrong(f"it does not say of which packages its base {base.name} is made")
    try:
        check_names(base)
    except BaseError as error:
        _wrong(error.message)
    same = DebSet.of(base.locked.debs, base.locked.date)
    if not all(map(is_deb, base.locked.debs)) or same.digest != base.locked.digest:
        _wrong(f"the packages of its base {base.name} are not as a lock names them")


def resolved(base: RootfsBase) -> ResolvedBase:
    """The base of a bundle, whose packages are all named."""
    if base.locked is None:
        raise ValueError(f"{base.name} was not checked")
    return ResolvedBase(
        suite=base.suite, packages=base.locked, exclude_paths=base.exclude_paths, origin="lock"
    )


def _check_blobs(held: dict[str, Path]) -> None:
    for digest, path in held.items():
        if not _DIGEST.fullmatch(digest) or not path.is_file():
            _wrong(f"it lacks the file of {digest[:80]!r}")
        if digest.startswith("sha256:") and digest != f"sha256:{path.name}":
            _wrong(f"it has another file for {digest}")


def _check_origins(unit: Unit, held: dict[str, Path]) -> None:
    """What it does not hold comes from where a stranger says: never from this machine."""
    for each in inputs_of(unit):
        if each.digest in held:
            continue
        try:
            if isinstance(each, GitCommit) and check_git_url(each.url) == "file":
                _wrong(f"it would take {each.label} from a folder of this machine")
            if isinstance(each, UrlFile):
                check_filename(each.filename, where="the bundle")
        except FetchError as error:
            _wrong(error.message)


def _rooted(unit: Unit, folder: Path) -> Unit:
    """A unit whose files are below the folder, whatever it calls them; and that needs no other.

    What it needed comes with the bundle.
    """

    def inside(path: Path) -> Path:
        return folder / "named" / path.name

    return replace(
        unit,
        needs=(),
        source=replace(unit.source, path=unit.source.path and inside(unit.source.path)),
        sources=tuple(
            replace(each, path=each.path and inside(each.path)) for each in unit.sources
        ),
        patches=tuple(replace(each, path=inside(each.path)) for each in unit.patches),
    )


def _record(folder: Path, contents: Contents) -> Record | None:
    if not contents.has(RECORD):
        return None
    record = read_record(folder)
    if record is None or (record.unit, record.identity) != (contents.unit, contents.identity):
        _wrong(f"its {RECORD} is of another build, or cannot be read")
    return record


def _wrong(what: str) -> NoReturn:
    raise IntegrityError(
        f"the bundle was changed, or was not made by farm: {what}", hint="ask for it again"
    )
