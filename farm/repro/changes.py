"""What differs between two states of a unit, as changes that can be made one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from farm.load.locks import inputs_digest
from farm.model.unit import PatchFile, Pin, SmokeTest, Source, TextEdit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from farm.model.unit import Lock, Unit

_SHOWN = 60
_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference; ``was`` and ``becomes`` are for a reader, empty for what is not there."""

    name: str
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.name}: {self.was or 'not there'} → {self.becomes or 'not there'}"


def changes(good: Unit, bad: Unit) -> tuple[Change, ...]:
    """All that differs between two units and may decide how a build or its trial ends."""
    return tuple(
        Change(name=name, was=_said(was.get(name)), becomes=_said(becomes.get(name)))
        for part in PARTS
        for was, becomes in [(part.read(good), part.read(bad))]
        for name in _names(was, becomes)
        if _essence(was.get(name)) != _essence(becomes.get(name))
    )


def hybrid(good: Unit, bad: Unit, chosen: frozenset[str]) -> Unit:
    """``good`` with the ``chosen`` of its changes to ``bad``, by name."""
    unit = good
    for part in PARTS:
        was, becomes = part.read(good), part.read(bad)
        names = _names(was, becomes)
        differing = {n for n in names if _essence(was.get(n)) != _essence(becomes.get(n))}
        if not differing & chosen:
            continue
        mixed = {
            name: (becomes if name in chosen or name not in differing else was).get(name)
            for name in names
        }
        unit = part.write(unit, {name: each for name, each in mixed.items() if each is not None})
    return unit


class Part(Protocol):
    """A part of a unit that consists of things with names."""

    def read(self, unit: Unit) -> Mapping[str, Any]:
        """Each thing by the name of its change."""

    def write(self, unit: Unit, things: Mapping[str, Any]) -> Unit:
        """The unit with these things, in this order, in the place of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    """Fields that make sense only together: one change."""

    name: str
    fields: tuple[str, ...]

    def read(self, unit: Unit) -> Mapping[str, Any]:
        return {self.name: tuple(getattr(unit, field) for field in self.fields)}

    def write(self, unit: Unit, things: Mapping[str, Any]) -> Unit:
        values: dict[str, Any] = dict(zip(self.fields, things[self.name], strict=True))
        return replace(unit, **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Items:
    """The items of a field, each a change by what ``key`` calls it."""

    title: str
    field: str
    key: Callable[[Any], str]

    def read(self, unit: Unit) -> Mapping[str, Any]:
        return _named(self.title, getattr(unit, self.field), self.key)

    def write(self, unit: Unit, things: Mapping[str, Any]) -> Unit:
        values: dict[str, Any] = {self.field: tuple(things.values())}
        return replace(unit, **values)


class _Version:
    """Version and source; the variant goes on to be called as it is."""

    def read(self, unit: Unit) -> Mapping[str, Any]:
        return {"version and source": (unit.key.version, unit.source)}

    def write(self, unit: Unit, things: Mapping[str, Any]) -> Unit:
        version, source = things["version and source"]
        return replace(unit, key=replace(unit.key, version=version), source=source)


class _Toolchain(_Fields):
    """Compilers, what they run on, and the C library that wheels are held against."""

    def read(self, unit: Unit) -> Mapping[str, Any]:
        (values,) = super().read(unit).values()
        return {self.name: (*values, unit.lock_inputs.glibc)}

    def write(self, unit: Unit, things: Mapping[str, Any]) -> Unit:
        *values, glibc = things[self.name]
        inputs = replace(unit.lock_inputs, glibc=glibc)
        lock = unit.lock and replace(unit.lock, inputs=inputs_digest(inputs))
        return super().write(replace(unit, lock_inputs=inputs, lock=lock), {self.name: values})


class _BuildRequirements:
    """Pins of the lock; the lock goes on to name what the unit's own was resolved from."""

    def read(self, unit: Unit) -> Mapping[str, Any]:
        return _pins("build requirement", unit.lock)

    def write(self, unit: Unit, things: Mapping[str, Any]) -> Unit:
        return replace(unit, lock=_with_pins(unit.lock, things))


class _SmokeTest:
    """How the wheel is tried, but for what is installed beside it."""

    def read(self, unit: Unit) -> Mapping[str, Any]:
        test = unit.smoke_test
        return {"smoke test": test and replace(test, lock=_with_pins(test.lock, {}))}

    def write(self, unit: Unit, things: Mapping[str, Any]) -> Unit:
        test = things.get("smoke test")
        own = unit.smoke_test.lock if unit.smoke_test else None
        pins = {pin.name: pin for pin in own.pins} if own else {}
        return replace(unit, smoke_test=test and replace(test, lock=_with_pins(test.lock, pins)))


class _TrialRequirements:
    """What is installed beside the wheel where it is tried."""

    def read(self, unit: Unit) -> Mapping[str, Any]:
        return _pins("requirement", unit.smoke_test.lock if unit.smoke_test else None)

    def write(self, unit: Unit, things: Mapping[str, Any]) -> Unit:
        test = unit.smoke_test
        return replace(unit, smoke_test=test and replace(test, lock=_with_pins(test.lock, things)))


PARTS: tuple[Part, ...] = (
    _Version(),
    _Toolchain(
        name="toolchain and base", fields=("toolchain", "host_compiler", "base", "toolkit")
    ),
    _Fields(name="architectures", fields=("accelerator", "archs", "features", "python")),
    _Fields(name="what is expected", fields=("expected", "forbid_output")),
    _Items(title="source", field="sources", key=lambda source: source.name),
    _Items(title="patch", field="patches", key=lambda patch: f"{patch.source}/{patch.path.name}"),
    _Items(title="edit of", field="edits", key=lambda edit: f"{edit.source}/{edit.file}"),
    _Items(title="crates of", field="crates", key=lambda crates: f"{crates.source}/{crates.file}"),
    _Items(title="environment", field="env", key=lambda variable: variable[0]),
    _Items(title="needed", field="needs", key=lambda need: need.package),
    _BuildRequirements(),
    _SmokeTest(),
    _TrialRequirements(),
)
"""All of a unit that decides how it is built and tried, smaller things after larger ones."""


def _names(was: Mapping[str, Any], becomes: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of both, in the order of the later state."""
    return tuple(dict.fromkeys((*becomes, *was)))


def _essence(thing: object) -> object:
    """What of a thing counts: where a file lies does not, and of a patch its content alone."""
    match thing:
        case PatchFile():
            return thing.source, thing.path.name, thing.sha256
        case Source():
            return replace(thing, path=None)
        case SmokeTest():  # what is installed beside the wheel is compared by itself
            tried = thing.imports, thing.script, thing.gpu_script, thing.stubs, thing.drivers
            return thing.base, tried
        case tuple():
            return tuple(map(_essence, thing))
        case _:
            return thing


def _named(title: str, items: Iterable[Any], key: Callable[[Any], str]) -> dict[str, Any]:
    """Items by title and key; those of one key are counted."""
    found: dict[str, Any] = {}
    for item in items:
        name = f"{title} {key(item)}"
        same = sum(each == name or each.startswith(f"{name} (") for each in found)
        found[f"{name} ({same + 1})" if same else name] = item
    return found


def _pins(title: str, lock: Lock | None) -> dict[str, Any]:
    return _named(title, lock.pins if lock else (), lambda pin: pin.name)


def _with_pins(lock: Lock | None, pins: Mapping[str, Any]) -> Lock | None:
    return lock and replace(lock, pins=tuple(pins.values()))


def _said(thing: object) -> str:
    """A thing in a few words."""
    match thing:
        case None:
            return ""
        case Pin():
            return thing.version
        case Source():
            return f"{thing.filename} ({_short(thing.digest)})"
        case TextEdit():
            text = thing.by
        case tuple():
            text = ", ".join(filter(None, map(_said, thing)))
        case _:
            digest = getattr(thing, "sha256", "") or getattr(thing, "digest", "")
            text = _short(digest) if digest else str(getattr(thing, "label", thing))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _short(digest: str) -> str:
    return digest.rpartition(":")[2][:_DIGITS]
