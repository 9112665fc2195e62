"""What differs between two builds, for a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.inspect.compare import Difference
    from farm.repro.changes import Change
    from farm.repro.difference import Comparison

_MOST_FILES = 20


def told(found: Comparison) -> Iterator[str]:
    """Lines that say it: what went in, what came out, and why bytes differ."""
    yield from _section("what went in", _changes(found.inputs))
    yield from _section("Dockerfile", map(_plain, found.dockerfile))
    yield from _section("besides, which should change nothing", _changes(found.besides))
    yield from _section("what came out", _changes(found.results))
    yield from _section("files, and why they differ", _files(found.files))
    if found.same:
        yield "the same went in, and the same came out"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number == 0:
            yield f"{title}:"
        yield f"  {line}"


def _changes(changes: Iterable[Change]) -> Iterator[str]:
    return (_plain(str(change)) for change in changes)


def _files(files: tuple[Difference, ...]) -> Iterator[str]:
    for each in files[:_MOST_FILES]:
        yield _plain(f"{each.path or 'the archive'}: {each.cause}: {each.message}")
    if len(files) > _MOST_FILES:
        yield f"and {len(files) - _MOST_FILES:,} more (--json has all)"
    for remedy in dict.fromkeys(each.remedy for each in files if each.remedy):
        causes = dict.fromkeys(str(each.cause) for each in files if each.remedy == remedy)
        yield f"{', '.join(causes)}: {remedy}"


def _plain(text: str) -> str:
    """Text that anybody may have written, without what a terminal would obey."""
    return text if text.isprintable() else ascii(text)[1:-1]
