"""``python -m tests.bench``: how quick farm is, as ratios in one run on one machine."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import commands, gate, planning, plot, pool, scale, together, warm
from tests.bench.measure import Comparison, machine

PARTS = ("start", "no-op", "forced", "gate", "plan", "planning", "scale")
HEAVY = ("pool", "together", "warm")
"""Only where asked for: they compile for half an hour."""


def main() -> int:
    """Measure what is asked for, print it; missed goals are told, and are no error."""
    options = _options()
    about = {**machine(), "command": shlex.join(["python", "-m", "tests.bench", *sys.argv[1:]])}
    _say("\n".join(f"{name:10} {value}" for name, value in about.items()))
    with tempfile.TemporaryDirectory(prefix="farm-bench-") as folder:
        compared = _compared(Path(folder), options)
        plan_s = _plan(options) if "plan" in options.parts else ()
        planned = _planned(Path(folder), options) if "planning" in options.parts else []
        pooled = _pooled(Path(folder)) if "pool" in options.parts else []
        warmed = _warmed(Path(folder)) if "warm" in options.parts else []
    scaled = _scaled() if "scale" in options.parts else []
    if options.plot and planned:
        options.plot.write_text(plot.svg(planned, about), encoding="utf-8")
    if options.json:
        result = _as_json(about, compared, planned) | {
            "plan_s": plan_s,
            "pool": pooled,
            "warm": warmed,
        }
        result["scale"] = [each.as_json() for each in scaled]
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join((*PARTS, *HEAVY))}"
    )
    parser.add_argument("--pairs", type=int, default=11, help="pairs of runs of each comparison")
    parser.add_argument("--repeats", type=int, default=5, help="processes of each plan's size")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--plot", type=Path, help="draw the growth of planning as SVG")
    options = parser.parse_args()
    unknown = set(options.parts) - {*PARTS, *HEAVY}
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options.parts = options.parts or list(PARTS)
    return options


def _compared(folder: Path, options: argparse.Namespace) -> list[Comparison]:
    found = []
    if set(options.parts) - {"plan", "planning", "scale", "pool", "warm"}:
        _say(f"\n{'':9} {'farm':>9} {'other':>9} {'ratio':>7} {'goal':>7}")
    if "start" in options.parts:
        found.append(commands.start_up(options.pairs))
        _tell(found[-1])
    if {"no-op", "forced"} & set(options.parts):
        bed = commands.prepare(folder)
        for name, compare in (("no-op", commands.nothing_to_do), ("forced", commands.forced)):
            if name in options.parts:
                found.append(compare(bed, options.pairs))
                _tell(found[-1])
    if "gate" in options.parts:
        found.append(gate.measure(10 * options.pairs))
        _tell(found[-1])
    if "together" in options.parts:
        for each in together.measure(folder):
            found.append(each)
            _tell(each)
    return found


def _tell(each: Comparison) -> None:
    ours, theirs = _milliseconds(each.ours_s), _milliseconds(each.theirs_s)
    _say(f"{each.name:9} {ours:>9} {theirs:>9} {each.ratio:6.2f}× {_goal(each.met, each.goal)}")
    spread = (_range(each.ours_s), _range(each.theirs_s))
    _say(f"{'':9} {each.ours} ({spread[0]}) v {each.theirs} ({spread[1]})")


def _goal(met: bool, goal: float) -> str:  # noqa: FBT001 - a word of its own line
    return f"{f'<{goal:g}×':>7} {_mark(met=met)}"


def _mark(*, met: bool) -> str:
    return "✓" if met else "✗"


def _milliseconds(times_s: tuple[float, ...]) -> str:
    return f"{median(times_s) * 1000:.0f} ms"


def _range(times_s: tuple[float, ...]) -> str:
    return f"{min(times_s) * 1000:.0f} to {max(times_s) * 1000:.0f} ms"


def _plan(options: argparse.Namespace) -> tuple[float, ...]:
    times_s = commands.plan_seconds(options.pairs)
    goal_s = commands.PLAN_GOAL_S
    _say(
        f"\n{'plan':9} {_milliseconds(times_s):>9} {'':9} {'':7} {f'<{goal_s:g} s':>7} "
        f"{_mark(met=median(times_s) < goal_s)}\n{'':9} farm plan vllm ({_range(times_s)})"
    )
    return times_s


def _planned(folder: Path, options: argparse.Namespace) -> list[planning.Planned]:
    _say(f"\nplanning  {'units':>7} {'median':>8} {'loading':>8} {'planning':>9} {'peak RSS':>9}")
    found = planning.measure(folder, options.repeats)
    for each in found:
        _say(
            f"{'':9} {each.units:7,} {each.median_s:6.2f} s {each.load_s:6.2f} s "
            f"{each.plan_s:7.2f} s {each.peak_rss_bytes / 1e6:6.0f} MB"
        )
    last = found[-1]
    in_time = last.median_s < planning.GOAL_S
    in_memory = last.peak_rss_bytes < planning.GOAL_BYTES
    grown = planning.growth(found)
    _say(
        f"{'':9} {last.units:,} units under {planning.GOAL_S:g} s {_mark(met=in_time)}, "
        f"under {planning.GOAL_BYTES / 1e6:.0f} MB {_mark(met=in_memory)}; "
        f"a unit of the upper half costs {grown:.2f}× one of the lower half "
        f"(linear: under {planning.LINEAR:g}×) {_mark(met=grown < planning.LINEAR)}"
    )
    return found


def _scaled() -> list[scale.Scaled]:
    _say(
        f"\n{'scale':9} {'units':>7} {'hosts':>6} {'took':>9} {'work':>9} {'path':>9} "
        f"{'ratio':>7} {'goal':>7} {'deciding':>11}"
    )
    found = scale.measure()
    for each in found:
        hours = [f"{s / 60:.0f} min" for s in (each.makespan_s, each.work_bound_s, each.path_s)]
        _say(
            f"{'':9} {each.units:7,} {each.hosts:6} {hours[0]:>9} {hours[1]:>9} {hours[2]:>9} "
            f"{each.ratio:6.2f}× {f'≤{scale.GOAL:g}×':>7} {_mark(met=each.met)} "
            f"{each.scheduler_s:7.2f} s  {each.how}, {each.most_at_once} units at once"
        )
    return found


def _pooled(folder: Path) -> list[dict[str, Any]]:
    limit = pool.LIMIT_BYTES / pool.GIB
    _say(f"\npool      {'order':8} {'how':12} {'compile':>9}  under a limit of {limit:g} GiB")
    found = []
    for each in pool.measure(folder):
        found.append(each)
        took = f"{each.seconds:7.1f} s" if each.ended_well else "   killed"
        more = f"  {each.seconds / each.bound_s:.2f}× the bound" if each.bound_s else ""
        _say(f"{'':9} {each.variant:8} {each.how:12} {took:>9}{more}")
    return [each.as_json() for each in found]


def _warmed(folder: Path) -> list[dict[str, Any]]:
    _say(
        f"\nwarm      {'':18} {'compile':>9} {'ratio':>7} {'goal':>7}  compiled, out of the cache"
    )
    found: list[warm.Warm] = []
    for each in warm.measure(folder):
        found.append(each)
        ratio = each.seconds / found[0].seconds
        goal = f"{ratio:6.3f}× {_goal(ratio <= warm.GOAL, warm.GOAL)}" if found[1:] else " " * 17
        _say(f"{'':9} {each.how:18} {each.seconds:7.1f} s {goal}  {each.compiled}, {each.hits}")
    return [each.as_json() for each in found]


def _as_json(
    about: dict[str, str], compared: list[Comparison], planned: list[planning.Planned]
) -> dict[str, Any]:
    result: dict[str, Any] = {"machine": about, "compared": [c.as_json() for c in compared]}
    if planned:
        sizes = [each.as_json() for each in planned]
        result["planning"] = {"sizes": sizes, "growth": planning.growth(planned)}
    return result


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
