"""A build that ended well, as values: what attestations are written from."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from packageurl import PackageURL

from farm.attest.made import Made
from farm.engine.engine import BuildResult
from farm.host.machine import Machine
from farm.load.project import shipped_root
from farm.model.compiler import Compiler
from farm.model.crates import Crate, CrateLock, CrateSet
from farm.model.unit import Lock, Pin, ToolkitPlan
from farm.plan.jobs import JobPlan
from farm.render.context import Wheel
from farm.render.manifest import BaseReference
from farm.run.acceptance import Accepted
from farm.run.attempt import Attempt
from farm.run.options import BuildOptions
from farm.run.prerequisites import EngineFacts
from farm.run.recording import Circumstances, record_of
from farm.run.settle import identify
from farm.store.record import Input, WheelFile
from tests.support.projects import DEMO, PATCH, SHA, planned, project_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMIT, PACKED, OTHER = "0123456789" * 4, "cd" * 32, "ef" * 32
URL = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+", re.ASCII)
"""RFC 3986: whatever the validator has at hand to check formats with."""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)", re.ASCII)
SECRET = "s3cr3t"  # noqa: S105 - planted, to be found nowhere
RECIPE = DEMO + (
    "patches: [a.patch]\nedits: [{file: f, replace: ä, by: b}]\nsources:\n"
    f"  w: {{source: {{wheel: 'https://x.org/w-1-py3-none-any.whl', sha256: {SHA}}}}}\n"
    f"  arc: {{source: {{archive: 'https://u:{SECRET}@x.org/a.tgz?t={SECRET}', sha256: {SHA}}}}}\n"
    f"  sub: {{source: {{git: 'https://u:{SECRET}@x.org/sub', commit: '{COMMIT}'}}}}\n"
)
FILES = {"recipes/demo.yaml": RECIPE, "patches/demo/1.0.0/a.patch": PATCH}
CIRCUMSTANCES = Circumstances(
    run="20260101-000000-aaaa",
    options=BuildOptions(command=("farm", "build", f"--x=https://u:{SECRET}@x.org/")),
    engine=EngineFacts(
        name="private", version="28.5.2", machine=Machine(cores=4, memory_bytes=1 << 30)
    ),
    packed={f"git:{COMMIT}": PACKED},
    base={
        "tag": "farm-base:x",
        "packages": {"gcc-14": "14.2.0-19", "libc6": "1:2.41"},
        "sha256": {"gcc-14": OTHER, "libc6": SHA},
    },
    jobs=JobPlan(max_jobs=6, nvcc_threads=1, arithmetic="MAX_JOBS=6 = …"),
    needs=(Input(name="torch@2:stub", digest=OTHER),),
    refused=(),
    started_s=1.7e9,
)
CRATES = (
    Crate(name="one", version="1.0.0", sha256=SHA),
    Crate(name="two", version="2.0.0", git=f"git+https://u:{SECRET}@x.org/two#{COMMIT}"),
)


def made_at(root: Path, wheel: WheelFile) -> Made:
    """A unit with every kind of input, built."""
    (unit,) = planned(project_at(root, FILES)).units
    pins = [
        Pin(name=name, version="1", filename=f"{name}-1-py3-none-any.whl", sha256=SHA)
        for name in ("locked", "nvcc")
    ]
    lock = CrateLock(inputs=SHA, crates=CRATES)
    unit = replace(
        unit,
        lock=Lock(inputs=SHA, pins=(pins[0],)),
        toolkit=ToolkitPlan(root="/o", home="/o/k", wheels=(pins[1],)),
        crates=(CrateSet(source="demo", file="Cargo.lock", inputs=SHA, lock=lock),),
    )
    identified = identify(
        unit,
        base=BaseReference(image="farm-base:x", digest=f"sha256:{SHA}"),
        needed=(Wheel(filename="torch-2-py3-none-any.whl", sha256=OTHER, path=root),),
        templates=(shipped_root() / "dockerfiles",),
    )
    attempt = Attempt(
        number=1,
        result=BuildResult(exit_status=0, seconds=3),
        exported=root,
        compilers=(Compiler(folder="/b", language="C", path="/g", family="GNU", version="14.2"),),
    )
    accepted = Accepted(wheel=wheel, warnings=(), contents={})
    record = record_of(identified, attempt, CIRCUMSTANCES, accepted=accepted)
    return Made(unit=unit, manifest=identified.manifest, record=record)


def valid_sbom(text: str) -> dict[str, Any]:
    """An SBOM that the strict validator takes, and whose URLs and times have their form."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found: dict[str, Any] = json.loads(text)
    assert TIME.fullmatch(found["metadata"]["timestamp"])
    for url in values(found, "url"):
        assert URL.fullmatch(url), url
    for address in values(found, "purl"):
        # In some kinds the library writes escapes small that it writes large in others.
        assert PackageURL.from_string(address).to_string().lower() == address.lower()
    return found


def values(part: object, key: str) -> Iterator[Any]:
    """What stands under a key, wherever."""
    if isinstance(part, dict):
        yield from ([part[key]] if key in part else [])
    for inner in part.values() if isinstance(part, dict) else part if type(part) is list else ():
        yield from values(inner, key)


def valid_provenance(text: str) -> dict[str, Any]:
    """A statement that in-toto's own library takes, its predicate too."""
    found: dict[str, Any] = json.loads(text)
    Statement.copy_from_pb(ParseDict(found, statement_pb2.Statement())).validate()
    ParseDict(found["predicate"], Provenance())  # which has no field of another name
    return found
