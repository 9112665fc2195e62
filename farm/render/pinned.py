"""What a unit's wheel is made of, as far as it is pinned: what its SBOM begins with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from farm.host.urls import public_url
from farm.render.crates import all_crates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farm.model.unit import Source, Unit


def pinned_text(unit: Unit, edits: Mapping[str, str]) -> str:
    """What ``inside/sbom.py`` reads; ``edits`` are files of the context, ``edits/<source>.json``.

    Tools of the build (locked wheels, toolkit, base) are no part of a wheel, and not in it;
    nor is a URL's password.
    """
    document = {
        "package": unit.key.package,
        "version": unit.key.version,
        "source": _source(unit.source, unit),
        "sources": [_source(each, unit) for each in unit.sources if each.kind != "wheel"],
        "patches": list(_changes(unit, edits)),
        "crates": [
            {
                "name": crate.name,
                "version": crate.version,
                "sha256": crate.sha256,
                "git": bool(crate.git),
                "url": public_url(crate.url) if crate.git else "",
                "commit": crate.commit,
            }
            for crate in all_crates(unit)
        ],
    }
    return json.dumps(document, sort_keys=True, indent=1) + "\n"


def _source(source: Source, unit: Unit) -> dict[str, str]:
    return {
        "name": source.name,
        "version": unit.key.version if source.kind == "sdist" else "",
        "kind": source.kind,
        "digest": source.digest,
        "url": public_url(source.url),
    }


def _changes(unit: Unit, edits: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Patches and edits, each with the source that it changes, in the order of their use."""
    for patch in unit.patches:
        yield {"source": patch.source, "name": patch.path.name, "sha256": patch.sha256}
    for path, digest in edits.items():
        source = path.partition("/")[2].removesuffix(".json")
        yield {"source": source, "name": path, "sha256": digest.removeprefix("sha256:")}
