"""Small projects on disk, with toolchains of their own, for tests of loading and planning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.load.library import read
from farm.load.project import Project, shipped_root
from farm.plan.plan import Choice, Plan, make_plan
from farm.plan.reasons import explain
from farm.plan.select import parse_selector
from farm.render.context import context_entries
from farm.render.dockerfile import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from farm.model.unit import Unit
    from farm.plan.reasons import Explanation

SHA = "0123456789abcdef" * 4
PATCH = """\
Why: the compiler wants it
Upstream: https://example.org/pull/1
Remove-when: 1.1 is out
--- a/setup.py
+++ b/setup.py
@@ -1 +1 @@
-a
+b
"""
TOOLCHAINS = {
    "recipes/toolchains/plain.yaml": """\
toolchain: plain
accelerator: cpu
base: floor
host_compiler: {family: gcc, version: "14"}
""",
    "recipes/toolchains/gpu.yaml": """\
toolchain: gpu
accelerator: rocm
base: floor
host_compiler: {family: clang, version: "19"}
archs: [gfx942, gfx1150, gfx9-generic]
env: {GPU_ARCHS: "${archs}"}
""",
    "recipes/toolchains/fromimage.yaml": """\
toolchain: fromimage
accelerator: none
base: image
host_compiler: {family: gcc, version: "14"}
""",
    "recipes/bases/floor.yaml": """\
base: floor
suite: trixie
packages: [python3, python3-venv]
python: "3.13"
glibc: "2.41"
""",
    "recipes/bases/image.yaml": f"""\
base: image
image: example.org/debian@sha256:{SHA}
packages: [python3]
python: "3.13"
glibc: "2.41"
""",
}
DEMO = """\
package: demo
versions:
  1.0.0:
    source: {tree: demo}
variants:
  cpu: {toolchain: plain}
"""


def write_files(root: Path, files: Mapping[str, str]) -> None:
    """Write files by their relative paths."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def project_at(root: Path, files: Mapping[str, str] | None = None) -> Project:
    """A project with two toolchains, the source tree ``demo``, and these files."""
    write_files(root, TOOLCHAINS)
    write_files(root, {"recipes/sources/demo/pyproject.toml": "[build-system]\nrequires = []\n"})
    write_files(root, files or {"recipes/demo.yaml": DEMO})
    return Project(root=root, roots=(root, shipped_root()))


def planned(project: Project, *selectors: str, choice: Choice | None = None) -> Plan:
    """Load what the selectors name, and plan it."""
    wanted = [parse_selector(selector) for selector in selectors or ("demo",)]
    library = read(project, [selector.package for selector in wanted])
    return make_plan(library, wanted, choice or Choice())


def explained(root: Path, unit: Unit) -> Explanation:
    """What the files of a project say of a unit of theirs, and why."""
    project = Project(root=root, roots=(root, shipped_root()))
    return explain(read(project, [unit.key.package]), unit)


def demo_unit(root: Path, recipe: str = DEMO, *, selector: str = "demo") -> Unit:
    """The one unit that a selector asks for of the recipe ``demo``."""
    plan = planned(project_at(root, {"recipes/demo.yaml": recipe}), selector)
    (unit,) = (unit for unit in plan.units if unit.label in plan.requested)
    return unit


def rendered(unit: Unit, *, base: str, templates: tuple[Path, ...]) -> str:
    """The Dockerfile of a unit that needs no other."""
    return render(unit, base=base, context=context_entries(unit, ()), templates=templates)
