"""Write what a project begins with; what is there already stays as it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from farm.errors import FetchError, LockError, UsageError
from farm.host.files import storage_error
from farm.load.locks import smoke_test_stem
from farm.load.project import shipped_root
from farm.starter.seeds import example, from_index, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.events import Sink
    from farm.starter.seeds import Seed

_VARIANT, _LOCK_STEM = "cpu", "cpu-py3.13"
WORKFLOWS = {
    "github": {".github/workflows/wheels.yml": "github-actions.yml"},
    "gitlab": {".gitlab-ci.yml": "gitlab-ci.yml", ".gitlab/farm.yml": "gitlab-farm.yml"},
}
"""Files of a CI service, each with the one below ``docs/ci`` that it is a copy of."""
_SELECTORS = "SELECTORS: llama-cpp-python"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What was written and what was there already, relative to ``root``.

    ``package`` is the recipe that was added; empty if none was.
    """

    root: Path
    package: str
    version: str
    written: tuple[str, ...]
    kept: tuple[str, ...]


def start_project(
    folder: Path, *, package: str | None, cache: Path, sink: Sink, service: str = ""
) -> Started:
    """Start a project in a folder, or add a package to it.

    Without ``package``, a project that has no recipe yet gets an example that
    needs no network.  With a ``service`` of `WORKFLOWS` it gets that one's files, too.

    Raises:
        UsageError: the project has a recipe for that package already.
        FetchError: the index does not have it, or cannot be asked; nothing is written then.
        LockError: its build requirements cannot be locked; the recipe is there by then.
        StorageError: the folder cannot be written.
    """
    root = folder.absolute()
    known = sorted(path.stem for path in (root / "recipes").glob("*.yaml"))
    seed = _seed(root, package, known)
    files = dict(_files(seed, named=seed.package if seed else known[0]))
    files |= _workflows(service, sorted({*known, *([seed.package] if seed else [])}))
    try:
        written, kept = _write_all(root, files)
    except OSError as error:
        raise storage_error(error, root) from error
    if seed is not None and not seed.lock:
        written += _lock(root, seed, cache, sink)
    return Started(
        root=root,
        package=seed.package if seed else "",
        version=seed.version if seed else "",
        written=tuple(written),
        kept=tuple(kept),
    )


def _seed(root: Path, package: str | None, known: list[str]) -> Seed | None:
    if package is None:
        return None if known else example()
    seed = from_index(package)
    if seed.package in known:
        raise UsageError(
            f"{root / 'recipes' / seed.package}.yaml is there already",
            hint=f"add version {seed.version} to it by hand: source: {{sdist: {seed.sha256}}}",
        )
    return seed


def _files(seed: Seed | None, *, named: str) -> Iterator[tuple[str, str]]:
    """Names and texts of what belongs into a project."""
    from farm.load.schema import schema_text

    if seed is not None:
        yield f"recipes/{seed.package}.yaml", _rendered("recipe.yaml.j2", **asdict(seed))
        yield f"patches/{seed.package}/{seed.version}/.gitkeep", ""
        if seed.lock:
            folder = f"recipes/locks/{seed.package}/{seed.version}"
            yield f"{folder}/{_LOCK_STEM}.txt", seed.lock
            yield f"{folder}/{smoke_test_stem(_LOCK_STEM)}.txt", seed.smoke_test_lock
    yield "recipes/schema.json", schema_text()
    yield "Makefile", _rendered("Makefile.j2", package=named)
    yield ".gitignore", _rendered("gitignore.j2")
    yield "README.md", _rendered("README.md.j2", package=named)


def _workflows(service: str, packages: list[str]) -> Iterator[tuple[str, str]]:
    """Names and texts of a service's files, that build these packages."""
    for name, shipped in WORKFLOWS.get(service, {}).items():
        text = (shipped_root() / "docs/ci" / shipped).read_text(encoding="utf-8")
        yield name, text.replace(_SELECTORS, f"SELECTORS: {' '.join(packages)}")


def _rendered(template: str, **values: object) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - no HTML
    return environment.from_string(read(template)).render(**values) + "\n"


def _write_all(root: Path, files: dict[str, str]) -> tuple[list[str], list[str]]:
    written, kept = [], []
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            kept.append(name)
        else:
            written.append(name)
    return written, kept


def _lock(root: Path, seed: Seed, cache: Path, sink: Sink) -> list[str]:
    from farm.load.library import gather
    from farm.load.project import find_project
    from farm.plan.plan import Choice, make_plan
    from farm.plan.select import Selector
    from farm.resolve.relock import relock
    from farm.store.blobs import Store

    project = find_project(root=root)
    library = gather(project, [seed.package])
    selector = Selector(package=seed.package, variant=_VARIANT)
    plan = make_plan(library, [selector], Choice())
    try:
        paths = relock(plan.units, project, Store(cache / "store"), sink)
    except (FetchError, LockError) as error:
        error.hint = (
            f"the recipe is written, without its lock: correct what is wrong, then "
            f"'farm lock {seed.package}'"
        )
        raise
    return [project.display(path) for path in paths]
