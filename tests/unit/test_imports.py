"""A verb loads what it needs and nothing else: what it does not need costs each of its runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NETWORK = {"requests", "urllib3", "http.client", "ssl"}
ENGINES = {"farm.engine.connect", "farm.engine.private", "python_on_whales"}
WHEELS = {"farm.run.acceptance", "farm.inspect.wheel", "elftools", "iced_x86"}
SHARED = {"obstore", "cryptography", "farm.store.remote"}
RUN = {"asyncio", "farm.run.session", "farm.console.live"}
PROGRAM = """\
import sys
sys.argv = ["farm", *sys.argv[1:]]
from farm.cli.main import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def loaded(program: str, *arguments: str) -> set[str]:
    """What a Python process has loaded when it ends."""
    argv = [sys.executable, "-c", program, *arguments]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(ended.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("words", "needless"),
    [
        ("list", NETWORK | ENGINES | WHEELS | RUN | {"jinja2"}),
        ("show vllm", NETWORK | ENGINES | WHEELS | RUN | {"jinja2"}),
        ("plan vllm", NETWORK | ENGINES | WHEELS | RUN | {"rich"}),
        ("matrix llama-cpp-python --format github", NETWORK | ENGINES | WHEELS | RUN | {"rich"}),
        ("render vllm:empty", NETWORK | ENGINES | WHEELS | RUN | {"rich"}),
        ("build vllm:empty --dry-run", NETWORK | ENGINES | WHEELS | RUN | {"rich"}),
    ],
)
def test_a_verb_loads_only_what_it_needs(words: str, needless: set[str]) -> None:
    modules = loaded(PROGRAM, *words.split())
    assert modules & (needless | SHARED) == set()
    verbs = {name for name in modules if name.startswith("farm.cli.verbs.")}
    assert verbs <= {f"farm.cli.verbs.{words.split(maxsplit=1)[0]}", "farm.cli.verbs.plan"}


def test_a_run_that_finds_everything_there_loads_no_client_of_the_network() -> None:
    program = (
        "import sys, farm.run.session, farm.source.debs, farm.engine.private\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    needless = (
        {"requests", "urllib3", "python_on_whales", "farm.run.first_error"} | WHEELS | SHARED
    )
    assert loaded(program) & needless == set()
