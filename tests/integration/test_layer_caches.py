"""Layers that one engine has put into a cache are taken by another, which compiles nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from farm.engine import namespaces, private
from tests.support.farming import Farm, add_variant, copy_project, quiet, sharing

if TYPE_CHECKING:
    from pathlib import Path

    from farm.engine.endpoint import Endpoint

pytestmark = pytest.mark.engine

TINY = "tiny@1.0:new"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a variant that no engine has ever built."""
    root = copy_project("faults", tmp_path / "project")
    add_variant(root, "new", f'env: {{TINY_MARK: "{time.time_ns()}"}}')
    return root


@pytest.fixture
def able(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder whose engine keeps images in containerd's store, and so can export."""
    usual = namespaces.daemon_config

    def config(*, cgroup_parent: str, cache_bytes: int) -> dict[str, object]:
        features = {"features": {"containerd-snapshotter": True}}
        return usual(cgroup_parent=cgroup_parent, cache_bytes=cache_bytes) | features

    monkeypatch.setattr(namespaces, "daemon_config", config)
    private.ensure_running(fresh_cache, quiet)
    return fresh_cache


def test_another_engine_takes_what_one_has_exported(
    able: Path, farm_cache: Path, private_engine: Endpoint, project: Path, tmp_path: Path
) -> None:
    del private_engine
    place = tmp_path / "layers"
    first = Farm(root=project, cache=able)
    done = first.build("tiny:new", "--cache-to", f"type=local,dest={place}/{{unit}}")
    assert done.outcomes() == {TINY: "built"}, done.said
    assert (place / "tiny-1.0-new/index.json").is_file()
    wheel = first.wheel("new").read_bytes()
    second = sharing(farm_cache, project)
    done = second.build("tiny:new", "--force", "--cache-from", f"type=local,src={place}/{{unit}}")
    assert done.outcomes() == {TINY: "built"}, done.said
    (compiled,) = (e for e in done.of("StepFinished", TINY) if e["step"] == "compile")
    assert compiled["cached"] is True
    assert second.wheel("new").read_bytes() == wheel


def test_an_engine_that_cannot_export_says_so_and_one_that_finds_nothing_builds(
    farm_cache: Path, private_engine: Endpoint, project: Path, tmp_path: Path
) -> None:
    del private_engine
    farm = sharing(farm_cache, project)
    done = farm.build("tiny:new", "--cache-to", f"type=local,dest={tmp_path}/layers")
    assert done.code == 7
    ended = done.ended(TINY)
    assert "cannot export a cache" in ended["message"]
    assert "containerd-snapshotter" in ended["hint"]
    assert f"--cache-to type=local,dest={tmp_path}/layers,mode=max" in ended["repeat"]
    done = farm.build("tiny:new", "--cache-from", f"type=local,src={tmp_path}/nowhere")
    assert done.outcomes() == {TINY: "built"}, done.said
    (notice,) = (e for e in done.events if e["event"] == "Notice" and "from a cache" in e["text"])
    assert f"{tmp_path}/nowhere not found" in notice["text"]


def test_units_that_would_replace_each_others_cache_are_refused(
    farm_cache: Path, project: Path, tmp_path: Path
) -> None:
    farm = sharing(farm_cache, project)
    done = farm.build("tiny:new", "tiny:noisy", "--cache-to", f"type=local,dest={tmp_path}/layers")
    assert done.code == 2
    assert "put {unit} into its dest" in done.stderr
