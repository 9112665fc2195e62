"""Unpack an archive into a folder, without its single top folder, if it is what its digest says.

Tar files (plain, gzip, bzip2, xz) and zip files.  Members that would land, or
links that would point, outside of the folder are refused, and so are devices.
Modes become 0755 or 0644, owners the caller's: the wheel must not depend on
what the packer's machine had.  Times are kept, those of zip files as UTC.

The digest is one of three:

``sha256:<hex>``
    of the archive's bytes, before anything is unpacked;
``tree:<hex>``
    of the files that were unpacked: see `tree_digest`;
``git:<commit>[+submodules[=<path>,…]]``
    of a commit, with none, all or those of its submodules.  The archive brings, as a file
    ``.git``, the commit objects and tree objects, and the files must be what those say.
"""

from __future__ import annotations

import argparse
import calendar
import hashlib
import json
import lzma
import os
import posixpath
import re
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

EXIT_REFUSED = 65
CHUNK_BYTES = 1 << 20
PROOF = ".git"
"""The file that proves a commit; no file of a commit can be called so."""
NO_TIME_S = 315532800
"""1980-01-01, the first time that a zip file can hold."""
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError,
    RuntimeError, OverflowError,
)  # fmt: skip
"""What the libraries raise for an archive that is damaged, encrypted, or says what cannot be."""
_OBJECT = re.compile(rb"(?:commit|tree) ([0-9]{1,12})\0")
_TREE_OF = re.compile(rb"tree ([0-9a-f]{40})\n")
_ENTRY = re.compile(rb"([0-7]{5,6}) ([^\0/]+)\0(.{20})", re.DOTALL)
_SUBMODULE = 0o160000
"""What git has for the kind of file, beside those of stat."""


class RefusedError(Exception):
    """The archive may not be unpacked."""


def clean(name: str) -> str:
    """Return a member's name in its shortest form.

    Raises:
        RefusedError: It is absolute, or leads out of the archive.
    """
    short = posixpath.normpath(name)
    if name.startswith("/") or "\0" in name or short == ".." or short.startswith("../"):
        raise RefusedError(f"member {name!r} leads out of the archive")
    return short


def single_top(names: Iterable[str], *, files: frozenset[str]) -> str:
    """Return the one folder that everything is in, with a slash, or nothing."""
    tops = {name.split("/", 1)[0] for name in names if name != "."}
    if len(tops) != 1 or tops & files:
        return ""
    return tops.pop() + "/"


def make_link(folder: Path, path: Path, target: str) -> None:
    """Make a symbolic link, unless it leaves the folder into which the archive is unpacked."""
    inside = posixpath.dirname(path.relative_to(folder).as_posix())
    end = posixpath.normpath(posixpath.join(inside, target))
    if target.startswith("/") or end == ".." or end.startswith("../"):
        raise RefusedError(f"link {path.name!r} points out of the archive, to {target!r}")
    path.symlink_to(target)
    check_inside(folder, path)


def check_inside(folder: Path, path: Path) -> None:
    """Refuse a path that links lead out of the folder, which must itself be resolved.

    Names alone don't tell: with ``x -> .``, ``x/..`` is the folder's parent.
    """
    real = path.resolve()
    if real != folder and folder not in real.parents:
        raise RefusedError(f"{path.name!r} leads out of the archive through a link")


def place(folder: Path, name: str, top: str) -> Path | None:
    """Return where a member goes, its parent made; None for the top folder itself."""
    if name in (".", top.rstrip("/")):
        return None
    path = folder / name[len(top) :]
    check_inside(folder, path.parent)  # an earlier member may be a link
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.is_file():
        path.unlink()  # a later member of the same name wins, and never follows a link
    return path


def settle(path: Path, mode: int, time_s: float) -> None:
    """Fix mode and time."""
    path.chmod(0o755 if mode & 0o111 else 0o644)
    os.utime(path, (time_s, time_s))


def unpack_tar(archive: Path, folder: Path) -> None:
    """Unpack a tar file, compressed or not."""
    with tarfile.open(archive) as tar:
        members = [(clean(member.name), member) for member in tar.getmembers()]
        files = frozenset(name for name, member in members if not member.isdir())
        top = single_top((name for name, _ in members), files=files)
        written = []
        for name, member in members:
            path = place(folder, name, top)
            if path is not None:
                write_member(tar, member, path, folder=folder, top=top)
                written.append(path)
    for path in written:
        if path.is_symlink():  # what a later member put in its way may have turned it
            check_inside(folder, path)


def write_member(
    tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, *, folder: Path, top: str
) -> None:
    """Write one member of a tar file."""
    if member.isdir():
        path.mkdir(exist_ok=True)
    elif member.issym():
        make_link(folder, path, member.linkname)
    elif member.islnk():
        target = folder / clean(member.linkname)[len(top) :]
        check_inside(folder, target)
        if target.is_symlink():
            make_link(folder, path, str(target.readlink()))
        else:
            shutil.copy2(target, path)
    elif member.isfile():
        source = tar.extractfile(member)
        if source is None:
            raise RefusedError(f"member {member.name!r} cannot be read")
        with source, path.open("wb") as out:
            shutil.copyfileobj(source, out, CHUNK_BYTES)
        settle(path, member.mode, member.mtime)
    else:
        raise RefusedError(f"member {member.name!r} is neither a file, a folder nor a link")


def unpack_zip(archive: Path, folder: Path) -> None:
    """Unpack a zip file; its symbolic links, which wheels never hold, are refused."""
    with zipfile.ZipFile(archive) as source:
        members = [(clean(member.filename), member) for member in source.infolist()]
        files = frozenset(name for name, member in members if not member.is_dir())
        top = single_top((name for name, _ in members), files=files)
        for name, member in members:
            mode = member.external_attr >> 16
            if stat.S_ISLNK(mode):
                raise RefusedError(f"member {name!r} is a link in a zip file")
            path = place(folder, name, top)
            if path is None:
                continue
            if member.is_dir():
                path.mkdir(exist_ok=True)
                continue
            with source.open(member) as data, path.open("wb") as out:
                shutil.copyfileobj(data, out, CHUNK_BYTES)
            settle(path, mode, zip_time(member))


def zip_time(member: zipfile.ZipInfo) -> float:
    """Return when a member of a zip file says that it was changed, taken as UTC."""
    try:
        return calendar.timegm((*member.date_time, 0, 0, 0))
    except ValueError:  # a month 0, say: the packer had no time to give
        return NO_TIME_S


def sha256(path: Path) -> str:
    """Return a file's digest in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


def tree_digest(folder: Path) -> str:
    """Return the digest of a folder's files, as farm/load/trees.py defines it.

    The sha256 over name, executable bit and sha256 of each, in the order of their names' parts.

    Raises:
        RefusedError: There is more than files: a link, or a folder that has none.
    """
    found = []
    for where, folders, files in os.walk(folder):
        paths = [Path(where, name) for name in files]
        links = [path for path in (*paths, *(Path(where, name) for name in folders))
                 if path.is_symlink()]  # fmt: skip
        if links or not (folders or files):
            raise RefusedError(f"{(links or [Path(where)])[0].name!r} is not of a tree of files")
        found += [(path.relative_to(folder).as_posix(), path) for path in paths]
    total = hashlib.sha256()
    for name, path in sorted(found, key=lambda each: each[0].split("/")):
        executable = bool(path.stat().st_mode & 0o100)
        line = f"{name}\0{executable:d}\0{sha256(path)}\n"
        total.update(line.encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def object_id(content: bytes) -> str:
    """Return the id of a git object, given with its head."""
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def blob_id(path: Path) -> str:
    """Return the id that git gives to a file's content, or to where a link points."""
    if path.is_symlink():
        target = os.fsencode(path.readlink())
        return object_id(b"blob %d\0" % len(target) + target)
    head = b"blob %d\0" % path.stat().st_size
    digest = hashlib.sha1(head, usedforsecurity=False)
    with path.open("rb") as file:
        for block in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


class Checkout:
    """A folder that is to be the files of a commit.

    Nothing is believed but the commit's id: an object is found by the hash of its content,
    and what the objects name must be there, and nothing else.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder
        self.commit, self.with_submodules, named = digest.partition("+submodules")
        self.submodules = named.removeprefix("=").split(",") if named else []
        self.found: dict[str, str] = {}
        proof = folder / PROOF
        if proof.is_symlink() or not proof.is_file():
            raise RefusedError("it does not bring what proves its commit")
        self.objects = dict(read_objects(proof.read_bytes()))
        proof.unlink()

    def check(self) -> None:
        """Hold everything against the commit.

        Raises:
            RefusedError: The first difference.
        """
        self.check_commit(self.commit, self.folder)

    def check_commit(self, commit: str, path: Path) -> None:
        """Hold a folder against a commit, the whole one or a submodule's."""
        tree = _TREE_OF.match(self.content(commit, b"commit "))
        if tree is None:
            raise RefusedError(f"{commit} is no commit with a tree")
        self.check_tree(tree[1].decode(), path)

    def check_tree(self, tree: str, path: Path) -> None:
        """Hold a folder against a tree, and all that is in it."""
        entries = list(read_tree(self.content(tree, b"tree ")))
        names = sorted(name for _, name, _ in entries)
        found = sorted(each.name for each in path.iterdir())
        if names != found:
            raise self.differs(path / min({*names} ^ {*found}, default=""))
        for mode, name, wanted in entries:
            self.check_entry(mode, wanted, path / name)

    def check_entry(self, mode: int, wanted: str, path: Path) -> None:
        """Hold a file, link, folder or submodule against what a tree says."""
        status = path.lstat()
        kind, found = stat.S_IFMT(mode), stat.S_IFMT(status.st_mode)
        if kind == found == stat.S_IFDIR:
            self.check_tree(wanted, path)
        elif kind == _SUBMODULE and found == stat.S_IFDIR:
            if self.is_brought(path):
                self.found[path.relative_to(self.folder).as_posix()] = wanted
                self.check_commit(wanted, path)
            elif any(path.iterdir()):
                raise self.differs(path)
        else:
            other_bit = kind == stat.S_IFREG and (mode ^ status.st_mode) & stat.S_IXUSR
            if kind != found or other_bit or blob_id(path) != wanted:
                raise self.differs(path)

    def is_brought(self, path: Path) -> bool:
        """Return whether the files of a submodule must be there."""
        name = path.relative_to(self.folder).as_posix()
        return bool(self.with_submodules) and (not self.submodules or name in self.submodules)

    def content(self, wanted: str, head: bytes) -> bytes:
        """Return an object without its head."""
        found = self.objects.get(wanted, b"")
        if not found.startswith(head):
            raise RefusedError(f"it does not bring the git object {wanted}")
        return found.partition(b"\0")[2]

    def differs(self, path: Path) -> RefusedError:
        """Return the error that a path is not what the commit says."""
        name = path.relative_to(self.folder).as_posix()
        return RefusedError(f"{name!r} is not what the commit {self.commit} says")


def read_objects(proof: bytes) -> Iterator[tuple[str, bytes]]:
    """Return git objects one after the other as git hashes them, each by its id."""
    start = 0
    while start < len(proof):
        head = _OBJECT.match(proof, start)
        if head is None:
            raise RefusedError("what proves its commit is damaged")
        end = head.end() + int(head[1])
        yield object_id(proof[start:end]), proof[start:end]
        start = end


def read_tree(content: bytes) -> Iterator[tuple[int, str, str]]:
    """Return mode, name and object of each entry of a tree.

    https://git-scm.com/book/en/v2/Git-Internals-Git-Objects, "Tree Objects".
    """
    start = 0
    while start < len(content):
        entry = _ENTRY.match(content, start)
        if entry is None:
            raise RefusedError("a git tree object is damaged")
        yield int(entry[1], 8), os.fsdecode(entry[2]), entry[3].hex()
        start = entry.end()


def check_same(found: str, wanted: str) -> None:
    """Refuse a digest that is not the wanted one."""
    if found != wanted:
        raise RefusedError(f"not what its digest says: {found}, not {wanted}")


def unpack(archive: Path, folder: Path, digest: str) -> None:
    """Unpack a tar or zip file into a folder, which is made if need be.

    Raises:
        RefusedError: The archive is not what the digest says, is of no known kind, is
            damaged, or holds what it may not.
    """
    kind, _, wanted = digest.partition(":")
    if kind == "sha256":
        check_same(sha256(archive), wanted)
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    try:
        if zipfile.is_zipfile(archive):
            unpack_zip(archive, folder)
        elif tarfile.is_tarfile(archive):
            unpack_tar(archive, folder)
        else:
            raise RefusedError("neither a tar nor a zip file")
    except _DAMAGED as error:
        raise RefusedError(f"it cannot be read: {error}") from error
    if kind == "git":
        checkout = Checkout(folder, wanted)
        checkout.check()
        if checkout.found:  # for inside/parts.py: nothing in the files says their commits
            beside = folder.with_name(f"{folder.name}.submodules.json")
            beside.write_text(json.dumps(checkout.found), encoding="utf-8")
    elif kind == "tree":
        check_same(tree_digest(folder), wanted)
    elif kind != "sha256":
        raise RefusedError(f"{digest!r} is no digest that is known")


def main(arguments: Sequence[str]) -> int:
    """Unpack; return 0, or 65 with one line that says why not."""
    parser = argparse.ArgumentParser(prog="unpack", description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--digest", required=True, help="what the archive must be")
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        unpack(options.archive, options.folder, options.digest)
    except (RefusedError, OSError) as error:
        print(f"farm: error: unpack {options.archive.name}: {error}", file=sys.stderr, flush=True)
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
