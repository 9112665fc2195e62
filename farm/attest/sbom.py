"""SBOMs: the one in a wheel is held against the format's schema; the one beside it tells more.

In the wheel stands what it is made of (``farm/inside/sbom.py``).  Beside it, the same with
the wheel's hash and with all that built it: packages of the base, build requirements,
toolkit, needed wheels, each by hash, and compilers.  These are components of the scope
``excluded``, CycloneDX's word for what was used but is not in there.
"""

from __future__ import annotations

import json
import re
import uuid
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from farm.attest.inputs import tools_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm.attest.inputs import Tool
    from farm.attest.made import Made
    from farm.model.compiler import Compiler

MEMBER: Final = re.compile(r"[^/]+\.dist-info/sboms/farm\.cdx\.json")
"""Where a wheel has it: farm/inside/embed.py puts it there."""
MAX_BYTES: Final = 64 << 20
"""Largest SBOM that is read; the one of a package with 600 crates has 0.4 MB."""


def embedded(wheel: Path) -> str:
    """The SBOM that farm put into a wheel; empty where it has none."""
    with zipfile.ZipFile(wheel) as source:
        for info in source.infolist():
            if MEMBER.fullmatch(info.filename) and info.file_size <= MAX_BYTES:
                return source.read(info).decode("utf-8", "replace")
    return ""


def fault_of(text: str) -> str:
    """What the schema of CycloneDX 1.6 has against an SBOM; empty where nothing is wrong."""
    try:
        error: object = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    except (ValueError, RecursionError) as no_json:
        error = no_json
    return "" if error is None else str(error).partition("\n")[0][:500]


def beside(text: str, made: Made) -> str:
    """The SBOM that lies beside a wheel: ``text``, the one in it, with all that built it."""
    bom = _read(text)
    package = bom.metadata.component
    if package is None:
        raise ValueError("an SBOM without its package")
    inner = f"urn:cdx:{bom.serial_number}/{bom.version}"
    package.hashes.update(_sha256(each.sha256) for each in made.wheels)
    package.external_references.add(
        ExternalReference(type=ExternalReferenceType.BOM, url=XsUri(inner))
    )
    bom.components.update(tool for each in tools_of(made) if (tool := _component(each)))
    bom.register_dependency(package, bom.components)
    bom.metadata.tools.components.clear()
    bom.metadata.tools.components.update(_programs(made))
    bom.metadata.timestamp = datetime.fromtimestamp(made.record.started_s, UTC)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"{inner} {made.record.run}")
    written = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    return written.output_as_string(indent=1) + "\n"


def _read(text: str) -> Bom:
    read: Callable[[object], Bom] = vars(Bom)["from_json"].__get__(None, Bom)  # by a decorator
    return read(json.loads(text))


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def _component(tool: Tool) -> Component:
    """Something that built a wheel and is not in it."""
    return Component(
        type=ComponentType.LIBRARY,
        name=tool.name,
        version=tool.version,
        purl=PackageURL.from_string(tool.purl),
        bom_ref=f"tool:{tool.purl}",
        scope=ComponentScope.EXCLUDED,
        hashes=[_sha256(tool.sha256)] if tool.sha256 else (),
    )


def _programs(made: Made) -> Iterator[Component]:
    """Farm with its version, and the compilers that were really used, each once."""
    yield Component(type=ComponentType.APPLICATION, name="farm", version=made.record.farm)
    used: dict[tuple[str, str], Compiler] = {
        (each.family, each.version): each for each in made.record.compilers if each.family
    }
    for family, version in sorted(used):
        yield Component(type=ComponentType.APPLICATION, name=family, version=version)
