"""Where a project's files are: the user's own first, then those that farm ships."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A folder that holds ``recipes/``, and below it what farm ships.

    ``roots`` are searched in order, so a user's file wins over a shipped one
    of the same name.
    """

    root: Path
    roots: tuple[Path, ...]

    @property
    def out(self) -> Path:
        """Where results go."""
        return self.root / "out"

    def find(self, *parts: str) -> Path | None:
        """The first existing path of these parts below the roots."""
        return next(iter(self._existing(parts)), None)

    def find_all(self, *parts: str) -> tuple[Path, ...]:
        """The existing paths of these parts, one of each root at most."""
        return tuple(self._existing(parts))

    def _existing(self, parts: tuple[str, ...]) -> Iterator[Path]:
        # Planning thousands of recipes asks this often: strings are joined and looked up at a
        # third of the cost of paths.
        candidates = (os.path.join(root, *parts) for root in self.roots)  # noqa: PTH118
        return (Path(path) for path in candidates if os.path.exists(path))  # noqa: PTH110

    def names(self, *folder: str) -> tuple[str, ...]:
        """Names of the YAML files in a folder of all roots, sorted, each once."""
        found = {
            path.stem
            for root in self.roots
            for path in root.joinpath(*folder).glob(f"*{SUFFIX}")
            if path.is_file()
        }
        return tuple(sorted(found))

    def own_recipes(self) -> tuple[str, ...]:
        """Recipes of the project itself, without the shipped ones."""
        return tuple(sorted(path.stem for path in (self.root / "recipes").glob(f"*{SUFFIX}")))

    def display(self, path: Path) -> str:
        """A path as the user would write it: relative to the project where it is inside."""
        try:
            return str(path.relative_to(self.root))
        except ValueError:
            return str(path)


def shipped_root() -> Path:
    """The folder with the recipes, patches and templates that farm ships.

    Inside the wheel that is ``farm/shipped``; in a checkout, the repository.
    """
    package = Path(__file__).resolve().parent.parent
    shipped = package / "shipped"
    return shipped if shipped.is_dir() else package.parent


def find_project(start: Path | None = None, *, root: Path | None = None) -> Project:
    """The nearest folder upward of ``start`` that holds ``recipes/``, or ``root`` itself.

    Raises:
        UsageError: there is none.
    """
    if root is not None:
        found: Path | None = root.resolve() if (root / "recipes").is_dir() else None
        looked = str(root)
    else:
        here = (start or Path.cwd()).resolve()
        found = next((p for p in (here, *here.parents) if (p / "recipes").is_dir()), None)
        looked = f"{here} and its parents"
    if found is None:
        raise UsageError(
            f"no recipes/ folder in {looked}",
            hint="start a project here with 'farm init', or name one with --root",
        )
    shipped = shipped_root()
    roots = (found,) if shipped == found else (found, shipped)
    return Project(root=found, roots=roots)
