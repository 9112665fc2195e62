"""The command at which a compile failed, from what build systems leave and print."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from farm.inside import again

if TYPE_CHECKING:
    from pathlib import Path

SETUPTOOLS = """\
  running build_ext
  gcc-14 -fPIC -I/usr/include/python3.13 -c tiny/good.c -o build/temp/tiny/good.o
  gcc-14 -fPIC -I/usr/include/python3.13 -c tiny/core.c -o build/temp/tiny/core.o
  tiny/core.c: In function 'answer':
  tiny/core.c:6:28: error: 'forty_two' undeclared (first use in this function)
  error: command '/usr/bin/gcc-14' failed with exit code 1
  error: subprocess-exited-with-error
"""
NINJA = """\
ninja: Entering directory `{folder}'
[1/3] /usr/bin/c++ -c /src/fine.cc -o fine.o
[2/3] /usr/bin/c++ -c /src/bad.cc -o objects/bad.o
FAILED: [code=1] objects/bad.o
/usr/bin/c++ -c /src/bad.cc -o objects/bad.o
/src/bad.cc:1:1: error: expected unqualified-id
ninja: build stopped: subcommand failed.
"""
MAKE = """\
cd /src/a && /usr/bin/cc -c /src/a/one.c -o one.o
cd /src/b && /usr/bin/cc -c /src/b/two.c -o two.o
/src/a/one.c:3:1: error: expected ';'
make: *** [Makefile:5: one.o] Error 1
"""
LINK = """\
/usr/bin/cc -c /src/one.c -o one.o
/usr/bin/cc one.o -o program
/usr/bin/ld: one.o: in function `main':
collect2: error: ld returned 1 exit status
"""
QUIET = """\
[ 50%] Building C object CMakeFiles/x.dir/two.c.o
/src/two.c:3:1: error: expected ';'
make: *** [Makefile:5: two.o] Error 1
"""


def found(log: str, *roots: Path, here: Path) -> again.Command:
    command = again.find(log.splitlines(), roots, here)
    assert command
    return command


def test_of_setuptools_it_is_the_call_before_the_first_error(tmp_path: Path) -> None:
    command = found(SETUPTOOLS, tmp_path, here=tmp_path)
    assert command.text.endswith("-c tiny/core.c -o build/temp/tiny/core.o")
    assert command.folder == tmp_path


def test_it_runs_where_its_relative_paths_lead_somewhere(tmp_path: Path) -> None:
    (tmp_path / "deep/down/tiny").mkdir(parents=True)
    (tmp_path / "deep/down/tiny/core.c").touch()
    command = found(SETUPTOOLS, tmp_path / "nothing", tmp_path, here=tmp_path)
    assert command.folder == tmp_path / "deep/down"


def test_of_ninja_it_is_what_stands_below_failed(tmp_path: Path) -> None:
    folder = tmp_path / "x/build"
    command = found(NINJA.format(folder=folder), tmp_path, here=tmp_path)
    assert command.text == "/usr/bin/c++ -c /src/bad.cc -o objects/bad.o"
    assert command.folder == folder


def test_the_folder_of_ninja_is_the_one_that_makes_the_object(tmp_path: Path) -> None:
    for name, text in (("one", "build other.o: CXX"), ("two", "build objects/bad.o: CXX bad.cc")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "build.ninja").write_text(text)
    command = found(NINJA.format(folder="/gone"), tmp_path, here=tmp_path)
    assert command.folder == tmp_path / "two"


def test_of_two_at_once_it_is_the_one_that_the_error_names(tmp_path: Path) -> None:
    assert found(MAKE, here=tmp_path).text.startswith("cd /src/a && ")


def test_an_error_without_a_file_is_of_the_last_call(tmp_path: Path) -> None:
    assert found(LINK, here=tmp_path).text == "/usr/bin/cc one.o -o program"


def test_what_the_log_does_not_show_is_in_the_list_of_compile_commands(tmp_path: Path) -> None:
    rows = [
        {"directory": "/b", "file": f"/src/{name}.c", "command": f"cc -c {name}.c"}
        for name in ("one", "two")
    ]
    (tmp_path / "compile_commands.json").write_text(json.dumps(rows))
    command = found(QUIET, tmp_path, here=tmp_path)
    assert command.shown == "cd /b && cc -c two.c"


@pytest.mark.parametrize("log", ["", "error: x", "gcc -c 'unbalanced\n", "FAILED: x", QUIET])
def test_where_nothing_tells_there_is_none(tmp_path: Path, log: str) -> None:
    assert again.find(log.splitlines(), [tmp_path], tmp_path) is None


def run(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, again.__file__, f"--out={out}", f"--root={out}", *arguments]
    return subprocess.run(argv, cwd=out, capture_output=True, text=True, check=False)


def test_it_runs_the_command_with_its_status(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "bad.c").write_text("int main(void) { return x; }\n")
    log = "gcc -c bad.c -o gone/bad.o\nbad.c:1:25: error: 'x' undeclared\n"
    (tmp_path / "logs/compile.log").write_text(log)
    (tmp_path / "status.json").write_text(json.dumps({"argv": ["echo", "all of it"]}))

    assert run(tmp_path, "--show").stdout == ""
    failed = run(tmp_path)
    assert failed.returncode == 1
    assert "bad.c:1:25: error" in failed.stderr
    (tmp_path / "bad.c").write_text("int x;\n")
    assert run(tmp_path).returncode == 0
    assert (tmp_path / "gone/bad.o").exists()
    assert run(tmp_path, "--all").stdout == "all of it\n"


def test_without_log_and_status_it_says_so(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == again.EXIT_NOTHING
    assert "nothing was compiled yet" in done.stdout
