"""What every model read from YAML has in common, and the field types they share."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue

T = TypeVar("T")


class Strict(BaseModel):
    """Unknown keys are errors, values are frozen, docstrings below fields document them."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    judged_without: ClassVar[frozenset[str]] = frozenset()
    """Keys that can be left out, where they are wrong, to judge all the rest of a file.

    Nothing else must depend on what they say: what is told of the rest would be nonsense.
    """


class Short(Strict):
    """A mapping that may also be written as the bare value of its ``short_key``."""

    short_key: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, data: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
        return data if isinstance(data, dict | Strict) else {cls.short_key: data}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> JsonSchemaValue:  # noqa: ANN401 - pydantic's protocol
        schema: JsonSchemaValue = handler(core_schema)
        target = handler.resolve_ref_schema(schema)
        return {"anyOf": [target["properties"][cls.short_key], dict(target)]}


class Reasoned(Short, Generic[T]):
    """A setting with the reason for it.

    Written as the bare value where it needs no explaining, or as a mapping
    ``{value: …, reason: …, verified: …}``; ``farm show`` prints the reason.
    """

    short_key = "value"

    value: T
    """The setting itself."""
    reason: str = ""
    """Why it is so, in a sentence."""
    verified: str = ""
    """When and against what this was last checked (``2026-05-16, setup.py of 0.22.0``)."""

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """``ReasonedCMakeArg``, by what the value's type is called here."""
        named = (name for name, each in globals().items() if each is params[0])
        return f"Reasoned{next(named, 'Text')}"


def _pattern(pattern: str, what: str) -> Any:  # noqa: ANN401 - an Annotated type
    @cache
    def compiled() -> re.Pattern[str]:  # when it is first met: most commands meet few of these
        return re.compile(pattern)

    @lru_cache(maxsize=1024)  # recipes say the same things; this way they share them, too
    def check(text: str) -> str:
        if not compiled().fullmatch(text):
            raise ValueError(f"{text[:80]!r} is not {what}")
        return text

    return Annotated[
        str, AfterValidator(check), Field(json_schema_extra={"pattern": f"^{pattern}$"})
    ]


# Each reaches file names, image tags, Dockerfile text or argv: what is not
# matched whole here never gets that far.
PackageName = _pattern(
    r"[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?",
    "a normalized package name (lower case letters, digits, single '-'; PEP 503)",
)
VersionText = _pattern(
    r"[0-9][0-9a-z.+!]{0,63}", "a version (PEP 440, such as '0.22.0' or '2.11.0+rocm7.2')"
)
VariantName = _pattern(r"[a-z][a-z0-9_]{0,31}", "a variant name ([a-z][a-z0-9_]*)")
FeatureName = VariantName
FeatureChoice = _pattern(
    r"~?[a-z][a-z0-9_]{0,31}", "a feature's name, with '~' before it to switch it off"
)
RunnerLabel = _pattern(
    r"[A-Za-z0-9](?:[A-Za-z0-9 ._:/=,@+-]{0,98}[A-Za-z0-9])?",
    "a label of CI runners (letters, digits, blanks and ._:/=,@+-)",
)
PartName = _pattern(r"[a-z][a-z0-9_]{0,31}", "the name of a part ([a-z][a-z0-9_]*)")
ToolchainName = _pattern(r"[a-z][a-z0-9._-]{0,63}", "a toolchain or base name")
SourceName = _pattern(r"[a-z][a-z0-9_-]{0,63}", "a source name ([a-z][a-z0-9_-]*)")
# No part is "py3…": a selector joins architectures and the Python with "-".
ArchName = _pattern(
    r"(?!(?:.*-)?py3)(?=.{2,32}$)[a-z][a-z0-9_]*(?:-[a-z0-9_]+)*",
    "an architecture name (such as sm_86, gfx942 or gfx9-generic)",
)
EnvName = _pattern(r"[A-Za-z_][A-Za-z0-9_]{0,127}", "an environment variable's name")
EnvText = _pattern(r"[^\x00-\x1f\x7f]{0,8192}", "one line of text without control characters")
CMakeArg = _pattern(
    r"-[^\s\x00-\x1f\x7f\"'\\]{1,1023}",
    "one CMake argument (begins with '-', no blanks or quotes: CMAKE_ARGS is split at blanks)",
)
DebianPackage = _pattern(r"[a-z0-9][a-z0-9+.-]{1,127}", "a Debian package name")
PackagePattern = _pattern(r"[a-z0-9*][a-z0-9+.*-]{0,127}", "a name of Debian packages, with *")
SuiteName = _pattern(r"[a-z]{2,20}", "a Debian suite")
Sha256 = _pattern(r"[0-9a-f]{64}", "a sha256 (64 lower case hex digits)")
Commit = _pattern(r"[0-9a-f]{40}", "a full git commit (40 lower case hex digits)")
PythonVersion = _pattern(
    r"3\.[0-9]{1,2}", 'a Python version such as "3.13" (quoted: 3.10 is not 3.1)'
)
MajorVersion = _pattern(r"[0-9]{1,3}", "a compiler's major version (such as '14')")
GlibcVersion = _pattern(r"2\.[0-9]{1,2}", "a version of the C library such as '2.41'")
Url = _pattern(
    r"(?:https?|ssh|git|file)://[^\s\x00-\x1f\x7f'\"\\]{1,2000}",
    "a URL (https, http, ssh, git or file; no blanks)",
)
LibraryPattern = _pattern(
    r"[A-Za-z0-9_*][A-Za-z0-9_.+*-]{0,127}",
    "a library's name as modules need it (libnuma.so.1); '*' stands for any part of it",
)
LibraryName = _pattern(
    r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}", "a library's name as modules need it (libcuda.so.1)"
)
ModuleName = _pattern(
    r"(?=.{1,200}$)[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*",
    "the dotted name of a Python module",
)
Script = _pattern(r"[^\x00-\x08\x0b-\x1f\x7f]{0,16384}", "a script of at most 16 KiB of text")
IsaPattern = _pattern(
    r"[a-z][a-z0-9_]{0,31}\*?", "an instruction set such as avx2 or fma, or avx512* for all of it"
)
DpkgPath = _pattern(
    r"/[A-Za-z0-9_.+*-][A-Za-z0-9_.+*/-]{1,250}",
    "an absolute path of a package's files, in which '*' stands for anything, '/' too",
)
Words = _pattern(
    r"[A-Za-z0-9_ .,:;=()/+-]{8,200}",
    "a text of 8 characters or more without quotes, dollars or backslashes",
)
Word = _pattern(
    r"[^\s\x00-\x1f\x7f\"'();,]{1,200}", "one word without blanks, quotes, brackets or commas"
)
FileName = _pattern(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}", "a plain file name")


def _inside(text: str) -> str:
    parts = text.split("/")
    if not re.fullmatch(r"[A-Za-z0-9_.+ @-][A-Za-z0-9_.+ @/-]{0,500}", text) or ".." in parts:
        raise ValueError(f"{text[:80]!r} is not a relative path that stays inside")
    return text


def _inside_pattern(text: str) -> str:
    _inside(text.replace("*", "_"))
    return text


# The schema says the same in one expression, for editors.
_INSIDE = r"^(?!(.*/)?\.\.(/|$))[A-Za-z0-9_.+ @{0}-][A-Za-z0-9_.+ @{0}/-]{{0,500}}$"

RelativePath = Annotated[
    str,
    AfterValidator(_inside),
    Field(json_schema_extra={"pattern": _INSIDE.format("")}),
]
PathPattern = Annotated[
    str,
    AfterValidator(_inside_pattern),
    Field(json_schema_extra={"pattern": _INSIDE.format("*")}),
]
"""A relative path, in which ``*`` stands for any part of a name (``vllm/_C.*.so``)."""

_SIZE = r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?(B|KiB|MiB|GiB|TiB)"
_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "B": 1}


def parse_size(text: object) -> int:
    """Read ``1.5 GiB`` into bytes.

    Raises:
        ValueError: not a number followed by B, KiB, MiB, GiB or TiB.
    """
    match = re.fullmatch(_SIZE, str(text))
    if match is None:
        raise ValueError(f"{str(text)[:40]!r} is not a size such as '1.5 GiB' or '600 MiB'")
    return int(float(match[1]) * _UNITS[match[2]])


def _size_text(text: str) -> str:
    if parse_size(text) <= 0:
        raise ValueError("a size must be more than 0")
    return text


Size = Annotated[
    str, AfterValidator(_size_text), Field(json_schema_extra={"pattern": f"^{_SIZE}$"})
]
