"""What was changed in a folder: a diff that gives back exactly that, or what it cannot say."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.inside.patch import apply
from farm.patching.difference import difference

Files = dict[str, bytes]


def folder(root: Path, files: Files) -> Path:
    root.mkdir()
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def contents(root: Path) -> Files:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def given_back(root: Path, before: Files, after: Files) -> bytes:
    """The diff, after it was applied to what was before and gave what is after."""
    old, new = folder(root / "old", before), folder(root / "new", after)
    found = difference(old, new)
    assert found.problems == found.left_out == ()
    (root / "it.patch").write_bytes(found.diff)
    status, said = apply(root / "it.patch", old)
    assert status == 0, said
    assert contents(old) == after
    return found.diff


BEFORE = {"setup.py": b"one\ntwo\nthree\n", "src/a b.c": b"int a;\n", "gone.txt": b"bye\n"}


def test_changed_new_and_removed_files_stand_in_the_order_of_their_names(tmp_path: Path) -> None:
    after = {
        "setup.py": b"one\n2\nthree\n",
        "src/a b.c": b"int b;\n",
        "src/new.h": b"#pragma once\n",
    }
    diff = given_back(tmp_path, BEFORE, after).decode()
    assert [line for line in diff.splitlines() if line.startswith(("---", "+++"))] == [
        "--- a/gone.txt", "+++ /dev/null", "--- a/setup.py", "+++ b/setup.py",
        "--- a/src/a b.c\t", "+++ b/src/a b.c\t", "--- /dev/null", "+++ b/src/new.h",
    ]  # fmt: skip
    assert str(tmp_path) not in diff


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"no end", b"no end either"),
        (b"no end", b"an end\n"),
        (b"an end\n", b"no end"),
        (b"dos\r\nlines\r\n", b"dos\r\nline\r\n"),
        (b"latin \xe9\n", b"latin \xe8\n"),
        (b"form\x0cfeed\x85\n", b"form\x0cfed\x85\n"),
        ("ä\u2028b\n".encode(), "ö\u2028b\n".encode()),
    ],
)
def test_every_byte_stays_what_it_is(tmp_path: Path, old: bytes, new: bytes) -> None:
    given_back(tmp_path, {"f": old}, {"f": new})


text = st.lists(
    st.sampled_from(["a", "b", "same", "", "--- x", "+++ y", "@@ -1 +1 @@"]), min_size=1
)


@settings(max_examples=40, deadline=None)
@given(text, text, st.booleans())
def test_whatever_was_changed_is_given_back(old: list[str], new: list[str], end: bool) -> None:  # noqa: FBT001
    tail = "\n" if end else ""
    root = Path(tempfile.mkdtemp())
    try:
        before, after = ("\n".join(lines) + tail for lines in (old, new))
        if before and after:
            given_back(root, {"d/f": before.encode()}, {"d/f": after.encode()})
    finally:
        shutil.rmtree(root)


def test_nothing_changed_is_nothing(tmp_path: Path) -> None:
    assert given_back(tmp_path, BEFORE, BEFORE) == b""


def test_all_that_a_patch_cannot_say_is_told_at_once(tmp_path: Path) -> None:
    old = folder(
        tmp_path / "old", {"bin": b"\0", "mode.sh": b"x", "link": b"x", "empty": b"", "ok": b"1"}
    )
    new = folder(tmp_path / "new", {"bin": b"\0\0", "mode.sh": b"x", "ok": b"2", "run": b"#!\n"})
    (new / "mode.sh").chmod(0o755)
    (new / "run").chmod(0o755)
    (new / "link").symlink_to("ok")
    (new / "na\tme").write_text("x\n")
    found = difference(old, new)
    assert found.files == ("ok",)
    assert found.problems == (
        "bin: it is binary",
        "empty: an empty file was made or removed",
        "link: a link or device was made, changed or removed",
        "mode.sh: its mode was changed",
        "na\tme: its name holds control characters",
        "run: a new file cannot be executable",
    )


def test_what_editors_leave_behind_is_left_out_and_told(tmp_path: Path) -> None:
    old = folder(tmp_path / "old", {"a.py": b"1\n", "kept.orig": b"1\n"})
    new = folder(tmp_path / "new", {"a.py": b"2\n", "kept.orig": b"2\n"})
    for name in ("a.py~", "a.py.rej", ".a.py.swp", "__pycache__/a.pyc", ".git/HEAD"):
        (new / name).parent.mkdir(exist_ok=True)
        (new / name).write_text("x")
    found = difference(old, new)
    assert found.files == ("a.py", "kept.orig")
    assert found.left_out == (".a.py.swp", ".git/HEAD", "__pycache__/a.pyc", "a.py.rej", "a.py~")
