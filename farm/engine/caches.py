"""BuildKit's own caches of layers, kept elsewhere: ``--cache-from`` and ``--cache-to``.

They are handed to buildx as they are.  What buildx would pass over without a word is
refused here: a type that it does not know, a field that is missing, a service whose
variables are not set.  Fields and their meaning: docs.docker.com, build cache backends.
"""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farm.errors import EngineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.model.key import UnitKey

_REQUIRED: Final = {
    "--cache-from": {"registry": ("ref",), "local": ("src",), "s3": ("region", "bucket")},
    "--cache-to": {"registry": ("ref",), "local": ("dest",), "s3": ("region", "bucket")},
}
"""Fields without which a cache cannot be had; ``gha`` has none."""
TYPES: Final = ("registry", "local", "s3", "gha")
_PATHS: Final = frozenset({"src", "dest"})
_SECRET: Final = frozenset({"token", "access_key_id", "secret_access_key", "session_token"})
_KEY: Final = re.compile(r"[a-z][a-z0-9_-]{0,40}")
_WITH_PASSWORD: Final = re.compile(r"://[^/\s]*@")
_GHA_PLACES: Final = ("ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL")
_GHA_TOKEN: Final = "ACTIONS_RUNTIME_TOKEN"  # noqa: S105 - the name of a variable
_UNIT: Final = "{unit}"
_NO_EXPORT: Final = "Cache export is not supported"
_UNKNOWN: Final = "unknown cache exporter"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCache:
    """One cache: ``kind`` is buildx's type, ``fields`` all the others, in their order.

    ``{unit}`` in a value stands for the unit that is built.
    """

    kind: str
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All of it as buildx takes it."""
        return (("type", self.kind), *self.fields)

    @property
    def is_for_each(self) -> bool:
        """Whether each unit has a cache of its own there."""
        return any(_UNIT in value for _, value in self.fields)

    def of(self, key: UnitKey) -> LayerCache:
        """The cache of one unit; its name there is one that a tag of a registry may have."""
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{key.package}-{key.version}-{key.variant}")
        fields = tuple((field, value.replace(_UNIT, name)) for field, value in self.fields)
        return replace(self, fields=fields)


def parse_cache(option: str, text: str, environ: Mapping[str, str] | None = None) -> LayerCache:
    """What ``--cache-from`` or ``--cache-to``, which ``option`` says, is followed by.

    Paths become absolute.  A cache that is exported holds the layers of every stage
    (``mode=max``) where nothing else is said: the last stage alone is only a copy.

    Raises:
        UsageError: buildx would not take it, or it holds what is a secret.
    """
    fields = _fields(option, text)
    kind = fields.pop("type", "")
    if kind not in TYPES:
        raise _wrong(option, f"no type of cache is called {kind[:40]!r}", _forms(option))
    missing = [name for name in _REQUIRED[option].get(kind, ()) if not fields.get(name)]
    if missing:
        raise _wrong(option, f"type={kind} needs {' and '.join(missing)}", _forms(option))
    if kind == "gha":
        _require_gha(option, os.environ if environ is None else environ)
    for name in _PATHS & fields.keys():
        fields[name] = str(Path(fields[name]).absolute())
    if option == "--cache-to":
        fields.setdefault("mode", "max")
    return LayerCache(kind=kind, fields=tuple(fields.items()))


def _fields(option: str, text: str) -> dict[str, str]:
    if not text.isprintable():
        raise _wrong(option, "it holds control characters", _forms(option))
    try:
        (row,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        raise _wrong(option, "it is no list of name=value", _forms(option)) from None
    if len(row) == 1 and "=" not in row[0] and row[0]:
        row = ["type=registry", f"ref={row[0]}"]
    fields: dict[str, str] = {}
    for part in row:
        name, equals, value = part.partition("=")
        if not equals or not _KEY.fullmatch(name):
            raise _wrong(option, f"{name[:40]!r} is no name=value", _forms(option))
        if name in _SECRET or _WITH_PASSWORD.search(value):
            raise _wrong(
                option,
                f"{name} holds a secret, which everybody on this machine could read there",
                "leave it out: buildx takes it from the variables of AWS or GitHub Actions, "
                "or from 'docker login'",
            )
        if name in fields:
            raise _wrong(option, f"{name} is there twice", _forms(option))
        fields[name] = value
    return fields


def _require_gha(option: str, environ: Mapping[str, str]) -> None:
    """Without these buildx goes on without the cache, and says nothing."""
    if not environ.get(_GHA_TOKEN) or not any(environ.get(name) for name in _GHA_PLACES):
        raise _wrong(
            option,
            f"type=gha needs {_GHA_TOKEN} and {' or '.join(_GHA_PLACES)}, which are not set",
            "in a job of GitHub Actions, a step that exports them must come before",
        )


def _forms(option: str) -> str:
    path = "src" if option == "--cache-from" else "dest"
    return (
        f"as in type=local,{path}=FOLDER, type=registry,ref=HOST/NAME:TAG, "
        "type=s3,region=R,bucket=B or type=gha,scope=NAME"
    )


def _wrong(option: str, what: str, hint: str) -> UsageError:
    return UsageError(f"{option}: {what}", hint=hint)


def require_apart(caches: Iterable[LayerCache], units: int) -> None:
    """Several units would each replace what the other has put into one cache.

    Raises:
        UsageError: a cache that is exported to is not each unit's own.
    """
    for cache in caches:
        if units > 1 and not cache.is_for_each:
            name = {"local": "dest", "registry": "ref", "s3": "name"}.get(cache.kind, "scope")
            raise UsageError(
                f"--cache-to: {units} units would replace each other's cache in type={cache.kind}",
                hint=f"put {_UNIT} into its {name}: each unit then has its own, and the same "
                "words after --cache-from find it",
            )


def variables(caches: Iterable[LayerCache]) -> dict[str, str]:
    """The variables with which buildx reaches the services of these caches, and no others."""
    kinds = {cache.kind for cache in caches}
    prefixes = {"gha": "ACTIONS_", "s3": "AWS_"}
    wanted = tuple(prefix for kind, prefix in prefixes.items() if kind in kinds)
    return {
        name: value for name, value in os.environ.items() if wanted and name.startswith(wanted)
    }


def export_failure(engine: str, unit: str, error: str, unexported: str) -> EngineError | None:
    """What it means that a build ended with ``error``, if its cache is what could not be exported.

    ``unexported`` is what BuildKit said of the export, if it began.
    """
    if _NO_EXPORT in error:
        return EngineError(
            f"the engine {engine} cannot export a cache: Docker's classic image store can not",
            hint="turn on containerd's in your Docker ('features': {'containerd-snapshotter': "
            "true} in daemon.json), or leave out --cache-to; --cache-from works as it is",
        )
    if _UNKNOWN in error:
        return EngineError(
            f"the engine {engine} has no such cache: {error.removeprefix('failed to solve: ')}",
            hint="Docker's own BuildKit has registry, local and gha",
        )
    if unexported:
        return EngineError(
            f"{unit} was built, but its cache could not be exported: {unexported}",
            hint="see that the place can be reached and written, add ignore-error=true to it, "
            "or leave out --cache-to",
        )
    return None
