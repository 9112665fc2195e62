"""The Dockerfile of a unit, from the templates in ``dockerfiles/``."""

from __future__ import annotations

import hashlib
import re
import shlex
import traceback
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from farm.errors import Place, Problem, RecipeError
from farm.model.unit import ImageBase
from farm.render.context import PATHS, digests_of
from farm.render.crates import git_commits

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from jinja2 import Environment

    from farm.model.look import Look
    from farm.model.unit import PatchFile, TextEdit, Unit
    from farm.render.context import Entry, Paths

    E = TypeVar("E", PatchFile, TextEdit)

SOURCE_DATE_EPOCH = 1577836800
"""2020-01-01, for every time stamp in a wheel; zip files cannot hold one before 1980."""


_LOG = "\0"
"""Stands for the id of the cache mount in the text of which that is a digest."""
_LOG_ID = re.compile(r"\bid=(farm-log-[0-9a-f]{24})\b")


def render(
    unit: Unit,
    *,
    base: str,
    context: tuple[Entry, ...],
    templates: tuple[Path, ...],
    look: Look | None = None,
) -> str:
    """The text of the Dockerfile.

    ``base`` is the image to start from, ``context`` every file that its steps are given;
    ``templates`` are folders, the first that has a template wins.  ``look`` makes it end
    once CMake has configured.

    Raises:
        RecipeError: a template of the project is not what jinja2 takes.
    """
    text = render_template(
        "unit.dockerfile.j2",
        templates,
        unit=unit,
        base=base,
        context=PATHS,
        digests=digests_of(context),
        log=_LOG,
        look=look,
    )
    # No other build may write there: the id follows from all that goes into this one.
    whole = hashlib.sha256(text.encode())
    for entry in context:
        whole.update(f"{entry.target}\0{entry.digest}\n".encode())
    return text.replace(_LOG, f"farm-log-{whole.hexdigest()[:24]}")


def log_id(dockerfile: str) -> str | None:
    """The id of the cache mount in which a compile keeps a copy of its log.

    None where a template of the project has no such mount.
    """
    found = _LOG_ID.search(dockerfile)
    return found[1] if found else None


def render_template(name: str, templates: tuple[Path, ...], **values: object) -> str:
    """The text of a template with these values, and ``epoch``, the one of every build.

    Raises:
        RecipeError: a template of the project is not what jinja2 takes, or what it says fails.
    """
    try:
        template = _environment(templates).get_template(name)
        return template.render(epoch=SOURCE_DATE_EPOCH, **values)
    except Exception as error:  # expressions of a template may raise anything
        raise _template_problem(error, templates) from error


def _template_problem(error: Exception, templates: tuple[Path, ...]) -> RecipeError:
    """Where a template is wrong: the deepest of its lines that jinja2 names."""
    from jinja2 import TemplateError, TemplateSyntaxError

    place = Place(file=str(templates[0]))
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.endswith(".j2"):
            place = Place(file=frame.filename, line=frame.lineno)
    if isinstance(error, TemplateSyntaxError):
        place = Place(file=error.filename or place.file, line=error.lineno)
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, TemplateError):
        what = str(error.message)  # without a place of its own
    return RecipeError([Problem(place=place, what=f"the template is wrong: {what}")])


def base_reference(unit: Unit) -> str:
    """What the Dockerfile starts from as long as no base was bootstrapped.

    For an image it is the image; a bootstrapped base gets its content's
    digest in the tag only once that exists.
    """
    base = unit.base
    return base.image if isinstance(base, ImageBase) else f"farm-base:{base.suite}"


@cache
def _environment(templates: tuple[Path, ...]) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # What templates of a project say must not run on the host.  Those that farm ships, the
    # last, need no sandbox, which would make each rendering three times as slow.
    own = any(folder.is_dir() for folder in templates[:-1])
    environment = (ImmutableSandboxedEnvironment if own else Environment)(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Dockerfiles, not HTML; `quoted` is the escape here
    )
    environment.filters |= {
        "quoted": quoted,
        "groups": groups,
        "source_folder": source_folder,
        "program": program,
        "word": shlex.quote,
        "git_commits": git_commits,
    }
    return environment


def quoted(text: str) -> str:
    r"""A value as ``ENV`` takes it literally: in double quotes, with ``\``, ``"``, ``$`` escaped.

    Raises:
        ValueError: a control character, which no quoting makes safe in a Dockerfile.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in text):  # noqa: PLR2004 - ASCII
        raise ValueError(f"control character in {text!r}")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def groups(items: Iterable[E]) -> list[tuple[str, list[E]]]:
    """Patches or edits by the source that they change, in first-seen order."""
    found: dict[str, list[E]] = {}
    for item in items:
        found.setdefault(item.source, []).append(item)
    return list(found.items())


def program(paths: Paths, name: str) -> str:
    """The mount of one program of ``farm/inside``.

    Never the whole folder: a program that one step gets would undo the cache of all others.
    """
    return f"--mount=type=bind,source={paths.inside}/{name},target=/farm/inside/{name}"


def source_folder(unit: Unit, name: str) -> str:
    """Where a source is unpacked in the container."""
    return f"/build/{name}" if name == unit.key.package else f"/build/sources/{name}"
