"""What a Cargo.lock pins, read without cargo.

The format (https://doc.rust-lang.org/cargo/reference/resolver.html and cargo's
``src/cargo/core/resolver/encode.rs``): ``[[package]]`` tables with ``name``, ``version``,
``source`` and, since version 2, ``checksum``; version 1 keeps checksums in ``[metadata]``
under ``checksum <name> <version> (<source>)``.  A package without a source is part of the
workspace.  Versions 3 and 4 differ in how branches and tags of git are written.
"""

from __future__ import annotations

import re
import tomllib

from farm.errors import LockError
from farm.load.crates import GIT, NAME, VERSION, contradictions
from farm.model.crates import Crate

MAX_BYTES = 8 << 20
_MAX_PACKAGES = 20_000
_NEWEST = 4
# The default registry, as every Cargo.lock names it, whatever mirror it is fetched from: an
# index below the project's own name.
_DEFAULT_REGISTRY = re.compile(r"registry\+https://github\.com/rust-lang/[a-z.]+-index")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHOWN = 5


def crates_of(content: bytes, where: str) -> tuple[Crate, ...]:
    """The crates that a Cargo.lock pins outside of its own workspace, in order.

    Raises:
        LockError: it is no Cargo.lock, of a version that nobody knows, or pins what has
            no checksum or comes from another registry; each such crate is named.
    """
    data = _parsed(content, where)
    packages = data.get("package", [])
    if not isinstance(packages, list) or len(packages) > _MAX_PACKAGES:
        raise LockError(f"{where} is no Cargo.lock: 'package' is no list of at most 20,000")
    checksums = data.get("metadata", {})
    found: dict[Crate, None] = {}
    problems: list[str] = []
    for package in packages:
        try:
            crate = _crate(package, checksums)
        except ValueError as error:
            problems.append(str(error))
            continue
        if crate in found:
            problems.append(f"{crate.name} {crate.version} stands there twice")
        elif crate:
            found[crate] = None
    problems += contradictions(found)
    if problems:
        raise _refused(problems, where)
    return tuple(found)


def _parsed(content: bytes, where: str) -> dict[str, object]:
    if len(content) > MAX_BYTES:
        raise LockError(f"{where} is larger than the {MAX_BYTES:,} bytes that are read")
    try:
        data = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LockError(f"{where} is not TOML: {str(error)[:300]}") from error
    version = data.get("version", 1)
    if type(version) is not int or not 1 <= version <= _NEWEST:
        raise LockError(
            f"{where} is of version {str(version)[:40]}; 1 to {_NEWEST} are known",
            hint="a newer farm may know it",
        )
    return data


def _crate(package: object, checksums: object) -> Crate | None:
    """A package's pin; None for a member of the workspace."""
    if not isinstance(package, dict):
        raise ValueError(f"{str(package)[:60]!r} is no package")  # noqa: TRY004 - told with the others
    name, version, source = (package.get(key) for key in ("name", "version", "source"))
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise ValueError(f"{str(name)[:80]!r} is no crate's name")
    if not isinstance(version, str) or not re.fullmatch(VERSION, version):
        raise ValueError(f"{name} has the version {str(version)[:80]!r}, which is none")
    if source is None:
        return None
    if isinstance(source, str) and source.startswith("git+"):
        if not re.fullmatch(GIT, source):
            raise ValueError(f"{name} {version}: {source[:200]!r} pins no full commit of a URL")
        return Crate(name=name, version=version, git=source)
    if not isinstance(source, str) or not _DEFAULT_REGISTRY.fullmatch(source):
        raise ValueError(f"{name} {version} comes from {str(source)[:200]!r}: another registry")
    checksum = package.get("checksum")
    if checksum is None and isinstance(checksums, dict):
        checksum = checksums.get(f"checksum {name} {version} ({source})")
    if not isinstance(checksum, str) or not _SHA256.fullmatch(checksum):
        raise ValueError(f"{name} {version} has no checksum")
    return Crate(name=name, version=version, sha256=checksum)


def _refused(problems: list[str], where: str) -> LockError:
    told = problems[:_SHOWN]
    if len(problems) > _SHOWN:
        told.append(f"and {len(problems) - _SHOWN} more")
    return LockError(
        f"{where} cannot be locked: {'; '.join(told)}",
        hint="only crates of cargo's default registry with a checksum, and git crates with a "
        "full commit, can be staged",
        details=problems,
    )
