"""Debian's cargo, unpacked but never installed, for machines that have none.

It only fetches, as the user that runs farm: no root rights, no container.  Its own loader
and libraries are used, since the host's C library may be older, or another one.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from farm.debian import apt, archive
from farm.errors import EngineError, FetchError

if TYPE_CHECKING:
    from pathlib import Path

    from farm.events import Sink
    from farm.host.programs import Cancel

SUITE = "trixie"
PACKAGES = ("base-files", "cargo")
# What rustc needs for compiling, which nothing here does: three quarters of it.
_FOR_COMPILING = re.compile(
    r"libstd-rust-dev|gcc|cpp|g\+\+|binutils|libbinutils|linux-libc-dev|lib[a-z]*san[0-9]|"
    r"libgcc-[0-9]+-dev|libc6-dev|libgprofng|libcc1|libquadmath|libgomp|libitm|libcrypt-dev"
)
_TREE = "cargo-trixie-1"
"""Changed when what is made of the packages changes."""


def prepare(cache: Path, sink: Sink, cancel: Cancel | None = None) -> Path:
    """Return the program, fetching and unpacking it first if it is not there.

    Raises:
        FetchError: It cannot be had, with the reason and what to do instead.
        StorageError: The disk is full.
        CancelledError: ``cancel`` was set; what was fetched is kept.
    """
    root = cache / "engine" / _TREE
    program = root / "farm/cargo"
    if program.is_file():
        return program
    try:
        archive.require_tools(apt.HOST_TOOLS, purpose="unpacking Debian's cargo")
        apt.tree(
            root,
            PACKAGES,
            sink,
            suite=SUITE,
            what="Debian's cargo",
            complete=lambda tree: _complete(tree, root),
            left_out=_FOR_COMPILING,
            cancel=cancel,
        )
    except EngineError as error:
        raise FetchError(
            f"crates are fetched by cargo; there is none on PATH that runs, and {error.message}",
            hint="install cargo and run it again",
            details=error.details,
        ) from error
    return program


def _complete(tree: Path, root: Path) -> None:
    """Write the programs that call those of the tree where it will lie."""
    loader = apt.loader_of(tree)
    if loader is None:
        raise EngineError("Debian's cargo came without a C library", hint="try again")
    final = root / loader.relative_to(tree)
    folder = tree / "farm"
    folder.mkdir()
    for name in ("rustc", "cargo"):
        call = [str(final), "--library-path", str(final.parent), str(root / "usr/bin" / name)]
        lines = ["#!/bin/sh", f'exec {shlex.join(call)} "$@"', ""]
        if name == "cargo":  # it asks rustc for which machine it is
            lines.insert(1, f"export RUSTC={shlex.quote(str(root / 'farm/rustc'))}")
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
        (folder / name).chmod(0o755)
