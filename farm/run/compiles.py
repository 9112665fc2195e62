"""What the compilers of a unit took, summed up from its calls."""

from __future__ import annotations

import heapq
import re
from collections import defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from farm.events import Compile, Compiled, CompilerCalls
from farm.store.calls import CallLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from farm.store.calls import Call

SHOWN: Final = 5
"""How many of the longest and of the largest calls are told."""
_MOST_KINDS = 8
_NAME_CHARACTERS = 64
_DRIVER = re.compile(r"(?:.*-)?(?P<name>[a-z][a-z+.]*)(?:-[0-9.]+)?")


def compiled_of(unit: str, path: Path) -> Compiled | None:
    """What the calls in a file came to; None if there were none, or they cannot be read."""
    try:
        calls = list(CallLog(path))
    except OSError:
        return None
    return summed_up(unit, calls) if calls else None


def summed_up(unit: str, calls: Iterable[Call]) -> Compiled:
    """What calls came to, one at least."""
    calls = tuple(calls)
    compilers = _by_compiler(calls)
    return Compiled(
        unit=unit,
        count=sum(each.count for each in compilers),
        wall_s=round(max(c.ended_s for c in calls) - min(c.began_s for c in calls), 3),
        cpu_s=round(sum(call.cpu_s for call in calls), 3),
        peak_bytes=max(call.peak_bytes for call in calls),
        at_once_bytes=at_once(calls),
        hits=sum(each.hits for each in compilers),
        misses=sum(each.misses for each in compilers),
        retried=sum(call.tries > 1 for call in calls),
        compilers=compilers,
        longest=_top(calls, key=lambda call: call.wall_s),
        largest=_top(calls, key=lambda call: call.peak_bytes),
    )


def totals(compiled: Compiled) -> dict[str, object]:
    """What a record keeps of it (``compile.calls``)."""
    return {
        "count": compiled.count,
        "wall_s": compiled.wall_s,
        "cpu_s": compiled.cpu_s,
        "peak_bytes": compiled.peak_bytes,
        "at_once_bytes": compiled.at_once_bytes,
        "hits": compiled.hits,
        "misses": compiled.misses,
        "retried": compiled.retried,
        "compilers": {
            each.compiler: {
                "count": each.count,
                "cpu_s": each.cpu_s,
                "hits": each.hits,
                "misses": each.misses,
            }
            for each in compiled.compilers
        },
    }


def at_once(calls: Iterable[Call]) -> int:
    """The most bytes that calls took together, each at its peak all the time: never too few."""
    changes: dict[float, int] = defaultdict(int)
    for call in calls:
        changes[call.began_s] += call.peak_bytes
        changes[call.freed_s] -= call.peak_bytes
    return max(accumulate(changes[when] for when in sorted(changes)), default=0)


def driver(compiler: str) -> str:
    """What a compiler is called without its target and version: ``g++`` of ``…-g++-14``."""
    name = compiler[:_NAME_CHARACTERS]
    found = _DRIVER.fullmatch(name)
    return found["name"] if found else name


def _by_compiler(calls: Iterable[Call]) -> tuple[CompilerCalls, ...]:
    groups: dict[str, list[Call]] = {}
    for call in calls:
        name = driver(call.compiler)
        known = name in groups or len(groups) < _MOST_KINDS
        groups.setdefault(name if known else "others", []).append(call)
    found = [
        CompilerCalls(
            compiler=name,
            count=sum(call.tries == 1 for call in group),
            cpu_s=round(sum(call.cpu_s for call in group), 3),
            hits=sum(call.cache == "hit" for call in group),
            misses=sum(call.cache == "miss" and call.tries == 1 for call in group),
        )
        for name, group in groups.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.cpu_s, each.compiler)))


def _top(calls: Iterable[Call], *, key: Callable[[Call], float]) -> tuple[Compile, ...]:
    return tuple(
        Compile(
            compiler=driver(call.compiler),
            source=call.source,
            wall_s=call.wall_s,
            cpu_s=call.cpu_s,
            peak_bytes=call.peak_bytes,
        )
        for call in heapq.nlargest(SHOWN, calls, key=key)
    )
