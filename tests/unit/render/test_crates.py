"""Crates in the context and the Dockerfile: a stage of their own, only where there are some."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.load.project import shipped_root
from farm.model.crates import Crate, CrateLock, CrateSet
from farm.render.context import context_entries
from farm.render.crates import crate_list
from tests.support.projects import SHA, demo_unit, rendered

if TYPE_CHECKING:
    from farm.model.unit import Unit

TEMPLATES = (shipped_root() / "dockerfiles",)
COMMIT = "0123456789" * 4
ONE = Crate(name="one", version="1.0.0", sha256=SHA)
GIT = [
    Crate(name=name, version="0.1.0", git=f"git+https://example.org/o/r?rev=v1#{COMMIT}")
    for name in ("left", "right")
]


def with_crates(unit: Unit, *sets: tuple[Crate, ...]) -> Unit:
    made = (
        CrateSet(source="demo", file=f"{n}", inputs="", lock=CrateLock(inputs="", crates=crates))
        for n, crates in enumerate(sets)
    )
    return replace(unit, crates=tuple(made))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    return demo_unit(tmp_path_factory.mktemp("project"))


def test_other_units_are_rendered_as_if_there_were_no_crates(plain: Unit) -> None:
    text = rendered(plain, base="base", templates=TEMPLATES)
    assert "crates" not in text
    assert "CARGO" not in text
    assert "FROM requirements AS source" in text
    assert not any("crate" in e.target or "vendor" in e.target for e in context_entries(plain, ()))


def test_crates_have_a_stage_and_the_users_jobs(plain: Unit) -> None:
    text = rendered(with_crates(plain, (ONE,)), base="base", templates=TEMPLATES)
    assert "FROM requirements AS crates\n" in text
    assert "FROM crates AS source\n" in text
    assert "ENV CARGO_HOME=/opt/crates/home CARGO_NET_OFFLINE=true\n" in text
    assert "CMAKE_BUILD_PARALLEL_LEVEL=1 CARGO_BUILD_JOBS=1\n" in text
    assert text.count("RUN ") == text.count("RUN --network=none ")


def test_each_crate_is_one_file_of_the_context_by_its_hash(plain: Unit) -> None:
    entries = {e.target: e for e in context_entries(with_crates(plain, (ONE,), (ONE,)), ())}
    assert entries["crates/one-1.0.0.crate"].digest == f"sha256:{SHA}"
    assert entries["crates/one-1.0.0.crate"].origin == "store"
    assert "inside/vendor.py" in entries


def test_crates_of_one_commit_are_one_archive_with_its_submodules(plain: Unit) -> None:
    unit = with_crates(plain, (ONE, *GIT))
    entries = {e.target: e.digest for e in context_entries(unit, ())}
    assert entries[f"crates/{COMMIT}.tar"] == f"git:{COMMIT}+submodules"
    text = rendered(unit, base="base", templates=TEMPLATES)
    unpacked = f"/farm/crates/{COMMIT}.tar /opt/crates/checkouts/{COMMIT}\n"
    assert text.count(f"unpack.py --digest=git:{COMMIT}+submodules {unpacked}") == 1
    (source,) = json.loads(crate_list(unit))["git"]
    assert source == {
        "source": "git+https://example.org/o/r?rev=v1",
        "url": "https://example.org/o/r",
        "reference": {"rev": "v1"},
        "commit": COMMIT,
        "crates": [{"name": "left", "version": "0.1.0"}, {"name": "right", "version": "0.1.0"}],
    }


def test_the_order_of_pins_changes_nothing(plain: Unit) -> None:
    crates = (ONE, *GIT, replace(ONE, name="two"))
    assert crate_list(with_crates(plain, crates)) == crate_list(with_crates(plain, crates[::-1]))
    assert crate_list(with_crates(plain, crates)) == crate_list(
        with_crates(plain, crates[:2], crates[1:])
    )
