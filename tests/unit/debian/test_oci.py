"""The image archive: whole, the same every time, named by its content."""

from __future__ import annotations

import hashlib
import json
import tarfile
from typing import TYPE_CHECKING

from farm.debian import oci

if TYPE_CHECKING:
    from pathlib import Path


TAG = "farm-base:trixie-0123456789ab"


def _archive(folder: Path, content: bytes) -> tuple[Path, oci.ImageIds]:
    folder.mkdir()
    (folder / "layer.tar").write_bytes(content)
    archive = folder / "image.tar"
    ids = oci.write_archive(folder / "layer.tar", archive, tag=TAG, comment="c")
    return archive, ids


def _members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        found = {}
        for member in tar:
            stream = tar.extractfile(member)
            assert stream is not None
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
            found[member.name] = stream.read()
        return found


def test_every_blob_is_what_its_name_says_and_every_reference_resolves(tmp_path: Path) -> None:
    archive, ids = _archive(tmp_path / "a", b"a layer" * 5000)
    members = _members(archive)
    blobs = {name: body for name, body in members.items() if name.startswith("blobs/sha256/")}
    assert {name.rpartition("/")[2] for name in blobs} == {
        hashlib.sha256(body).hexdigest() for body in blobs.values()
    }
    index = json.loads(members["index.json"])
    manifest_descriptor = index["manifests"][0]
    manifest = json.loads(blobs[_blob(manifest_descriptor["digest"])])
    for descriptor in (manifest_descriptor, manifest["config"], *manifest["layers"]):
        assert len(blobs[_blob(descriptor["digest"])]) == descriptor["size"]
    config = json.loads(blobs[_blob(manifest["config"]["digest"])])
    assert config["rootfs"]["diff_ids"] == [ids.layer]
    classic = json.loads(members["manifest.json"])[0]
    assert classic["Config"] in blobs
    assert classic["Layers"] == [_blob(ids.layer)]
    assert classic["RepoTags"] == [TAG]


def _blob(digest: str) -> str:
    return "blobs/sha256/" + digest.removeprefix("sha256:")


def test_the_same_layer_gives_the_same_bytes_and_holds_no_time(tmp_path: Path) -> None:
    first, ids = _archive(tmp_path / "a", b"same")
    second, again = _archive(tmp_path / "b", b"same")
    assert first.read_bytes() == second.read_bytes()
    assert ids == again
    assert b'"created"' not in first.read_bytes()


def test_the_ids_follow_from_the_layer(tmp_path: Path) -> None:
    _, one = _archive(tmp_path / "a", b"one")
    _, two = _archive(tmp_path / "b", b"two")
    assert not {one.layer, one.config, one.manifest} & {two.layer, two.config, two.manifest}
