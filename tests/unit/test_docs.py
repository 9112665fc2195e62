"""What the documents say is so: commands exist, links lead somewhere, references are current."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import json
import os
import re
import shlex
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
import yaml
from pydantic import TypeAdapter

import farm.events
from farm.cli.app import application
from farm.errors import ExitCode
from farm.load.library import gather
from farm.load.project import find_project
from farm.model.compiler import Compiler
from farm.model.recipe import Recipe
from farm.model.toolchain import Base, Toolchain
from farm.plan.plan import Choice, make_plan
from farm.plan.select import parse_selector
from farm.run.runs import RunSummary
from farm.store.record import Input, Record, StepTime, WheelFile

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
WRITE = bool(os.environ.get("FARM_WRITE_GOLDENS"))  # read before the tests' world is emptied
HAND = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
PAGES = [*HAND, *sorted((ROOT / "docs").rglob("*.md"))]
PICTURES = sorted((ROOT / "docs").rglob("*.svg"))
VARIABLE = re.compile(r"[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*_?")
FENCES = re.DOTALL | re.MULTILINE
REGISTRIES = re.compile(
    r"\b(?:[\w.-]*pypi\.org|pythonhosted\.org|deb\.debian\.org|snapshot\.debian\.org|docker\.io/"
    r"|ghcr\.io|quay\.io|gcr\.io|crates\.io|npmjs\.(?:org|com)|nvcr\.io|download\.pytorch\.org)"
)
# Constants of the code that look like variables of the environment and are none.
OF_ELF = ("DT_", "EM_", "PT_", "SHT_", "GLIBC")
NO_VARIABLES = {
    *("DIRECT", "FALSE", "GB", "GET", "ID", "KILL", "MB", "METADATA", "NULL", "POST", "RECORD"),
    *("COPYING", "CPU", "CUDA", "GNU", "HIP", "NCPU", "ROUND", "SIZE", "TB", "TRUE", "WHEEL"),
    *("FOLDER", "PACKAGE", "FARM_"),
    *("ARG", "COPY", "ENV", "FROM", "LABEL", "RUN", "USER", "WORKDIR"),
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def references() -> Any:
    path = ROOT / "docs" / "references.py"
    spec = importlib.util.spec_from_file_location("references", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def command_lines() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in blocks(page, "console"):
            for line in block.splitlines():
                for part in line.split(" && "):
                    yield name_of(page), part


def parse(line: str) -> None:
    """Parse as the command line would, and run nothing."""
    command: Any = typer.main.get_command(application())
    words = shlex.split(line)[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands") or not words, f"no such verb: {line}"
    command.make_context("farm", words)


@pytest.mark.parametrize(("page", "line"), sorted(set(command_lines())))
def test_each_command_shown_can_be_typed(page: str, line: str) -> None:
    words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    match words[0]:
        case "farm":
            parse(line)
        case "make":
            asked = [word for word in words[1:] if "=" not in word]
            missing = [
                name for name in asked if not re.search(rf"^{name}:", targets, re.MULTILINE)
            ]
            assert missing == [], page
        case other:
            assert other in {"cd", "mkdir", "uv"}, f"{page}: {line}"


def test_verbs_named_in_running_text_exist() -> None:
    command: Any = typer.main.get_command(application())
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for words in re.findall(r"`farm ([a-z][a-z -]*[a-z])", text):
            assert words.split()[0] in command.commands, f"{name_of(page)}: farm {words}"


def slug(heading: str) -> str:
    """The anchor that forges give a heading."""
    plain = re.sub(r"[`*]|\[(.*?)\]\(.*?\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=FENCES)
    text = re.sub(r"`[^`\n]*`", "", text)
    return [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'src="([^"]+)"', text)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{name_of(page)}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{name_of(page)}: {link}"


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            found = sorted(target.glob("*.md")) if target.is_dir() else [target]
            waiting += [path for path in found if path.suffix == ".md" and path.exists()]
    assert set(PAGES) - seen == set()


def test_references_are_what_the_code_says_as_goldens() -> None:
    module = references()
    assert len(module.pages()) >= 4
    for page in module.pages():
        text = page.read_text(encoding="utf-8")
        current = module.current(text)
        if WRITE:
            page.write_text(current, encoding="utf-8")
            text = current
        assert text == current, f"{name_of(page)} is not current; renew it: make goldens"


def test_every_exit_code_is_documented_with_its_cause() -> None:
    text = (ROOT / "docs/reference/exit-codes.md").read_text(encoding="utf-8")
    for code in ExitCode:
        assert re.search(rf"^\| `{code.value}` \| `{code.name}` \| \S", text, re.MULTILINE), code


def constants() -> Iterator[tuple[str, Path]]:
    """Every text in the code that may be a variable's name."""
    for path in sorted((ROOT / "farm").rglob("*.py")):
        if path.relative_to(ROOT / "farm").parts[0] in {"inside", "model", "shipped"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, str) and VARIABLE.fullmatch(value):
                yield value, path


def test_every_variable_that_the_code_names_is_documented() -> None:
    text = (ROOT / "docs/reference/environment.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", text))
    untold = {
        f"{name} in {name_of(path)}"
        for name, path in constants()
        if name not in told | NO_VARIABLES and not name.startswith(OF_ELF)
    }
    assert untold == set()


def test_no_variable_of_farms_own_is_documented_that_the_code_does_not_know() -> None:
    text = (ROOT / "docs/reference/environment.md").read_text(encoding="utf-8")
    known = {name for name, _ in constants()}
    assert set(re.findall(r"`(FARM_[A-Z_]+)`", text)) - known == set()


def test_every_key_of_records_is_documented_and_no_other() -> None:
    text = (ROOT / "docs/reference/record.md").read_text(encoding="utf-8")
    sections = {
        slug(part.partition("\n")[0]): set(re.findall(r"`([a-z0-9_]+)`", _first_cells(part)))
        for part in text.split("### ")[1:]
    }
    kinds = {
        "recordjson": Record,
        "wheels": WheelFile,
        "inputs-needs-attestations": Input,
        "steps": StepTime,
        "compilers": Compiler,
        "runjson": RunSummary,
    }
    for title, kind in kinds.items():
        keys = {field.name for field in dataclasses.fields(kind)}
        assert sections[title] == keys, title


def _first_cells(section: str) -> str:
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return "\n".join(row.split(" | ")[0] for row in rows)


@pytest.mark.parametrize("path", [*PAGES, *PICTURES], ids=name_of)
def test_no_registry_is_named(path: Path) -> None:
    assert REGISTRIES.findall(path.read_text(encoding="utf-8")) == []


def the_readmes_recipe() -> str:
    found = [block for block in blocks(ROOT / "README.md", "yaml") if "\npackage: " in block]
    assert len(found) == 1
    return found[0]


def test_the_readmes_recipe_is_short_and_plans(tmp_path: Path) -> None:
    text = the_readmes_recipe()
    assert len(text.splitlines()) < 30
    package = yaml.safe_load(text)["package"]
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / f"{package}.yaml").write_text(text, encoding="utf-8")
    project = find_project(root=tmp_path)
    plan = make_plan(gather(project, [package]), [parse_selector(package)], Choice())
    assert [unit.label for unit in plan.units] == [f"{package}@0.8.0:cpu"]
    assert dict(plan.units[0].env)["HNSWLIB_NO_NATIVE"] == "1"


def test_toolchains_and_bases_shown_are_valid() -> None:
    kinds: dict[str, type[Toolchain | Base]] = {"toolchain": Toolchain, "base": Base}
    shown = [
        (kinds[first], document)
        for page in PAGES
        for document in map(yaml.safe_load, blocks(page, "yaml"))
        if (first := next(iter(document))) in kinds
    ]
    assert len(shown) >= 3
    for model, document in shown:
        model.model_validate(document)


def test_pieces_of_recipes_shown_are_valid() -> None:
    pieces = [
        (key, value)
        for page in PAGES
        for document in map(yaml.safe_load, blocks(page, "yaml"))
        if not {"toolchain", "base"} & set(document) and "runs-on" not in str(document)
        for key, value in document.items()
        if key in Recipe.model_fields and key != "variants"
    ]
    assert len(pieces) >= 10
    for key, value in pieces:
        kind: Any = Recipe.model_fields[key].annotation
        TypeAdapter(kind).validate_python(value)


def test_events_shown_have_the_keys_that_events_have() -> None:
    lines = "".join(blocks(ROOT / "docs/reference/events.md", "json")).splitlines()
    assert lines
    for line in lines:
        shown = json.loads(line)
        kind = getattr(farm.events, shown.pop("event"))
        assert set(shown) == {field.name for field in dataclasses.fields(kind)}


def test_the_rooms_are_told_in_the_order_in_which_they_may_import() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `farm/([a-z]+)(?:/|\.py)` \|", text, re.MULTILINE)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers")
    level = {name.strip(): n for n, layer in enumerate(layers) for name in layer.split("|")}
    assert set(told) == set(level)
    assert [level[name] for name in told] == sorted(level.values())


@pytest.mark.parametrize("picture", PICTURES, ids=name_of)
def test_pictures_are_whole_say_what_they_show_and_fetch_nothing(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    root = ET.fromstring(text)  # noqa: S314 - our own pictures
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    addresses = re.findall(r"https?://[^\"'\s)]+", text)
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}
