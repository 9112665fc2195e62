# ruff: noqa: INP001 - a program beside the documents, no part of a package
"""Write the parts of ``docs/reference/`` that the code itself says.

Each page is written by hand around blocks between ``<!-- code: NAME -->`` and
``<!-- end -->``; what stands there comes from the code.  A test holds the pages to
it, and ``make goldens`` writes them anew, as does running this file.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Schema: TypeAlias = dict[str, Any]

PAGES = Path(__file__).parent / "reference"
_BLOCK = re.compile(r"(<!-- code: (?P<name>[a-z.-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SECTION = "\n\n"
_LEVELS = frozenset({"Recipe", "Version", "Variant"})
"""Mappings that take the keys of a Layer too; the page says those once."""


def current(page: str) -> str:
    """A page's text with every block as the code says it today.

    Raises:
        KeyError: a block has a name that nothing here writes.
    """
    return _BLOCK.sub(lambda match: f"{match[1]}\n{_block(match['name'])}\n\n{match[3]}", page)


def pages() -> list[Path]:
    """The pages that hold such blocks."""
    found = sorted(PAGES.glob("*.md"))
    return [path for path in found if _BLOCK.search(path.read_text(encoding="utf-8"))]


def _block(name: str) -> str:
    kind, _, rest = name.partition(".")
    writers: dict[str, Callable[[], str]] = {
        "exit-codes": exit_codes,
        "errors": errors,
        "events": events,
        "cli": cli,
        "forms": forms,
        "reserved": reserved,
        "definitions": lambda: definitions(rest),
        "record": lambda: record(rest),
    }
    return writers[kind]().strip()


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def _plain(text: str) -> str:
    """A docstring's words as Markdown."""
    joined = " ".join(text.split())
    return re.sub(r"``(.+?)``", r"`\1`", joined)


def _paragraphs(text: str) -> str:
    return _SECTION.join(_plain(part) for part in inspect.cleandoc(text).split("\n\n"))


# Exit codes stand in one class, their causes in the docstrings of others.


def exit_codes() -> str:
    """Each exit code with the cause that ends a process with it."""
    from farm.errors import ExitCode

    by_code = {cls.code: cls for cls in _error_classes() if "code" in vars(cls)}
    rows = []
    for code in ExitCode:
        cls = by_code.get(code)
        words = {ExitCode.OK: "Everything that was asked for is there."}
        words[ExitCode.INTERNAL] = "An error that nobody foresaw: a bug in farm."
        meaning = words.get(code) or _plain((cls.__doc__ or "").split("\n\n")[0] if cls else "")
        rows.append((f"`{code.value}`", f"`{code.name}`", meaning))
    return _table(("code", "name", "cause"), rows)


def errors() -> str:
    """The class that each failure is in the Python package."""
    rows = [
        (f"`{cls.__name__}`", f"`{cls.code.value}`")
        for cls in _error_classes()
        if "code" in vars(cls)
    ]
    return _table(("class of `farm.errors`", "code"), rows)


def _error_classes() -> list[type[Any]]:
    from farm import errors as module

    return [
        cls
        for cls in vars(module).values()
        if isinstance(cls, type)
        and issubclass(cls, module.FarmError)
        and cls is not module.FarmError
    ]


# Events are dataclasses.


def events() -> str:
    """Each event with its keys, and what events hold."""
    from farm import events as module

    kinds = [cls for cls in vars(module).values() if isinstance(cls, type)]
    kinds.sort(key=lambda cls: not issubclass(cls, module.Event))
    parts = [
        f"### {cls.__name__}\n\n{_in_json(_paragraphs(cls.__doc__ or ''))}\n\n{_fields(cls)}"
        for cls in kinds
        if dataclasses.is_dataclass(cls) and cls is not module.Event
    ]
    outcomes = ", ".join(f"`{outcome.value}`" for outcome in module.Outcome)
    return _SECTION.join([*parts, f"`outcome` is one of {outcomes}."])


def _in_json(text: str) -> str:
    return re.sub(r"\bNone\b", "null", re.sub(r"\bTrue\b", "true", text))


def _fields(cls: type[Any]) -> str:
    rows = [(f"`{field.name}`", _type_words(str(field.type))) for field in dataclasses.fields(cls)]
    return _table(("key", "holds"), rows)


def _type_words(text: str) -> str:
    """A Python type in JSON's words."""
    words = {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}
    if text.endswith(" | None"):
        return f"{_type_words(text.removesuffix(' | None'))} or null"
    if match := re.fullmatch(r"tuple\[(\w+), \.\.\.\]", text):
        return f"list of {_type_words(match[1])}"
    if match := re.fullmatch(r"dict\[str, (\w+)\]", text):
        return f"object, values: {_type_words(match[1])}"
    return words.get(text, {"Any": "anything", "Outcome": "an outcome"}.get(text, f"`{text}`"))


# Records are dataclasses with a docstring below each field.


def record(name: str) -> str:
    """The keys of a record, or of a kind of item in it."""
    from farm.attest.schema import KINDS
    from farm.load.schema import docstrings

    kind = next(kind for kind in KINDS if kind.__name__.lower() == name)
    rows = [(f"`{key}`", _plain(text)) for key, text in docstrings(kind).items()]
    return _table(("key", "holds"), rows)


# The command line is what typer makes of the verbs.


def cli() -> str:
    """Every verb with its arguments and options."""
    import typer.main

    from farm.cli.app import application

    group = typer.main.get_command(application())
    return _SECTION.join(_command(command, words) for words, command in commands(group, ("farm",)))


def commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - typer has click's classes under a private name
    """A command and all below it, each with the words that call it."""
    yield words, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, (*words, name))


def _command(command: Any, words: tuple[str, ...]) -> str:  # noqa: ANN401 - as above
    title = " ".join(words)
    parts = [f"## {title}" if len(words) < 3 else f"### {title}"]  # noqa: PLR2004 - farm engine up
    if command.help:
        parts.append(_plain(command.help))
    rows = [_parameter(parameter) for parameter in command.params]
    if rows:
        parts.append(_table(("argument or option", "default", "meaning"), rows))
    return _SECTION.join(parts)


def _parameter(parameter: Any) -> tuple[str, str, str]:  # noqa: ANN401 - as above
    name = f"`{parameter.metavar or parameter.name.upper()}`"
    if parameter.param_type_name == "option":
        name = ", ".join(f"`{option}`" for option in parameter.opts)
        off = ", ".join(f"`{option}`" for option in parameter.secondary_opts)
        name = f"{name} / {off}" if off else name
    default = parameter.default
    is_worth_saying = isinstance(default, (str, int)) and not isinstance(default, bool)
    text = _plain(getattr(parameter, "help", "") or "")
    if parameter.envvar:
        text = f"{text} Also by `{parameter.envvar}`."
    return name, f"`{default}`" if is_worth_saying else "", text


# Recipes, toolchains and bases come from the schema that editors read.


def definitions(start: str) -> str:
    """A kind of file, and every kind of mapping in it, from the schema that editors read."""
    from farm.load.schema import schema

    known: dict[str, Schema] = schema()["$defs"]
    root = {"recipe": "Recipe", "toolchain": "Toolchain", "base": "Base"}[start]
    names = list(_reachable(root, known))
    shown = [name for name in names if not name.startswith("Reasoned")]
    others = {"toolchain": set(_reachable("Recipe", known)), "base": set()}.get(start, set())
    return _SECTION.join(_definition(name, known) for name in shown if name not in others)


def _reachable(name: str, known: dict[str, Schema]) -> Iterator[str]:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        current_name = waiting.pop(0)
        if current_name not in seen:
            seen.add(current_name)
            yield current_name
            waiting += _references(known[current_name])


def _references(value: object) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"].rpartition("/")[2]] if isinstance(value.get("$ref"), str) else []
    return own + [name for item in value.values() for name in _references(item)]


def _definition(name: str, known: dict[str, Schema]) -> str:
    definition = _mapping(known[name])
    parts = [f"### {name}", _plain(definition.get("description", ""))]
    if "enum" in definition:
        parts.append(f"One of {', '.join(f'`{value}`' for value in definition['enum'])}.")
    required = set(definition.get("required", ()))
    keys = dict(definition.get("properties", {}))
    shared = known["Layer"]["properties"] if name in _LEVELS else {}
    rows = [
        (f"`{key}`" + (" *" if key in required else ""), _holds(part, known), _said(part))
        for key, part in keys.items()
        if key not in shared
    ]
    if rows:
        parts.append(_table(("key", "holds", "meaning"), rows))
    if shared:
        parts.append("Besides, every key of [Layer](#layer).")
    return _SECTION.join(part for part in parts if part)


def _said(part: Schema) -> str:
    text = _plain(part.get("description", ""))
    default = part.get("default")
    return f"{text} Default: `{_yaml(default)}`." if default not in (None, "") else text


def _yaml(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _mapping(definition: Schema) -> Schema:
    """A mapping, also where its bare value is allowed in its place."""
    if "anyOf" in definition:
        return next((part for part in definition["anyOf"] if "properties" in part), definition)
    return definition


def _holds(part: Schema, known: dict[str, Schema]) -> str:
    """What a key may hold, in words."""
    if "$ref" in part:
        return _reference(part["$ref"].rpartition("/")[2], known)
    for union in ("anyOf", "oneOf"):
        if union in part:
            kinds = [_holds(each, known) for each in part[union] if each.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if "enum" in part or "const" in part:
        return ", ".join(f"`{value}`" for value in part.get("enum", [part.get("const")]))
    if part.get("type") == "array":
        return f"list of {_holds(part.get('items', {}), known)}"
    if part.get("type") == "object":
        return _object(part, known)
    words = {"string": "text", "integer": "integer", "boolean": "true or false"}
    word = words.get(str(part.get("type")), "anything")
    return _form(part["pattern"]) if "pattern" in part else word


def _object(part: Schema, known: dict[str, Schema]) -> str:
    named = part.get("patternProperties")
    if named:
        pattern, value = next(iter(named.items()))
        return f"mapping from {_form(pattern)} to {_holds(value, known)}"
    return "mapping"


def forms() -> str:
    """Texts that must have a form, each with its pattern."""
    rows = [(words, f"`{pattern}`") for pattern, words in sorted(_forms().items(), key=_second)]
    return _table(("form", "pattern"), rows)


def reserved() -> str:
    """Variables that are farm's own to set."""
    from farm.model.reserved import RESERVED

    rows = [(f"`{name}`", instead) for name, instead in RESERVED.items()]
    return _table(("variable", "instead"), rows)


def _second(pair: tuple[str, str]) -> str:
    return pair[1]


def _form(pattern: str) -> str:
    words = _forms().get(pattern)
    return f"[{words}](#forms)" if words else f"`{pattern}`"


def _forms() -> dict[str, str]:
    """Names of patterned texts in words, by their pattern."""
    from pydantic import TypeAdapter

    from farm.load.schema import _portable  # the one spelling that pages and editors see
    from farm.model import strict

    found: dict[str, list[str]] = {}
    for name, alias in vars(strict).items():
        if hasattr(alias, "__metadata__") and not name.startswith("_"):
            pattern = str(TypeAdapter(alias).json_schema().get("pattern", ""))
            words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
            found.setdefault(_portable(pattern), []).append(words)
    return {pattern: words[0] if len(words) == 1 else "name" for pattern, words in found.items()}


def _reference(name: str, known: dict[str, Schema]) -> str:
    if name.startswith("Reasoned"):
        bare = next(part for part in known[name]["anyOf"] if "properties" not in part)
        return f"{_holds(bare, known)}, or with its [reason](recipe.md#reasons)"
    link = f"[{name}](#{name.lower()})"
    bare = {"Patch": "its file name", "Extension": "its name"}.get(name)
    return f"{link}, or just {bare}" if bare else link


if __name__ == "__main__":
    for path in pages():
        path.write_text(current(path.read_text(encoding="utf-8")), encoding="utf-8")
