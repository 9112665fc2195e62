"""Unpack an archive into a folder, without its single top folder.

Tar files (plain, gzip, bzip2, xz) and zip files.  Members that would land, or
links that would point, outside of the folder are refused, and so are devices.
Modes become 0755 or 0644, owners the caller's: the wheel must not depend on
what the packer's machine had.  Times are kept.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import shutil
import stat
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EXIT_REFUSED = 65


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


def check_link(name: str, target: str, top: str) -> None:
    """Refuse a symbolic link that leaves the folder into which the archive is unpacked."""
    inside = name.removeprefix(top)
    end = posixpath.normpath(posixpath.join(posixpath.dirname(inside), target))
    if target.startswith("/") or end == ".." or end.startswith("../"):
        raise RefusedError(f"link {name!r} points out of the archive, to {target!r}")


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
        for name, member in members:
            if member.issym():
                check_link(name, member.linkname, top)
        for name, member in members:
            path = place(folder, name, top)
            if path is not None:
                write_member(tar, member, path, folder=folder, top=top)


def write_member(
    tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, *, folder: Path, top: str
) -> None:
    """Write one member of a tar file."""
    if member.isdir():
        path.mkdir(exist_ok=True)
    elif member.issym():
        path.symlink_to(member.linkname)
        check_inside(folder, path)
    elif member.islnk():
        target = folder / clean(member.linkname)[len(top) :]
        check_inside(folder, target)
        shutil.copy2(target, path, follow_symlinks=False)
    elif member.isfile():
        source = tar.extractfile(member)
        if source is None:
            raise RefusedError(f"member {member.name!r} cannot be read")
        with source, path.open("wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
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
                shutil.copyfileobj(data, out, 1 << 20)
            path.chmod(0o755 if mode & 0o111 else 0o644)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar or zip file into a folder, which is made if need be.

    Raises:
        RefusedError: The archive is of no known kind, or holds what it may not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    if zipfile.is_zipfile(archive):
        unpack_zip(archive, folder)
    elif tarfile.is_tarfile(archive):
        unpack_tar(archive, folder)
    else:
        raise RefusedError("neither a tar nor a zip file")


def main(arguments: Sequence[str]) -> int:
    """Unpack; return 0, or 65 with one line that says why not."""
    parser = argparse.ArgumentParser(prog="unpack", description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        unpack(options.archive, options.folder)
    except (RefusedError, OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        print(f"farm: error: unpack {options.archive.name}: {error}", file=sys.stderr, flush=True)
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
