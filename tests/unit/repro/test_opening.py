"""A bundle may come from anybody: what farm would never have written is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from farm.errors import IntegrityError, UsageError
from farm.repro.opening import open_bundle
from farm.run.bundling import keep_bundle
from farm.store.bundle import Blob, Ended, Needed, unpack_bundle
from tests.support.bundles import bundle_at, remade, with_unit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.store.bundle import Contents, Parts


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundle_at(tmp_path)


def refused(path: Path, folder: Path) -> str:
    with pytest.raises(IntegrityError) as caught:
        open_bundle(path, folder)
    return " ".join((caught.value.message, *caught.value.details))


def test_what_was_written_is_opened(bundle: Path, tmp_path: Path) -> None:
    opened = open_bundle(bundle, tmp_path / "open")
    assert opened.unit.label == "demo@1.0.0:cpu"
    assert opened.contents.ended.message == "x.c:1:1: error: no"
    digests = {entry.digest for entry in opened.replay.identified.manifest.context}
    assert digests == opened.replay.held.keys()
    for digest, path in opened.replay.held.items():
        if digest.startswith("sha256:"):
            assert digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_nothing_of_this_machine_is_in_it(bundle: Path, tmp_path: Path) -> None:
    data = bundle.read_bytes()
    assert str(tmp_path).encode() not in data
    assert b"open-sesame" not in data
    assert b"https://example.org/simple" in data


def test_the_same_build_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    other = bundle_at(tmp_path / "other")
    first, second = (unpack_bundle(path, path.with_name("u")) for path in (bundle, other))
    surroundings = replace(first.surroundings, memory_bytes=second.surroundings.memory_bytes)
    assert replace(first, surroundings=surroundings, digest="") == replace(second, digest="")


def test_its_files_are_below_the_folder_whatever_they_are_called(
    bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "open"
    unit = open_bundle(bundle, folder).unit
    paths = [unit.source.path, *(patch.path for patch in unit.patches)]
    assert paths
    assert all(path and path.is_relative_to(folder) for path in paths)


UNITS: dict[str, Callable[[Any], object]] = {
    "another package": lambda unit: unit["key"].update(package="../../etc"),
    "a version with a slash": lambda unit: unit["key"].update(version="1/2"),
    "another label": lambda unit: unit["key"].update(variant="cuda"),
    "a field too many": lambda unit: unit.update(hook="sh -c x"),
    "a field too few": lambda unit: unit.pop("patches"),
    "another type": lambda unit: unit.update(python=3),
    "a file name that leaves its folder": lambda unit: unit["source"].update(filename="../x"),
    "a source without digest": lambda unit: unit["source"].update(digest="x"),
    "no folder": lambda unit: unit["source"].update(path=None),
    "a line feed": lambda unit: unit["smoke_test"].update(imports=["x\nRUN x"]),
    "a blank": lambda unit: unit["smoke_test"].update(stubs=["libx.so --out /x"]),
    "no memory": lambda unit: unit["jobs"].update(memory_per_job_bytes=0),
    "a package of no archive": lambda unit: unit["base"]["locked"]["debs"][0].update(path="x"),
    "a package outside of it": lambda unit: unit["base"]["locked"]["debs"][0].update(
        path="debian/../x.deb"
    ),
    "an option instead of a package": lambda unit: unit["base"]["locked"]["debs"][0].update(
        name="--x"
    ),
    "another hash of a package": lambda unit: unit["base"]["locked"]["debs"][0].update(
        sha256="b" * 64
    ),
    "a base of other packages": lambda unit: unit["base"].update(suite="sid"),
    "no packages": lambda unit: unit["base"].update(locked=None),
    "a path that is an option": lambda unit: unit["base"].update(exclude_paths=["/x --y"]),
    "a folder of this machine": lambda unit: unit["sources"].append(
        unit["source"] | {"name": "x", "kind": "git", "digest": f"git:{'a' * 40}", "path": None,
                          "url": "file:///etc", "filename": "x.tar"}
    ),
    "a program as URL": lambda unit: unit["sources"].append(
        unit["source"] | {"name": "x", "kind": "git", "digest": f"git:{'a' * 40}", "path": None,
                          "url": "ext::sh", "filename": "x.tar"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", UNITS.values(), ids=UNITS)
def test_a_unit_that_no_farm_planned_is_refused(
    bundle: Path, tmp_path: Path, change: Callable[[Any], object]
) -> None:
    path = with_unit(bundle, change)
    assert "the bundle was changed, or was not made by farm" in refused(path, tmp_path / "open")


def manifest(change: Callable[[Any], object]) -> Callable[[Contents, Parts], Contents]:
    """Change the manifest, and all that names its digest."""

    def changed(contents: Contents, parts: Parts) -> Contents:
        told = json.loads(bytes(parts["manifest.json"]))
        change(told)
        text = (json.dumps(told, sort_keys=True, indent=1) + "\n").encode()
        parts["manifest.json"] = text
        return replace(contents, identity=hashlib.sha256(text).hexdigest())

    return changed


def dockerfile(old: str, new: str) -> Callable[[Contents, Parts], Contents]:
    def change(told: Any) -> None:
        assert old in told["dockerfile"]
        told["dockerfile"] = told["dockerfile"].replace(old, new)

    return manifest(change)


MANIFESTS: dict[str, Callable[[Contents, Parts], Contents]] = {
    "a file outside of the context": manifest(
        lambda told: told["context"][0].update(path="../../x")
    ),
    "an absolute file": manifest(lambda told: told["context"][0].update(path="/etc/x")),
    "two files of one name": manifest(lambda told: told["context"].append(told["context"][-1])),
    "another mode": manifest(lambda told: told["context"][0].update(mode="0755")),
    "another key": manifest(lambda told: told.update(hook="x")),
    "no list": manifest(lambda told: told.update(context={})),
    "another base": manifest(lambda told: told["base"].update(image="evil:latest")),
    "an option as base": manifest(lambda told: told["base"].update(image="--privileged")),
    "another image in the Dockerfile": dockerfile("FROM scratch AS result", "FROM x AS result"),
    "a step with network": dockerfile("RUN --network=none", "RUN"),
}


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_that_no_farm_wrote_is_refused(
    bundle: Path, tmp_path: Path, change: Callable[[Contents, Parts], Contents]
) -> None:
    assert refused(remade(bundle, change), tmp_path / "open")


def test_another_identity_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = remade(bundle, lambda contents, _: replace(contents, identity="0" * 64))
    assert "not what its identity says" in refused(path, tmp_path / "open")


def test_another_format_of_manifest_says_which_farm_made_it(bundle: Path, tmp_path: Path) -> None:
    path = remade(bundle, manifest(lambda told: told.update(format=99)))
    with pytest.raises(UsageError, match="format 99, made by farm"):
        open_bundle(path, tmp_path / "open")


def test_a_record_of_another_build_is_refused(bundle: Path, tmp_path: Path) -> None:
    def change(_: Contents, parts: Parts) -> None:
        parts["record.json"] = b"{}"

    assert "is of another build" in refused(remade(bundle, change), tmp_path / "open")


def test_another_file_for_a_digest_is_refused(bundle: Path, tmp_path: Path) -> None:
    def change(contents: Contents, _: Parts) -> Contents:
        first, second, *rest = contents.blobs
        swapped = (Blob(digest=first.digest, sha256=second.sha256), second, *rest)
        return replace(contents, blobs=swapped)

    assert "has another file" in refused(remade(bundle, change), tmp_path / "open")


def test_a_blob_that_is_not_there_is_refused(bundle: Path, tmp_path: Path) -> None:
    lacking = Blob(digest=f"sha256:{'a' * 64}", sha256="a" * 64)
    path = remade(bundle, lambda c, _: replace(c, blobs=(*c.blobs, lacking)))
    assert "lacks the file" in refused(path, tmp_path / "open")


def test_a_needed_wheel_that_leaves_its_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    needed = Needed(filename="../x.whl", sha256="a" * 64)
    path = remade(bundle, lambda c, _: replace(c, needed=(needed,)))
    assert "is called '../x.whl'" in refused(path, tmp_path / "open")


def test_a_base_that_takes_packages_over_the_network_is_asked_for(tmp_path: Path) -> None:
    path = bundle_at(tmp_path, toolchain="fromimage")
    with pytest.raises(UsageError, match="over the network") as caught:
        open_bundle(path, tmp_path / "open")
    assert "--allow-network" in caught.value.hint
    assert open_bundle(path, tmp_path / "again", networked=True).unit.base.name == "image"


def test_what_would_steer_a_terminal_is_refused_and_never_written(tmp_path: Path) -> None:
    path = bundle_at(tmp_path, Ended(outcome="failed", message="\x1b]0;x\x07 a\tb\nc"))
    assert open_bundle(path, tmp_path / "open").contents.ended.message == " ]0;x  a b c"
    steering = remade(path, lambda c, _: replace(c, ended=replace(c.ended, message="\x1b[2J")))
    assert r"\x1b[2J" in refused(steering, tmp_path / "again")


def test_what_hinders_a_bundle_is_told_and_hides_nothing(tmp_path: Path) -> None:
    events: list[Any] = []
    work = SimpleNamespace(identified=SimpleNamespace(unit=SimpleNamespace(label="a@1:cpu")))
    keep_bundle(cast("Any", work), Ended(outcome="failed"), tmp_path, tmp_path, events.append)
    (notice,) = events
    assert notice.unit == "a@1:cpu"
    assert notice.text.startswith("no bundle was kept: ")
