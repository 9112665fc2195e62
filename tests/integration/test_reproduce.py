"""A failure is had again on another machine, from its bundle alone."""

from __future__ import annotations

import json
import os
import pty
import secrets
import select
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.engines import own_engine
from tests.support.farming import FARM, PATIENCE_S, Farm, add_variant, copy_project, sharing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.engine.endpoint import Endpoint
    from tests.support.farming import Done

pytestmark = pytest.mark.engine

BROKEN = "tiny@1.0:broken"
ERROR = "tiny/core.c:6:28: error: "


@pytest.fixture(scope="module")
def farm(
    farm_cache: Path, private_engine: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Farm:
    del private_engine
    root = copy_project("faults", tmp_path_factory.mktemp("reproduce") / "project")
    return sharing(farm_cache, root)


@pytest.fixture(scope="module")
def failed(farm: Farm) -> Done:
    return farm.build("tiny:broken")


@pytest.fixture(scope="module")
def bundle(failed: Done, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the failure, as it comes by mail."""
    assert failed.code == 9, failed.said
    kept = Path(failed.ended(BROKEN)["log"]).with_name("bundle.tar")
    return Path(shutil.copyfile(kept, tmp_path_factory.mktemp("mail") / "a bundle.tar"))


@pytest.fixture(scope="module")
def elsewhere(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Another machine: an engine and a store of its own, and no project."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with own_engine(farm_cache, folder / "cache") as cache:
        (cache / "store").unlink()  # empty, not borrowed
        root = folder / "empty"
        (root / "recipes").mkdir(parents=True)
        yield Farm(root=root, cache=cache)


def test_a_failure_prints_what_reproduces_it(failed: Done, farm: Farm, bundle: Path) -> None:
    command = failed.ended(BROKEN)["reproduce"]
    kept = Path(failed.ended(BROKEN)["log"]).with_name("bundle.tar")
    assert kept.read_bytes() == bundle.read_bytes()
    assert f"farm reproduce {kept} " in command
    done = farm.paste(command)
    assert done.code == 0, done.said
    assert done.stdout.splitlines()[-1].startswith("same: failed in compile (exit code 9): tiny/")


def test_it_fails_alike_on_another_engine_with_an_empty_store(
    bundle: Path, elsewhere: Farm
) -> None:
    done = elsewhere.run("reproduce", str(bundle), "--json")
    assert done.code == 0, done.said
    told = json.loads(done.stdout)
    assert told["verdict"] == "same"
    assert told["now"]["message"] == told["then"]["message"]
    assert told["now"]["message"].startswith(ERROR)
    assert told["now"]["step"] == "compile"
    assert not (elsewhere.root / "out").exists()


def test_a_run_a_unit_and_a_record_mean_their_bundles(farm: Farm, tmp_path: Path) -> None:
    assert farm.build("tiny:broken").code == 9
    run = farm.runs()[-1]
    record = run / "tiny-1.0/broken/record.json"
    words = ("latest", run.name, f"{run.name}/broken", "tiny:broken", BROKEN)
    for word in (*words, str(record), str(record.parent)):
        done = farm.run("bundle", word, "--output", str(tmp_path / "x.tar"), "--json", "--force")
        assert done.code == 0, done.said
        assert json.loads(done.stdout)["unit"] == BROKEN


def test_what_passes_this_time_is_told_as_built(farm: Farm) -> None:
    """A build that fails at its first attempt only; of no earlier test, whose engine knows it."""
    environment = f'{{TINY_FAIL_ATTEMPT: "1", TINY_SALT: "{secrets.token_hex(8)}"}}'
    add_variant(farm.root, "fickle", f"env: {environment}")
    assert farm.build("tiny:fickle").code == 9
    done = farm.run("reproduce", "tiny:fickle")
    assert done.code == 17, done.said
    assert done.stdout.splitlines()[-1] == "built"
    assert "then: failed in compile" in done.stderr
    assert not (farm.out / "tiny-1.0/fickle").exists()


def test_a_result_is_reproduced_to_the_byte(farm: Farm) -> None:
    assert farm.build("tiny:cpu").code == 0
    before = (farm.result("cpu") / "record.json").read_bytes()
    done = farm.run("reproduce", str(farm.result("cpu") / "record.json"), "--json")
    assert done.code == 0, done.said
    assert json.loads(done.stdout)["verdict"] == "same"
    assert (farm.result("cpu") / "record.json").read_bytes() == before


@pytest.mark.parametrize("variant", ["misfit", "unlike"])
def test_a_failure_of_another_step_is_had_again(farm: Farm, variant: str) -> None:
    failed = farm.build(f"tiny:{variant}")
    assert failed.code in {10, 12}
    done = farm.run("reproduce", f"tiny:{variant}")
    assert done.code == 0, done.said
    inside = farm.run(
        "shell", f"tiny:{variant}", "--", "sh", "-c", "ls /out; grep -n 42 tiny/core.c"
    )
    assert inside.code == 0, inside.said
    assert ("tiny-1.0" in inside.stdout) == (variant == "unlike")


def test_no_secret_is_in_a_bundle(farm: Farm, tmp_path: Path) -> None:
    authority = tmp_path / "authority.crt"
    authority.write_text("-----BEGIN CERTIFICATE-----\nc3VwZXItc2VjcmV0LWNh\n")
    secretive = farm.with_variables(
        SOME_NAME="super-secret-token",
        UV_INDEX_URL="https://user:super-secret-password@index.example.org/simple",
        https_proxy="http://user:super-secret-proxy@127.0.0.1:9",
        SSL_CERT_FILE=str(authority),
    )
    assert secretive.build("tiny:broken").code == 9
    kept = farm.runs()[-1] / "tiny-1.0/broken/bundle.tar"
    data = kept.read_bytes()
    assert b"super-secret" not in data
    assert b"c3VwZXItc2VjcmV0LWNh" not in data
    assert str(tmp_path).encode() not in data
    assert str(farm.root).encode() not in data


def test_with_its_sources_it_needs_no_network_and_nothing_else(
    bundle: Path, farm: Farm, farm_cache: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.tar"
    done = farm.run("bundle", str(bundle), "--output", str(whole), "--with-sources")
    assert done.code == 0, done.said
    again = tmp_path / "again.tar"
    assert farm.run("bundle", str(whole), "-o", str(again), "--with-sources").code == 0
    assert again.read_bytes() == whole.read_bytes()
    with own_engine(farm_cache, tmp_path / "cache") as cache:
        for name in ("store", "bases"):
            (cache / name).unlink()
        offline = Farm(root=farm.root, cache=cache)
        done = offline.run("reproduce", str(whole), "--offline")
        assert done.code == 0, done.said
        assert done.stdout.splitlines()[-1].startswith("same: ")


def test_a_bundle_that_was_changed_is_refused(bundle: Path, farm: Farm, tmp_path: Path) -> None:
    data = bytearray(bundle.read_bytes())
    data[data.index(b"forty_two")] ^= 1
    changed = tmp_path / "changed.tar"
    changed.write_bytes(data)
    for words in (("reproduce",), ("shell", "--", "true"), ("bundle", "-o", str(tmp_path / "x"))):
        done = farm.run(words[0], str(changed), *words[1:])
        assert done.code == 6, done.said
        assert "bundle.json is not what its digest says" in done.stderr
    with tarfile.open(tmp_path / "other.tar", "w"):
        pass
    done = farm.run("reproduce", str(tmp_path / "other.tar"))
    assert done.code == 2
    assert "is no bundle of farm" in done.stderr


@pytest.fixture(scope="module")
def laptop(elsewhere: Farm) -> Farm:
    """The same machine, with the recipes at hand."""
    root = copy_project("faults", elsewhere.root.with_name("checkout"))
    return Farm(root=root, cache=elsewhere.cache)


def test_a_shell_has_the_failing_command_ready(bundle: Path, laptop: Farm) -> None:
    done = laptop.run("shell", str(bundle), "--", "farm-again")
    assert done.code == 1, done.said
    assert ERROR in done.stderr
    assert "forty_two" in done.stderr
    (shown,) = (line for line in done.stderr.splitlines() if line.startswith("farm-again: cd "))
    assert shown.startswith("farm-again: cd /build/tiny && /usr/bin/gcc-14 ")
    assert "-c tiny/core.c" in shown


def test_in_it_all_is_as_it_was(bundle: Path, laptop: Farm) -> None:
    script = (
        "pwd; env | grep -E '^(MAX_JOBS|VIRTUAL_ENV|SOURCE_DATE_EPOCH)='; ls /farm/inside /farm; "
        "test -s /out/logs/compile.log && echo logged; "
        "python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 1)'"
    )
    done = laptop.run("shell", str(bundle), "--max-jobs", "3", "--", "sh", "-c", script)
    assert done.code == 1, done.said
    assert done.stdout.startswith("/build/tiny\n")
    for text in ("MAX_JOBS=3", "VIRTUAL_ENV=/opt/build", "step.py", "log", "logged"):
        assert text in done.stdout.split() or f"{text}\n" in done.stdout
    assert "Network is unreachable" in done.stderr


def test_what_was_mended_in_it_becomes_a_patch_with_which_the_build_passes(
    bundle: Path, laptop: Farm
) -> None:
    mend = "sed -i s/forty_two/42/ tiny/core.c && farm-again && touch made-by-hand"
    header = ("--why=it does not compile", "--upstream=none", "--remove-when=never")
    done = laptop.run("shell", str(bundle), "--patch", "say-42", *header, "--", "sh", "-c", mend)
    assert done.code == 0, done.said
    path = laptop.root / "patches/tiny/1.0/0003-say-42.patch"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("Why: it does not compile\n")
    assert "--- a/tiny/core.c\n" in text
    assert "made-by-hand" not in text
    assert "core.o" not in text

    recipe = laptop.root / "recipes/tiny.yaml"
    known = "patches: [0001-plant-a-compile-error.patch]"
    more = known.replace("]", f", {path.name}]")
    recipe.write_text(recipe.read_text(encoding="utf-8").replace(known, more), encoding="utf-8")
    built = laptop.build("tiny:broken")
    assert built.outcomes() == {BROKEN: "built"}, built.said


def test_at_a_terminal_it_asks_whether_a_change_becomes_a_patch(
    bundle: Path, laptop: Farm
) -> None:
    typed = iter(
        [
            ("leave: exit", "sed -i s/forty_two/43/ tiny/core.c; exit"),
            ("name of a patch", "No Name"),
            ("is no name for a patch", "say-43"),
        ]
    )
    said = at_terminal(laptop, typed, "shell", str(bundle))
    assert "you changed tiny/core.c" in said
    assert "patches/tiny/1.0/0004-say-43.patch" in said
    assert "fill in first, at its top: Why:" in said


def at_terminal(farm: Farm, typed: Iterator[tuple[str, str]], *arguments: str) -> str:
    """Run with a terminal: of each pair, type the second when the first was said."""
    ours, theirs = pty.openpty()
    argv = [str(FARM), "-C", str(farm.root), *arguments]
    child = subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, env=farm.environment(), cwd="/",
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    said, wanted = b"", next(typed)
    try:
        while select.select([ours], [], [], PATIENCE_S)[0]:
            try:
                said += os.read(ours, 1 << 16)
            except OSError:  # Linux says EIO when the other side is closed
                break
            if wanted[0].encode() in said:
                os.write(ours, f"{wanted[1]}\n".encode())
                wanted = next(typed, ("\0", ""))
        assert child.wait(PATIENCE_S) == 0, said.decode()
    finally:
        child.kill()
        os.close(ours)
    return said.decode()


def test_a_change_that_becomes_no_patch_is_not_lost(bundle: Path, laptop: Farm) -> None:
    binary = "printf 'a\\0b' >tiny/core.c"
    done = laptop.run("shell", str(bundle), "--patch", "binary", "--", "sh", "-c", binary)
    assert done.code == 12, done.said
    assert "tiny/core.c: it is binary" in done.stderr
    (kept,) = laptop.out.glob(".farm/patching/tiny-1.0/binary/tiny/tiny/core.c")
    assert kept.read_bytes() == b"a\0b"
    assert str(kept.parents[2]) in done.stderr


def test_a_shell_without_a_terminal_needs_a_command(bundle: Path, laptop: Farm) -> None:
    done = laptop.run("shell", str(bundle))
    assert done.code == 2
    assert "name a command after --" in done.stderr
