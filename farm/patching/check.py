"""Try all patches and edits of recipes on what is staged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import FarmError, FetchError, PatchError
from farm.host.urls import redact
from farm.patching.series import Fit, apply, not_staged, require_patch_program, series_of, unpack
from farm.source.inputs import input_of_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.load.library import Library
    from farm.model.unit import Unit
    from farm.patching.series import Series, Tried
    from farm.plan.select import Selector
    from farm.store.blobs import Store


def everything(library: Library, selectors: Iterable[Selector]) -> Iterator[Selector]:
    """Selectors for all that is not said: every version, variant and side of each feature."""
    for selector in selectors:
        recipe = library.recipes[selector.package].recipe
        for version in [selector.version] if selector.version else recipe.versions:
            if selector.variant:
                yield replace(selector, version=version)
                continue
            for variant in recipe.variants:
                yield replace(selector, version=version, variant=variant)
                for name, feature in recipe.features.items():
                    other = f"{variant}{'~' if feature.default else '+'}{name}"
                    yield replace(selector, version=version, variant=other)


def check(units: Iterable[Unit], store: Store) -> tuple[Tried, ...]:
    """Try each patch and edit of these units on its staged source.

    Raises:
        UsageError: this machine has no program ``patch``.
        IntegrityError: a staged source cannot be unpacked.
    """
    found = series_of(units)
    if any(series.patches for series in found):
        require_patch_program()
    rows: dict[Tried, tuple[str, ...]] = {}
    for series in found:
        for tried in _try(series, store):
            alone = replace(tried, units=())
            rows[alone] = tuple(dict.fromkeys((*rows.get(alone, ()), *tried.units)))
    return tuple(replace(row, units=labels) for row, labels in rows.items())


def _try(series: Series, store: Store) -> Iterator[Tried]:
    source = series.source
    sha256 = input_of_source(source, series.key).present(store)
    if sha256 is None:
        yield from not_staged(series, redact(source.url) if source.url else "the package index")
        return
    with store.work_folder() as folder:
        root = folder / source.name
        unpack(store.path_of(sha256), root, source)
        yield from apply(series, root)


def failure(rows: Iterable[Tried]) -> FarmError | None:
    """The error that sums up; what does not fit counts before what is not staged."""
    counts = {fit: sum(row.fit is fit for row in rows) for fit in Fit}
    if counts[Fit.UNFIT]:
        what = f"{counts[Fit.UNFIT]} of {sum(counts.values())} patches and edits do not fit"
        return PatchError(what, hint="renew them: farm patch new makes a patch from a change")
    if counts[Fit.NOT_STAGED]:
        what = (
            f"{counts[Fit.NOT_STAGED]} of {sum(counts.values())} patches and edits were not tried"
        )
        return FetchError(what, hint="their sources are not staged; 'farm fetch' brings them")
    return None
