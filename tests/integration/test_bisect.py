"""``farm bisect`` on a package that two of six changed pins break together."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.farming import Farm, copy_project, sharing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.farming import Done

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("private_engine")]

OLD, NEW, OTHER = "pinned:old", "pinned:new", "pinned:other"


@pytest.fixture(scope="module")
def farm(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Farm:
    root = copy_project("bisect", tmp_path_factory.mktemp("bisect") / "project")
    return sharing(farm_cache, root)


@pytest.fixture(scope="module")
def done(farm: Farm) -> Done:
    return farm.run("bisect", OLD, NEW)


def test_the_two_pins_that_break_an_import_together_are_found(done: Done) -> None:
    assert done.code == 0, done.said
    *_, head, first, second = done.stdout.splitlines()
    assert head.startswith("these 2 changes break it together")
    assert first.strip() == "requirement attrs: 23.1.0 → 24.2.0"
    assert second.strip() == "requirement idna: 3.6 → 3.10"


def test_it_takes_few_tries_and_every_one_is_on_record(done: Done, farm: Farm) -> None:
    del done
    (file,) = farm.root.glob("out/.farm/bisect/*/tries.jsonl")
    tries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(tries) <= 14
    both = {"requirement attrs", "requirement idna"}
    assert all((each["verdict"] == "bad") == (both <= set(each["changes"])) for each in tries)


def test_what_was_tried_is_not_tried_again(done: Done, farm: Farm) -> None:
    """A run that was ended goes on: here without the tries' last line, which was cut."""
    (file,) = farm.root.glob("out/.farm/bisect/*/tries.jsonl")
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:-1]) + lines[-1][:20], encoding="utf-8")
    before = len(list(file.parent.glob(".farm/runs/*/run.json")))

    again = farm.run("bisect", OLD, NEW)

    assert again.stdout.splitlines()[-3:] == done.stdout.splitlines()[-3:]
    assert len(list(file.parent.glob(".farm/runs/*/run.json"))) <= before + 1


def test_a_check_of_the_wheel_judges_it(farm: Farm) -> None:
    program = """\
import os, zipfile
said = zipfile.ZipFile(os.environ["FARM_WHEEL"]).read("pinned/said.py")
raise SystemExit(b"two" in said)
"""

    done = farm.run("bisect", OLD, OTHER, "--json", "--", "python3", "-c", program)

    assert done.code == 0, done.said
    (guilty,) = json.loads(done.stdout)["guilty"]
    assert guilty["name"] == "environment SAYS"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((OLD, OLD), "nothing differs"),
        ((NEW, OLD), "the first state is not good"),
        ((OLD, OTHER), "the second state is not bad"),
        ((OLD, "nothing"), "nothing"),
        ((OLD, "pinned"), "names 3 units"),
        ((OLD, OTHER, "--", "no-such-program"), "no-such-program"),
        ((OLD, OTHER, "--", "sh", "-c", "exit 127"), "the check did not judge"),
    ],
)
def test_what_cannot_be_bisected_is_refused(
    farm: Farm, arguments: tuple[str, ...], said: str
) -> None:
    done = farm.run("bisect", *arguments)
    assert done.code == 2
    assert said in done.stderr


def test_nothing_of_it_is_shown_below_out(done: Done, farm: Farm) -> None:
    del done
    assert not (farm.root / "out" / "pinned-1.0").exists()


def test_what_broke_it_between_two_commits_is_found(farm: Farm, tmp_path: Path) -> None:
    """The same unit, as the project's repository has it; the second time nothing is tried anew."""
    root = copy_project("bisect", tmp_path / "project")
    committed = Farm(root=root, cache=farm.cache)
    first = commit(root)
    recipe, lock = root / "recipes/pinned.yaml", "recipes/locks/pinned/1.0/{}-py3.13{}.txt"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(
        text[: text.index("  old:")] + text[text.index("  new:") :].replace("  new:", "  old:", 1),
        encoding="utf-8",
    )
    for kind in ("", ".smoke-test"):
        (root / lock.format("new", kind)).replace(root / lock.format("old", kind))
    second = commit(root)

    done = committed.run("bisect", first, second, "--unit", OLD)

    assert done.code == 0, done.said
    assert "requirement attrs: 23.1.0 → 24.2.0" in done.stdout
    assert "requirement idna: 3.6 → 3.10" in done.stdout
    runs = len(list(root.glob("out/.farm/bisect/*/.farm/runs/*/run.json")))
    assert committed.run("bisect", first, second, "--unit", OLD).stdout == done.stdout
    assert len(list(root.glob("out/.farm/bisect/*/.farm/runs/*/run.json"))) == runs


def commit(root: Path) -> str:
    """Commit all of a project; returns the commit's id."""
    git = ("git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@example.org")
    for words in (("init", "--quiet"), ("add", "recipes"), ("commit", "--quiet", "-m", "state")):
        subprocess.run([*git, *words], check=True)
    return subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()


def test_where_one_object_breaks_only_that_is_made(farm_cache: Path, tmp_path: Path) -> None:
    farm = sharing(farm_cache, copy_project("object", tmp_path / "project"))

    done = farm.run("bisect", "parts:old", "parts:new")

    assert done.code == 0, done.said
    assert [line.strip() for line in done.stdout.splitlines()[-2:]] == [
        "environment FOURTH: not there → FOURTH, 1",
        "environment SECOND: not there → SECOND, 1",
    ]
    (file,) = farm.root.glob("out/.farm/bisect/*/tries.jsonl")
    tries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [each["only"] for each in tries[:2]] == ["", ""]
    assert all(each["only"].endswith("fragile.c.o") for each in tries[2:])
    assert len(tries) <= 14


def test_a_failure_of_the_machine_ends_it_with_its_own_exit_code(
    farm: Farm, tmp_path: Path
) -> None:
    """An empty store and no network say nothing of a wheel: nothing is concluded from that."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in ("engine", "bases"):
        (cache / name).symlink_to((farm.cache / name).resolve())
    alone = Farm(root=copy_project("bisect", tmp_path / "project"), cache=cache)
    done = alone.run("bisect", OLD, NEW, "--offline")
    assert done.code == 5, done.said
    assert "not its own fault (exit code 5)" in done.stderr
    assert not list(alone.root.glob("out/.farm/bisect/*/tries.jsonl"))
