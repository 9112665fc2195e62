"""Lock build requirements: uv resolves them, each is pinned to the one wheel that fits.

uv sees a clean environment, so that a lock says the same on every machine; the
index, proxies and certificates that the machine is set up with are handed on.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.pylock import Pylock, PylockValidationError
from packaging.utils import canonicalize_name

from farm.errors import FetchError, LockError
from farm.host import programs
from farm.host.network import proxy_variables
from farm.load.locks import inputs_digest
from farm.model.unit import Lock, Pin
from farm.resolve.sdist import checked_requirement
from farm.resolve.wheels import MACHINE, best_wheel, container_tags, short_version
from farm.source.job import programs_needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from packaging.pylock import Package
    from packaging.requirements import Requirement
    from packaging.tags import Tag

    from farm.host.network import NetworkSettings
    from farm.model.unit import LockInputs
    from farm.store.blobs import Store

_UV_GLIBC = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)  # what --python-platform knows
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CACHE_HOME", "UV_CACHE_DIR", "NETRC")
_OPTIONS = (
    *("--format=pylock.toml", "--no-build", "--no-header", "--no-annotate", "--no-config"),
    *("--no-python-downloads", "--no-progress", "--color=never"),
)
_NOISE = re.compile(r"(?:warning|Using|Resolved|Updating)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """uv, set up as the machine is; the store's folder serves for temporary files."""

    store: Store
    settings: NetworkSettings
    environ: Mapping[str, str] | None = None

    def lock(self, inputs: LockInputs, from_source: Sequence[str]) -> Lock:
        """Resolve what a unit needs at build time.

        ``from_source`` is what the source itself asks for (`build_requires_of`);
        ``inputs.requires`` adds to it and constrains it.  What ``inputs.provided``
        names is left out, with what only that would need.

        Raises:
            LockError: a requirement that is none, cannot be satisfied, or has no
                wheel for the container; the message says which, in uv's words.
            FetchError: the index cannot be asked, or uv is missing.
        """
        digest = inputs_digest(inputs)
        tags = container_tags(python=inputs.python, glibc=inputs.glibc)
        wanted = _wanted(from_source, inputs)
        resolved = self._resolve(wanted, inputs) if wanted else ()
        pins = [_pin(package, tags, inputs) for package in resolved]
        return Lock(inputs=digest, pins=tuple(sorted(pins, key=lambda pin: pin.name)))

    def _resolve(self, wanted: Sequence[str], inputs: LockInputs) -> Sequence[Package]:
        """What uv makes of requirements for the container, each with its wheels."""
        env = _uv_environment(os.environ if self.environ is None else self.environ, self.settings)
        with self.store.work_folder() as folder, programs_needed():
            done = programs.run(
                [_uv(), "pip", "compile", "-", *_OPTIONS, *_target(inputs, folder)],
                env=env,
                cwd=folder,
                stdin="".join(f"{line}\n" for line in wanted).encode(),
            )
        if done.status:
            raise _unresolved(wanted, done.complaint)
        return parsed(done.text)


def parsed(text: str) -> Sequence[Package]:
    """Read what uv writes: a pylock.toml (https://packaging.python.org/en/latest/specifications/pylock-toml/).

    Raises:
        LockError: it is none.
    """
    try:
        return Pylock.from_dict(tomllib.loads(text)).packages
    except (tomllib.TOMLDecodeError, PylockValidationError) as error:
        raise LockError(f"uv gave no pylock.toml: {error}") from error


def _pin(package: Package, tags: Sequence[Tag], inputs: LockInputs) -> Pin:
    wheels = [wheel for wheel in package.wheels or () if "sha256" in wheel.hashes]
    wheel = best_wheel(wheels, tags)
    if wheel is None:
        names = ", ".join(wheel.filename for wheel in wheels) or "none at all"
        raise LockError(
            f"{package.name} {package.version} has no wheel for CPython {inputs.python} "
            f"with glibc {inputs.glibc}",
            hint="constrain it to a version that has one, or provide it by a source",
            details=[f"its wheels: {names[:500]}"],
        )
    return Pin(
        name=package.name,
        version=str(package.version),
        filename=wheel.filename,
        sha256=wheel.hashes["sha256"],
    )


def _wanted(from_source: Sequence[str], inputs: LockInputs) -> list[str]:
    provided: set[str] = {canonicalize_name(name) for name in inputs.provided}
    environment = _marker_environment(inputs)
    wanted: dict[str, None] = {}
    for origin, texts in (("the source", from_source), ("the recipe", inputs.requires)):
        for text in texts:
            requirement = checked_requirement(text, where=f"what {origin} requires")
            if _needed(requirement, provided, environment):
                wanted[str(requirement)] = None
    return list(wanted)


def _needed(requirement: Requirement, provided: set[str], environment: dict[str, str]) -> bool:
    marker = requirement.marker
    asked = canonicalize_name(requirement.name) not in provided
    return asked and (marker is None or marker.evaluate(environment))


def _marker_environment(inputs: LockInputs) -> dict[str, str]:
    short_version(inputs.python, "Python")
    return {
        "extra": "",
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": MACHINE,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{inputs.python}.0",
        "python_version": inputs.python,
        "sys_platform": "linux",
    }


def _target(inputs: LockInputs, folder: Path) -> list[str]:
    """The options that say for which container, and what to leave out."""
    _, minor = short_version(inputs.glibc, "glibc")
    known = max((step for step in _UV_GLIBC if step <= minor), default=_UV_GLIBC[0])
    excludes = folder / "excludes.txt"
    excludes.write_text("".join(f"{canonicalize_name(name)}\n" for name in inputs.provided))
    return [
        f"--python-version={inputs.python}",
        f"--python-platform={MACHINE}-manylinux_2_{known}",
        f"--python={sys.executable}",
        f"--excludes={excludes}",
    ]


def _uv() -> str:
    import uv

    try:
        return uv.find_uv_bin()
    except FileNotFoundError as error:
        raise FetchError(
            "the program 'uv' is needed to resolve requirements and was not found",
            hint="install farm again; uv comes with it",
        ) from error


def _uv_environment(environ: Mapping[str, str], settings: NetworkSettings) -> dict[str, str]:
    env = {name: environ[name] for name in _KEPT if name in environ}
    env |= proxy_variables(environ)
    if settings.index_url is not None:
        env["UV_DEFAULT_INDEX"] = settings.index_url  # not an argument: it may hold a password
    if settings.ca_bundle is not None:
        env["SSL_CERT_FILE"] = settings.ca_bundle
    return {**env, "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}


def _unresolved(wanted: Sequence[str], stderr: str) -> LockError | FetchError:
    lines = [line.strip().replace("cause: ", "") for line in stderr.splitlines() if line.strip()]
    lines = [re.sub(r"^error: |^[×╰├─▶│ ]+", "", line) for line in lines if not _NOISE.match(line)]
    shown = ", ".join(wanted[:5]) + ("…" if len(wanted) > 5 else "")  # noqa: PLR2004 - a readable line
    reason = " ".join(lines)[:1500] or "uv gave no reason"
    if re.search(r"error sending request|Failed to fetch|dns error|Connect", reason):
        return FetchError(
            f"cannot ask the index while resolving {shown}: {reason[:500]}",
            hint="check the network, the proxy settings and the index setting of pip or uv",
        )
    return LockError(
        f"the requirements {shown} cannot be resolved: {reason}",
        hint="change what the recipe requires; only wheels are taken, nothing is built",
    )
