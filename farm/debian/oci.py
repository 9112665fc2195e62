"""Writes one root file system as an image archive that every engine can load.

The archive is an OCI image layout (opencontainers/image-spec, image-layout.md)
with one uncompressed layer, plus the ``manifest.json`` that ``docker load`` of
the classic store reads.  It holds no time, so the ids follow from the content.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from farm.errors import IntegrityError
from farm.host.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_INDEX = "application/vnd.oci.image.index.v1+json"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""From uname(1)'s names to those of the image specification (GOARCH)."""
_MAKE_ANEW = "delete that file's folder to bootstrap the base anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageIds:
    """An image's ids, all ``sha256:…``.

    Engines with the classic store call the image ``config``, those with
    containerd's store call it ``manifest``.
    """

    layer: str
    config: str
    manifest: str


def write_archive(layer: Path, archive: Path, *, tag: str, comment: str) -> ImageIds:
    """Write ``archive``, an image called ``tag``, from the layer's tar.

    Raises:
        OSError: The disk is full, say; ``archive`` is then incomplete.
    """
    layer_digest = f"sha256:{sha256_of(layer)}"
    config = _json(_config_of(layer_digest, comment))
    config_digest = _digest(config)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config_digest, len(config)),
            "layers": [_descriptor(_LAYER, layer_digest, layer.stat().st_size)],
        }
    )
    manifest_digest = _digest(manifest)
    blobs = {"Config": _blob(config_digest), "Layers": [_blob(layer_digest)]}
    classic = [{**blobs, "RepoTags": [tag]}]
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as out:
        _add(out, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(out, "index.json", _json(_index_of(tag, manifest_digest, len(manifest))))
        _add(out, "manifest.json", _json(classic))
        _add(out, _blob(manifest_digest), manifest)
        _add(out, _blob(config_digest), config)
        entry = tarfile.TarInfo(_blob(layer_digest))
        entry.size = layer.stat().st_size
        entry.mode = 0o644
        with layer.open("rb") as stream:
            out.addfile(entry, stream)
    return ImageIds(layer=layer_digest, config=config_digest, manifest=manifest_digest)


def write_base_context(archive: Path, folder: Path) -> None:
    """Write a build context that gives the image of an archive, where none can be loaded.

    Raises:
        IntegrityError: the archive is not what `write_archive` wrote.
        OSError: The disk is full, say.
    """
    layer = folder / "layer.tar"
    try:
        with tarfile.open(archive) as given:
            about = json.load(_member(given, "manifest.json"))
            name = str(about[0]["Layers"][0])
            with layer.open("wb") as taken:
                shutil.copyfileobj(_member(given, name), taken, 1 << 20)
    except (tarfile.TarError, ValueError, LookupError, TypeError) as error:
        raise IntegrityError(f"{archive} is damaged: {error}", hint=_MAKE_ANEW) from error
    if name != _blob(sha256_of(layer)):
        raise IntegrityError(f"{archive} is damaged: its layer is another", hint=_MAKE_ANEW)
    text = f"FROM scratch\nADD {layer.name} /\nENV {_PATH}\n"
    (folder / "Dockerfile").write_text(text, encoding="utf-8")


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    if found is None:
        raise ValueError(f"{name} is no file")
    return found


def _config_of(layer_digest: str, comment: str) -> dict[str, object]:
    return {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Env": [_PATH], "Cmd": ["/bin/bash"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        "history": [{"created_by": comment}],
    }


def _index_of(tag: str, manifest_digest: str, size: int) -> dict[str, object]:
    # No whole name for containerd's store: it would have to name a registry. An engine with
    # that store is told the tag once it has the image.
    names = {"org.opencontainers.image.ref.name": tag.rpartition(":")[2]}
    entry = {**_descriptor(_MANIFEST, manifest_digest, size), "annotations": names}
    return {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _add(out: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o644
    out.addfile(entry, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"
