"""The JSON schema of ``record.json``, made from the class that writes it.

It is written with ``python -m farm.attest.schema > docs/reference/record.schema.json``,
and a test compares the two.
"""

from __future__ import annotations

import inspect
import json
import sys
from typing import TYPE_CHECKING, Any

from farm.load.schema import DIALECT, docstrings
from farm.model.compiler import Compiler
from farm.store.record import FORMAT, Input, Record, StepTime, WheelFile

if TYPE_CHECKING:
    Schema = dict[str, Any]

KINDS = (Record, WheelFile, Input, StepTime, Compiler)


def schema_text() -> str:
    """The file's text: sorted keys, two spaces, a newline at the end."""
    return json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def schema() -> Schema:
    """The schema of records as this farm writes them: every key is there, and no other."""
    from pydantic import TypeAdapter

    whole: Schema = TypeAdapter(Record).json_schema(mode="serialization")
    definitions = {"Record": whole, **whole.get("$defs", {})}
    for kind in KINDS:
        _describe(definitions[kind.__name__], kind)
    whole["properties"]["format"]["const"] = FORMAT
    return {"$schema": DIALECT, **whole, "title": "record.json of farm"}


def _describe(definition: Schema, kind: type) -> None:
    """A kind's words, and those of its keys; all of them are written, and no others."""
    definition["description"] = " ".join((inspect.getdoc(kind) or "").split())
    definition["additionalProperties"] = False
    definition["required"] = sorted(definition["properties"])
    for name, text in docstrings(kind).items():
        part = definition["properties"][name]
        part.pop("title", None)
        part.pop("default", None)
        part["description"] = " ".join(text.replace("``", "`").split())


if __name__ == "__main__":
    sys.stdout.write(schema_text())
