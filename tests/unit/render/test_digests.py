"""Every file that a step is given is held against a digest before anything uses it."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.load.project import shipped_root
from tests.support.projects import demo_unit, rendered
from tests.unit.render.test_dockerfile import instructions

if TYPE_CHECKING:
    from farm.model.unit import Unit

TEMPLATES = (shipped_root() / "dockerfiles",)
GOLDENS = sorted((Path(__file__).parents[2] / "golden").glob("*/Dockerfile*"))
FOLDERS = {"log", "pool", "programs", "compiled"}
FOLDERS |= {"wheels", "patches", "crates", "toolkit", "stubs"}
"""Of which commands name the whole: pip and vendor.py verify what they take from them."""


def unverified(step: str) -> set[str]:
    """Files below /farm that a step names without having held them against a digest."""
    listed = re.search(r"<<SUMS\n(.*?)\nSUMS\n\) \|\| (.*)", step, re.DOTALL)
    if listed is None:
        return set(re.findall(r"/farm/(\S+)", step))
    lines = (line.split("  /farm/") for line in listed[1].splitlines())
    sums = {path for digest, path in lines if re.fullmatch("[0-9a-f]{64}", digest)}
    mounted = set(re.findall(r"source=inside/\S+,target=/farm/(\S+)", step))
    after = re.sub(r"--digest=(\S+|'[^']+') /farm/\S+|/run/farm/jobs", "", listed[2])
    return (mounted | set(re.findall(r"/farm/([^\s:]+)", after))) - sums - FOLDERS


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_step_names_no_file_that_it_has_not_verified(path: Path) -> None:
    steps = [step for step in instructions(path.read_text()) if step.startswith("RUN ")]
    assert {step: found for step in steps if (found := unverified(step))} == {}


def test_a_step_that_verifies_nothing_or_not_all_is_found() -> None:
    assert unverified("RUN python3 /farm/inside/step.py") == {"inside/step.py"}
    (step,) = (
        step
        for step in instructions(GOLDENS[0].read_text())
        if "RUN " in step and "/farm/sources/" in step
    )
    line = next(line for line in step.splitlines() if "  /farm/inside/unpack.py" in line)
    assert unverified(step) == set()
    assert unverified(step.replace(line, "")) == {"inside/unpack.py"}
    assert unverified(re.sub(r"--digest=\S+", "", step)) != set()


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    return demo_unit(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize("content", [b"", b"other", None])
def test_a_file_of_other_content_ends_the_step_and_is_named(
    unit: Unit, tmp_path: Path, content: bytes | None
) -> None:
    text = rendered(unit, base="b", templates=TEMPLATES)
    check = text[text.index("wrong=$(") : text.index("\npython3 -m venv")]
    assert hashlib.sha256(b"").hexdigest() in check
    script = check.replace("/farm/", f"{tmp_path}/")
    if content is not None:
        (tmp_path / "wheels").mkdir()
        (tmp_path / "wheels/requirements.txt").write_bytes(content)
    argv = ["sh", "-c", f"set -eu\n{script}\necho went on"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if content == b"":
        assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")
        return
    assert (done.returncode, done.stdout) == (65, "")
    told = f"farm: error: {tmp_path}/wheels/requirements.txt: not what its digest says"
    assert told in done.stderr.splitlines()
