"""Bases: what names them, what counts as whole, and what their failures mean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from farm.debian import bases, bootstrapping, toolbox
from farm.debian.bases import RootfsSpec
from farm.errors import BaseError, EngineError, StorageError
from farm.model.unit import RootfsBase

SPEC = RootfsSpec(suite="trixie", packages=("gcc", "make"))


def _kept(cache: Path, spec: RootfsSpec = SPEC) -> Path:
    folder = cache / "bases" / spec.key
    folder.mkdir(parents=True)
    (folder / "image.tar").write_bytes(b"x" * 1000)
    facts = {
        "key": spec.key,
        "suite": spec.suite,
        "snapshot": None,
        "origin": "mirror",
        "digest": "sha256:aa",
        "image_id": "sha256:bb",
        "manifest_digest": "sha256:cc",
        "tag": "farm-base:trixie-aa",
        "size_bytes": 1000,
        "packages": [["gcc", "4:14.2.0-1"], ["libc6", "2.41"]],
    }
    (folder / "base.json").write_text(json.dumps(facts))
    return folder


def test_the_key_follows_from_what_is_in_it_and_from_nothing_else() -> None:
    assert SPEC.key == RootfsSpec(suite="trixie", packages=("make", "gcc", "gcc")).key
    others = [
        replace(SPEC, suite="sid"),
        replace(SPEC, packages=("gcc",)),
        replace(SPEC, snapshot="20260101T000000Z"),
        replace(SPEC, components=("non-free",)),
        replace(SPEC, exclude_paths=("/usr/lib/big/*",)),
    ]
    assert len({SPEC.key, *(other.key for other in others)}) == 6


def test_a_units_base_is_known_by_its_content_not_its_name() -> None:
    base = RootfsBase(name="a", suite="trixie", snapshot=None, packages=("make", "gcc"))
    assert bases.spec_of(base) == bases.spec_of(replace(base, name="b")) == SPEC


def test_what_was_bootstrapped_is_found_with_its_exact_versions(tmp_path: Path) -> None:
    folder = _kept(tmp_path)
    found = bases.resolved(SPEC, tmp_path)
    assert found is not None
    assert found.tag == "farm-base:trixie-aa"
    assert dict(found.packages)["libc6"] == "2.41"
    assert found.archive == folder / "image.tar"


@pytest.mark.parametrize("damage", ["cut", "gone", "no json", "other json", "no folder"])
def test_what_is_not_whole_is_not_there(tmp_path: Path, damage: str) -> None:
    folder = _kept(tmp_path)
    match damage:
        case "cut":
            (folder / "image.tar").write_bytes(b"x" * 999)
        case "gone":
            (folder / "image.tar").unlink()
        case "no json":
            (folder / "base.json").write_text('{"key": ')
        case "other json":
            (folder / "base.json").write_text('{"size_bytes": 1000, "packages": [1]}')
        case _:
            (folder / "base.json").unlink()
    assert bases.resolved(SPEC, tmp_path) is None


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, suite="../sid"),
        replace(SPEC, suite="--version"),
        replace(SPEC, packages=("gcc", "a b")),
        replace(SPEC, packages=("$(id)",)),
        replace(SPEC, snapshot="today"),
        replace(SPEC, components=("main https://x.org",)),
        replace(SPEC, exclude_paths=("/usr/lib/a b",)),
        replace(SPEC, exclude_paths=("relative/*",)),
    ],
)
def test_names_that_could_mean_something_else_are_refused(
    tmp_path: Path, spec: RootfsSpec
) -> None:
    tools = toolbox.Toolbox(root=tmp_path, key="k")
    with pytest.raises(BaseError, match="no name of"):
        bases.bootstrap(spec, tmp_path, tools, lambda _: None)


def test_what_is_left_out_and_further_components_reach_the_bootstrap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FARM_DEBIAN_MIRROR", "https://mirror.example/debian")
    plain = bootstrapping.command(SPEC)
    assert plain[-1].endswith(" trixie main")
    spec = replace(SPEC, components=("contrib", "non-free"), exclude_paths=("/usr/lib/big/*",))
    command = bootstrapping.command(spec)
    assert command[-1].endswith(" trixie main contrib non-free")
    (added,) = set(command[:-1]) - set(plain)
    assert added == "--dpkgopt=path-exclude=/usr/lib/big/*"
    # The last option that matches wins in dpkg: licences stay, whatever is left out.
    assert command.index(added) < command.index(
        "--dpkgopt=path-include=/usr/share/doc/*/copyright"
    )


def test_a_mirror_with_a_password_stays_out_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_DEBIAN_MIRROR", "https://user:secret@mirror.example/debian")
    command = bootstrapping.command(replace(SPEC, snapshot="20260101T000000Z"))
    holding = [text for text in command if "secret" in text]
    assert holding == [command[-1]]
    assert "snapshot=20260101T000000Z" in command[-1]
    forget = next(text for text in command if text.startswith("--customize-hook=rm"))
    assert '"$1"/etc/apt/sources.list' in forget


def test_only_installed_packages_are_recorded() -> None:
    status = (
        "Package: b\nStatus: install ok installed\nVersion: 2\nDescription: x\n Version: 9\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1:1-1\n"
    )
    assert bootstrapping.installed(status) == [("a", "1:1-1"), ("b", "2")]


def test_complaints_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_DEBIAN_MIRROR", "http://mirror.example/debian")
    log = Path("mmdebstrap.log")
    missing = bootstrapping.explain("I: x\nE: Unable to locate package gcc-99\n", SPEC, log=log)
    assert isinstance(missing, BaseError)
    assert "gcc-99" in missing.message
    full = bootstrapping.explain("tar: x: No space left on device\n", SPEC, log=log)
    assert isinstance(full, StorageError)
    monkeypatch.setenv("FARM_DEBIAN_MIRROR", "http://user:secret@mirror.example/debian")
    said = "W: Failed to fetch http://user:secret@mirror.example/x\n"
    away = bootstrapping.explain(said, SPEC, log=log)
    assert "secret" not in away.message + "".join(away.details)
    assert "mirror.example" in away.message
    assert "FARM_DEBIAN_MIRROR" in away.hint
    other = bootstrapping.explain("I: fine\nE: gremlins\n", SPEC, log=log)
    assert other.details == ("E: gremlins",)


def test_a_toolbox_without_its_c_library_is_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="damaged"):
        toolbox.Toolbox(root=tmp_path, key="k").on_host("usr/bin/docker")


def test_without_root_rights_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(EngineError) as caught:
        toolbox.require_host()
    assert "root" in caught.value.message
    assert "sudo" in caught.value.hint


def test_a_cache_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tools = toolbox.Toolbox(root=tmp_path, key="k")
    with pytest.raises(StorageError, match="cannot write"):
        bases.bootstrap(SPEC, tmp_path / "file" / "cache", tools, lambda _: None)
