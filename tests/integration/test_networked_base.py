"""A base that is an image gets packages in a networked step: proxies and CA come as secrets."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import pytest

from farm.debian import archive
from farm.engine import images
from farm.engine.docker import DockerEngine
from farm.events import StepOutput
from farm.load.library import gather
from farm.load.project import find_project
from farm.model.unit import ImageBase, RootfsBase, Unit
from farm.plan.jobs import JobPlan
from farm.plan.plan import Choice, make_plan
from farm.plan.select import parse_selector
from farm.render.manifest import BaseReference
from farm.run.attempt import Attempt, Work, run_attempt
from farm.run.layout import write_context
from farm.run.options import BuildOptions
from farm.run.prerequisites import bring_inputs
from farm.run.secrets import network_secrets
from farm.run.settle import identify, template_folders
from tests.support.farming import base_at

if TYPE_CHECKING:
    from farm.engine.endpoint import Endpoint
    from farm.events import Event

pytestmark = pytest.mark.engine

PROJECT = find_project(root=Path(__file__).parent.parent / "projects" / "faults")
# 192.0.2.0/24 is reserved for documentation (RFC 5737): nothing answers there.
DEAD_PROXY = "http://somebody:hunter2@192.0.2.1:9"


def planned() -> Unit:
    selectors = [parse_selector("tiny:cpu")]
    return make_plan(gather(PROJECT, ["tiny"]), selectors, Choice()).units[0]


@pytest.fixture
def image(private_engine: Endpoint, farm_cache: Path, tmp_path: Path) -> str:
    """The base of the tests, told where packages are, as an image from elsewhere would be.

    Each is unlike any before, or the engine's cache would answer for the networked step.
    """
    unit = planned()
    assert isinstance(unit.base, RootfsBase)
    base = base_at(farm_cache, unit.base)
    images.load(base, private_engine)
    folder = tmp_path / "image"
    folder.mkdir()
    source = f"deb {archive.mirror()} {unit.base.suite} main"
    (folder / "Dockerfile").write_text(
        f"FROM {base.tag}\nRUN echo '{source}' > /etc/apt/sources.list; echo {uuid4()} > /id\n",
        encoding="utf-8",
    )
    tag = "farm-test-networked:1"
    argv = [*private_engine.buildx, "build", "--output", f"type=docker,name={tag}", str(folder)]
    subprocess.run(argv, env=private_engine.environment(), check=True, capture_output=True)
    return tag


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told:
    attempt: Attempt
    lines: tuple[str, ...]
    dockerfile: str


class Build(Protocol):
    """Builds a unit on the image, with these variables in the environment."""

    def __call__(self, **environ: str) -> Told: ...


@pytest.fixture
def built(image: str, private_engine: Endpoint, farm_cache: Path, tmp_path: Path) -> Build:
    def build(**environ: str) -> Told:
        base = ImageBase(name="x", image=f"x@sha256:{'0' * 64}", packages=("hello",))
        unit = dataclasses.replace(planned(), base=base)
        reference = BaseReference(image=image, digest="")
        templates = template_folders(PROJECT)
        identified = identify(unit, base=reference, needed=(), templates=templates)
        manifest = identified.manifest
        inputs = bring_inputs(unit, farm_cache, BuildOptions(), lambda _: None)
        folder = tmp_path / "unit"
        folder.mkdir()
        (folder / "Dockerfile").write_text(manifest.dockerfile, encoding="utf-8")
        lines: list[str] = []

        def sink(event: Event, /) -> None:
            if isinstance(event, StepOutput):
                lines.append(event.line)

        with network_secrets(unit, {**os.environ, **environ}) as secrets:
            work = Work(
                identified=identified,
                engine=DockerEngine(endpoint=private_engine),
                folder=folder,
                scratch=tmp_path / "scratch",
                jobs=JobPlan(max_jobs=1, nvcc_threads=1, arithmetic=""),
                secrets=secrets,
            )
            write_context(work.context, manifest.context, inputs)
            attempt = run_attempt(work, 1, sink, threading.Event())
        assert not any(path.exists() for name, path in secrets if name == "proxy")
        return Told(attempt=attempt, lines=tuple(lines), dockerfile=manifest.dockerfile)

    return build


def test_packages_are_installed_and_the_rest_of_the_build_is_offline(built: Build) -> None:
    told = built()
    assert told.attempt.compiled, told.attempt.result.error
    assert any("Setting up hello" in line for line in told.lines)
    assert told.dockerfile.count("RUN --network=none") == told.dockerfile.count("RUN ") - 1


def test_the_proxy_is_used_and_told_nobody(built: Build) -> None:
    told = built(HTTP_PROXY=DEAD_PROXY, http_proxy=DEAD_PROXY, HTTPS_PROXY=DEAD_PROXY)
    assert not told.attempt.compiled
    assert any("192.0.2.1" in line for line in told.lines), "apt did not try the proxy"
    everything = "\n".join([*told.lines, told.dockerfile, repr(told.attempt.result)])
    assert "hunter2" not in everything
