"""A key that the schema accepts and no code reads is a defect: there is none.

Models are loaded, planned, rendered and shown with a note taken of every field
that code outside of `farm.model` reads, class by class.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import farm
from farm.cli import main
from farm.model import recipe, source, toolchain
from farm.model.strict import Reasoned, Strict
from tests.support.projects import PATCH, SHA, project_at

MODELS = sorted(
    {
        found
        for module in (recipe, source, toolchain)
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, Strict) and found is not Strict
        if not found.__name__.startswith("Reasoned")
    },
    key=lambda found: found.__name__,
)
LAYER = """
    env: {A: {value: b, reason: r, verified: v}}
    cmake_args: [-DA=1]
    requires: [ninja]
    system_packages: [cmake]
    exclude_paths: [/usr/share/big/*]
    forbid_output: [toolkit not found]
    sources:
      git: {source: {git: https://x.org/g, commit: %s, submodules: true}, reason: r, verified: v,
            python_limits: {oldest: "3.9", newest: "3.14", reason: r, source: s},
            lockstep: {file: f, after: "TAG ", count: 2, nth: 2, says: v1, of: arc}}
      arc: {source: {archive: https://x.org/a.tgz, sha256: %s}}
      whl: {source: {wheel: https://x.org/a-1-py3-none-any.whl, sha256: %s}}
    crates: [{lock: rust/Cargo.lock, of: arc, reason: r}]
    patches: [{file: a.patch, to: git}]
    edits: [{file: f, replace: a, by: b, count: 2, to: arc, reason: r}]
    needs: [{package: other, version: 1.0.0, variant: cpu, reason: r}]
    jobs: {memory_per_job: 1 GiB, reason: r}
    expect:
      extensions: [{name: a.so, device_code: none, reason: r}]
      tag: py3-none-any
      libraries: [{value: libnuma.so.1, reason: r}]
      isa: [{value: avx2, reason: r}]
      manylinux: manylinux_2_28
      max_size: 1 GiB
    smoke_test:
      imports: [demo]
      requires: [{value: numpy, reason: r}]
      system_packages: [{value: libgomp1, reason: r}]
      stubs: [{value: libbig.so.1, reason: r}]
      script: print()
      gpu_script: print()
    python_limits: {oldest: "3.9", newest: "3.14", reason: r, source: s}
    unlocked: because
    runner: [self-hosted, large]
""" % ("0123456789" * 4, SHA, SHA)  # noqa: UP031 - braces
RECIPE = f"""
package: demo
summary: s
homepage: https://x.org
python: ["3.13"]
target: {{variable: DEVICE, values: [cpu], reason: r}}
features:
  fast: {{summary: s, default: true, on: {{env: {{F: x}}}}, off: {{env: {{F: y}}}}}}
versions:
  1.0.0:
    source: {{sdist: {SHA}}}
variants:
  cpu:
    toolchain: full
    archs: [sm_86]
    toolkit_parts: [extra]
    target: cpu
    default_version: {{value: 1.0.0, reason: r}}
    summary: s
{LAYER}
  odd:
    toolchain: odd
    archs: [sm_86]
    target: cpu
    unlocked: because
    python_limits: {{newest: "3.9", reason: r, source: s}}
"""
FILES = {
    "recipes/bases/floor.yaml": """
base: floor
suite: sid
packages: [python3, python3-venv]
python: "3.13"
glibc: "2.41"
further_suites: [{suite: experimental, packages: [hipcc*], reason: r}]
""",
    "recipes/demo.yaml": RECIPE,
    "recipes/other.yaml": (
        "package: other\nversions: {1.0.0: {source: {tree: demo}}}\n"
        "variants: {cpu: {toolchain: fromimage}}\n"
    ),
    "patches/demo/1.0.0/a.patch": PATCH,
    "recipes/toolchains/odd.yaml": """
toolchain: odd
accelerator: cuda
base: floor
host_compiler: {family: clang, version: "19"}
archs: [sm_90]
archs_source: s
accepts:
  host_compilers: {clang: {oldest: "20", newest: "21"}, reason: r, source: s}
  glibc: {below: "2.1", reason: r, source: s}
""",
    "recipes/toolchains/full.yaml": f"""
toolchain: full
accelerator: cuda
summary: s
base: floor
packages: [{{value: zlib1g-dev, reason: r}}]
run_packages: [{{value: libcudart13, reason: r}}]
drivers: [{{value: libcuda.so.1, reason: r}}]
components: [non-free]
exclude_paths: [{{value: /usr/lib/big/*, reason: r}}]
host_compiler: {{family: gcc, version: "14", reason: r}}
archs: [sm_86]
archs_source: s
accepts:
  host_compilers: {{gcc: {{oldest: "14", newest: "14"}}, clang: {{}}, reason: r, source: s}}
  glibc: {{below: "2.99", reason: r, source: s}}
env: {{CUDA_HOME: "${{toolkit.home}}"}}
cmake_args: [-DT=1]
toolkit:
  home: /opt/k
  root: /opt
  wheels:
    - {{name: nvcc, version: "13", wheel: nvcc-13-py3-none-any.whl, sha256: {SHA}, part: extra}}
""",
}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Pairs of (model, field) that were read by code outside of `farm.model`."""
    found: set[tuple[str, str]] = set()
    models = str(Path(recipe.__file__).parent)
    plain = object.__getattribute__

    def note(self: object, name: str) -> Any:
        caller = sys._getframe(1).f_code.co_filename
        if caller.startswith(str(Path(farm.__file__).parent)) and not caller.startswith(models):
            found.update((kind.__name__, name) for kind in type(self).__mro__)
        return plain(self, name)

    monkeypatch.setattr(Strict, "__getattribute__", note)
    return found


def test_every_key_of_every_model_is_read(
    read: set[tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project_at(tmp_path, FILES)
    monkeypatch.setenv("FARM_CACHE_DIR", str(tmp_path / "cache"))
    for verb in (["list", "--json"], ["show", "demo"], ["show", "demo:cpu~fast", "--json"],
                 ["plan", "demo", "--no-preflight"], ["render", "demo:cpu"]):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main._call_app(["-C", str(tmp_path), *verb])
        assert ended.value.code == 0
    assert capsys.readouterr().out
    fields = {(model.__name__, name) for model in MODELS for name in model.model_fields}
    assert len(fields) > 70
    assert sorted(fields - read) == []


def test_a_reason_is_read_wherever_it_may_stand() -> None:
    assert set(Reasoned[str].model_fields) == {"value", "reason", "verified"}


def test_every_key_is_named_in_the_code_outside_of_the_models() -> None:
    """The same by the text of the program, which no test's recipe can leave out."""
    root = Path(farm.__file__).parent
    named: set[str] = set()
    for path in root.rglob("*.py"):
        if path.parent.name == "model":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                named.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named.add(node.value)  # getattr, and the names of joined settings
    missing = {
        f"{model.__name__}.{name}"
        for model in MODELS
        for name in model.model_fields
        if name not in named
    }
    assert missing == set(), json.dumps(sorted(missing))
