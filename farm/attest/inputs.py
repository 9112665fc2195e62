"""What a wheel was built from and with, under names that others understand: package URLs.

https://github.com/package-url/purl-spec; no index and no mirror is named, since what came is
what its hash says, wherever it came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packageurl import PackageURL
from packaging.utils import parse_wheel_filename

from farm.host.urls import public_url
from farm.render.context import PATHS
from farm.render.crates import all_crates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farm.attest.made import Made
    from farm.model.unit import Source, Unit
    from farm.store.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Something that built a wheel and is not in it; ``sha256`` is of its file, in hex."""

    name: str
    version: str
    purl: str
    sha256: str


def purl(kind: str, name: str, version: str, *, namespace: str = "", **more: str) -> str:
    """A package URL in its canonical form."""
    return PackageURL(kind, namespace or None, name, version or None, more or None).to_string()


def tools_of(made: Made) -> Iterator[Tool]:
    """Packages of the base, locked wheels, the toolkit's, those that units built."""
    yield from packages_of(made.record)
    unit = made.unit
    pins = [*(unit.lock.pins if unit.lock else ()), *(unit.toolkit.wheels if unit.toolkit else ())]
    for pin in pins:
        yield _wheel(pin.filename, pin.sha256)
    locked = {pin.sha256 for pin in pins}
    for entry in made.manifest.context:
        sha256 = entry.digest.removeprefix("sha256:")
        if entry.target.endswith(".whl") and sha256 not in locked:
            yield _wheel(entry.target.rpartition("/")[2], sha256)


def packages_of(record: Record) -> Iterator[Tool]:
    """The packages of a bootstrapped base; none of an image."""
    sums: Mapping[str, str] = record.base.get("sha256", {})
    for name, version in record.base.get("packages", {}).items():
        address = purl("deb", name, version, namespace="debian")
        yield Tool(name=name, version=version, purl=address, sha256=sums.get(name, ""))


def _wheel(filename: str, sha256: str) -> Tool:
    name, version, _, _ = parse_wheel_filename(filename)
    address = purl("pypi", name, str(version), file_name=filename)
    return Tool(name=name, version=str(version), purl=address, sha256=sha256)


def addresses(made: Made) -> dict[str, str]:
    """Where files of the context come from, as far as that is known: a URI by their paths."""
    found = {source_path(s): a for s in sources(made.unit) if (a := source_address(s, made.unit))}
    for entry in made.manifest.context:
        name = entry.target.rpartition("/")[2]
        if name.endswith(".whl"):
            found.setdefault(entry.target, _wheel(name, "").purl)
    for crate in all_crates(made.unit):
        if crate.git:
            path = f"{PATHS.crates}/{crate.commit}.tar"
            found[path] = f"git+{public_url(crate.url)}@{crate.commit}"
        else:
            found[f"{PATHS.crates}/{crate.filename}"] = purl("cargo", crate.name, crate.version)
    return found


def sources(unit: Unit) -> tuple[Source, ...]:
    """A unit's own source and its further ones."""
    return (unit.source, *unit.sources)


def source_path(source: Source) -> str:
    """Where a source lies in the context."""
    folder = PATHS.wheels if source.kind == "wheel" else PATHS.sources
    return f"{folder}/{source.filename}"


def source_address(source: Source, unit: Unit) -> str:
    """What a source is called elsewhere; a folder beside the recipes has no such name."""
    match source.kind:
        case "sdist":
            return purl("pypi", unit.key.package, unit.key.version)
        case "git":
            commit = source.digest.removeprefix("git:").partition("+")[0]
            return f"git+{public_url(source.url)}@{commit}"
        case "archive" | "wheel":
            return public_url(source.url)
        case "tree":
            return ""
