"""Dockerfiles: values arrive as they are, and what compiles has no network."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.errors import ExitCode, RecipeError
from farm.load.project import shipped_root
from farm.model.unit import PatchFile, Pin, Source, TextEdit, ToolkitPlan, Unit
from farm.render.dockerfile import base_reference, groups, quoted, source_folder
from tests.support.projects import DEMO, SHA, demo_unit, rendered, write_files

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATES = (shipped_root() / "dockerfiles",)
GOLDENS = sorted((Path(__file__).parents[2] / "golden").glob("*/Dockerfile"))
TEXT = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", codec="utf-8"))


def docker_value(word: str) -> str:
    """What BuildKit makes of a word in double quotes.

    frontend/dockerfile/shell/lex.go, processDoubleQuote: a backslash escapes
    ``"``, ``$`` and itself and stands for itself before anything else; a
    ``$`` that is not escaped begins a variable.
    """
    assert word[0] == word[-1] == '"'
    found, rest = "", iter(word[1:-1])
    for character in rest:
        assert character not in '"$', "the word ends or a variable begins"
        if character == "\\":
            following = next(rest)
            found += following if following in '"$\\' else character + following
        else:
            found += character
    return found


def instructions(dockerfile: str) -> Iterator[str]:
    """Instructions as BuildKit's parser cuts them: continued lines and heredocs are one."""
    lines = iter(dockerfile.splitlines())
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        whole = line
        while whole.endswith("\\"):
            whole = whole[:-1] + next(lines)
        for word in re.findall(r"<<(\w+)", whole):
            body = ""
            while body != word:
                body = next(lines)
                whole += "\n" + body
        yield whole


def open_runs(dockerfile: str) -> list[str]:
    return [
        step
        for step in instructions(dockerfile)
        if step.upper().startswith("RUN") and not step.startswith("RUN --network=none ")
    ]


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    return demo_unit(tmp_path_factory.mktemp("project"))


@given(TEXT)
def test_a_quoted_value_is_what_docker_reads(text: str) -> None:
    assert docker_value(quoted(text)) == text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", '""'),
        ("a b", '"a b"'),
        ("$HOME ${X}", r'"\$HOME \${X}"'),
        ('say "hi"', r'"say \"hi\""'),
        ("back\\", '"back\\\\"'),
        ("\\n", '"\\\\n"'),
        ("# no comment", '"# no comment"'),
        ("<<EOF", '"<<EOF"'),
        ("'single'", "\"'single'\""),
    ],
)
def test_what_means_something_to_docker_is_escaped(text: str, word: str) -> None:
    assert quoted(text) == word


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\t", "\x1b", "\x7f"])
def test_a_control_character_cannot_be_quoted(character: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        quoted(f"a{character}b")


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), TEXT, max_size=4))
def test_an_environment_is_rendered_so_that_docker_reads_it(
    unit: Unit, env: dict[str, str]
) -> None:
    text = rendered(replace(unit, env=tuple(env.items())), base="farm-base:x", templates=TEMPLATES)
    compile_stage = text.split("\nFROM patched AS compile\n")[1].split("ENV MAX_JOBS=1 ")[0]
    lines = [line for line in compile_stage.split("\n") if line.startswith("ENV ")]
    read = dict(line.removeprefix("ENV ").split("=", 1) for line in lines)
    assert {name: docker_value(word) for name, word in read.items()} == env
    assert open_runs(text) == []


NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True)
SOURCES = st.builds(
    Source,
    name=NAMES,
    kind=st.sampled_from(["archive", "git", "tree", "wheel"]),
    filename=NAMES,
    digest=st.just(f"sha256:{SHA}"),
)


@st.composite
def changes(draw: st.DrawFn) -> dict[str, object]:
    """Everything that adds a step: sources, patches, edits, a toolkit, an accelerator."""
    sources = tuple(draw(st.lists(SOURCES, max_size=3)))
    targets = ["demo", *(source.name for source in sources)]
    patch = st.builds(
        PatchFile, path=NAMES.map(Path), source=st.sampled_from(targets),
        sha256=st.just(SHA), why=TEXT, upstream=TEXT, remove_when=TEXT,
    )  # fmt: skip
    edit = st.builds(
        TextEdit, source=st.sampled_from(targets), file=NAMES, replace=st.text(), by=st.text(),
        count=st.just(1),
    )  # fmt: skip
    pin = Pin(name="nvcc", version="13", filename="nvcc-13-py3-none-any.whl", sha256=SHA)
    return {
        "sources": sources,
        "patches": tuple(draw(st.lists(patch, max_size=3))),
        "edits": tuple(draw(st.lists(edit, max_size=3))),
        "toolkit": draw(st.none() | st.just(ToolkitPlan(root="/o", home="/o/c", wheels=(pin,)))),
        "accelerator": draw(st.sampled_from(["cuda", "rocm", "cpu", "none"])),
    }


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(changes())
def test_on_a_bootstrapped_base_no_step_has_the_network(
    unit: Unit, changed: dict[str, object]
) -> None:
    text = rendered(replace(unit, **changed), base="farm-base:x", templates=TEMPLATES)  # type: ignore[arg-type]
    steps = list(instructions(text))
    assert open_runs(text) == []
    assert sum(step.startswith("RUN") for step in steps) >= 3
    assert not [step for step in steps if step.startswith("ADD") or "--network=host" in step]
    assert not text.lower().startswith("# syntax")


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: str(path.parent.name))
def test_no_golden_on_a_bootstrapped_base_has_a_step_with_the_network(path: Path) -> None:
    text = path.read_text()
    assert "\nFROM farm-base:" in text
    assert open_runs(text) == []


def test_on_an_image_only_the_packages_may_use_the_network(tmp_path: Path) -> None:
    unit = demo_unit(tmp_path, DEMO.replace("plain", "fromimage"))
    base = base_reference(unit)
    assert base == f"example.org/debian@sha256:{SHA}"
    text = rendered(unit, base=base, templates=TEMPLATES)
    (step,) = open_runs(text)
    assert "--mount=type=secret,id=proxy" in step
    assert "--mount=type=secret,id=ca" in step
    assert "install --yes --no-install-recommends g++-14 gcc-14 python3\n" in step


def test_what_a_bootstrapped_base_is_called_before_it_exists(unit: Unit) -> None:
    assert base_reference(unit) == "farm-base:trixie"


def test_one_job_is_pinned_and_a_machines_own_number_comes_as_a_secret(unit: Unit) -> None:
    steps = list(instructions(rendered(unit, base="b", templates=TEMPLATES)))
    jobs = [step for step in steps if "MAX_JOBS" in step]
    assert jobs == ["ENV MAX_JOBS=1 CMAKE_BUILD_PARALLEL_LEVEL=1"]
    (compiling,) = (step for step in steps if "step.py --name compile" in step)
    assert "--mount=type=secret,id=jobs,target=/run/farm/jobs,required=false" in compiling
    assert " --jobs /run/farm/jobs " in compiling


def test_wheels_are_collected_before_evidence_which_costs_none(unit: Unit) -> None:
    text = rendered(unit, base="b", templates=TEMPLATES)
    compiling = text.split("FROM patched AS compile\n")[1].split("\nEOF\n")[0].splitlines()
    assert compiling[-1] == "python3 /farm/inside/compilers.py --out /out /build || true"
    assert "python3 /farm/inside/collect.py --out /out /tmp/wheels" in compiling[:-1]


def test_changes_are_grouped_by_source_in_first_seen_order() -> None:
    edits = [
        TextEdit(source=source, file="f", replace=str(n), by="", count=1)
        for n, source in enumerate("baabc")
    ]
    found = [(name, [edit.replace for edit in group]) for name, group in groups(edits)]
    assert found == [("b", ["0", "3"]), ("a", ["1", "2"]), ("c", ["4"])]


def test_the_packages_own_source_lies_apart_from_the_others(unit: Unit) -> None:
    assert source_folder(unit, "demo") == "/build/demo"
    assert source_folder(unit, "other") == "/build/sources/other"


def own(tmp_path: Path, text: str) -> tuple[Path, ...]:
    write_files(tmp_path, {"dockerfiles/result.j2": text})
    return (tmp_path / "dockerfiles", *TEMPLATES)


def test_a_template_of_the_project_wins(unit: Unit, tmp_path: Path) -> None:
    templates = own(tmp_path, "FROM scratch AS result\nLABEL mine={{ unit.key.package }}\n")
    text = rendered(unit, base="b", templates=templates)
    assert text.endswith("LABEL mine=demo\n")
    assert text.startswith("# demo 1.0.0, variant cpu, Python 3.13\n")


@pytest.mark.parametrize(
    ("template", "line", "told"),
    [
        ("FROM scratch\n{{ nix }}\n", 2, "'nix' is undefined"),
        ("{{ unit.nix }}\n", 1, "has no attribute 'nix'"),
        ("{% include 'nix.j2' %}", 1, "nix.j2"),
        ("\n\n{% for %}", 3, "Expected"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", 1, "unsafe"),
        ("FROM scratch\n{{ 1 // 0 }}\n", 2, "ZeroDivisionError: "),
        ("{{ unit.archs[7] // 2 }}", 1, ""),
        ("\n{{ 'x' + 1 }}", 2, "TypeError: "),
        ("{{ 'a\\nb' | quoted }}", 1, "ValueError: control character"),
        ("{{ unit.patches | groups | first | int(base=99) }}", 1, ""),
        ("{% for i in range(10 ** 9) %}{% endfor %}", 1, "OverflowError: "),
        ("{% macro m() %}\n{{ m() }}{% endmacro %}{{ m() }}", 2, "RecursionError: "),
        ("{{ render.__globals__ }}", 1, "'render' is undefined"),
        ("{{ unit.key.label.format.__self__.__class__ }}", 1, "unsafe"),
    ],
)
def test_a_wrong_template_is_told_with_its_line_and_runs_nothing(
    unit: Unit, tmp_path: Path, template: str, line: int, told: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        rendered(unit, base="b", templates=own(tmp_path, template))
    assert caught.value.code is ExitCode.RECIPE
    (problem,) = caught.value.problems
    assert problem.place is not None
    assert (Path(problem.place.file).name, problem.place.line) == ("result.j2", line)
    assert told in problem.what
