"""The plan: which units, in which order, and what each waits for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from farm.errors import PlanError, Problem, RecipeError, UsageError
from farm.load.nearest import advise
from farm.load.places import in_order
from farm.plan.resolve import Resolver
from farm.plan.scope import is_loaded
from farm.plan.select import Selector, VariantChoice, parse_variant
from farm.plan.toolchains import Toolchains

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from farm.load.library import Library, LoadedRecipe
    from farm.model.unit import Unit, UnitKey
    from farm.plan.preflight import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Units in an order in which each comes after those that it needs.

    ``requested`` holds the labels that were asked for; the others are needed
    by these.  ``refusals`` is empty unless the plan was made without preflight;
    ``refused`` says by label why a unit is known not to work.
    """

    units: tuple[Unit, ...]
    requested: frozenset[str]
    refusals: tuple[Refusal, ...] = ()
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the command line asks for besides selectors."""

    variants: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    python: str | None = None


def make_plan(
    library: Library, selectors: Iterable[Selector], choice: Choice, *, preflight: bool = True
) -> Plan:
    """Resolve what is asked for and all that it needs.

    Raises:
        UsageError: a version, variant or feature that a recipe does not have.
        RecipeError: the library's problems and settings that cannot be resolved, all at once.
        PlanError: units that need each other in a circle; with ``preflight``,
            what is known not to work (`farm.plan.preflight`), all at once.
    """
    planner = _Planner(library)
    try:
        requested = [
            unit.label for selector in selectors for unit in planner.select(selector, choice)
        ]
    except UsageError:
        if library.problems:  # it may be for want of what could not be read
            raise RecipeError(library.problems) from None
        raise
    refused = planner.refusals
    told = list(dict.fromkeys(each.problem for each in refused)) if preflight else []
    problems = [*library.problems, *planner.problems]
    if problems:
        raise RecipeError(in_order([*problems, *told]))
    if told:
        raise PlanError(told, hint="to try it nevertheless: --no-preflight")
    return Plan(
        units=tuple(planner.ordered()),
        requested=frozenset(requested),
        refusals=refused,
        refused=planner.refused,
    )


class _Planner:
    """Collects units by label, and the problems met on the way."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.units: dict[str, Unit] = {}
        self._toolchains = Toolchains(library)
        self._resolvers: dict[tuple[str, str], Resolver] = {}

    def select(self, selector: Selector, choice: Choice) -> Iterator[Unit]:
        """Units of one selector, with what they need added to ``units``."""
        loaded = self.library.recipes.get(selector.package)
        if loaded is None:
            return  # why, is told
        if selector.version:
            _known("version", selector.version, loaded, tuple(loaded.recipe.versions))
        names = [selector.variant] if selector.variant else choice.variants
        every = (VariantChoice(name=name) for name in loaded.recipe.variants)
        for asked in [parse_variant(name) for name in names] or every:
            parsed = _with(asked, choice)
            _known("variant", parsed.name, loaded, tuple(loaded.recipe.variants))
            for feature, _ in parsed.features:
                _known_feature(feature, loaded)
            version = selector.version or loaded.recipe.default_version(parsed.name)
            if is_loaded(self.library, loaded.recipe, parsed.name):
                unit = self._resolve(loaded, version, parsed)
                if unit is not None:
                    yield unit

    def _resolve(self, loaded: LoadedRecipe, version: str, choice: VariantChoice) -> Unit | None:
        """One unit, with all that it needs added to ``units``."""
        asked = self._resolver(loaded, version).unit(choice)
        waiting = [asked] if asked else []
        while waiting:
            unit = waiting.pop()
            if unit.label in self.units:
                continue
            self.units[unit.label] = unit
            for need in unit.needs:
                if need.label not in self.units:
                    resolver = self._resolver(self.library.recipes[need.package], need.version)
                    needed = resolver.unit(parse_variant(need.variant))
                    waiting += [needed] if needed else []
        return asked

    def _resolver(self, loaded: LoadedRecipe, version: str) -> Resolver:
        key = (loaded.recipe.package, version)
        if key not in self._resolvers:
            made = Resolver(self.library, self._toolchains, loaded, version)
            self._resolvers[key] = made
        return self._resolvers[key]

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the units, each problem once, by recipe and version."""
        found = (each for made in self._resolvers.values() for each in made.problems)
        return list(dict.fromkeys(found))

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """What is known not to work, each once."""
        found = (each for made in self._resolvers.values() for each in made.refusals)
        return tuple(dict.fromkeys(found))

    @property
    def refused(self) -> dict[str, tuple[str, ...]]:
        """Why a unit is known not to work, by its label."""
        return {
            label: why for made in self._resolvers.values() for label, why in made.refused.items()
        }

    def ordered(self) -> list[Unit]:
        """Needed units first, otherwise as asked for.

        Raises:
            PlanError: a circle, with its path.
        """
        order: dict[str, Unit] = {}
        for root in self.units:
            # What leads from the root to where we are, each with the needs still to be visited.
            trail: dict[str, Iterator[UnitKey]] = {}
            label: str | None = None if root in order else root
            while label or trail:
                if label:
                    trail[label] = iter(self.units[label].needs)
                here, rest = next(reversed(trail.items()))
                label = next((need.label for need in rest if need.label not in order), None)
                if label in trail:
                    raise _circle([*trail, label])
                if label is None:
                    order[here] = self.units[here]
                    del trail[here]
        return list(order.values())


def _circle(trail: list[str]) -> PlanError:
    """The error for a trail that ends where it once was."""
    circle = " → ".join(trail[trail.index(trail[-1]) :])
    what = f"these units need each other in a circle: {circle}"
    return PlanError([Problem(what=what, hint="one of them must come from elsewhere")])


def _with(parsed: VariantChoice, choice: Choice) -> VariantChoice:
    """Add the features and the Python that options asked for; the name's own win."""
    if not (parsed.features or choice.features or choice.python):
        return parsed
    named = dict(parsed.features)
    asked = {name.lstrip("~"): not name.startswith("~") for name in choice.features}
    merged = tuple(sorted({**asked, **named}.items()))
    return replace(parsed, features=merged, python=parsed.python or choice.python)


def _known(kind: str, name: str, loaded: LoadedRecipe, known: tuple[str, ...]) -> None:
    if name not in known:
        what = f"{loaded.recipe.package} has no {kind} {name[:80]!r}"
        raise UsageError(what, hint=advise(name, known, "it has"))


def _known_feature(name: str, loaded: LoadedRecipe) -> None:
    if name in loaded.recipe.variants and name not in loaded.recipe.features:
        raise UsageError(
            f"{name!r} is a variant of {loaded.recipe.package}, not a feature",
            hint="variants exclude each other: build them as units of their own",
        )
    _known("feature", name, loaded, tuple(loaded.recipe.features))
