"""Sources of a recipe as pinned inputs; their file names mean nothing to a shell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from farm.load.library import Library
from farm.model.recipe import Recipe
from farm.model.source import AnySource, ArchiveSource, MainSource, WheelSource, wheel_filename
from farm.plan.sources import main_source, resolve_source
from tests.support.projects import SHA

COMMIT = "0123456789" * 4
LIBRARY = Library(trees={"stub": ("ab" * 32, Path("/project/recipes/sources/stub"))})
PLAIN = re.compile(r"[A-Za-z0-9._+-]+")


def recipe_of(source: dict[str, object]) -> Recipe:
    return Recipe.model_validate({
        "package": "llama-cpp-python",
        "versions": {"0.3.36": {"source": source}},
        "variants": {"cpu": {"toolchain": "cpu"}},
    })  # fmt: skip


@pytest.mark.parametrize(
    ("source", "filename", "digest"),
    [
        ({"sdist": SHA}, "llama_cpp_python-0.3.36.tar.gz", f"sha256:{SHA}"),
        (
            {"git": "https://example.org/x", "commit": COMMIT},
            "llama-cpp-python-012345678901.tar",
            f"git:{COMMIT}",
        ),
        (
            {"git": "https://example.org/x", "commit": COMMIT, "submodules": True},
            "llama-cpp-python-012345678901.tar",
            f"git:{COMMIT}+submodules",
        ),
        (
            {"git": "https://example.org/x", "commit": COMMIT, "submodules": ["b/c", "a", "b/c"]},
            "llama-cpp-python-012345678901.tar",
            f"git:{COMMIT}+submodules=a,b/c",
        ),
        ({"tree": "stub"}, "llama-cpp-python.tar", f"tree:{'ab' * 32}"),
        (
            {"archive": "https://example.org/v1.tar.gz?x=/y#z", "sha256": SHA},
            "llama-cpp-python-v1.tar.gz",
            f"sha256:{SHA}",
        ),
    ],
)
def test_each_kind_of_source_is_pinned_by_what_it_is(
    source: dict[str, object], filename: str, digest: str
) -> None:
    found = main_source(recipe_of(source), "0.3.36", LIBRARY)
    assert (found.name, found.filename, found.digest) == ("llama-cpp-python", filename, digest)


@pytest.mark.parametrize(
    "url",
    [
        "https://x/$(id).tar.gz",
        "https://x/`id`;reboot.zip",
        "https://x/..",
        "https://x/",
        "https://x/a&&b|c>d.tgz",
        "https://x/${HOME}",
        "https://x/{{unit}}.tar",
        "https://x/ünïcode.tar",
        "https://x/" + "a" * 1900,
    ],
)
def test_a_hostile_url_becomes_a_plain_file_name(url: str) -> None:
    found = resolve_source("sub", ArchiveSource(archive=url, sha256=SHA), LIBRARY)
    assert PLAIN.fullmatch(found.filename)
    assert found.filename.startswith("sub-")
    assert len(found.filename) < 200
    assert found.url == url


@given(st.from_regex(r"https://x/[^\s\x00-\x1f\x7f'\"\\]{1,60}", fullmatch=True))
def test_no_url_that_the_model_takes_reaches_a_shell_as_it_is(url: str) -> None:
    found = resolve_source("sub", ArchiveSource(archive=url, sha256=SHA), LIBRARY)
    assert PLAIN.fullmatch(found.filename)


def test_a_wheel_keeps_its_name_with_the_plus_that_indexes_escape() -> None:
    url = "https://x/whl/torch-2.11.0%2Brocm7.2-cp313-cp313-manylinux_2_28_x86_64.whl#sha256=1"
    found = resolve_source("torch", WheelSource(wheel=url, sha256=SHA), LIBRARY)
    assert found.filename == "torch-2.11.0+rocm7.2-cp313-cp313-manylinux_2_28_x86_64.whl"
    assert found.filename == wheel_filename(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://x/torch.tar.gz",
        "https://x/..",
        "https://x/torch-1-py3-none-any.whl/",
        "https://x/torch-1.whl",
        "https://x/$(id)-1-py3-none-any.whl",
        "https://x/-1-py3-none-any.whl",
    ],
)
def test_a_wheel_must_be_called_as_one(url: str) -> None:
    with pytest.raises(ValidationError, match="is no wheel's name"):
        WheelSource(wheel=url, sha256=SHA)


@pytest.mark.parametrize("data", [{}, {"sdist": SHA}, {"svn": "x"}, 3, None, []])
def test_a_staged_source_is_one_of_four_kinds(data: object) -> None:
    with pytest.raises(
        ValidationError, match="it needs one of the keys archive, git, tree, wheel"
    ):
        TypeAdapter[object](AnySource).validate_python(data)


@pytest.mark.parametrize("paths", [[], ["../x"], ["/x"], ["a,b"], "a", ["a", 3]])
def test_submodules_are_all_none_or_paths_inside(paths: object) -> None:
    data = {"git": "https://x/y", "commit": COMMIT, "submodules": paths}
    with pytest.raises(ValidationError):
        TypeAdapter[object](AnySource).validate_python(data)


def test_a_packages_own_source_is_no_wheel() -> None:
    with pytest.raises(
        ValidationError, match="it needs one of the keys sdist, archive, git, tree"
    ):
        TypeAdapter[object](MainSource).validate_python(
            {"wheel": "https://x/a.whl", "sha256": SHA}
        )
