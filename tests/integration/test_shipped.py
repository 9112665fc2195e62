"""The shipped recipes for real: two packages at once, the same bytes twice, a clean import."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from farm.attest.sbom import embedded
from tests.support.attesting import valid_sbom

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("private_engine")]

FARM = Path(sys.executable).with_name("farm")
ROOT = Path(__file__).parent.parent.parent
Farm: TypeAlias = "Callable[..., list[dict[str, Any]]]"
LLAMA = "llama-cpp-python@0.2.44:cpu"
VLLM = "vllm@0.22.0:empty"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def farm(own_results: Path, out: Path) -> Farm:
    """Run farm in this repository; returns its JSON events."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        argv = [str(FARM), "-C", str(ROOT), *arguments, "--output-dir", str(out)]
        argv += ["--engine", "private", "--progress", "json"]
        environment = {"FARM_CACHE_DIR": str(own_results), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture(scope="module")
def events(farm: Farm) -> list[dict[str, Any]]:
    return farm("build", LLAMA, "vllm:empty")


def wheel(out: Path, pattern: str) -> Path:
    (found,) = out.glob(pattern)
    return found


def test_both_are_built_at_once(events: list[dict[str, Any]]) -> None:
    begun = {e["unit"]: e["time_s"] for e in events if e["event"] == "StepStarted"
             and e["step"] == "compile"}  # fmt: skip
    over = {e["unit"]: e["time_s"] for e in events if e["event"] == "UnitFinished"}
    assert set(over) == {LLAMA, VLLM, "torch@2.11.0:stub"}
    # vllm waits for torch's wheel and still begins before llama.cpp is compiled.
    assert over["torch@2.11.0:stub"] < begun[VLLM] < over[LLAMA]


def test_vllm_empty_is_python_alone(events: list[dict[str, Any]], out: Path) -> None:
    del events
    path = wheel(out, "vllm-0.22.0/empty/*.whl")
    assert path.name == "vllm-0.22.0+empty-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert len(names) == 2322  # upstream's, and the SBOM
    assert not [name for name in names if name.endswith(".so")]


def test_the_sbom_of_llama_cpp_names_its_submodules_and_its_libraries(
    events: list[dict[str, Any]], out: Path
) -> None:
    del events
    sbom = valid_sbom(embedded(wheel(out, "llama-cpp-python-0.2.44/cpu/*.whl")))
    paths = {each["purl"]: each["properties"][0]["value"] for each in sbom["components"]}
    assert paths == {
        "pkg:github/ggerganov/llama.cpp": "llama-cpp-python/vendor/llama.cpp",
        "pkg:github/nomic-ai/kompute": "llama-cpp-python/vendor/llama.cpp/kompute",
    }
    package = sbom["metadata"]["component"]
    assert package["licenses"] == [{"expression": "MIT"}]
    assert "llama_cpp/libllama.so" in {each["name"] for each in package["components"]}


def test_every_source_of_vllm_is_the_one_that_its_staged_sdist_asks_for(
    events: list[dict[str, Any]], own_results: Path
) -> None:
    del events

    def said(*arguments: str) -> dict[str, Any]:
        argv = [str(FARM), "-C", str(ROOT), *arguments, "--json"]
        environment = {"FARM_CACHE_DIR": str(own_results), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout.startswith("{"), done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    rows = said("plan", "vllm:cuda", "vllm:cpu")["units"]
    pins = [text for row in rows for text in row["lockstep"]]
    assert len(pins) == 7
    assert all(", as " in text for text in pins)
    edits = [row for row in said("patch", "check", "vllm")["patches"] if row["source"] == "vllm"]
    assert [row["fit"] for row in edits] == ["applies"]


def test_the_wheels_were_imported_in_a_clean_container(
    events: list[dict[str, Any]], out: Path
) -> None:
    del events
    result = wheel(out, "llama-cpp-python-0.2.44/cpu/*.whl").parent
    tried = json.loads((result / "record.json").read_text(encoding="utf-8"))["smoke_test"]
    assert [each["what"] for each in tried["passed"]] == ["import llama_cpp", "script"]
    assert not {"gcc-14", "python3-dev"} & set(tried["base"]["packages"])
    assert any(text.startswith("numpy==") for text in tried["requirements"])
    log = (result / "logs" / "smoke-test.log").read_text(encoding="utf-8")
    assert "AVX = " in log
    assert "--network=none" in (result / "Dockerfile.smoke-test").read_text(encoding="utf-8")


def test_building_anew_gives_the_same_bytes(
    events: list[dict[str, Any]], farm: Farm, out: Path
) -> None:
    del events
    patterns = ("llama-cpp-python-0.2.44/cpu/*.whl", "vllm-0.22.0/empty/*.whl")
    before = [wheel(out, pattern).read_bytes() for pattern in patterns]
    again = farm("build", LLAMA, "vllm:empty", "--rebuild")
    compiled = {e["unit"] for e in again if e["event"] == "StepFinished" and e["step"] == "compile"
                and not e["cached"]}  # fmt: skip
    assert compiled == {LLAMA, VLLM}
    assert [wheel(out, pattern).read_bytes() for pattern in patterns] == before
