"""Which packages of a bundle's base may be installed here.

Making a base runs the packages' own scripts, as root and outside of any container.  So
of a bundle, which may come from anybody, only packages are taken whose hashes are known
here by another way: from locks of this project or of farm, or since the base was made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.debian.bases import made
from farm.errors import BaseError
from farm.load.baselocks import parse_base_lock
from farm.model.unit import RootfsBase
from farm.repro.opening import resolved

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from farm.model.unit import Unit

_SHOWN = 3


def require_trusted(unit: Unit, cache: Path, roots: Iterable[Path]) -> None:
    """Refuse a base with packages that no lock below the project's ``roots`` names.

    Raises:
        BaseError: there is one.
        RecipeError: a lock cannot be read.
    """
    bases = [unit.base, *([unit.smoke_test.base] if unit.smoke_test else [])]
    packages = [resolved(base) for base in bases if isinstance(base, RootfsBase)]
    wanted = [each for each in packages if not made(each, cache)]
    if not wanted:
        return
    locked = set(_locked(roots))
    unknown = [deb for base in wanted for deb in base.debs if deb.sha256 not in locked]
    if unknown:
        raise BaseError(
            f"the base of {unit.label} has {len(unknown)} packages that no lock here names; "
            "making a base runs its packages' scripts as root on this machine",
            details=[f"{deb.name} {deb.version} {deb.sha256}" for deb in unknown[:_SHOWN]],
            hint="--trust-base, if you know who made the bundle; or take the recipes of that day",
        )


def _locked(roots: Iterable[Path]) -> Iterator[str]:
    for root in roots:
        for path in sorted(root.glob("recipes/bases/*.lock")):
            sets = parse_base_lock(path.read_text(encoding="utf-8"), str(path))
            yield from (deb.sha256 for _, packages in sets.values() for deb in packages.debs)
