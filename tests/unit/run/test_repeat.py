"""The command that repeats a failure asks for all that was asked for."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from farm.cli import main
from farm.cli.verbs import build
from farm.engine.caches import LayerCache
from farm.load.folders import cache_folder, usual_cache_folder
from farm.model.look import Look
from farm.run.options import BuildOptions, Workplace
from farm.run.repeat import repeat_command
from farm.run.sharing import Shared
from farm.source.mirror import Mirror
from farm.store.objects import Address
from tests.support.projects import DEMO, demo_unit, project_at

ASKED: dict[str, Any] = {
    "max_jobs": 3,
    "nvcc_threads": 2,
    "memory_bytes": 123_457 * 2**20 + 2**19,
    "offline": True,
    "locked": True,
    "engine": "private",
    "preflight": False,
    "source_mirror": Mirror(root=Path("/usr")),
    "cache_from": (LayerCache(kind="local", fields=(("src", "/with, comma/{unit}"),)),),
    "cache_to": (LayerCache(kind="registry", fields=(("ref", "h/n:t"), ("mode", "max"))),),
    "results": Shared(
        address=Address.of("s3://bucket/a"), read_only=True, trust=(Path("/a b"), Path("/c"))
    ),
}
NOT_REPEATED = {"parallel", "again", "fail_fast", "look", "command", "sign_key", "cache_bytes"}
"""A unit is repeated alone, once; what it is looked at for, by another word; a failure has
nothing to sign, and none is kept by the compile cache."""


@pytest.fixture(autouse=True)
def nobodys_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FARM_CACHE_DIR", raising=False)


def command(root: Path, *, cache: Path | None = None, looked: bool = False, **options: Any) -> str:
    project = project_at(root, {"recipes/demo.yaml": DEMO})
    place = Workplace(project=project, out=project.out, cache=cache or usual_cache_folder())
    context = SimpleNamespace(
        place=place,
        options=BuildOptions(**options),
        looked={"demo@1.0.0:cpu"} if looked else set(),
    )
    return repeat_command(demo_unit(root), cast("Any", context))


def test_every_option_is_repeated_or_left_out_on_purpose() -> None:
    names = {field.name for field in dataclasses.fields(BuildOptions)}
    assert names == ASKED.keys() | NOT_REPEATED


@pytest.mark.parametrize("names", [[], *([name] for name in ASKED), list(ASKED)])
def test_the_command_asks_for_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    asked: list[BuildOptions] = []

    def note(_plan: object, _place: object, options: BuildOptions, *_: object) -> object:
        asked.append(options)
        return SimpleNamespace(stood=(), exit_code=0)

    monkeypatch.setattr(build, "_run", note)
    options = {name: ASKED[name] for name in names}
    words = shlex.split(command(tmp_path, **options))
    with pytest.raises(SystemExit):
        main._run(words[1:])
    (found,) = asked
    assert {name: getattr(found, name) for name in ASKED} == {
        name: getattr(BuildOptions(**options), name) for name in ASKED
    }


@pytest.mark.parametrize("name", ["cache", "my cache"])
def test_another_cache_folder_is_said_as_a_shell_takes_it(tmp_path: Path, name: str) -> None:
    cache = tmp_path / name
    text = command(tmp_path, cache=cache)
    assert text.startswith(f"FARM_CACHE_DIR={shlex.quote(str(cache))} farm ")
    assert command(tmp_path).startswith("farm ")


def test_a_cache_folder_that_a_variable_names_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_CACHE_DIR", str(tmp_path / "chosen"))
    assert command(tmp_path, cache=cache_folder()).startswith("FARM_CACHE_DIR=")


def test_what_is_looked_at_is_looked_at_again(tmp_path: Path) -> None:
    look = Look(only=("csrc/*",))
    assert command(tmp_path, look=look, looked=True).endswith("--until configure --only 'csrc/*'")
    assert "--until" not in command(tmp_path, look=look)


def test_a_password_is_not_repeated(tmp_path: Path) -> None:
    shared = Shared(address=Address.of("https://me:hunter2@host/x"))
    text = command(tmp_path, results=shared)
    assert text.endswith("--results https://host/x")
