"""``farm bake``: what it writes, and what it refuses before it has written anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from farm.debian import bases, oci
from farm.errors import ExitCode
from farm.load.baselocks import format_base_lock
from farm.load.folders import cache_folder
from farm.load.locks import format_lock, inputs_digest
from farm.model.unit import Lock, RootfsBase
from tests.support.debian import debs
from tests.support.projects import DEMO, planned, project_at, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model.debian import ResolvedBase
    from farm.model.unit import Unit
    from tests.unit.cli.conftest import Farm


def lock_name(unit: Unit) -> str:
    return f"recipes/locks/{unit.key.package}/{unit.key.version}/{unit.lock_stem}.txt"


LAYER = b"a layer, were it a real one" * 1000


@pytest.fixture
def base(world: Path) -> ResolvedBase:
    """A demo, locked, on a base that is locked and was bootstrapped."""
    (unit,) = planned(project_at(world, {"recipes/demo.yaml": DEMO})).units
    assert isinstance(unit.base, RootfsBase)
    base_lock = format_base_lock({unit.base.key: ("x", debs("gcc"))})
    lock = format_lock(Lock(inputs=inputs_digest(unit.lock_inputs), pins=()))
    write_files(
        world,
        {"recipes/bases/floor.lock": base_lock, lock_name(unit): lock},
    )
    (unit,) = planned(project_at(world, {"recipes/demo.yaml": DEMO})).units
    assert isinstance(unit.base, RootfsBase)
    resolved = bases.known(unit.base, cache_folder())
    assert resolved is not None
    folder = cache_folder() / "bases" / resolved.digest[:24]
    folder.mkdir(parents=True)
    (folder / "layer.tar").write_bytes(LAYER)
    archive = folder / "image.tar"
    oci.write_archive(folder / "layer.tar", archive, tag=resolved.tag, comment="c")
    size = archive.stat().st_size
    facts = {"image_id": "i", "manifest_digest": "m", "size_bytes": size}
    (folder / "base.json").write_text(json.dumps(facts))
    return resolved


def archive_of(base: ResolvedBase) -> Path:
    return cache_folder() / "bases" / base.digest[:24] / "image.tar"


def test_the_folder_holds_all_that_bake_needs(farm: Farm, world: Path, base: ResolvedBase) -> None:
    ended = farm("bake", "demo", "--output", "there")
    assert ended.code == 0, ended.err
    assert ended.out == "cd there && docker buildx bake\n"
    document = json.loads((world / "there/docker-bake.json").read_text())
    for target in document["target"].values():
        assert (world / "there" / target["context"] / "Dockerfile").is_file()
        for secret in target.get("secret", ()):
            assert (world / "there" / secret.rpartition("=")[2]).is_file()
    unit = world / "there/units/demo-1.0.0/cpu"
    assert (unit / "Dockerfile").read_text() == farm("render", "demo").out
    layer = world / "there/bases" / base.tag.rpartition(":")[2] / "layer.tar"
    assert layer.read_bytes() == LAYER


def test_a_folder_that_holds_something_and_a_file_are_refused(
    farm: Farm, world: Path, base: ResolvedBase
) -> None:
    for name, why in (("recipes", "is not empty"), ("recipes/demo.yaml", "is no folder")):
        ended = farm("bake", "demo", "--output", name)
        assert (ended.code, why in ended.err) == (ExitCode.USAGE, True)
    assert farm("bake", "demo").code == ExitCode.USAGE


def test_a_damaged_base_is_refused_and_no_bake_file_is_left(
    farm: Farm, world: Path, base: ResolvedBase
) -> None:
    archive = archive_of(base)
    whole = archive.read_bytes()
    for damaged in (whole.replace(b"a layer", b"A LAYER", 1), b"\0" * len(whole)):
        archive.write_bytes(damaged)
        output = f"there-{len(list(world.iterdir()))}"
        ended = farm("bake", "demo", "--output", output)
        assert ended.code == ExitCode.INTEGRITY, ended.err
        assert "is damaged" in ended.err
        assert not (world / output / "docker-bake.json").exists()


def test_what_cannot_be_built_is_not_baked(farm: Farm, world: Path, base: ResolvedBase) -> None:
    needy = DEMO.replace("demo", "needy", 1)
    needs = "needs: [{package: demo, version: 1.0.0, variant: cpu}]\n"
    write_files(world, {"recipes/needy.yaml": needy + needs})
    ended = farm("bake", "needy", "--output", "there")
    assert ended.code == ExitCode.LOCK
    assert "farm lock needy@1.0.0:cpu" in ended.err
    (unit,) = (u for u in planned(project_at(world), "needy").units if u.key.package == "needy")
    lock = format_lock(Lock(inputs=inputs_digest(unit.lock_inputs), pins=()))
    write_files(world, {lock_name(unit): lock})
    ended = farm("bake", "needy", "--output", "there")
    assert ended.code == ExitCode.USAGE
    assert "needs demo@1.0.0:cpu, which is not built yet" in ended.err
    assert "farm build demo@1.0.0:cpu" in ended.err
    assert not (world / "there").exists()
