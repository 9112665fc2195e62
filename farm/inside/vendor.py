"""Unpack crates into a folder that cargo takes instead of its registry, and tell cargo so.

Every ``.crate`` is held against its sha256 once more and unpacked below its own name; then
a configuration in CARGO_HOME replaces the registry, and each git source, by these folders
(https://doc.rust-lang.org/cargo/reference/source-replacement.html, directory sources), and
keeps cargo off the network.  Paths of the builder are mapped away, as the compiler would
write them into messages.

The list is JSON: ``crates`` of name, version, sha256; ``git`` of source, url, reference,
commit, crates (name, version), whose checkouts lie below ``--checkouts`` by commit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXIT_REFUSED = 65
MAX_UNPACKED_BYTES = 1 << 30
"""Of one crate; a registry takes none whose file is larger than some megabytes."""
_CHECKSUMS = ".cargo-checksum.json"
_MANIFEST = "Cargo.toml"


class RefusedError(Exception):
    """A crate may not be unpacked, or is not there."""


def unpack_crate(file: Path, crate: dict[str, str], folder: Path) -> None:
    """Unpack one crate, a tar.gz whose members all lie below ``<name>-<version>/``.

    Raises:
        RefusedError: It is not what its hash says, or holds what cargo never packs.
    """
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != crate["sha256"]:
        raise RefusedError(f"{file.name} has the sha256 {found}, not {crate['sha256']}")
    top = f"{crate['name']}-{crate['version']}"
    target = folder / top
    target.mkdir(parents=True)
    unpacked = 0
    with tarfile.open(file, "r:gz") as tar:
        for member in tar:
            unpacked += member.size
            if unpacked > MAX_UNPACKED_BYTES:
                raise RefusedError(f"{file.name} unpacks to far more than any crate should")
            write_member(tar, member, target, top)
    checksums = json.dumps({"files": {}, "package": crate["sha256"]})
    (target / _CHECKSUMS).write_text(checksums, encoding="utf-8")


def write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, top: str) -> None:
    """Write one file or folder; there are no links in crates, so no name can lead elsewhere."""
    first, *parts = member.name.rstrip("/").split("/")
    if first != top or "\0" in member.name or not {"", ".", ".."}.isdisjoint(parts):
        raise RefusedError(f"member {member.name!r} lies outside of {top}")
    path = target.joinpath(*parts)
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isreg() else None
    if source is None or not parts:
        raise RefusedError(f"member {member.name!r} is neither a file nor a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    path.chmod(0o755 if member.mode & 0o111 else 0o644)
    os.utime(path, (member.mtime, member.mtime))


def place_git_crates(checkout: Path, crates: list[dict[str, str]], folder: Path) -> None:
    """Copy the wanted crates of a repository, each with what it inherits from its workspace.

    Raises:
        RefusedError: The repository does not have one.
    """
    found = dict(manifests(checkout))
    for crate in crates:
        wanted = (crate["name"], crate["version"])
        where = found.get(wanted)
        if where is None:
            raise RefusedError(f"the commit {checkout.name} has no crate {' '.join(wanted)}")
        target = folder / "-".join(wanted)
        shutil.copytree(where, target, symlinks=True)
        whole = inherited(read(where / _MANIFEST), workspace_of(where, checkout))
        (target / _MANIFEST).write_text(toml(whole), encoding="utf-8")
        checksums = json.dumps({"files": {}, "package": None})
        (target / _CHECKSUMS).write_text(checksums, encoding="utf-8")


def manifests(checkout: Path) -> Iterator[tuple[tuple[str, str], Path]]:
    """Every crate of a repository by name and version."""
    for path in sorted(checkout.rglob(_MANIFEST)):
        if path.is_symlink() or not path.resolve().is_relative_to(checkout.resolve()):
            continue
        try:
            data = inherited(read(path), workspace_of(path.parent, checkout))
        except (ValueError, RefusedError):  # what is no TOML or no text is a ValueError
            continue  # test data of the repository, say; a wanted crate is then missed below
        package = data.get("package", {})
        yield (str(package.get("name")), str(package.get("version", "0.0.0"))), path.parent


def read(path: Path) -> dict[str, Any]:
    """A manifest."""
    import tomllib  # Python 3.11 has it, and only crates from git need it

    return tomllib.loads(path.read_text(encoding="utf-8"))


def workspace_of(folder: Path, checkout: Path) -> dict[str, Any]:
    """The ``[workspace]`` that a crate belongs to: its own, or the nearest one above."""
    for place in (folder, *folder.parents):
        path = place / _MANIFEST
        if path.is_file():
            workspace = read(path).get("workspace")
            if isinstance(workspace, dict):
                return workspace
        if place == checkout:
            break
    return {}


def inherited(manifest: dict[str, Any], workspace: dict[str, Any]) -> dict[str, Any]:
    """The manifest with ``workspace = true`` filled in, since it will stand alone.

    https://doc.rust-lang.org/cargo/reference/workspaces.html: keys of ``[package]``,
    dependencies, and lints, which are left out: they change no code.

    Raises:
        RefusedError: The workspace does not have what is inherited.
    """
    made = {key: value for key, value in manifest.items() if key not in {"workspace", "lints"}}
    if isinstance(made.get("package"), dict):
        shared = workspace.get("package", {})
        made["package"] = {
            key: taken(shared, key) if value == {"workspace": True} else value
            for key, value in made["package"].items()
            if key != "workspace"
        }
    shared = workspace.get("dependencies", {})
    for place in (made, *made.get("target", {}).values()):
        for kind in ("dependencies", "build-dependencies", "dev-dependencies"):
            if kind in place:
                place[kind] = {
                    name: dependency(name, value, shared) for name, value in place[kind].items()
                }
    return made


def dependency(name: str, value: Any, shared: dict[str, Any]) -> Any:  # noqa: ANN401 - TOML
    """One dependency, filled in where it is inherited; features are added up."""
    if not isinstance(value, dict) or value.get("workspace") is not True:
        return value
    found = taken(shared, name)
    base = dict(found) if isinstance(found, dict) else {"version": found}
    own = {key: item for key, item in value.items() if key != "workspace"}
    features = [*base.get("features", []), *own.pop("features", [])]
    if "default-features" in own and "default-features" not in base:
        own.pop("default-features")  # as cargo does: only the workspace can switch them off
    whole = {**base, **own}
    return {**whole, "features": features} if features else whole


def taken(shared: dict[str, Any], key: str) -> Any:  # noqa: ANN401 - TOML
    """What a workspace says of a key."""
    if key not in shared:
        raise RefusedError(f"the workspace has no {key!r}, which a crate inherits")
    return shared[key]


def toml(data: dict[str, Any]) -> str:
    """A manifest as TOML, every table inline."""
    return "".join(f"{quoted(key)} = {inline(value)}\n" for key, value in data.items())


def inline(value: Any) -> str:  # noqa: ANN401 - TOML
    """A value in one line."""
    if isinstance(value, dict):
        pairs = (f"{quoted(key)} = {inline(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    raise RefusedError(f"a manifest holds {value!r}, which is not understood")


def quoted(text: str) -> str:
    """A text of TOML: JSON's, but for one control character and escapes in pairs."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def configuration(root: Path, git: list[dict[str, Any]]) -> str:
    """What cargo reads in CARGO_HOME: where crates are, and that there is no network."""
    tables: dict[str, dict[str, Any]] = {
        "source.crates-io": {"replace-with": "vendored"},
        "source.vendored": {"directory": str(root / "vendor")},
    }
    mapped = [f"--remap-path-prefix={root / 'vendor'}=crates"]
    for number, source in enumerate(git):
        folder, place = git_folder(root, number), f"git-{number}"
        settings = {"git": source["url"], **source["reference"], "replace-with": place}
        tables[f"source.{quoted(source['source'])}"] = settings
        tables[f"source.{place}"] = {"directory": str(folder)}
        mapped.append(f"--remap-path-prefix={folder}=crates")
    mapped.append("--remap-path-prefix=/build=src")
    tables |= {"net": {"offline": True}, "build": {"rustflags": mapped}}
    return "\n".join(f"[{name}]\n{toml(settings)}" for name, settings in tables.items())


def git_folder(root: Path, number: int) -> Path:
    """Where the crates of one git source lie."""
    return root / f"git-{number}"


def vendor(listed: dict[str, Any], files: Path, checkouts: Path, root: Path) -> None:
    """Lay out everything below ``root``: vendor/, git-<number>/, home/config.toml.

    Raises:
        RefusedError: A crate is not what it should be.
    """
    (root / "vendor").mkdir(parents=True)
    for crate in listed["crates"]:
        name = f"{crate['name']}-{crate['version']}.crate"
        try:
            unpack_crate(files / name, crate, root / "vendor")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise RefusedError(f"{name}: {error}") from error
    for number, source in enumerate(listed["git"]):
        checkout = checkouts / source["commit"]
        place_git_crates(checkout, source["crates"], git_folder(root, number))
    (root / "home").mkdir()
    text = configuration(root, listed["git"])
    (root / "home/config.toml").write_text(text, encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Vendor; return 0, or 65 with one line that says why not."""
    parser = argparse.ArgumentParser(prog="vendor", description=__doc__)
    parser.add_argument("list", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--checkouts", type=Path, default=Path("/nowhere"))
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        listed = json.loads(options.list.read_text(encoding="utf-8"))
        vendor(listed, options.list.parent, options.checkouts, options.root)
    except (RefusedError, OSError) as error:
        print(f"farm: error: vendor: {error}", file=sys.stderr, flush=True)
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
