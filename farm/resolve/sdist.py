"""What a source says it needs to be built, read without executing anything of it."""

from __future__ import annotations

import tomllib
from email.parser import BytesParser
from email.policy import compat32
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from farm.errors import LockError
from farm.resolve.members import members

if TYPE_CHECKING:
    from pathlib import Path

# What pip and build assume where pyproject.toml says nothing (PEP 517).
DEFAULT_REQUIRES = ("setuptools>=40.8.0",)
MAX_PYPROJECT_BYTES = 1 << 20
_NAME = "pyproject.toml"
_METADATA = "PKG-INFO"


def build_requires_of(source: Path) -> tuple[str, ...]:
    """``[build-system] requires`` of a tar or zip archive with one top folder.

    The default of PEP 517 where there is no pyproject.toml or no such table.

    Raises:
        IntegrityError: not an archive, or one whose members leave its folder.
        LockError: pyproject.toml cannot be used.
    """
    content = read_file(source, _NAME, limit=MAX_PYPROJECT_BYTES)
    return DEFAULT_REQUIRES if content is None else _requires(content, f"{_NAME} of {source.name}")


def read_file(source: Path, inner: str, *, limit: int) -> bytes | None:
    """One file of a tar or zip archive with one top folder; None if it is not there.

    Raises:
        IntegrityError: not an archive, or one whose members leave its folder.
        LockError: it is no plain file, or longer than ``limit`` bytes.
    """
    inner = str(PurePosixPath(inner))  # a recipe may say ./Cargo.lock
    return _files(source, {inner}, limit).get(inner)


def run_requires_of(source: Path) -> tuple[str, ...]:
    """What an archive with one top folder says that its package requires at run time.

    ``Requires-Dist`` of an sdist's PKG-INFO if it has any, else ``[project]
    dependencies`` of pyproject.toml; empty where both are made only while it is built.

    Raises:
        IntegrityError: not an archive, or one whose members leave its folder.
        LockError: PKG-INFO or pyproject.toml cannot be used.
    """
    found = _files(source, {_METADATA, _NAME}, MAX_PYPROJECT_BYTES)
    texts: list[str] = []
    if _METADATA in found:
        message = BytesParser(policy=compat32).parsebytes(found[_METADATA], headersonly=True)
        texts = [str(text) for text in message.get_all("Requires-Dist", [])]
    if not texts and _NAME in found:
        texts = _dependencies(_table(found[_NAME], f"{_NAME} of {source.name}"))
    for text in texts:
        checked_requirement(text, where=f"what {source.name} requires at run time")
    return tuple(texts)


def _files(source: Path, names: set[str], limit: int) -> dict[str, bytes]:
    """Files of an archive by their names below its top folder, those that are there."""
    found: dict[str, bytes] = {}
    for member in members(source):
        if member.inner in names:
            where = f"{member.inner} of {source.name}"
            if not member.plain:
                raise LockError(f"{where} is not a plain file")
            if member.size_bytes > limit:
                raise LockError(
                    f"{where} has {member.size_bytes:,} bytes; at most {limit:,} are read"
                )
            found.setdefault(member.inner, member.read(limit))
            if len(found) == len(names):
                break
    return found


def _dependencies(data: dict[str, object]) -> list[str]:
    project = data.get("project")
    found = project.get("dependencies", []) if isinstance(project, dict) else []
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def _table(content: bytes, where: str) -> dict[str, object]:
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LockError(f"{where} is not TOML: {error}") from error


def _requires(content: bytes, where: str) -> tuple[str, ...]:
    table = _table(content, where).get("build-system")
    if table is None:
        return DEFAULT_REQUIRES
    requires = table.get("requires") if isinstance(table, dict) else None
    if not isinstance(requires, list) or not all(isinstance(item, str) for item in requires):
        raise LockError(f"{where}: [build-system] needs 'requires', a list of strings (PEP 518)")
    for text in requires:
        checked_requirement(text, where=where)
    return tuple(requires)


def checked_requirement(text: str, *, where: str) -> Requirement:
    """Parse a requirement that can be locked.

    Raises:
        LockError: it is no requirement, or one by URL, which has no hash.
    """
    try:
        found = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).partition("\n")[0]
        raise LockError(f"{where}: {text[:100]!r} is no requirement: {reason}") from error
    if found.url is not None:
        raise LockError(
            f"{where}: {found.name} is required by URL, which cannot be locked",
            hint="name it among the recipe's sources instead",
        )
    return found
