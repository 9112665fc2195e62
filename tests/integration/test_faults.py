"""Everything that can go wrong in a build, caused for real: what is said and what is kept.

All units of the project are built in one run, so that each failure also shows
that it leaves the others alone.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.engine import namespaces, private
from tests.support.farming import Done, Farm, Told, borrow_cache, copy_project, quiet, sharing

if TYPE_CHECKING:
    from farm.engine.endpoint import Endpoint

pytestmark = pytest.mark.engine

UNDECLARED = r"tiny/core\.c:6:28: error: .forty_two. undeclared"
FAULTS = {
    "broken": (9, "compile", UNDECLARED),
    "misfit": (12, "patched", r"0002-does-not-fit\.patch: hunk 1 does not fit tiny/core\.c"),
    "unedited": (12, "patched", r"setup\.py .*'this text is nowhere' 1 time, found it 0 times"),
    "overedited": (12, "patched", r"setup\.py .*'import' 1 time, found it \d+ times"),
    "unlike": (10, "check", r"is not what the recipe promises"),
    "hungry": (13, "compile", r"memory ran out"),
    "flaky": (9, "compile", r"error: failing on purpose at this attempt"),
    "outbound": (9, "compile", r"\[Errno 101\] Network is unreachable"),
}
COMPILED = ("broken", "unlike", "hungry", "flaky", "outbound")


def label(variant: str) -> str:
    return f"tiny@1.0:{variant}"


@pytest.fixture(scope="module")
def farm(
    farm_cache: Path, private_engine: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Farm:
    del private_engine
    root = copy_project("faults", tmp_path_factory.mktemp("faults") / "project")
    recipe = root / "recipes/tiny.yaml"
    first = 'TINY_FAIL_ATTEMPT: "1"'
    text = recipe.read_text(encoding="utf-8")
    assert first in text
    # an engine that remembers the failure of an earlier session would not fail again
    recipe.write_text(text.replace(first, f'{first}, ONCE: "{time.time_ns()}"'), encoding="utf-8")
    return sharing(farm_cache, root)


@pytest.fixture(scope="module")
def done(farm: Farm) -> Done:
    """One run in which everything goes wrong that can, but for one unit."""
    units = [f"tiny:{name}" for name in (*FAULTS, "cpu")]
    return farm.build(*units, "follower")


def whole(event: Told) -> str:
    return "\n".join([event["message"], *event["details"]])


def test_each_failure_leaves_the_others_alone_and_the_first_gives_the_exit_code(
    done: Done,
) -> None:
    assert done.outcomes() == {
        **{label(name): "failed" for name in FAULTS},
        label("cpu"): "built",
        "follower@1.0:cpu": "blocked",
    }
    assert done.code == 9
    assert "Traceback" not in done.said


@pytest.mark.parametrize("variant", FAULTS)
def test_a_failure_has_its_exit_code_step_and_first_real_error(done: Done, variant: str) -> None:
    code, step, error = FAULTS[variant]
    ended = done.ended(label(variant))
    assert ended["exit_code"] == code
    assert ended["step"] == step
    assert re.search(error, ended["message"]), whole(ended)


def test_the_compilers_own_message_is_the_first_error_line_with_its_context(done: Done) -> None:
    ended = done.ended(label("broken"))
    assert re.search(UNDECLARED, ended["message"])
    assert any("return PyLong_FromLong(forty_two)" in line for line in ended["details"])


def test_a_wheel_that_is_not_as_promised_is_put_aside_and_what_lacks_is_named(
    done: Done, farm: Farm
) -> None:
    ended = done.ended(label("unlike"))
    assert "tiny/_device.so" in whole(ended)
    assert not farm.result("unlike").exists()
    assert len(list(farm.runs()[0].glob("tiny-1.0/unlike/rejected/*.whl"))) == 1


@pytest.mark.parametrize("variant", FAULTS)
def test_every_failure_names_a_log_that_is_there(done: Done, farm: Farm, variant: str) -> None:
    log = Path(done.ended(label(variant))["log"])
    assert log.is_relative_to(farm.runs()[0])
    assert log.stat().st_size > 0


@pytest.mark.parametrize("variant", FAULTS)
def test_every_failure_is_kept_in_a_record_of_the_run(done: Done, variant: str) -> None:
    ended = done.ended(label(variant))
    record = json.loads(Path(ended["log"]).with_name("record.json").read_text(encoding="utf-8"))
    assert (record["outcome"], record["wheels"]) == ("failed", [])
    assert (record["exit_code"], record["message"]) == (FAULTS[variant][0], ended["message"])


@pytest.mark.parametrize("variant", COMPILED)
def test_the_log_of_a_failed_compile_is_whole(done: Done, variant: str) -> None:
    log = Path(done.ended(label(variant))["log"])
    said = log.with_name("compile.log").read_text(encoding="utf-8")
    assert "running build_ext" in said
    in_build_log = log.read_text(encoding="utf-8")
    for line in said.splitlines():
        assert line.rstrip() in in_build_log


def test_the_log_holds_the_compilers_own_message(done: Done) -> None:
    log = Path(done.ended(label("broken"))["log"])
    assert re.search(UNDECLARED, log.read_text(encoding="utf-8"))


@pytest.mark.parametrize("variant", FAULTS)
def test_every_failure_comes_with_the_command_that_repeats_it(done: Done, variant: str) -> None:
    repeat = done.ended(label(variant))["repeat"]
    assert label(variant) in repeat


@pytest.mark.parametrize("variant", ["broken", "misfit"])
def test_the_command_that_repeats_a_failure_works_when_pasted(
    done: Done, farm: Farm, variant: str
) -> None:
    ended = done.ended(label(variant))
    again = farm.paste(ended["repeat"])
    assert again.code == FAULTS[variant][0], again.said
    assert ended["message"] in again.stderr
    assert ended["repeat"] in again.stderr


def test_the_plain_view_tells_step_error_log_and_repetition_in_this_order(farm: Farm) -> None:
    out = farm.root / "somewhere else"
    said = farm.run("build", "--progress=plain", "--output-dir", str(out), "tiny:broken")
    places = [
        said.stderr.index(text)
        for text in (
            f"{label('broken')} failed in compile",
            "6:28: error: ",
            f"{out}/.farm/runs/",
            f"farm -C {farm.root} build {label('broken')} --output-dir '{out}'",
        )
    ]
    assert places == sorted(places)
    assert said.code == 9


def test_nothing_of_a_failure_is_published(done: Done, farm: Farm) -> None:
    del done
    assert [path.name for path in (farm.out / "tiny-1.0").iterdir()] == ["cpu"]
    assert not (farm.out / "follower-1.0").exists()


def test_a_blocked_unit_names_what_it_needed_and_has_an_exit_code_of_its_own(
    done: Done, farm: Farm
) -> None:
    ended = done.ended("follower@1.0:cpu")
    assert ended["exit_code"] == 15
    assert label("broken") in ended["message"]
    record = farm.runs()[0] / "run.json"
    assert '"follower@1.0:cpu": "blocked"' in record.read_text(encoding="utf-8")


def test_a_failure_is_never_served_out_of_the_cache(done: Done, farm: Farm) -> None:
    assert done.ended(label("flaky"))["outcome"] == "failed"
    again = farm.build("tiny:flaky")
    assert again.outcomes() == {label("flaky"): "built"}


def test_a_failed_compile_runs_again_when_asked_again(done: Done, farm: Farm) -> None:
    assert done.ended(label("outbound"))["outcome"] == "failed"
    again = farm.build("tiny:outbound")
    spans = [e for e in again.of("StepFinished", label("outbound")) if e["step"] == "compile"]
    assert spans[-1]["cached"] is False


def test_the_log_is_whole_even_where_the_engine_clips(
    farm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine with default settings, as a user's own is."""
    cache = borrow_cache(farm_cache, tmp_path / "cache")
    detach = namespaces.detach

    def with_default_limits(*arguments: Any, env: dict[str, str], **named: Any) -> Any:
        kept = {n: v for n, v in env.items() if not n.startswith("BUILDKIT_STEP_LOG")}
        return detach(*arguments, env=kept, **named)

    monkeypatch.setattr(namespaces, "detach", with_default_limits)
    farm = Farm(root=copy_project("faults", tmp_path / "project"), cache=cache)
    try:
        private.ensure_running(cache, quiet)
        done = farm.build("tiny:noisy")
    finally:
        private.stop(cache)
    assert done.code == 0, done.said
    live = [event["line"] for event in done.of("StepOutput", label("noisy"))]
    assert any("output clipped" in line for line in live)
    logs = farm.result("noisy") / "logs"
    numbers = re.findall(
        r"^ *(\d{10}) x{4084}$", (logs / "compile.log").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert numbers == [f"{number:010d}" for number in range(24 * 256)]
    build_log = (logs / "build.log").read_text(encoding="utf-8")
    assert "output clipped" not in build_log
    assert len(re.findall(r"\[compile\] +\d{10} x{4084}$", build_log, re.MULTILINE)) == 24 * 256
