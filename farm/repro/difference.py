"""Two builds beside each other: what went in, then what came out."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.inspect.compare import changed_symbols, explain
from farm.repro.changes import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from farm.inspect.compare import Difference
    from farm.repro.sides import Side
    from farm.store.record import Record

_DIGITS = 12
_MOST_NAMES = 20
"""Names of one change that are told; of more, how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs.

    ``inputs`` are part of the identity; so is ``dockerfile``, lines after ``-`` (the first
    side's) and ``+``.  ``besides`` should change nothing.  ``results`` say what came out,
    ``files`` why the bytes of the wheels differ.
    """

    inputs: tuple[Change, ...] = ()
    dockerfile: tuple[str, ...] = ()
    besides: tuple[Change, ...] = ()
    results: tuple[Change, ...] = ()
    files: tuple[Difference, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the same went in and the same came out."""
        return not (self.inputs or self.dockerfile or self.results or self.files)


def compare(a: Side, b: Side) -> Comparison:
    """What differs between two sides, as far as both have it.

    Raises:
        CheckError: a wheel is no whole zip file.
        StorageError: there is no room to unpack a large module.
    """
    wheels = (a.wheel, b.wheel) if a.wheel and b.wheel else None
    both = (a.record, b.record) if a.record and b.record else None
    return Comparison(
        inputs=tuple(_inputs(*both)) if both else (),
        dockerfile=tuple(_lines(a.dockerfile, b.dockerfile)) if both else (),
        besides=tuple(_besides(*both)) if both else (),
        results=(
            *(_outcomes(*both) if both else ()),
            *_contents(a.contents, b.contents),
            *(_symbols(*wheels) if wheels else ()),
        ),
        files=explain(*wheels) if wheels else (),
    )


def _inputs(a: Record, b: Record) -> Iterator[Change]:
    for name in ("unit", "identity", "python", "accelerator", "toolchain", "host_compiler"):
        yield from _value(name, getattr(a, name), getattr(b, name))
    yield from _sets("archs", a.archs, b.archs)
    yield from _sets("features", a.features, b.features)
    yield from _mapping("env", a.env, b.env)
    for name in ("image", "tag"):
        yield from _value("base", str(a.base.get(name, "")), str(b.base.get(name, "")))
    yield from _mapping("base package", _texts(a.base, "packages"), _texts(b.base, "packages"))
    yield from _mapping(
        "needs",
        {each.name: each.digest[:_DIGITS] for each in a.needs},
        {each.name: each.digest[:_DIGITS] for each in b.needs},
    )
    yield from _mapping("file", _files(a), _files(b))


def _files(record: Record) -> dict[str, str]:
    """Files of the context: wheels and archives of packages by name, and what version they are."""
    found: dict[str, str] = {}
    for each in record.inputs:
        digest = each.digest.partition(":")[2][:_DIGITS]
        name, version = _named(each.name)
        found[name] = f"{version} ({digest})" if version else digest
    return found


def _named(path: str) -> tuple[str, str]:
    """A wheel's or sdist's path without its version, and that; other paths as they are."""
    from packaging.utils import (
        InvalidSdistFilename,
        InvalidWheelFilename,
        parse_sdist_filename,
        parse_wheel_filename,
    )

    folder, _, name = path.rpartition("/")
    try:
        parsed = parse_wheel_filename(name)[:2] if name.endswith(".whl") else None
        package, version = parsed or parse_sdist_filename(name)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return path, ""
    return f"{folder}/{package}", str(version)


def _lines(a: str, b: str) -> Iterator[str]:
    """Lines of the Dockerfiles that differ, but for what says again which files they are given."""
    if a and b:
        lines = difflib.unified_diff(_steps(a), _steps(b), lineterm="", n=0)
        yield from (line for line in lines if not line.startswith(("---", "+++", "@@")))


def _steps(dockerfile: str) -> list[str]:
    text = re.sub(r"farm-log-[0-9a-f]+", "farm-log-…", dockerfile)
    return [line for line in text.splitlines() if not re.match(r"#|[0-9a-f]{64}  /farm/", line)]


def _besides(a: Record, b: Record) -> Iterator[Change]:
    for name in ("farm", "engine", "max_jobs", "attempt"):
        yield from _value(name, str(getattr(a, name)), str(getattr(b, name)))


def _outcomes(a: Record, b: Record) -> Iterator[Change]:
    yield from _value("outcome", a.outcome, b.outcome)
    yield from _value("error", a.message, b.message)
    for name, was, becomes in zip(
        ("wheel", "sha256", "size"), _wheel_facts(a), _wheel_facts(b), strict=True
    ):
        yield from _value(name, was, becomes)


def _wheel_facts(record: Record) -> tuple[str, str, str]:
    if not record.wheels:
        return "", "", ""
    wheel = record.wheels[0]
    return wheel.filename, wheel.sha256[:_DIGITS], f"{wheel.size_bytes:,} bytes"


def _contents(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Change]:
    if not a or not b:
        return  # nothing was built, or nobody looked into it
    for name, said in (("glibc", "oldest glibc"), ("libstdcxx", "oldest libstdc++")):
        yield from _value(said, str(a.get(name, "")), str(b.get(name, "")))
    left, right = _modules(a), _modules(b)
    yield from _sets("modules", left, right)
    for path in sorted(left.keys() & right.keys()):
        yield from _module(path, left[path], right[path])


def _module(path: str, was: Mapping[str, Any], becomes: Mapping[str, Any]) -> Iterator[Change]:
    """What a module is: its size, architectures, libraries, and what it asks of a system."""
    sizes = [f"{each.get('size_bytes')} bytes" for each in (was, becomes)]
    yield from _value(f"{path}: size", *sizes)
    archs = [dict(_archs(each)) for each in (was, becomes)]
    yield from _mapping(f"{path}: device code", *archs)
    for key, said in (
        ("needed", "libraries"),
        ("rpath", "rpath"),
        ("symbol_versions", "symbol versions"),
        ("compilers", "compilers"),
    ):
        yield from _sets(f"{path}: {said}", _words(was, key), _words(becomes, key))
    isa = [[str(use.get("name", "")) for use in _rows(each, "isa")] for each in (was, becomes)]
    yield from _sets(f"{path}: instructions", *isa)


def _archs(module: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for code in _rows(module, "device_code"):
        said = f"{code.get('kernels')} kernels, {code.get('size_bytes')} bytes"
        yield f"{code.get('arch')} ({code.get('kind')})", said


def _symbols(a: Any, b: Any) -> Iterator[Change]:  # noqa: ANN401 - two paths
    for path, was, becomes in changed_symbols(a, b):
        yield from _sets(f"{path}: exports", was.exported, becomes.exported)
        yield from _sets(f"{path}: needs symbols", was.needed, becomes.needed)


def _value(name: str, was: str, becomes: str) -> Iterator[Change]:
    if was != becomes:
        yield Change(name=name, was=was, becomes=becomes)


def _mapping(name: str, was: Mapping[str, str], becomes: Mapping[str, str]) -> Iterator[Change]:
    for key in sorted(was.keys() | becomes.keys()):
        yield from _value(f"{name} {key}", was.get(key, ""), becomes.get(key, ""))


def _sets(name: str, was: Iterable[str], becomes: Iterable[str]) -> Iterator[Change]:
    """One change of what only one side has."""
    left, right = set(was), set(becomes)
    yield from _value(name, _listed(left - right), _listed(right - left))


def _listed(names: set[str]) -> str:
    rest = len(names) - _MOST_NAMES
    text = ", ".join(sorted(names)[:_MOST_NAMES])
    return f"{text} and {rest:,} more" if rest > 0 else text


def _modules(contents: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(module.get("path", "")): module for module in _rows(contents, "modules")}


def _rows(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A list of objects in a record, which anybody may have written."""
    rows = value.get(key)
    found = rows if isinstance(rows, (list, tuple)) else ()
    return [row for row in found if isinstance(row, dict)]


def _words(value: Mapping[str, Any], key: str) -> list[str]:
    words = value.get(key)
    return [str(word) for word in words] if isinstance(words, (list, tuple)) else []


def _texts(value: Mapping[str, Any], key: str) -> dict[str, str]:
    found = value.get(key)
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
