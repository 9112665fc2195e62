"""What a wheel is made of, as far as it is pinned: part of the identity, and no secret in it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from farm.model.crates import Crate, CrateLock, CrateSet
from farm.render.context import context_entries
from tests.support.projects import DEMO, PATCH, SHA, planned, project_at

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model.unit import Unit

COMMIT = "0123456789" * 4
RECIPE = DEMO + (
    "patches: [a.patch, {file: b.patch, to: sub}]\nedits: [{file: f, replace: ä, by: b}]\n"
    "sources:\n"
    f"  w: {{source: {{wheel: 'https://x.org/w-1-py3-none-any.whl', sha256: {SHA}}}}}\n"
    f"  arc: {{source: {{archive: 'https://u:secret@x.org/a.tgz?t=secret', sha256: {SHA}}}}}\n"
    f"  sub: {{source: {{git: 'https://u:secret@x.org/sub', commit: '{COMMIT}'}}}}\n"
)
FILES = {
    "recipes/demo.yaml": RECIPE,
    "patches/demo/1.0.0/a.patch": PATCH,
    "patches/demo/1.0.0/b.patch": PATCH,
}


def pinned(unit: Unit) -> dict[str, Any]:
    entries = {entry.target: entry for entry in context_entries(unit, ())}
    found: dict[str, Any] = json.loads(entries["inside/pinned.json"].text)
    return found


def test_sources_and_their_changes_are_named_by_hash_and_tools_are_not(tmp_path: Path) -> None:
    (unit,) = planned(project_at(tmp_path, FILES)).units
    found = pinned(unit)
    assert (found["package"], found["version"]) == ("demo", "1.0.0")
    assert found["source"]["digest"] == unit.source.digest
    sources = {each["name"]: each for each in found["sources"]}
    assert sources.keys() == {"arc", "sub"}  # a wheel is installed, and no part of another
    assert sources["sub"]["digest"] == f"git:{COMMIT}"
    assert [(each["source"], each["name"]) for each in found["patches"]] == [
        ("demo", "a.patch"),
        ("sub", "b.patch"),
        ("demo", "edits/demo.json"),
    ]
    assert all(len(each["sha256"]) == 64 for each in found["patches"])


def test_no_password_and_no_token_of_a_url_gets_there(tmp_path: Path) -> None:
    (unit,) = planned(project_at(tmp_path, FILES)).units
    found = pinned(unit)
    assert "secret" not in json.dumps(found)
    assert {each["url"] for each in found["sources"]} == {
        "https://x.org/a.tgz",
        "https://x.org/sub",
    }


def test_crates_are_there_once_with_what_pins_them(tmp_path: Path) -> None:
    (unit,) = planned(project_at(tmp_path, FILES)).units
    crates = (
        Crate(name="one", version="1.0.0", sha256=SHA),
        Crate(name="two", version="2.0.0", git=f"git+https://u:secret@x.org/two?rev=a#{COMMIT}"),
    )
    lock = CrateLock(inputs=SHA, crates=crates)
    sets = [CrateSet(source=name, file="Cargo.lock", inputs=SHA, lock=lock) for name in "ab"]
    found = pinned(replace(unit, crates=tuple(sets)))
    assert found["crates"] == [
        {"name": "one", "version": "1.0.0", "sha256": SHA, "git": False, "url": "", "commit": ""},
        {"name": "two", "version": "2.0.0", "sha256": "", "git": True, "url": "https://x.org/two",
         "commit": COMMIT},
    ]  # fmt: skip
