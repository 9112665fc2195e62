"""``farm bisect`` on a package that two of six changed pins break together."""

from __future__ import annotations

import json
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
