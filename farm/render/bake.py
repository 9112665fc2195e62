"""``docker-bake.json``: units as targets that plain ``docker buildx bake`` builds; pure.

Format: buildx's bake file reference, in JSON.  A base is a target of its own (``ADD`` of its
layer), which needs neither a registry nor ``docker load``; tried with buildx 0.13 on both image
stores of Docker 26.1, and 0.29 on 28.5.  ``oci-layout://`` fails there without containerd's store.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from farm.model.unit import ImageBase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.model.unit import Unit
    from farm.render.manifest import Manifest

FILE = "docker-bake.json"
"""What ``docker buildx bake`` looks for by itself."""
JOBS = "jobs"
"""The file with the numbers of compile jobs, a secret of each build and in no cache key."""
ATTEMPT = "FARM_ATTEMPT"
_CHECKED = """\
FROM base AS checked
RUN --network=none --mount=type=bind,from=result,target=/farm/result <<EOF
mkdir /checked
if ls /farm/result/*.whl 2>/dev/null; then exit 0; fi
echo 'farm: error: no wheel was made; its log: docker buildx bake {name}, then {folder}/logs' >&2
echo 'farm: error: a failure stays in the cache; try again with {attempt}=2 before the command' >&2
exit 1
EOF
FROM scratch
COPY --from=result / /
COPY --from=checked /checked/ /
"""
"""A compile step always succeeds, so that its log gets out: this is what fails without a wheel."""


def base_folder(image: str) -> str:
    """Where the layer of a bootstrapped base lies, below the folder of the bake file."""
    return f"bases/{image.rpartition(':')[2]}"


def unit_folder(unit: Unit) -> str:
    """Where the Dockerfile and the context of a unit lie, below the folder of the bake file."""
    return f"units/{unit.key.folder}"


def bake_file(units: Iterable[tuple[Unit, Manifest]]) -> str:
    """The text of ``docker-bake.json`` for units, in this order.

    Every path in it counts from the folder in which bake is called.  A unit is two
    targets: what its Dockerfile says, logs of a failure included, and what fails where
    that has no wheel.  Groups are named after packages and variants.
    """
    names = _Names()
    targets: dict[str, object] = {}
    groups: dict[str, list[str]] = {"default": []}
    bases: dict[str, str] = {}
    for unit, manifest in units:
        image = manifest.base.image
        if not isinstance(unit.base, ImageBase) and image not in bases:
            bases[image] = names.take(f"base-{image.rpartition(':')[2]}")
            targets[bases[image]] = {"context": base_folder(image)}
        name = names.take(unit.key.label, and_with="-result")
        targets[f"{name}-result"] = _result(unit, _of_base(bases, image, image))
        targets[name] = _checked(unit, name, _of_base(bases, image, "base"))
        groups["default"].append(name)
        groups.setdefault(_word(unit.key.package), []).append(name)
        groups.setdefault(_word(unit.key.variant), []).append(name)
    document = {
        "variable": {ATTEMPT: {"default": "1"}},
        "group": {
            name: {"targets": sorted(set(members))}
            for name, members in groups.items()
            if name not in targets
        },
        "target": targets,
    }
    return json.dumps(document, indent=2) + "\n"


def _of_base(bases: Mapping[str, str], image: str, name: str) -> dict[str, str]:
    """What stands for ``name`` in a Dockerfile that starts from ``image``."""
    if image in bases:
        return {name: f"target:{bases[image]}"}
    return {} if name == image else {name: f"docker-image://{image}"}


def _result(unit: Unit, contexts: dict[str, str]) -> dict[str, object]:
    return {
        "context": unit_folder(unit),
        "contexts": contexts,
        "target": "result",
        "args": {ATTEMPT: f"${{{ATTEMPT}}}"},
        "secret": [f"type=file,id=jobs,src={JOBS}"],
        "output": [_output(unit)],
    }


def _checked(unit: Unit, name: str, contexts: dict[str, str]) -> dict[str, object]:
    dockerfile = _CHECKED.format(
        name=f"{name}-result", folder=f"out/{unit.key.folder}", attempt=ATTEMPT
    )
    return {
        "context": unit_folder(unit),
        "contexts": contexts | {"result": f"target:{name}-result"},
        "dockerfile-inline": dockerfile,
        "output": [_output(unit)],
    }


def _output(unit: Unit) -> str:
    return f"type=local,dest=out/{unit.key.folder}"


def _word(text: str) -> str:
    """Text as a name that bake takes."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", text)


class _Names:
    """Gives names that bake takes, each once: dots, ``@``, ``:`` and ``+`` all become dashes."""

    def __init__(self) -> None:
        self._taken = {"default"}

    def take(self, wish: str, *, and_with: str = "") -> str:
        """A name like ``wish`` that is free, also with that at its end."""
        number, name = 1, _word(wish)
        while {name, f"{name}{and_with}"} & self._taken:
            number += 1
            name = f"{_word(wish)}-{number}"
        self._taken |= {name, f"{name}{and_with}"}
        return name
