"""Provenance: how a wheel came to be, as an in-toto statement with SLSA's predicate.

Formats: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and
https://slsa.dev/spec/v1.0/provenance.  What the build type's parameters mean stands in
``docs/reference/provenance.md``.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from farm.attest.inputs import addresses, packages_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.attest.made import Made
    from farm.store.record import Input, Record

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
PAYLOAD: Final = "application/vnd.in-toto+json"
"""What an envelope (DSSE) calls a statement."""
BUILD_TYPE: Final = "urn:farm:build:v1"
"""A name, not an address.  It changes when a parameter gets another meaning."""
BUILDER: Final = "urn:farm:builder"
"""Whoever ran farm: who that was says a signature, not this name."""

Descriptor = dict[str, Any]


def statement(made: Made, others: Iterable[Input]) -> str:
    """The statement about the wheels of a build, and ``others``, files beside them by digest."""
    subjects = [{"name": w.filename, "digest": {"sha256": w.sha256}} for w in made.wheels]
    subjects += [{"name": each.name, "digest": digest_set(each)} for each in others]
    document = {
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _asked(made.record),
                "internalParameters": _chosen(made.record),
                "resolvedDependencies": list(_dependencies(made)),
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER,
                    "version": {"farm": made.record.farm, "engine": made.record.engine_version},
                },
                "metadata": {
                    "invocationId": f"{made.record.run}/{made.record.unit}",
                    "startedOn": _time(made.record.started_s),
                    "finishedOn": _time(made.record.started_s + made.record.seconds),
                },
            },
        },
    }
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def digest_set(item: Input) -> dict[str, str]:
    """A digest of a context as in-toto has it; see docs/reference/provenance.md.

    A commit, and a folder (``farmTree``), have that of the archive that farm packs besides.
    """
    kind, _, value = item.digest.partition(":")
    packed = {"sha256": item.packed} if item.packed else {}
    match kind:
        case "git":
            return {"gitCommit": value.partition("+")[0], **packed}
        case "tree":
            return {"farmTree": value, **packed}
        case _:
            return {kind: value}


def _asked(record: Record) -> dict[str, Any]:
    """What whoever asks for a build decides."""
    return {
        "unit": record.unit,
        "package": record.package,
        "version": record.version,
        "variant": record.variant,
        "python": record.python,
        "features": list(record.features),
        "accelerator": record.accelerator,
        "archs": list(record.archs),
        "toolchain": record.toolchain,
        "hostCompiler": record.host_compiler,
        "env": dict(record.env),
    }


def _chosen(record: Record) -> dict[str, Any]:
    """What decides how it is built, and changes nothing of what comes out."""
    return {
        "identity": record.identity,
        "hermetic": record.hermetic,
        "needs": [{"unit": each.name, "identity": each.digest} for each in record.needs],
        "attempt": record.attempt,
        "maxJobs": record.max_jobs,
        "engine": record.engine,
        "machine": dict(record.machine),
        "options": dict(record.options),
    }


def _dependencies(made: Made) -> Iterator[Descriptor]:
    """Everything that went in: manifest, Dockerfile, each file of the context, the base."""
    manifest = made.manifest
    yield {"name": "manifest.json", "digest": {"sha256": manifest.identity}}
    dockerfile = hashlib.sha256(manifest.dockerfile.encode()).hexdigest()
    yield {"name": "Dockerfile", "digest": {"sha256": dockerfile}}
    where = addresses(made)
    for item in made.record.inputs:
        uri = where.get(item.name)
        yield {"name": item.name, "digest": digest_set(item), **({"uri": uri} if uri else {})}
    image = manifest.base.digest.removeprefix("sha256:")
    yield {"name": manifest.base.image, "digest": {"sha256": image}}
    for each in packages_of(made.record):
        yield {"name": f"base/{each.name}", "uri": each.purl, "digest": {"sha256": each.sha256}}


def _time(seconds: float) -> str:
    """A time as RFC 3339 has it, in UTC."""
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"
