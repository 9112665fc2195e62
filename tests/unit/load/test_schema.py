"""The schema that editors read: in step with the models, tidy, and of use."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.load.schema import schema, schema_text
from farm.model.recipe import Layer, Patch, Recipe, Variant
from farm.model.strict import CMakeArg, Reasoned
from farm.model.toolchain import Base, Toolchain

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT = Path(__file__).parents[3]
ON_DISK = ROOT / "recipes/schema.json"


def all_parts(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [part for item in value for part in all_parts(item)]
    if not isinstance(value, dict):
        return []
    return [value, *(part for item in value.values() for part in all_parts(item))]


def test_the_file_on_disk_is_what_the_models_say() -> None:
    if os.environ.get("FARM_WRITE_GOLDENS"):
        ON_DISK.write_text(schema_text(), encoding="utf-8")
    renew = "renew it: make goldens"
    assert ON_DISK.read_text(encoding="utf-8") == schema_text(), renew


def test_running_the_module_prints_it_the_same_in_every_process() -> None:
    command = [sys.executable, "-m", "farm.load.schema"]
    done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
    assert done.stdout == schema_text().encode()


def test_it_is_sorted_json_with_a_newline_at_the_end() -> None:
    text = schema_text()
    again = json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False)
    assert text == again + "\n"


def test_all_three_kinds_of_files_are_offered() -> None:
    refs = [item["$ref"] for item in schema()["anyOf"]]
    assert refs == ["#/$defs/Recipe", "#/$defs/Toolchain", "#/$defs/Base"]


def test_names_are_readable_and_every_reference_leads_somewhere() -> None:
    whole = schema()
    names = set(whole["$defs"])
    assert all(re.fullmatch(r"[A-Z][A-Za-z]{2,30}", name) for name in names)
    assert {"ReasonedText", "ReasonedCMakeArg", "ReasonedEnvText"} <= names
    refs = {part["$ref"] for part in all_parts(whole) if isinstance(part.get("$ref"), str)}
    assert {ref.removeprefix("#/$defs/") for ref in refs} == names


@pytest.mark.parametrize("model", [Recipe, Toolchain, Base, Layer, Variant])
def test_every_key_is_offered_with_its_docstring(model: type[BaseModel]) -> None:
    properties = schema()["$defs"][model.__name__]["properties"]
    assert set(properties) == set(model.model_fields)
    assert all(properties[name]["description"] for name in model.model_fields)


def test_no_mapping_takes_keys_that_the_models_refuse() -> None:
    objects = [part for part in all_parts(schema()) if part.get("type") == "object"]
    assert objects
    assert all(part["additionalProperties"] is False for part in objects)


def test_patterns_are_valid_and_without_escapes_that_editors_refuse() -> None:
    patterns = {part["pattern"] for part in all_parts(schema()) if "pattern" in part}
    assert all(re.compile(pattern) for pattern in patterns)
    assert not [pattern for pattern in patterns if re.search(r"\\[\"'#@:,/<>-]", pattern)]


def test_a_setting_may_be_bare_or_carry_its_reason() -> None:
    bare, explained = schema()["$defs"]["ReasonedCMakeArg"]["anyOf"]
    assert bare["pattern"] == explained["properties"]["value"]["pattern"]
    assert re.fullmatch(bare["pattern"], "-DA=1")
    assert explained["required"] == ["value"]
    assert Reasoned[CMakeArg].model_validate("-DA=1").value == "-DA=1"


def test_a_patch_may_be_a_bare_file_name() -> None:
    bare, mapping = schema()["$defs"]["Patch"]["anyOf"]
    assert bare["type"] == "string"
    assert set(mapping["properties"]) == set(Patch.model_fields)


@pytest.mark.parametrize(
    ("pattern_of", "good", "bad"),
    [
        (("Recipe", "package"), "llama-cpp-python", "../x"),
        (("Jobs", "memory_per_job"), "1.5 GiB", "1.5 GB"),
        (("Edit", "file"), "a/b..c.txt", "a/../b"),
        (("TreeSource", "tree"), "some/folder", "/etc"),
    ],
)
def test_texts_with_a_form_have_a_pattern(
    pattern_of: tuple[str, str], good: str, bad: str
) -> None:
    definition, key = pattern_of
    pattern = schema()["$defs"][definition]["properties"][key]["pattern"]
    assert re.search(pattern, good)
    assert not re.search(pattern, bad)
