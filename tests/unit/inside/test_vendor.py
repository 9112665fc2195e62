"""Crates in the container: unpacked with care, and cargo told to take them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.inside import vendor
from farm.inside.vendor import RefusedError
from tests.support.crates import crate_bytes, sha256

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "0123456789" * 4


def pin(name: str, content: bytes, version: str = "1.0.0") -> dict[str, str]:
    return {"name": name, "version": version, "sha256": sha256(content)}


def laid_out(
    folder: Path, crates: dict[str, bytes], git: list[dict[str, Any]] | None = None
) -> Path:
    """A context folder with crates by name, and the list of them."""
    folder.mkdir(exist_ok=True)
    for name, content in crates.items():
        (folder / f"{name}-1.0.0.crate").write_bytes(content)
    pins = [pin(name, content) for name, content in crates.items()]
    path = folder / "crates.json"
    path.write_text(json.dumps({"crates": pins, "git": git or []}))
    return path


def packed(*members: tuple[str, bytes | str]) -> bytes:
    """A .crate with any members; a text makes a link there, ``dev`` a device."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
                continue
            info.type = tarfile.CHRTYPE if content == "dev" else tarfile.SYMTYPE
            info.linkname = content
            tar.addfile(info)
    return out.getvalue()


def test_crates_become_a_directory_source_and_cargo_is_told(tmp_path: Path) -> None:
    content = crate_bytes("one", "1.0.0", {"src/lib.rs": "pub fn f() {}"})
    listed = laid_out(tmp_path / "in", {"one": content})
    assert vendor.main([str(listed), str(tmp_path / "out")]) == 0
    crate = tmp_path / "out/vendor/one-1.0.0"
    assert (crate / "src/lib.rs").read_text() == "pub fn f() {}"
    checksums = json.loads((crate / ".cargo-checksum.json").read_text())
    assert checksums == {"files": {}, "package": sha256(content)}
    config = tomllib.loads((tmp_path / "out/home/config.toml").read_text())
    assert config["source"]["crates-io"] == {"replace-with": "vendored"}
    assert config["source"]["vendored"] == {"directory": str(tmp_path / "out/vendor")}
    assert config["net"] == {"offline": True}
    assert f"--remap-path-prefix={tmp_path}/out/vendor=crates" in config["build"]["rustflags"]


def test_two_versions_of_a_crate_lie_beside_each_other(tmp_path: Path) -> None:
    pins = []
    for version in ("1.0.0", "2.0.0+b.1"):
        content = crate_bytes("one", version)
        (tmp_path / f"one-{version}.crate").write_bytes(content)
        pins.append(pin("one", content, version))
    vendor.vendor({"crates": pins, "git": []}, tmp_path, tmp_path, tmp_path / "out")
    found = sorted(path.name for path in (tmp_path / "out/vendor").iterdir())
    assert found == ["one-1.0.0", "one-2.0.0+b.1"]


@pytest.mark.parametrize(
    "member",
    [
        ("one-1.0.0/../../x", b""),
        ("one-1.0.0/a/../../../x", b""),
        ("/etc/x", b""),
        ("other-1.0.0/x", b""),
        ("x", b""),
        ("one-1.0.0", b""),
        ("one-1.0.0//x", b""),
        ("one-1.0.0/link", "/etc/passwd"),
        ("one-1.0.0/link", "src"),
        ("one-1.0.0/null", "dev"),
    ],
)
def test_what_cargo_never_packs_is_refused(
    member: tuple[str, bytes | str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = packed(("one-1.0.0/Cargo.toml", b""), member)
    listed = laid_out(tmp_path / "in", {"one": content})
    assert vendor.main([str(listed), str(tmp_path / "deep/out")]) == vendor.EXIT_REFUSED
    assert capfd.readouterr().err.startswith("farm: error: vendor: member ")
    assert not list(tmp_path.rglob("x"))


def test_a_crate_that_is_something_else_is_refused(tmp_path: Path) -> None:
    listed = laid_out(tmp_path / "in", {"one": crate_bytes("one", "1.0.0")})
    (tmp_path / "in/one-1.0.0.crate").write_bytes(b"something else")
    done = subprocess.run(
        [sys.executable, vendor.__file__, str(listed), str(tmp_path / "out")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == vendor.EXIT_REFUSED
    assert "one-1.0.0.crate has the sha256" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"no gzip", crate_bytes("one", "1.0.0")[:60]])
def test_a_crate_that_was_truncated_before_it_was_pinned_is_refused(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    listed = laid_out(tmp_path / "in", {"one": content})
    assert vendor.main([str(listed), str(tmp_path / "out")]) == vendor.EXIT_REFUSED
    assert "one-1.0.0.crate: " in capfd.readouterr().err


def test_a_crate_that_is_not_there_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    listed = laid_out(tmp_path / "in", {"one": b""})
    (tmp_path / "in/one-1.0.0.crate").unlink()
    assert vendor.main([str(listed), str(tmp_path / "out")]) == vendor.EXIT_REFUSED
    assert "No such file" in capfd.readouterr().err


def test_one_that_unpacks_to_far_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vendor, "MAX_UNPACKED_BYTES", 100)
    content = crate_bytes("one", "1.0.0", {"big": "x" * 200})
    (tmp_path / "one-1.0.0.crate").write_bytes(content)
    with pytest.raises(RefusedError, match="far more"):
        vendor.unpack_crate(tmp_path / "one-1.0.0.crate", pin("one", content), tmp_path / "vendor")


WORKSPACE = """\
[workspace]
members = ["left", "right"]
[workspace.package]
version = "0.1.0"
edition = "2021"
[workspace.dependencies]
serde = {version = "1", default-features = false, features = ["alloc"]}
log = "0.4"
right = {path = "right", version = "0.1.0"}
"""
LEFT = """\
[package]
name = "left"
version.workspace = true
edition.workspace = true
[lints]
workspace = true
[dependencies]
serde = {workspace = true, features = ["derive"]}
right.workspace = true
[target.'cfg(unix)'.dependencies]
log = {workspace = true, optional = true}
[dev-dependencies]
own = "1"
"""


def repository(folder: Path) -> Path:
    checkout = folder / COMMIT
    for name, text in {
        "Cargo.toml": WORKSPACE,
        "left/Cargo.toml": LEFT,
        "left/src/lib.rs": "",
        "right/Cargo.toml": '[package]\nname = "right"\nversion = "0.1.0"\n',
        "tests/broken/Cargo.toml": "[",
        "tests/alone/Cargo.toml": "[workspace]\n[package]\nname='alone'\nversion.workspace=true",
    }.items():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return checkout


def git_source(*names: str, url: str = "https://example.org/o/r") -> dict[str, Any]:
    return {
        "source": f"git+{url}?rev=v1", "url": url, "reference": {"rev": "v1"}, "commit": COMMIT,
        "crates": [{"name": name, "version": "0.1.0"} for name in names],
    }  # fmt: skip


def test_crates_of_a_repository_stand_alone_with_what_they_inherit(tmp_path: Path) -> None:
    repository(tmp_path / "checkouts")
    listed = laid_out(tmp_path / "in", {}, [git_source("left", "right")])
    out = tmp_path / "out"
    assert vendor.main([str(listed), str(out), f"--checkouts={tmp_path}/checkouts"]) == 0
    manifest = tomllib.loads((out / "git-0/left-0.1.0/Cargo.toml").read_text())
    assert manifest == {
        "package": {"name": "left", "version": "0.1.0", "edition": "2021"},
        "dependencies": {
            "serde": {
                "version": "1", "default-features": False, "features": ["alloc", "derive"],
            },
            "right": {"path": "right", "version": "0.1.0"},
        },
        "target": {"cfg(unix)": {"dependencies": {"log": {"version": "0.4", "optional": True}}}},
        "dev-dependencies": {"own": "1"},
    }  # fmt: skip
    checksums = json.loads((out / "git-0/right-0.1.0/.cargo-checksum.json").read_text())
    assert checksums == {"files": {}, "package": None}
    source = tomllib.loads((out / "home/config.toml").read_text())["source"]
    assert source["git+https://example.org/o/r?rev=v1"] == {
        "git": "https://example.org/o/r", "rev": "v1", "replace-with": "git-0",
    }  # fmt: skip
    assert source["git-0"] == {"directory": str(out / "git-0")}


def test_one_that_the_repository_does_not_have_is_refused(tmp_path: Path) -> None:
    repository(tmp_path)
    with pytest.raises(RefusedError, match="has no crate nothing"):
        vendor.place_git_crates(
            tmp_path / COMMIT, [{"name": "nothing", "version": "0.1.0"}], tmp_path / "out"
        )


def test_a_manifest_that_links_out_of_the_repository_is_not_read(tmp_path: Path) -> None:
    checkout = repository(tmp_path / "in")
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "out"\nversion = "0.1.0"\n')
    (checkout / "out").mkdir()
    (checkout / "out/Cargo.toml").symlink_to(tmp_path / "Cargo.toml")
    assert ("out", "0.1.0") not in dict(vendor.manifests(checkout))


_TOML = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), _TOML, max_size=4))
def test_a_manifest_is_written_as_it_was_read(data: dict[str, Any]) -> None:
    assert tomllib.loads(vendor.toml(data)) == data
