"""Unpack an archive into a folder, without its single top folder, if it is what its digest says.

Tar files (plain, gzip, bzip2, xz) and zip files.  Members that would land, or
links that would point, outside of the folder are refused, and so are devices.
Modes become 0755 or 0644, owners the caller's: the wheel must not depend on
what the packer's machine had.  Times are kept, those of zip files as UTC.
"""

from __future__ import annotations

import argparse
import calendar
import hashlib
import lzma
import os
import posixpath
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EXIT_REFUSED = 65
CHUNK_BYTES = 1 << 20
NO_TIME_S = 315532800
"""1980-01-01, the first time that a zip file can hold."""
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError,
    RuntimeError, OverflowError,
)  # fmt: skip
"""What the libraries raise for an archive that is damaged, encrypted, or says what cannot be."""


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
