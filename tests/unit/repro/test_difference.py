"""``farm diff``: what is told of two builds, and what a word may mean."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest

from farm.cli import main
from farm.errors import IntegrityError, UsageError
from farm.inspect.causes import Cause
from farm.inspect.wheel import read_wheel
from farm.load.project import find_project
from farm.repro.difference import compare
from farm.repro.sides import Side, find_side
from farm.run.acceptance import contents_of
from farm.run.options import Workplace
from farm.store.record import Input, Record, WheelFile, write_record
from tests.support.bundles import bundle_at, remade
from tests.unit.inspect.test_compare import FILES, compiled, restamped
from tests.unit.inspect.test_wheel import WheelMaker

if TYPE_CHECKING:
    from pathlib import Path

    from farm.store.bundle import Contents, Parts

IDENTITY = "0123456789abcdef" * 4
RECORD = Record(
    unit="demo@1.0:cpu", package="demo", version="1.0", variant="cpu", python="3.13",
    accelerator="cpu", archs=("sm_86",), features=(), toolchain="cpu", host_compiler="gcc-14",
    identity=IDENTITY, outcome="built", farm="0.1.0", engine="private", max_jobs=2,
    base={"tag": "farm-base:trixie-1", "packages": {"gcc-14": "14.2.0-1", "make": "4.4"}},
    env={"A": "1"},
    inputs=(
        Input(name="sources/demo-1.0.tar.gz", digest="sha256:" + "a" * 64),
        Input(name="wheels/numpy-2.1.0-cp313-cp313-linux_x86_64.whl", digest="sha256:" + "b" * 64),
        Input(name="inside/step.py", digest="sha256:" + "c" * 64),
    ),
)  # fmt: skip
NEXT = replace(
    RECORD,
    identity="f" * 64,
    archs=("sm_86", "sm_90"),
    base={"tag": "farm-base:trixie-2", "packages": {"gcc-14": "14.2.0-2", "ninja": "1.12"}},
    env={"A": "2"},
    max_jobs=8,
    needs=(Input(name="torch@2.11.0:cpu", digest="d" * 64),),
    inputs=(
        RECORD.inputs[0],
        Input(name="wheels/numpy-2.2.0-cp313-cp313-linux_x86_64.whl", digest="sha256:" + "e" * 64),
        Input(name="inside/step.py", digest="sha256:" + "c" * 64),
    ),
)
DOCKERFILE = """\
# demo 1.0, variant cpu
FROM farm-base:trixie-1
RUN --mount=type=cache,id=farm-log-0123 sh <<EOF
%s  /farm/inside/step.py
EOF
ENV A="1"
"""


def folder_of(folder: Path, record: Record, dockerfile: str = DOCKERFILE % ("a" * 64)) -> Path:
    folder.mkdir(parents=True)
    write_record(folder, record)
    (folder / "manifest.json").write_text(json.dumps({"dockerfile": dockerfile}))
    return folder


def built(tmp_path: Path, name: str, files: dict[str, bytes]) -> Side:
    """A wheel with what a record says of it."""
    folder = tmp_path / name
    folder.mkdir()
    path = restamped(WheelMaker(folder=folder, files=files).write())
    return Side(name=name, wheel=path, contents=contents_of(read_wheel(path)))


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main._run(list(words))
    return int(str(ended.value.code))


def told(changes: Any) -> dict[str, tuple[str, str]]:
    return {change.name: (change.was, change.becomes) for change in changes}


def test_what_went_in_is_told_by_name_old_and_new() -> None:
    other = (DOCKERFILE % ("b" * 64)).replace("variant cpu", "variant gpu").replace("0123", "4567")
    a = Side(name="a", record=RECORD, dockerfile=DOCKERFILE % ("a" * 64))
    b = Side(name="b", record=NEXT, dockerfile=other.replace('A="1"', 'A="2"'))
    found = compare(a, b)
    assert told(found.inputs) == {
        "identity": (IDENTITY, "f" * 64),
        "archs": ("", "sm_90"),
        "env A": ("1", "2"),
        "base": ("farm-base:trixie-1", "farm-base:trixie-2"),
        "base package gcc-14": ("14.2.0-1", "14.2.0-2"),
        "base package make": ("4.4", ""),
        "base package ninja": ("", "1.12"),
        "needs torch@2.11.0:cpu": ("", "d" * 12),
        "file wheels/numpy": (f"2.1.0 ({'b' * 12})", f"2.2.0 ({'e' * 12})"),
    }
    assert found.dockerfile == ('-ENV A="1"', '+ENV A="2"')
    assert told(found.besides) == {"max_jobs": ("2", "8")}
    assert not found.same
    assert compare(a, a).same


def test_a_build_that_failed_is_beside_one_that_did_not() -> None:
    wheel = WheelFile(filename="demo.whl", sha256="a" * 64, size_bytes=1234)
    failed = replace(RECORD, outcome="failed", message="core.c:1: error: no", exit_code=9)
    a = Side(name="a", record=replace(RECORD, wheels=(wheel,)))
    found = compare(a, Side(name="b", record=failed))
    assert told(found.results) == {
        "outcome": ("built", "failed"),
        "error": ("", "core.c:1: error: no"),
        "wheel": ("demo.whl", ""),
        "sha256": ("a" * 12, ""),
        "size": ("1,234 bytes", ""),
    }


def test_what_came_out_is_told_with_symbols_libraries_and_causes(tmp_path: Path) -> None:
    place = tmp_path / "src"
    place.mkdir()
    before = compiled(tmp_path)
    extra = "double cos(double); double more(double x) { return cos(x); }\n"
    (place / "more.c").write_text(extra)
    after = compiled(tmp_path, "more.c", "-Wl,--no-as-needed", "-lm")
    found = compare(
        built(tmp_path, "a", FILES | {"demo_pkg/_C.so": before}),
        built(tmp_path, "b", FILES | {"demo_pkg/_C.so": after, "demo_pkg/_D.so": before}),
    )
    results = told(found.results)
    assert results["modules"] == ("", "demo_pkg/_D.so")
    assert results["demo_pkg/_C.so: libraries"] == ("", "libm.so.6")
    assert results["demo_pkg/_C.so: exports"] == ("", "more")
    assert results["demo_pkg/_C.so: needs symbols"] == ("", "cos")
    assert "demo_pkg/_C.so: size" in results
    causes = {(each.path, each.cause) for each in found.files}
    assert ("demo_pkg/_D.so", Cause.MEMBERS) in causes
    assert ("demo_pkg/_C.so", Cause.CODE) in causes


@pytest.mark.parametrize(
    "contents",
    [
        {"modules": "x"},
        {"modules": [1, None, {"path": 7, "device_code": 3, "isa": [{}], "needed": {"a": 1}}]},
        {"glibc": ["x"], "modules": [{"path": "a.so", "rpath": "x", "size_bytes": "\x1b"}]},
    ],
)
def test_records_of_anybody_are_compared_as_far_as_they_go(contents: dict[str, Any]) -> None:
    sane = {"glibc": "2.1", "modules": [{"path": "a.so", "needed": ["b"]}]}
    strange = replace(RECORD, base={"packages": [1], "tag": None}, contents=contents)
    sides = (
        Side(name="a", record=RECORD, contents=sane),
        Side(name="b", record=strange, contents=contents),
    )
    assert compare(*sides).inputs
    assert compare(*reversed(sides)).inputs


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A project with a result, a kept one, and two runs: one of a unit, one of two."""
    root = tmp_path / "project"
    (root / "recipes").mkdir(parents=True)
    project = find_project(root=root)
    runs = project.out / ".farm/runs"
    folder_of(project.out / "demo-1.0/cpu", RECORD)
    folder_of(tmp_path / "cache/kept/demo-1.0/cpu" / IDENTITY, RECORD)
    folder_of(runs / "20260101-000000-000000-aaaa/demo-1.0/cpu", RECORD)
    for variant in ("cpu", "gpu"):
        folder = runs / "20260102-000000-000000-bbbb/demo-1.0" / variant
        folder_of(folder, replace(NEXT, variant=variant))
    return Workplace(project=project, out=project.out, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("word", "identity"),
    [
        ("demo@1.0:cpu", IDENTITY),
        ("demo", IDENTITY),
        ("01234567", IDENTITY),
        ("20260101-000000-000000-aaaa", IDENTITY),
        ("latest/demo@1.0:gpu", "f" * 64),
    ],
)
def test_what_a_word_means_in_a_project(place: Workplace, word: str, identity: str) -> None:
    record = find_side(word, place).record
    assert record is not None
    assert record.identity == identity


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("latest", "means 2 records"),
        ("latest/demo@1.0:none", "means nothing"),
        ("nothing", "means nothing"),
        ("ffffffff", "means nothing"),
        ("../../no/such/file", "means nothing"),
        ("", "has no name"),
    ],
)
def test_what_means_nothing_or_several_things(place: Workplace, word: str, why: str) -> None:
    (place.out / "demo-1.0/gpu").mkdir()
    write_record(place.out / "demo-1.0/gpu", replace(NEXT, variant="gpu"))
    with pytest.raises(UsageError, match=why):
        find_side(word, place)


def test_paths_need_no_project(place: Workplace, tmp_path: Path) -> None:
    folder = place.out / "demo-1.0/cpu"
    for path in (
        folder,
        folder / "record.json",
        place.out / ".farm/runs/20260101-000000-000000-aaaa",
    ):
        assert find_side(str(path), None).dockerfile == DOCKERFILE % ("a" * 64)
    with pytest.raises(UsageError, match="no project here"):
        find_side("demo", None)
    other = tmp_path / "notes.txt"
    other.write_text("x")
    with pytest.raises(UsageError, match="neither wheel nor record nor bundle"):
        find_side(str(other), None)
    (folder / "record.json").write_text("{}")
    with pytest.raises(UsageError, match="no record of a build"):
        find_side(str(folder), None)


def test_a_bundle_gives_its_record_and_manifest(tmp_path: Path) -> None:
    path = bundle_at(tmp_path)

    def with_record(contents: Contents, parts: Parts) -> None:
        record = replace(RECORD, unit=contents.unit, identity=contents.identity)
        parts["record.json"] = json.dumps(asdict(record)).encode()

    with pytest.raises(UsageError, match="has no record"):
        find_side(str(path), None)
    side = find_side(str(remade(path, with_record)), None)
    assert side.record
    assert side.record.unit == "demo@1.0.0:cpu"
    assert side.dockerfile.startswith("# demo 1.0.0, variant cpu")
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(IntegrityError, match="was cut or changed"):
        find_side(str(path), None)


def test_the_command_prints_sections_or_json(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-C", str(place.project.root), "diff", "demo@1.0:cpu", "latest/demo@1.0:gpu"]
    assert run(*words) == 0
    out = capsys.readouterr().out
    assert "  file wheels/numpy: 2.1.0 (bbbbbbbbbbbb) → 2.2.0 (eeeeeeeeeeee)\n" in out
    assert "besides, which should change nothing:\n  max_jobs: 2 → 8\n" in out
    assert run(*words, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["same"] is False
    assert {"name": "env A", "was": "1", "becomes": "2"} in document["differences"]["inputs"]
    assert run(*words[:3], "demo", "demo") == 0
    assert capsys.readouterr().out == "the same went in, and the same came out\n"


def test_what_would_steer_a_terminal_is_shown_harmless(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(place.out / "demo-1.0/cpu")
    folder_of(place.out / "demo-1.0/cpu", replace(RECORD, message="\x1b[2Jgone", outcome="failed"))
    kept = place.cache / "kept/demo-1.0/cpu" / IDENTITY
    assert run("-C", str(place.project.root), "diff", str(kept), "demo") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "gone" in out
