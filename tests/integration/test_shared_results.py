"""What one machine has built another takes from the shared results: its bytes, with no engine."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.farming import Farm, copy_project, sharing
from tests.support.objects import serving

if TYPE_CHECKING:
    from pathlib import Path

    from farm.engine.endpoint import Endpoint

pytestmark = pytest.mark.engine

UNITS = {"flit-core@3.12.0:pure", "mdurl@0.1.2:pure"}
SECRETS = ("hunter2", "planted-token")


def machine(farm_cache: Path, root: Path) -> Farm:
    """A checkout with results of its own; if it has to build, on the engine of all tests."""
    copy_project("pair", root)
    farm = sharing(farm_cache, root)
    return farm.with_variables(PLANTED_TOKEN="planted-token")  # noqa: S106


def without_engine(farm: Farm) -> Farm:
    """The same, where no engine can be had."""
    (farm.cache / "engine").unlink()
    return farm.with_variables(FARM_ENGINE="user", DOCKER_HOST="unix:///nowhere.sock")


def wheels(farm: Farm) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in farm.out.rglob("*.whl")}


def steps(said: str) -> list[str]:
    events = [json.loads(line) for line in said.splitlines()]
    return [event["step"] for event in events if event["event"].startswith("Step")]


def key(folder: Path, name: str) -> tuple[str, str]:
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    for words in (
        f"genpkey -algorithm ed25519 -out {private}",
        f"pkey -in {private} -pubout -out {public}",
    ):
        subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    return str(private), str(public)


def test_a_second_machine_builds_nothing(
    farm_cache: Path, private_engine: Endpoint, tmp_path: Path
) -> None:
    del private_engine
    private, public = key(tmp_path, "mine")
    _, other = key(tmp_path, "other")
    first = machine(farm_cache, tmp_path / "first")
    second = without_engine(machine(farm_cache, tmp_path / "second"))
    third = without_engine(machine(farm_cache, tmp_path / "third"))
    with serving(login="me:hunter2") as server:
        url = server.url.replace("://", "://me:hunter2@")
        built = first.build("mdurl", "--results", url, "--sign-key", private)
        assert built.code == 0, built.said
        assert built.outcomes() == dict.fromkeys(UNITS, "built")
        planned = second.run("plan", "mdurl", "--json", "--results", url, "--trust-key", public)
        rows = json.loads(planned.stdout)["units"]
        assert {row["label"]: row["standing"] for row in rows} == dict.fromkeys(UNITS, "built")
        taken = second.build("mdurl", "--results", url, "--trust-key", public)
        assert taken.code == 0, taken.said
        assert taken.outcomes() == dict.fromkeys(UNITS, "unchanged")
        assert steps(taken.stdout) == []
        refused = third.build("mdurl", "--results", url, "--trust-key", other)
        assert refused.code == 7, refused.said  # it would build, and has no engine
        assert "signed by another key" in refused.said
        stored = dict(server.objects)
    assert wheels(first) == wheels(second)
    assert len(wheels(first)) == len(UNITS)
    written = [p.read_bytes() for f in (first, second) for p in f.out.rglob("*") if p.is_file()]
    said = (built.said + planned.said + taken.said + refused.said).encode()
    for secret in SECRETS:
        assert not any(secret.encode() in content for content in (*stored.values(), *written))
        assert secret.encode() not in said
    assert second.run("build", "mdurl", "--results", url).code == 0  # all is here by now
