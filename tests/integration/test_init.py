"""farm as a stranger has it: installed from its wheel, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.engine


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The farm command of an environment into which its wheel was installed.

    What it depends on comes from this environment, by a .pth file; farm itself
    does not, or the checkout would be what is tested.
    """
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (wheel,) = folder.glob("farm-*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv")}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    shared = Path(sysconfig.get_path("purelib"))
    dependencies = folder / "dependencies"
    dependencies.mkdir()
    for path in shared.iterdir():
        if "farm" not in path.name and path.suffix != ".pth":
            (dependencies / path.name).symlink_to(path)
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    command = folder / "venv/bin/farm"
    command.write_text(f"#!{folder}/venv/bin/python\nfrom farm.cli.main import main\n\nmain()\n")
    command.chmod(0o755)
    # uv looks for its program beside the interpreter
    (folder / "venv/bin/uv").symlink_to(Path(sys.executable).parent / "uv")
    return command


@pytest.mark.usefixtures("private_engine")  # which ends it afterwards
def test_the_wheel_starts_a_project_and_builds_it(
    installed: Path, own_results: Path, tmp_path: Path
) -> None:
    # A make that runs these tests hands its own variables to every make below it.
    of_make = ("MAKE", "MFLAGS", "ARGS", "SELECTOR", "VARIANT", "VERSION", "RECIPE")
    inherited = {name: v for name, v in os.environ.items() if not name.startswith(of_make)}
    env = {
        **inherited,
        "FARM_CACHE_DIR": str(own_results),
        "FARM_ENGINE": "private",
        "PYTHONSAFEPATH": "1",
    }
    python = installed.parent / "python"
    where = run(python, "-c", "import farm; print(farm.__file__)", cwd=tmp_path, env=env)
    assert str(installed.parents[1]) in where

    project = tmp_path / "project"
    assert "farm build markupsafe" in run(installed, "init", project, cwd=tmp_path, env=env)
    assert "markupsafe" in run(installed, "list", cwd=project, env=env)
    assert "markupsafe@3.0.3:cpu" in run(installed, "plan", "markupsafe", cwd=project, env=env)
    assert "FROM " in run(installed, "render", "markupsafe", cwd=project, env=env)
    run(installed, "build", "markupsafe", "--progress", "plain", cwd=project, env=env)

    (wheel,) = (project / "out/markupsafe-3.0.3/cpu").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert any(name.startswith("markupsafe/_speedups.") for name in archive.namelist())
    built = wheel.stat().st_mtime_ns
    run("make", f"FARM={installed}", cwd=project, env=env)
    assert wheel.stat().st_mtime_ns == built  # nothing to do
