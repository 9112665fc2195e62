"""What lies in a unit's build context, by path and digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from farm.errors import PlanError, Problem
from farm.render.crates import LIST, crate_files, crate_list
from farm.render.pinned import pinned_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.model.look import Look
    from farm.model.unit import Lock, PatchFile, Pin, Source, TextEdit, Unit

INSIDE_FOLDER = Path(__file__).resolve().parent.parent / "inside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Folders of the context, as the templates name them."""

    inside: str = "inside"
    sources: str = "sources"
    wheels: str = "wheels"
    toolkit: str = "toolkit"
    crates: str = "crates"
    patches: str = "patches"
    edits: str = "edits"
    look: str = "look"
    smoke: str = "smoke"


PATHS = Paths()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel that another unit built."""

    filename: str
    sha256: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of the context.

    ``digest`` identifies the content.  The content itself is ``text``, or the
    file at ``path``, or (origin ``store``) what was staged for the digest.
    """

    target: str
    digest: str
    origin: Literal["text", "path", "store"]
    text: str = ""
    path: Path | None = None


def context_entries(
    unit: Unit, needed: tuple[Wheel, ...], look: Look | None = None
) -> tuple[Entry, ...]:
    """Every file of a unit's context, sorted by where it lies.

    ``needed`` are the wheels of the units that this one needs; ``look`` brings the
    program that ends a build after configuring.

    Raises:
        PlanError: two inputs that differ would lie in one place.
    """
    edits = tuple(_edits(unit.edits))
    pinned = pinned_text(unit, {entry.target: entry.digest for entry in edits})
    entries = [
        *_inside(unit),
        text_entry(f"{PATHS.inside}/pinned.json", pinned),
        *_look(look),
        *_sources(unit),
        *_wheels(unit, needed),
        *_crates(unit),
        *_patches(unit.patches),
        *edits,
    ]
    found: dict[str, Entry] = {}
    for entry in entries:
        if found.setdefault(entry.target, entry).digest != entry.digest:
            what = f"two inputs of {unit.label} are both called {entry.target}"
            raise PlanError([Problem(what=what, hint="take one of them out of the recipe")])
    return tuple(found[target] for target in sorted(found))


def digests_of(entries: Iterable[Entry]) -> dict[str, str]:
    """The sha256 of each file, by where it lies; archives that farm packs itself have none."""
    return {
        entry.target: entry.digest.removeprefix("sha256:")
        for entry in entries
        if entry.digest.startswith("sha256:")
    }


def requirements_text(unit: Unit, needed: tuple[Wheel, ...]) -> str:
    """What pip installs into the build environment: each line one wheel with its hash."""
    return requirement_lines(unit.lock, needed, unit.sources)


def requirement_lines(
    lock: Lock | None, wheels: Iterable[Wheel], sources: Iterable[Source]
) -> str:
    """Locked wheels, built ones, and those among the sources, for pip."""
    lines = [
        f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}"
        for pin in (lock.pins if lock else ())
    ]
    lines += [f"/farm/wheels/{w.filename} --hash=sha256:{w.sha256}" for w in wheels]
    lines += [
        f"/farm/wheels/{source.filename} --hash={source.digest}"
        for source in sources
        if source.kind == "wheel"
    ]
    return "".join(f"{line}\n" for line in sorted(lines))


def text_entry(target: str, text: str) -> Entry:
    """A file whose content is made here."""
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    return Entry(target=target, digest=digest, origin="text", text=text)


def _inside(unit: Unit) -> Iterator[Entry]:
    """The programs that run in the container; only those that this unit calls."""
    names = ["cache.py", "collect.py", "compilers.py", "embed.py", "gate.c", "gate.py", "parts.py"]
    names += ["pool.py", "sbom.py", "step.py", "unpack.py"]
    names += ["patch.py"] if unit.patches else []
    names += ["edit.py"] if unit.edits else []
    names += ["toolkit.py"] if unit.toolkit else []
    names += ["vendor.py"] if unit.crates else []
    return program_entries(names)


def program_entries(names: Iterable[str]) -> Iterator[Entry]:
    """Programs of ``farm/inside``."""
    for name in names:
        text = (INSIDE_FOLDER / name).read_text(encoding="utf-8")
        yield text_entry(f"{PATHS.inside}/{name}", text)


def _look(look: Look | None) -> Iterator[Entry]:
    """In a folder of its own, so that the steps before share the cache of a whole build."""
    if look is not None:
        text = (INSIDE_FOLDER / "until.py").read_text(encoding="utf-8")
        yield text_entry(f"{PATHS.look}/until.py", text)


def _sources(unit: Unit) -> Iterator[Entry]:
    for source in (unit.source, *unit.sources):
        folder = PATHS.wheels if source.kind == "wheel" else PATHS.sources
        yield Entry(target=f"{folder}/{source.filename}", digest=source.digest, origin="store")


def _wheels(unit: Unit, needed: tuple[Wheel, ...]) -> Iterator[Entry]:
    yield text_entry(f"{PATHS.wheels}/requirements.txt", requirements_text(unit, needed))
    yield from pin_entries(unit.lock.pins if unit.lock else (), PATHS.wheels)
    yield from wheel_entries(needed)
    yield from pin_entries(unit.toolkit.wheels if unit.toolkit else (), PATHS.toolkit)


def pin_entries(pins: Iterable[Pin], folder: str) -> Iterator[Entry]:
    """Wheels of the package index, as the store has them."""
    for pin in pins:
        digest = f"sha256:{pin.sha256}"
        yield Entry(target=f"{folder}/{pin.filename}", digest=digest, origin="store")


def wheel_entries(wheels: Iterable[Wheel]) -> Iterator[Entry]:
    """Wheels that units built."""
    for wheel in wheels:
        target, digest = f"{PATHS.wheels}/{wheel.filename}", f"sha256:{wheel.sha256}"
        yield Entry(target=target, digest=digest, origin="path", path=wheel.path)


def _crates(unit: Unit) -> Iterator[Entry]:
    if unit.crates:
        yield text_entry(f"{PATHS.crates}/{LIST}", crate_list(unit))
    for name, digest in crate_files(unit):
        yield Entry(target=f"{PATHS.crates}/{name}", digest=digest, origin="store")


def _patches(patches: tuple[PatchFile, ...]) -> Iterator[Entry]:
    for patch in patches:
        target = f"{PATHS.patches}/{patch.path.name}"
        yield Entry(target=target, digest=f"sha256:{patch.sha256}", origin="path", path=patch.path)


def _edits(edits: tuple[TextEdit, ...]) -> Iterator[Entry]:
    for name in dict.fromkeys(edit.source for edit in edits):
        rows = [
            {"file": e.file, "replace": e.replace, "by": e.by, "count": e.count}
            for e in edits
            if e.source == name
        ]
        text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
        yield text_entry(f"{PATHS.edits}/{name}.json", text)
