"""Everything that a plan is made from, read from disk once.

`gather` reads the recipes asked for and what they lead to (needed recipes,
toolchains, bases, patches, locks, source trees) and collects every problem on
the way; planning itself then works on values alone.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeVar

from farm.errors import Place, Problem, RecipeError, UsageError
from farm.load.baselocks import parse_base_lock
from farm.load.crates import lock_parts, parse_crates
from farm.load.locks import parse_lock
from farm.load.nearest import advise, perhaps
from farm.load.patches import read_patch
from farm.load.places import dotted, in_order
from farm.load.trees import tree_digest
from farm.load.validate import judge
from farm.load.yaml import read_document
from farm.model.recipe import Recipe
from farm.model.toolchain import Base, Toolchain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path as Folder

    from pydantic import BaseModel

    from farm.load.baselocks import Sets
    from farm.load.places import Path
    from farm.load.project import Project
    from farm.load.validate import Judged
    from farm.load.yaml import Document
    from farm.model.crates import CrateLock
    from farm.model.recipe import Layer
    from farm.model.unit import Lock, PatchFile

M = TypeVar("M", bound="BaseModel")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRecipe:
    """A recipe, and the file that it came from; ``lost`` as in `farm.load.validate.Judged`."""

    recipe: Recipe
    document: Document
    lost: frozenset[Path] = frozenset()

    def place(self, *path: str | int) -> Place:
        """Where a setting stands; the nearest enclosing mapping if it stands nowhere."""
        return self.document.place(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Every toolchain and base that a project can name, for advice about what else there is."""

    toolchains: dict[str, Toolchain] = field(default_factory=dict)
    bases: dict[str, Base] = field(default_factory=dict)

    def knowing(self, arch: str) -> tuple[str, ...]:
        """Names of the toolchains that can compile for an architecture."""
        return tuple(name for name, each in self.toolchains.items() if arch in each.archs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """Loaded files by name.

    ``base_sets`` has the locked packages of bases by what defines them (`RootfsBase.key`).
    ``trees`` maps a tree source to its digest and folder; ``crates`` has locks by package,
    version, source and path of the Cargo.lock.  With ``problems`` it lacks what could not be
    read, and nothing but further problems can come of it; ``lacking`` toolchains lost a key.
    """

    recipes: dict[str, LoadedRecipe] = field(default_factory=dict)
    toolchains: dict[str, Toolchain] = field(default_factory=dict)
    bases: dict[str, Base] = field(default_factory=dict)
    base_sets: Sets = field(default_factory=dict)
    patches: dict[tuple[str, str, str], PatchFile] = field(default_factory=dict)
    trees: dict[str, tuple[str, Folder]] = field(default_factory=dict)
    locks: dict[tuple[str, str, str], Lock] = field(default_factory=dict)
    crates: dict[tuple[str, ...], CrateLock] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=Catalogue)
    problems: tuple[Problem, ...] = ()
    lacking: set[str] = field(default_factory=set)


def gather(project: Project, names: Iterable[str]) -> Library:
    """Load these recipes and all that they lead to.

    Raises:
        UsageError: a name is no recipe.
        RecipeError: with every problem of every file that was read.
    """
    library = read(project, names)
    if library.problems:
        raise RecipeError(library.problems)
    return library


def read(project: Project, names: Iterable[str]) -> Library:
    """Load as much as is right of these recipes and of all that they lead to.

    Raises:
        UsageError: a name is no recipe.
    """
    reader = _Reader(project)
    for name in dict.fromkeys(names):
        if project.find("recipes", f"{name}.yaml") is None:
            known = project.names("recipes")
            raise UsageError(
                f"there is no recipe {name[:80]!r}",
                hint=perhaps(name, known) or "'farm list' shows the recipes",
            )
        reader.recipe(name)
    problems = tuple(in_order(reader.problems))
    return replace(reader.library, catalogue=_catalogue(project), problems=problems)


def _catalogue(project: Project) -> Catalogue:
    """All toolchains and bases; one that is not valid is told to whoever names it."""
    reader = _Reader(project)
    for name in project.names("recipes", "bases"):
        base = reader.read(Base, name)
        if base is not None and not base[1].problems:
            reader.library.bases[name] = base[0]
    for name in project.names("recipes", "toolchains"):
        toolchain = reader.read(Toolchain, name)
        if toolchain is None or toolchain[1].problems:
            continue
        if toolchain[0].base in reader.library.bases:
            reader.library.toolchains[name] = toolchain[0]
    return Catalogue(toolchains=reader.library.toolchains, bases=reader.library.bases)


def _layers(recipe: Recipe) -> Iterator[tuple[tuple[str, ...], str | None, Layer]]:
    """Every layer of a recipe with its path and the version that it belongs to (None: all)."""
    yield (), None, recipe
    for name, variant in recipe.variants.items():
        yield ("variants", name), None, variant
    for name, feature in recipe.features.items():
        yield ("features", name, "on"), None, feature.on
        yield ("features", name, "off"), None, feature.off
    for name, version in recipe.versions.items():
        yield ("versions", name), name, version
        for variant_name, layer in version.variants.items():
            yield ("versions", name, "variants", variant_name), name, layer


_FILES: Final[dict[type[BaseModel], tuple[str, tuple[str, ...]]]] = {
    Recipe: ("package", ("recipes",)),
    Toolchain: ("toolchain", ("recipes", "toolchains")),
    Base: ("base", ("recipes", "bases")),
}
"""The key that holds the name of a file, and the folder in which it lies."""


class _Reader:
    """Reads files into a library and remembers what is wrong with them."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.library = Library()
        self.problems: list[Problem] = []
        self._seen: set[tuple[type[BaseModel], str]] = set()
        self._waiting: list[str] = []

    def recipe(self, name: str) -> None:
        """Read a recipe and all that it leads to, however long the chain of needs is."""
        self._waiting.append(name)
        while self._waiting:
            self._recipe(self._waiting.pop())

    def _recipe(self, name: str) -> None:
        read = self.read(Recipe, name)
        if read is None:
            return
        recipe, judged = read
        # Places are found in the text; the plain values have become the recipe.
        document = replace(judged.document, value=None)
        loaded = LoadedRecipe(recipe=recipe, document=document, lost=judged.lost)
        self.library.recipes[name] = loaded
        for variant_name, variant in recipe.variants.items():
            if variant.toolchain not in self.library.toolchains:
                self._toolchain(loaded, variant_name, variant.toolchain)
        for path, version, layer in _layers(recipe):
            self._patches(loaded, path, version, layer)
            self._trees(loaded, path, layer)
            self._needs(loaded, path, layer)
            self._crates(recipe, version, layer)
        self._locks(name)

    def read(self, model: type[M], name: str) -> tuple[M, Judged[M]] | None:
        """A file's model; None if it was read before, is not there, or too little is right."""
        key, folders = _FILES[model]
        path = self.project.find(*folders, f"{name}.yaml")
        if path is None or (model, name) in self._seen:
            return None
        self._seen.add((model, name))
        with self._readable(path):
            judged = judge(model, read_document(path.read_bytes(), self.project.display(path)))
            self.problems.extend(judged.problems)
            if judged.model:
                return self._called(judged.model, key, name, judged.document), judged
        return None

    @contextmanager
    def _readable(self, path: Folder) -> Iterator[None]:
        """Note what is wrong with a file."""
        try:
            yield
        except RecipeError as error:
            self.problems.extend(error.problems)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            self._add(Place(file=self.project.display(path)), "", f"cannot be read: {why}")

    def _add(self, place: Place, where: str, what: str, hint: str = "") -> None:
        self.problems.append(Problem(place=place, where=where, what=what, hint=hint))

    def _tell(self, loaded: LoadedRecipe, path: Path, what: str, hint: str = "") -> None:
        """Note what is wrong with a setting of a recipe."""
        self._add(loaded.place(*path), dotted(path), what, hint)

    def _called(self, model: M, key: str, name: str, document: Document) -> M:
        """The model, by the name of its file; that it says another is told."""
        says = getattr(model, key)
        if says == name:
            return model
        what = f"{says!r} stands in a file that is called {name}.yaml"
        self._add(document.place((key,)), key, what)
        return model.model_copy(update={key: name})

    def _toolchain(self, loaded: LoadedRecipe, variant: str, name: str) -> None:
        where = ("variants", variant, "toolchain")
        if not self._is_there("toolchain", name, loaded.place(*where), dotted(where)):
            return
        read = self.read(Toolchain, name)
        if read is None:
            return
        toolchain, judged = read
        self.library.toolchains[name] = toolchain
        self.library.lacking.update([name] if () in judged.lost else ())
        if not self._is_there("base", toolchain.base, judged.document.place(("base",)), "base"):
            return
        base = self.read(Base, toolchain.base)
        if base is not None:
            self.library.bases[toolchain.base] = base[0]
            self._base_locks(toolchain.base)

    def _is_there(self, kind: str, name: str, place: Place, where: str) -> bool:
        """Whether there is a toolchain or base of that name; that there is none is told."""
        if self.project.find("recipes", f"{kind}s", f"{name}.yaml"):
            return True
        known = self.project.names("recipes", f"{kind}s")
        self._add(place, where, f"unknown {kind} {name!r}", advise(name, known, "known:"))
        return False

    def _base_locks(self, name: str) -> None:
        found = self.project.find_all("recipes", "bases", f"{name}.lock")
        for path in reversed(found):  # the user's own, the first, wins
            with self._readable(path):
                text = path.read_text(encoding="utf-8")
                self.library.base_sets.update(parse_base_lock(text, self.project.display(path)))

    def _patches(
        self, loaded: LoadedRecipe, path: tuple[str, ...], version: str | None, layer: Layer
    ) -> None:
        package = loaded.recipe.package
        versions = [version] if version else list(loaded.recipe.versions)
        for index, patch in enumerate(layer.patches):
            where: Path = (*path, "patches", index)
            for each in versions:
                found = self.project.find("patches", package, each, patch.file)
                if found is None:
                    what = f"there is no patches/{package}/{each}/{patch.file}"
                    self._tell(loaded, where, what, self._nearest_patch(package, each, patch.file))
                    continue
                with self._readable(found):
                    read = read_patch(found, self.project.display(found))
                    self.library.patches[package, each, patch.file] = read

    def _nearest_patch(self, package: str, version: str, name: str) -> str:
        folder = self.project.find("patches", package, version)
        known = sorted(path.name for path in folder.glob("*.patch")) if folder else []
        return perhaps(name, known)

    def _trees(self, loaded: LoadedRecipe, path: tuple[str, ...], layer: Layer) -> None:
        named = [((*path, "sources", name), s.source) for name, s in layer.sources.items()]
        main = getattr(layer, "source", None)
        if main is not None:
            named.append(((*path, "source"), main))
        for where, source in named:
            tree = getattr(source, "tree", None)
            if tree is None:
                continue
            folder = self.project.find("recipes", "sources", tree)
            if folder is None or not folder.is_dir():
                self._tell(loaded, where, f"there is no folder recipes/sources/{tree}")
                continue
            if any(p.is_symlink() for p in (folder, *folder.parents[: tree.count("/")])):
                # A link could bring any folder of this machine into a container.
                self._tell(loaded, where, f"recipes/sources/{tree} is a link")
                continue
            try:
                self.library.trees[tree] = (tree_digest(folder), folder)
            except RecipeError as error:
                for problem in error.problems:
                    self._tell(loaded, where, problem.what)
            except OSError as error:
                self._tell(loaded, where, f"cannot be read: {error}")

    def _needs(self, loaded: LoadedRecipe, path: tuple[str, ...], layer: Layer) -> None:
        for index, need in enumerate(layer.needs):
            where: Path = (*path, "needs", index)
            if self.project.find("recipes", f"{need.package}.yaml") is None:
                known = self.project.names("recipes")
                what = f"needs the unknown recipe {need.package!r}"
                self._tell(loaded, where, what, perhaps(need.package, known))
                continue
            self._waiting.append(need.package)

    def _locks(self, package: str) -> None:
        folders = self.project.find_all("recipes", "locks", package)
        for folder in reversed(folders):  # the user's own, the first, wins
            for path in sorted(folder.glob("*/*.txt")):
                with self._readable(path):
                    content = path.read_text(encoding="utf-8")
                    lock = parse_lock(content, self.project.display(path))
                    self.library.locks[package, path.parent.name, path.stem] = lock

    def _crates(self, recipe: Recipe, version: str | None, layer: Layer) -> None:
        for item in layer.crates:
            for each in [version] if version else recipe.versions:
                source = item.of or recipe.package
                parts = lock_parts(source, item.lock)
                path = self.project.find("recipes", "locks", recipe.package, each, *parts)
                key = (recipe.package, each, source, item.lock)
                if path is None or key in self.library.crates:
                    continue
                with self._readable(path):
                    text = path.read_text(encoding="utf-8")
                    self.library.crates[key] = parse_crates(text, self.project.display(path))
