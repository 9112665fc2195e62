"""Pinned inputs as a recipe names them: every one with a hash."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from farm.model.strict import (
    Commit,
    PythonVersion,
    RelativePath,
    Sha256,
    SourceName,
    Strict,
    Url,
    Word,
)

_WHEEL_NAME = r"[A-Za-z0-9_][A-Za-z0-9._+!]*(?:-[A-Za-z0-9_.+!]+){3,5}\.whl"


class SdistSource(Strict):
    """The package's own source distribution, from the package index by name and version."""

    sdist: Sha256
    """sha256 of the sdist file."""


class ArchiveSource(Strict):
    """A tar or zip archive by URL."""

    archive: Url
    """Where it is."""
    sha256: Sha256
    """sha256 of the archive file."""


class GitSource(Strict):
    """One commit of a git repository."""

    git: Url
    """The repository."""
    commit: Commit
    """The full commit; branches and tags move."""
    submodules: bool | Annotated[tuple[RelativePath, ...], Field(min_length=1)] = False
    """Bring submodules, each at the commit that the tree pins: all (recursively), or by path."""

    @field_validator("submodules")
    @classmethod
    def _in_order(cls, value: bool | tuple[str, ...]) -> bool | tuple[str, ...]:  # noqa: FBT001 - what the key holds
        return value if isinstance(value, bool) else tuple(sorted(set(value)))


class TreeSource(Strict):
    """A folder that lies beside the recipes, below ``recipes/sources/``."""

    tree: RelativePath
    """The folder, relative to ``recipes/sources/``."""


class WheelSource(Strict):
    """A wheel by URL, installed among the build requirements."""

    wheel: Url
    """Where it is; its last part is the wheel's file name."""
    sha256: Sha256
    """sha256 of the wheel file."""

    @field_validator("wheel")
    @classmethod
    def _named_as_a_wheel(cls, url: str) -> str:
        if not re.fullmatch(_WHEEL_NAME, wheel_filename(url)):
            raise ValueError(f"{wheel_filename(url)[:80]!r}, its last part, is no wheel's name")
        return url


def wheel_filename(url: str) -> str:
    """The file name of a wheel by its URL; indexes write ``+`` as ``%2B``."""
    return re.split(r"[?#]", url, maxsplit=1)[0].rsplit("/", 1)[-1].replace("%2B", "+")


Kind = Literal["sdist", "archive", "git", "tree", "wheel"]


def kind_of(data: object) -> str | None:
    """Which source a mapping describes: each kind has the key of its own name."""
    if isinstance(data, dict):
        return next((kind for kind in _MODELS if kind in data), None)
    return next((kind for kind, model in _MODELS.items() if isinstance(data, model)), None)


_MODELS: dict[Kind, type[Strict]] = {
    "sdist": SdistSource,
    "archive": ArchiveSource,
    "git": GitSource,
    "tree": TreeSource,
    "wheel": WheelSource,
}

MainSource = Annotated[
    Annotated[SdistSource, Tag("sdist")]
    | Annotated[ArchiveSource, Tag("archive")]
    | Annotated[GitSource, Tag("git")]
    | Annotated[TreeSource, Tag("tree")],
    Discriminator(
        kind_of,
        custom_error_type="source_kind",
        custom_error_message="is no source: it needs one of the keys sdist, archive, git, tree",
    ),
]
AnySource = Annotated[
    Annotated[ArchiveSource, Tag("archive")]
    | Annotated[GitSource, Tag("git")]
    | Annotated[TreeSource, Tag("tree")]
    | Annotated[WheelSource, Tag("wheel")],
    Discriminator(
        kind_of,
        custom_error_type="source_kind",
        custom_error_message="is no source: it needs one of the keys archive, git, tree, wheel",
    ),
]


class PythonLimits(Strict):
    """Pythons that a source can be built for; both ends belong to it."""

    oldest: PythonVersion | None = None
    """The first that it takes."""
    newest: PythonVersion | None = None
    """The last that it takes."""
    reason: str = Field(min_length=1)
    """What becomes of a build for another."""
    source: str = Field(min_length=1)
    """Where the rule comes from: a file's line, a document, a measurement."""


class Lockstep(Strict):
    """What an upstream file says of a pin, so that a bump that forgets the pin is noticed.

    The value is the word that follows ``after`` on the same line: up to a blank, quote,
    bracket, comma or semicolon.
    """

    file: RelativePath
    """The file, relative to its source's top folder."""
    after: str = Field(min_length=3, max_length=200, pattern=r"^[^\n\r]*\S[^\n\r]*$")
    """The exact text before the value (``GIT_TAG ``)."""
    count: int = Field(default=1, ge=1, le=100)
    """How often that text must occur in the file."""
    nth: int = Field(default=1, ge=1, le=100)
    """Which of these is followed, counted from 1."""
    says: Word | None = None
    """What must stand there, such as the tag of the commit; the commit itself if left out."""
    of: SourceName | None = None
    """The staged source that holds the file; the package's own source if left out."""

    @model_validator(mode="after")
    def _within(self) -> Lockstep:
        if self.nth > self.count:
            raise ValueError(f"nth is {self.nth}, but count only {self.count}")
        return self


class StagedSource(Strict):
    """A further source, unpacked at ``/build/sources/<name>`` (``${sources.<name>}``)."""

    source: AnySource
    """Where it comes from."""
    reason: str = ""
    """Why it is staged instead of fetched by the build."""
    verified: str = ""
    """When and against what the pin was last checked."""
    python_limits: PythonLimits | None = None
    """Pythons that it can be built for."""
    lockstep: Lockstep | None = None
    """A file of upstream's that the pin must agree with."""

    @model_validator(mode="after")
    def _says_what(self) -> StagedSource:
        if self.lockstep and self.lockstep.says is None and not isinstance(self.source, GitSource):
            raise ValueError("lockstep needs 'says' where the source is not a git commit")
        return self
