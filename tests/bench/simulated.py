"""Units and hosts that only time passes for: what is built, on what, in virtual time.

A unit is a serial part (sources, configuring), compiles of which so many can run at once, one
that is longer than all others, and a serial end (linking, proving).  All compiles of a host
share slots as at the gate, where calls come in as they ask: each unit has its share by how
many it has ready.  What passes no gate shares the cores with those that have slots.
"""

from __future__ import annotations

import asyncio
import selectors
from dataclasses import dataclass, field, replace
from enum import Enum
from random import Random

from farm.host.machine import Machine

HOST = Machine(cores=32, memory_bytes=128 << 30)
_SPREAD = 0.35
"""Of what packages of one shape take, as the sigma of a logarithm."""
_FORECAST = 0.15
"""How far off what was recorded is from what a build then takes, likewise."""
_ROOTS = 60
"""Packages that others need."""
_NEEDY = 0.6
"""The share of packages that need one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a kind of package takes: seconds before, of CPU in compiles, of the longest, after.

    ``share`` is how many of a hundred packages are of it, ``gib`` what one compiler takes.
    """

    name: str
    before_s: float
    cpu_s: float
    longest_s: float
    after_s: float
    gib: float
    share: float


# Measured on two cores with farm's recipes, or taken from upstream's own figures where these
# are too long for that (numpy, scipy, flash-attn); how common each is, is assumed.
SHAPES = tuple(
    Shape(name=n, before_s=b, cpu_s=c, longest_s=m, after_s=a, gib=g, share=s)
    for n, b, c, m, a, g, s in (
        ("pure Python (mdurl)", 4, 1, 1, 3, 0.5, 30),
        ("one extension (markupsafe)", 8, 20, 8, 4, 0.5, 20),
        ("some extensions (uvloop)", 12, 120, 25, 5, 1, 16),
        ("llama-cpp-python 0.2.44 cpu", 15, 60, 20, 6, 1, 8),
        ("llama-cpp-python 0.2.44 cuda", 20, 230, 70, 8, 1, 6),
        ("llama-cpp-python 0.3.36 cpu", 20, 508, 30, 10, 1, 6),
        ("numpy", 40, 800, 20, 15, 1, 4),
        ("lightgbm", 20, 900, 60, 15, 2, 3),
        ("Rust (outlines-core)", 10, 300, 60, 6, 1, 3),
        ("llama-cpp-python 0.3.36 cuda", 30, 4300, 200, 20, 2, 1.5),
        ("scipy", 60, 3600, 60, 20, 1, 1),
        ("vllm 0.22.0 cpu", 60, 5168, 280, 40, 4, 0.6),
        ("vllm 0.22.0 cuda", 90, 16_200, 532, 60, 5, 0.5),
        ("flash-attn, one architecture", 40, 18_000, 420, 40, 5, 0.4),
    )
)


@dataclass(frozen=True, slots=True)
class Need:
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A unit with what it really takes; ``recorded_s`` is what is known of it before."""

    label: str
    before_s: float
    cpu_s: float
    longest_s: float
    after_s: float
    call_bytes: int
    recorded_s: float
    needs: tuple[Need, ...] = ()

    @property
    def work_s(self) -> float:
        """Processor time, of all its parts."""
        return self.before_s + self.cpu_s + self.after_s

    @property
    def alone_s(self) -> float:
        """How long it takes with a whole host for itself."""
        middle = max(self.longest_s, self.cpu_s / HOST.cores)
        return self.before_s + middle + self.after_s


def make_units(packages: int, variants: int, seed: int = 0) -> tuple[Simulated, ...]:
    """Units of packages of the shapes above; equal for equal arguments."""
    random, units = Random(seed), []  # noqa: S311 - a simulation
    weights = [shape.share for shape in SHAPES]
    for package in range(packages):
        (shape,) = random.choices(SHAPES, weights)
        scale = random.lognormvariate(0, _SPREAD)
        needy = package and random.random() < _NEEDY
        need = random.randrange(min(package, _ROOTS)) if needy else None
        for variant in range(variants):
            units.append(_unit(shape, scale, package, variant, need, random))  # noqa: PERF401
    return tuple(units)


def _unit(  # noqa: PLR0917 - parts of one line of a table
    shape: Shape, scale: float, package: int, variant: int, need: int | None, random: Random
) -> Simulated:
    scale *= random.uniform(0.8, 1.25)
    made = Simulated(
        label=f"p{package}:v{variant}",
        before_s=shape.before_s,
        cpu_s=shape.cpu_s * scale,
        longest_s=shape.longest_s * min(scale, 1.5),
        after_s=shape.after_s,
        call_bytes=int(shape.gib * 2**30),
        recorded_s=0.0,
        needs=() if need is None else (Need(f"p{need}:v{variant}"),),
    )
    known = made.alone_s * random.lognormvariate(0, _FORECAST)
    return replace(made, recorded_s=known)


class Turn(Enum):
    """Who gets the slots of a pool: as calls come in, as at the gate; or by the longest path."""

    AS_THEY_COME = "as they come"
    BY_PATH = "by path"


@dataclass(slots=True, eq=False)
class _Work:
    """What is left of some work, and who waits for it.

    It can go on on ``width`` cores at once; what passes no gate has none, and takes one.
    """

    left_s: float
    width: float
    rank: float
    done: asyncio.Future[None]


@dataclass(slots=True)
class Host:
    """A machine; its compilers take turns, and with all else they share the cores equally."""

    turn: Turn = Turn.AS_THEY_COME
    given_s: float = 0.0
    _works: list[_Work] = field(default_factory=list)
    _rates: list[float] = field(default_factory=list)
    _since: float = 0.0
    _alarm: asyncio.TimerHandle | None = None

    async def build(self, unit: Simulated, rank: float) -> None:
        """Do all of a unit; of a higher ``rank`` it is on a longer path."""
        self.given_s += unit.work_s
        await self._do(unit.before_s)
        rest = max(0.0, unit.cpu_s - unit.longest_s)
        width = min(HOST.cores, max(1.0, 2 * unit.cpu_s / unit.longest_s))
        await asyncio.gather(self._do(unit.longest_s, 1, rank), self._do(rest, width, rank))
        await self._do(unit.after_s)
        self.given_s -= unit.work_s

    async def _do(self, cpu_s: float, width: float = 0, rank: float = 0) -> None:
        if cpu_s <= 0:
            return
        loop = asyncio.get_running_loop()
        self._advance(loop.time())
        work = _Work(cpu_s, width, rank, loop.create_future())
        self._works.append(work)
        self._wait()
        await work.done

    def _advance(self, now: float) -> None:
        """Do what was done since the last change."""
        passed, self._since = now - self._since, now
        for work, rate in zip(self._works, self._rates, strict=True):
            work.left_s -= passed * rate

    def _shares(self) -> list[float]:
        """How many cores each work has."""
        slots = dict.fromkeys(self._works, 1.0)
        gated = [work for work in self._works if work.width]
        ready = sum(work.width for work in gated)
        free = float(HOST.cores)
        for work in sorted(gated, key=lambda work: -work.rank):
            equal = work.width * min(1.0, HOST.cores / ready)
            slots[work] = equal if self.turn is Turn.AS_THEY_COME else min(work.width, free)
            free -= slots[work]
        slowed = min(1.0, HOST.cores / max(1.0, sum(slots.values())))
        return [slots[work] * slowed for work in self._works]

    def _wait(self) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._rates = self._shares()
        rated = zip(self._works, self._rates, strict=True)
        first = min((max(0.0, w.left_s) / rate for w, rate in rated if rate > 0), default=None)
        if first is not None:
            self._alarm = asyncio.get_running_loop().call_later(first + 1e-6, self._ring)

    def _ring(self) -> None:
        self._advance(asyncio.get_running_loop().time())
        over = [work for work in self._works if work.left_s <= 1e-6]
        self._works = [work for work in self._works if work.left_s > 1e-6]
        for work in over:
            work.done.set_result(None)
        self._wait()


class _VirtualSelector(selectors.DefaultSelector):
    """Waits for nothing: the clock goes on at once by what would have been waited."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which time passes only where all wait."""

    def __init__(self) -> None:
        self._clock = _VirtualSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now
