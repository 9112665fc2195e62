"""Selectors: ``package[@version][:variant]``, and what a variant's name may carry.

A variant's whole name is ``name[-arch…][+feature…][~feature…][-pyXY]``:
``rocm-gfx942`` is the variant ``rocm`` for that architecture alone,
``empty+rust`` switches a feature on, ``~rust`` off, ``cpu-py312`` builds for
another Python than the recipe's first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from farm.errors import UsageError

_SELECTOR = re.compile(
    r"(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)(?:@(?P<version>[^:@\s]+))?(?::(?P<variant>[^:@\s]+))?"
)
_VARIANT = re.compile(
    r"(?P<name>[a-z][a-z0-9_]*)(?P<archs>(?:-(?!py3)[a-z0-9_]+)*)"
    r"(?P<features>(?:[+~][a-z][a-z0-9_]*)*)(?:-py3(?P<minor>[0-9]{1,2}))?"
)
MAX_LENGTH = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """What one argument asks for; None means the recipe's default, or every variant."""

    package: str
    version: str | None = None
    variant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantChoice:
    """A variant's name taken apart.  ``features`` maps a name to on or off.

    ``archs`` are what stands between the ``-``; `whole_archs` makes them whole.
    """

    name: str
    archs: tuple[str, ...] = ()
    features: tuple[tuple[str, bool], ...] = ()
    python: str | None = None


def parse_selector(text: str) -> Selector:
    """Read ``llama-cpp-python@0.2.44:cpu``.

    Package names are normalized as the package index does (PEP 503).

    Raises:
        UsageError: not of that form.
    """
    match = _SELECTOR.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise UsageError(
            f"{text[:80]!r} is no selector",
            hint="write package[@version][:variant], as in vllm@0.22.0:rocm-gfx942",
        )
    package = re.sub(r"[-_.]+", "-", match["package"]).lower()
    return Selector(package=package, version=match["version"], variant=match["variant"])


def parse_variant(text: str) -> VariantChoice:
    """Take a variant's whole name apart.

    Raises:
        UsageError: not of the form in this module's docstring, or a feature is named twice.
    """
    match = _VARIANT.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise UsageError(
            f"{text[:80]!r} is no variant",
            hint="write name[-arch…][+feature…][-pyXY], as in cuda-sm_86 or empty+rust",
        )
    features = re.findall(r"([+~])([a-z0-9_]+)", match["features"])
    names = [name for _, name in features]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{text[:80]!r} names the feature {twice} twice", hint="name it once")
    return VariantChoice(
        name=match["name"],
        archs=tuple(match["archs"].split("-")[1:]),
        features=tuple((name, sign == "+") for sign, name in features),
        python=f"3.{match['minor']}" if match["minor"] else None,
    )


def whole_archs(parts: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Architectures from the parts of a variant's name.

    Names that hold a ``-`` themselves (``gfx9-generic``) are put together
    again: the longest that is ``known`` wins.
    """
    found: list[str] = []
    rest = parts
    while rest:
        sizes = range(len(rest), 0, -1)
        size = next((size for size in sizes if "-".join(rest[:size]) in known), 1)
        found.append("-".join(rest[:size]))
        rest = rest[size:]
    return tuple(found)


def variant_label(
    name: str,
    *,
    archs: tuple[str, ...] | None,
    features: tuple[tuple[str, bool], ...],
    python: str | None,
) -> str:
    """The canonical whole name; ``archs`` and ``python`` are None for the recipe's own."""
    text = "-".join([name, *sorted(archs or ())])
    text += "".join(f"{'+' if on else '~'}{feature}" for feature, on in sorted(features))
    return f"{text}-py{python.replace('.', '')}" if python else text
