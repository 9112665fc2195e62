"""The gate before every compiler: one budget for all, whatever is killed, whatever is passed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.farming import copy_project, sharing
from tests.support.gates import MIB, Gates, static_gate, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.engine.endpoint import Endpoint
    from tests.support.farming import Farm

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def farm(
    farm_cache: Path, private_engine: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Farm:
    del private_engine
    made = sharing(farm_cache, copy_project("faults", tmp_path_factory.mktemp("gate") / "tiny"))
    done = made.build("tiny:cpu")
    assert done.code == 0, done.said
    return made


@pytest.fixture(scope="module")
def gate(farm: Farm, private_engine: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = farm.record("cpu")["base"]["tag"]
    return static_gate(private_engine, image, tmp_path_factory.mktemp("static"))


@pytest.fixture
def gates(gate: Path, tmp_path: Path) -> Iterator[Gates]:
    made = Gates(folder=tmp_path, gate=gate)
    yield made
    made.end()


ASKED = [
    ["--version"],
    ["-E", "{source}"],
    ["-M", "{source}"],
    ["-MM", "-c", "{source}"],
    ["-###", "-c", "{source}"],
    ["-dumpmachine"],
    ["-print-search-dirs"],
    ["-x", "c", "-c", "-"],
    ["@{response}"],
    [],
    ["-Wl,--help", ""],
]


@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_what_compiles_nothing_passes_untouched_and_waits_for_nobody(
    gates: Gates, words: list[str]
) -> None:
    """Even where all there is is taken."""
    gates = gates.with_(cores=1)
    gates.compile("long", s=300)
    until(gates.held)
    source = gates.source("asked")
    response = gates.folder / "words"
    response.write_text(f'-E -DX="a b" {source}')
    said = [word.format(source=source, response=response) for word in words]
    call = gates.start(*said)
    out, err = call.communicate("int x;\n", timeout=60)
    told = json.loads(out)
    assert (told["argv"], call.returncode, err) == (said, 3, "")
    assert told["stdin"] == ("int x;\n" if "-" in said else "")


def test_arguments_of_200_kb_arrive_whole(gates: Gates) -> None:
    defines = [f"-D{'x' * 1000}{n}=' \"\\$'" for n in range(200)]
    call = gates.start(*defines, "-E", "x.c")
    out, _ = call.communicate(timeout=60)
    assert json.loads(out)["argv"] == [*defines, "-E", "x.c"]
    source = gates.source("wide")
    call = gates.start(*defines, "-c", source)
    out, _ = call.communicate(timeout=60)
    assert (call.returncode, out) == (0, f"compiled {source}\n")


def test_without_a_pool_it_is_not_there(gates: Gates) -> None:
    for variables in ({"FARM_POOL": ""}, {"FARM_POOL": "/nowhere"}, {"FARM_GATE_HELD": "1"}):
        call = gates.start("-c", gates.source("plain", status=5), **variables)
        call.communicate(timeout=60)
        assert call.returncode == 5
    assert gates.calls() == []


def test_a_line_for_each_call_says_what_it_took(gates: Gates) -> None:
    for name, take in {"small": {}, "large": {"mib": 150, "s": 0.5, "child": True}}.items():
        call = gates.compile(name, **take)
        call.communicate(timeout=60)
        assert call.returncode == 0
    failing = gates.compile('odd "name"\\', status=7)
    failing.communicate(timeout=60)
    assert failing.returncode == 7
    small, large, odd = gates.calls()
    assert Path(small["source"]).name == "small.c"
    assert Path(odd["source"]).name == 'odd "name"\\.c'
    assert [c["status"] for c in (small, large, odd)] == [0, 0, 7]
    assert large["peak_bytes"] > 150 * MIB > small["peak_bytes"] > 0
    assert large["wall_s"] >= 0.5
    assert small["asked_s"] <= small["began_s"] <= large["asked_s"]
    assert {c["compiler"] for c in gates.calls()} == {"cc"}
    assert small["predicted_bytes"] == 100 * MIB


def test_a_file_is_known_the_next_time_and_others_of_its_kind_too(gates: Gates) -> None:
    for _ in range(2):
        gates.compile("same", mib=300, s=0.2).communicate(timeout=60)
    gates.compile("other", mib=1, s=0.2).communicate(timeout=60)
    first, second, other = gates.calls()
    assert first["predicted_bytes"] == 100 * MIB
    assert second["predicted_bytes"] == pytest.approx(first["peak_bytes"] * 1.1, rel=0.01)
    assert 200 * MIB < other["predicted_bytes"] < 400 * MIB


def overlapping(calls: list[dict[str, float]]) -> tuple[int, float]:
    """The most calls, and the most bytes of their peaks, at any time."""
    at = [(c["began_s"], 1, c["peak_bytes"]) for c in calls]
    # Both are rounded to milliseconds, and who waits hears at once that a slot is free.
    at += [(c["began_s"] + c["wall_s"] - 0.002, -1, -c["peak_bytes"]) for c in calls]
    most, bytes_, running, sum_ = 0, 0.0, 0, 0.0
    for _, one, more in sorted(at):
        running, sum_ = running + one, sum_ + more
        most, bytes_ = max(most, running), max(bytes_, sum_)
    return most, bytes_


def test_all_together_never_exceed_cores_and_memory(gates: Gates) -> None:
    """Three builds with three jobs each, for 5 calls of which there is room: of 2 at a time."""
    gates = gates.with_(cores=3, memory=700, first=300)
    calls = [gates.compile(f"f{n}", mib=250, s=0.3) for n in range(9)]
    for call in calls:
        call.communicate(timeout=300)
        assert call.returncode == 0
    most, bytes_ = overlapping(gates.calls())
    assert most == 2
    assert bytes_ <= 700 * MIB


def test_two_farms_with_other_budgets_share_one_pool(gates: Gates) -> None:
    wide, narrow = gates.with_(cores=4), gates.with_(cores=2)
    running = [wide.compile(f"w{n}", s=300) for n in range(2)]
    until(lambda: len(gates.held()) == 2)
    waiting = narrow.compile("n")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)
    running[0].kill()
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0


def test_the_highest_priority_goes_first_whoever_came_first(gates: Gates) -> None:
    """Those of one build behind each other, as they came."""
    gates = gates.with_(cores=1)
    blocker = gates.compile("blocker", s=300)
    until(gates.held)
    waiting = []
    for name, priority in (("low1", 5), ("low2", 5), ("high1", 70), ("high2", 70), ("mid", 6)):
        source = gates.source(name, s=0.1)
        waiting.append(gates.start("-c", source, FARM_PRIORITY=str(priority)))
        time.sleep(0.3)  # for the order within a build; that of builds is by priority
    blocker.kill()
    for call in waiting:
        call.communicate(timeout=60)
        assert call.returncode == 0
    ran = [Path(call["source"]).stem for call in gates.calls()]
    assert [name.rstrip("12") for name in ran] == ["high", "high", "mid", "low", "low"]


def test_small_calls_pass_one_that_lacks_memory_which_gets_its_turn(gates: Gates) -> None:
    gates.source("large", mib=600, s=0.2)
    gates = gates.with_(first=600)
    blocker = gates.compile("blocker", mib=1, s=300)
    until(gates.held)
    large = gates.with_(first=700).compile("large", mib=1)
    with pytest.raises(subprocess.TimeoutExpired):
        large.wait(0.5)
    small = gates.with_(first=10).compile("small")
    small.communicate(timeout=60)
    assert small.returncode == 0
    assert large.poll() is None
    blocker.kill()
    large.communicate(timeout=60)
    assert large.returncode == 0


def test_one_that_never_fits_runs_alone(gates: Gates) -> None:
    other = gates.compile("other", s=1.5)
    until(gates.held)
    huge = gates.with_(first=100_000).compile("huge")
    huge.communicate(timeout=60)
    other.communicate(timeout=60)
    assert huge.returncode == 0
    assert overlapping(gates.calls())[0] == 1


def test_who_outgrows_the_budget_gives_way_and_starts_over(gates: Gates) -> None:
    """Two calls that are taken for small ones need more than there is, so one waits after all."""
    gates = gates.with_(memory=500, first=50)
    calls = [gates.compile(name, mib=300, s=4, child=True) for name in ("a", "b")]
    said = "".join(call.communicate(timeout=120)[1] for call in calls)
    assert [call.returncode for call in calls] == [0, 0]
    assert said.count("memory ran out at") == 1
    told = gates.calls()
    assert sorted(c["tries"] for c in told) == [1, 1, 2]
    ended = [c for c in told if c["status"] == 0]
    assert overlapping(ended)[0] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_while_it_waits_and_while_it_compiles(
    gates: Gates, number: signal.Signals
) -> None:
    gates = gates.with_(cores=1)
    running = gates.compile("running", s=300)
    until(gates.held)
    waiting = gates.compile("waiting", s=300)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.3)
    for call in (waiting, running):
        call.send_signal(number)
        call.communicate(timeout=60)
        assert call.returncode != 0
    until(lambda: not gates.held())


def below(pid: int) -> list[int]:
    """Processes below one, as far as they can be seen now."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for child in map(int, children) for each in (child, *below(child))]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_killed_whenever_no_slot_and_no_byte_is_lost(gates: Gates, seed: int) -> None:
    """Gates, compilers and their children, waiting and running, in any order."""
    chance = random.Random(seed)  # noqa: S311
    gates = gates.with_(cores=3, memory=400, first=120)
    calls = [
        gates.compile(
            f"f{n}", mib=chance.choice([1, 60]), s=chance.random(), child=chance.random() < 0.5
        )
        for n in range(10)
    ]
    for _ in range(20):
        time.sleep(chance.random() / 10)
        victim = chance.choice([pid for c in calls for pid in (c.pid, *below(c.pid))])
        if chance.random() < 0.6:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
    for call in calls:
        call.communicate(timeout=120)
    until(lambda: not gates.held())
    all_there_is = gates.with_(first=400).start("-c", gates.source("all"), FARM_PACKAGE="new")
    all_there_is.communicate(timeout=60)
    assert all_there_is.returncode == 0
    assert gates.calls()[-1]["predicted_bytes"] == 400 * MIB


def test_a_server_that_a_call_leaves_behind_holds_no_slot(gates: Gates) -> None:
    real = gates.folder / "tools/cc.real"
    real.write_text("#!/bin/sh\nsleep 300 >/dev/null 2>&1 &\necho $!\n")
    call = gates.start("-c", gates.source("any"))
    out, _ = call.communicate(timeout=60)
    try:
        assert gates.held() == {}
    finally:
        os.kill(int(out), signal.SIGKILL)


def test_a_pool_that_cannot_be_written_holds_nobody_up(gates: Gates, tmp_path: Path) -> None:
    """As on a full disk: what cannot be shared is not waited for."""
    pool = tmp_path / "odd"
    pool.mkdir()
    for name in ("slots", "learned", "door", "scan"):
        (pool / name).symlink_to("/nowhere/at/all")
    call = gates.start("-c", gates.source("plain", status=5), FARM_POOL=str(pool))
    call.communicate(timeout=60)
    assert call.returncode == 5


OUT_OF_MEMORY = """
set -eu
mkdir -p /t /pool && cp /gate /t/cc && cp /cc.real /t/cc.real && chmod 755 /t/*
export FARM_POOL=/pool FARM_CORES=4 FARM_CALLS=/calls
export FARM_MEMORY_BYTES=10000000000 FARM_CALL_BYTES=1000000
for n in $NAMES; do echo '{"mib": '$MIB', "s": 4, "child": true}' >$n.c; done
pids=
for n in $NAMES; do /t/cc -c $n.c & pids="$pids $!"; done
for pid in $pids; do if wait $pid; then echo ended well; else echo "status $?"; fi; done
cat /calls
"""


def limited(
    engine: Endpoint, gates: Gates, image: str, *, names: str, mib: int
) -> tuple[str, str]:
    """Calls at the same time in a container of 400 MiB, whose gate believes in 10 GB."""

    def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*engine.docker, *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=engine.environment(),
        )

    real = gates.folder / "cc.real"
    text = (gates.folder / "tools/cc.real").read_text()
    real.write_text("#!/usr/bin/python3 -SE\n" + text.split("\n", 1)[1])
    options = ("--memory=400m", "--memory-swap=400m", "--network=none")
    env = (f"--env=NAMES={names}", f"--env=MIB={mib}")
    script = ("/bin/sh", "-c", OUT_OF_MEMORY)
    container = docker("create", *options, *env, image, *script).stdout.strip()
    try:
        docker("cp", str(gates.gate), f"{container}:/gate")
        docker("cp", str(real), f"{container}:/cc.real")
        done = docker("start", "--attach", container)
        return done.stdout, done.stderr
    finally:
        docker("rm", "--force", container)


def test_a_compiler_that_the_kernel_killed_for_memory_runs_again(
    gates: Gates, farm: Farm, private_engine: Endpoint
) -> None:
    image = farm.record("cpu")["base"]["tag"]
    out, err = limited(private_engine, gates, image, names="a b", mib=250)
    assert out.count("ended well") == 2, out + err
    assert "memory ran out at" in err
    assert "set aside" in err


def test_one_that_can_never_fit_fails_with_need_and_limit(
    gates: Gates, farm: Farm, private_engine: Endpoint
) -> None:
    image = farm.record("cpu")["base"]["tag"]
    out, err = limited(private_engine, gates, image, names="a", mib=600)
    assert "ended well" not in out
    assert "although nothing else was compiled" in err


def test_a_build_tells_its_calls_and_its_wheel_knows_nothing_of_them(farm: Farm) -> None:
    lines = (farm.result("cpu") / "logs/calls.jsonl").read_text().splitlines()
    sources = {Path(json.loads(line)["source"]).name for line in lines}
    assert "core.c" in sources
    assert not any(b"FARM_POOL" in p.read_bytes() for p in [farm.wheel("cpu")])
