"""Rust extensions from staged crates, with the network off; and those that fail in silence."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.attest.sbom import embedded
from tests.support.attesting import valid_sbom
from tests.support.farming import Farm, copy_project, share_cache, sharing

if TYPE_CHECKING:
    from tests.support.farming import Done

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("private_engine")]

NH3 = "nh3@0.3.0:cpu"
WRONG = "wrong"
MISSING = "missing"


@pytest.fixture(scope="module")
def farm(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Farm:
    """A project whose bases are locked, so that they too can be made offline."""
    farm = sharing(farm_cache, copy_project("rust", tmp_path_factory.mktemp("rust") / "project"))
    done = farm.run("lock", "--bases")
    assert done.code == 0, done.said
    return farm


@pytest.fixture(scope="module")
def mirror(farm: Farm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All sources of the package with a hundred crates, as `farm fetch --into` leaves them."""
    folder = tmp_path_factory.mktemp("mirror")
    done = farm.run("fetch", "nh3", "--into", str(folder))
    assert done.code == 0, done.said
    return folder


@pytest.fixture(scope="module")
def built(farm: Farm, mirror: Path) -> Done:
    """Built once, with nothing fetched any more."""
    del mirror
    done = farm.build("nh3", "--offline")
    assert done.code == 0, done.said[-3000:]
    return done


def test_a_hundred_crates_are_enough_elsewhere_by_their_checksum(
    farm: Farm, mirror: Path, tmp_path: Path
) -> None:
    crates = sorted(path.name for path in (mirror / "files").glob("*.crate"))
    assert len(crates) == 103
    assert "ammonia-4.1.1.crate" in crates
    elsewhere = Farm(root=farm.root, cache=tmp_path / "cache")
    done = elsewhere.run("fetch", "nh3", "--offline", "--source-mirror", str(mirror))
    assert done.code == 0, done.said


def test_the_wheel_is_made_of_them_alone(farm: Farm, built: Done) -> None:
    del built
    record = farm.record("cpu", "nh3-0.3.0")
    assert record["hermetic"] is True
    inputs = [each["name"] for each in record["inputs"]]
    assert len([name for name in inputs if name.endswith(".crate")]) == 103
    log = farm.result("cpu", "nh3-0.3.0") / "logs/compile.log"
    assert "Compiling ammonia v4.1.1" in log.read_text(encoding="utf-8")
    (module,) = record["contents"]["modules"]
    assert (module["path"], module["builder_paths"]) == ("nh3/nh3.abi3.so", [])
    assert any(text.startswith("rustc version 1.") for text in module["compilers"])


def test_its_sbom_lists_every_crate_with_checksum_and_licence(farm: Farm, built: Done) -> None:
    del built
    sbom = valid_sbom(embedded(farm.wheel("cpu", "nh3-0.3.0")))
    found = [each for each in sbom["components"] if each["purl"].startswith("pkg:cargo/")]
    pinned = {
        each["name"].removeprefix("crates/"): each["digest"]
        for each in farm.record("cpu", "nh3-0.3.0")["inputs"]
        if each["name"].endswith(".crate")
    }
    listed = {
        f"{each['name']}-{each['version']}.crate": f"sha256:{each['hashes'][0]['content']}"
        for each in found
    }
    assert listed == pinned
    assert all(each["licenses"] for each in found)
    scopes = {each["name"]: each.get("scope") for each in found}
    assert scopes["ammonia"] is None
    assert scopes["windows_x86_64_msvc"] == "optional"  # of another system: it was not compiled
    with zipfile.ZipFile(farm.wheel("cpu", "nh3-0.3.0")) as archive:
        theirs = [name for name in archive.namelist() if name.endswith("nh3.cyclonedx.json")]
    assert len(theirs) == 1  # maturin's stays beside it


def test_no_path_of_the_builder_is_in_it(farm: Farm, built: Done) -> None:
    del built
    with zipfile.ZipFile(farm.wheel("cpu", "nh3-0.3.0")) as archive:
        unpacked = archive.read("nh3/nh3.abi3.so")
    assert b"crates/ammonia-4.1.1/src" in unpacked  # what a panic names
    assert b"/opt/crates" not in unpacked
    assert b"/build/" not in unpacked


def test_it_works_in_a_clean_container(farm: Farm, built: Done) -> None:
    del built
    passed = farm.record("cpu", "nh3-0.3.0")["smoke_test"]["passed"]
    assert len(passed) == 2  # the import and the script


def test_built_anew_it_has_the_same_bytes(farm: Farm, built: Done) -> None:
    del built
    before = farm.wheel("cpu", "nh3-0.3.0").read_bytes()
    done = farm.build("nh3", "--rebuild")
    assert done.outcomes() == {NH3: "built"}
    assert farm.wheel("cpu", "nh3-0.3.0").read_bytes() == before


@pytest.fixture
def fresh(farm: Farm, farm_cache: Path, tmp_path: Path) -> Farm:
    """Another checkout, with neither sources nor results."""
    cache = share_cache(farm_cache, tmp_path / "cache")
    (cache / "store").unlink()
    return Farm(
        root=shutil.copytree(
            farm.root, tmp_path / "project", ignore=shutil.ignore_patterns("out")
        ),
        cache=cache,
    )


@pytest.mark.parametrize(("how", "code"), [(WRONG, 6), (MISSING, 5)])
def test_a_mirror_that_has_not_all_of_them_is_told(
    how: str, code: int, fresh: Farm, mirror: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(mirror, tmp_path / "mirror")
    path = other / "files/url-2.5.4.crate"
    if how == WRONG:
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    done = fresh.build("nh3", "--offline", "--source-mirror", str(other))
    assert done.code == code, done.said
    assert done.ended(NH3)["message"].startswith("crate url 2.5.4: ")


@pytest.fixture(scope="module")
def frontend(farm: Farm) -> Done:
    """One run of an extension that upstream calls optional, built and failing."""
    variants = ("cpu", "broken", "unlisted", "refused", "required")
    return farm.build(*(f"frontend:{name}" for name in variants))


def compile_log(done: Done, variant: str) -> str:
    """What the build printed, also where the engine had it in its cache."""
    log = Path(done.ended(f"frontend@1.0:{variant}")["log"])
    return (log.parent / "compile.log").read_text(encoding="utf-8")


def test_an_optional_extension_that_is_built_is_in_the_wheel(frontend: Done) -> None:
    assert frontend.ended("frontend@1.0:cpu")["outcome"] == "built"


@pytest.mark.parametrize("variant", ["broken", "unlisted"])
def test_an_optional_extension_that_was_not_built_fails_the_build(
    variant: str, frontend: Done
) -> None:
    ended = frontend.ended(f"frontend@1.0:{variant}")
    assert (ended["outcome"], ended["exit_code"]) == ("failed", 10)
    assert "does not hold frontend/_fast.*.so" in "".join(ended["details"])
    assert "optional Rust extension frontend._fast failed" in compile_log(frontend, variant)


def test_nothing_but_the_pinned_crates_is_to_be_had(frontend: Done) -> None:
    assert "no matching package named `itoa` found" in compile_log(frontend, "unlisted")


@pytest.mark.parametrize("variant", ["refused", "required"])
def test_a_build_that_ends_where_cargo_failed_tells_what_rustc_said(
    variant: str, frontend: Done
) -> None:
    ended = frontend.ended(f"frontend@1.0:{variant}")
    assert (ended["exit_code"], ended["step"]) == (9, "compile")
    assert "error[E0599]: no method named `no_such_function` found" in ended["message"]


def git(folder: Path, *arguments: str) -> str:
    fixed = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=m")
    done = subprocess.run(
        ["git", *fixed, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


WORKSPACE: dict[str, str] = {
    "Cargo.toml": (
        '[workspace]\nmembers = ["three", "one", "unused"]\nresolver = "2"\n'
        '[workspace.package]\nversion = "0.3.0"\nedition = "2021"\n'
        '[workspace.dependencies]\none = { path = "one" }\n'
    ),
    "three/Cargo.toml": (
        '[package]\nname = "three"\nversion.workspace = true\nedition.workspace = true\n'
        "[dependencies]\none.workspace = true\n"
    ),
    "three/src/lib.rs": "pub const THREE: u64 = 3 * one::ONE;\n",
    "one/Cargo.toml": '[package]\nname = "one"\nversion = "1.0.0"\nedition = "2021"\n',
    "one/src/lib.rs": "pub const ONE: u64 = 1;\n",
    "unused/Cargo.toml": '[package]\nname = "unused"\nversion = "9.0.0"\n',
    "unused/src/lib.rs": "",
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_a_crate_of_a_git_repository_is_staged_by_its_commit(
    farm_cache: Path, tmp_path: Path
) -> None:
    """One that inherits from a workspace and needs another crate of it."""
    repository = tmp_path / "owner/three"
    write(repository, WORKSPACE)
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message=m")
    commit = git(repository, "rev-parse", "HEAD")
    farm = sharing(farm_cache, copy_project("rust", tmp_path / "project"))
    source = farm.root / "recipes/sources/frontend"
    with (source / "Cargo.toml").open("a") as manifest:
        manifest.write(f'three = {{ git = "file://{repository}", rev = "{commit[:12]}" }}\n')
    (source / "src/lib.rs").write_text(
        '#[no_mangle]\npub extern "C" fn triple(n: u64) -> u64 { n * three::THREE }\n'
    )
    pinned = f"git+file://{repository}?rev={commit[:12]}#{commit}"
    (source / "Cargo.lock").write_text(
        'version = 4\n\n[[package]]\nname = "frontend"\nversion = "1.0.0"\n'
        'dependencies = [\n "three",\n]\n\n'
        f'[[package]]\nname = "one"\nversion = "1.0.0"\nsource = "{pinned}"\n\n'
        f'[[package]]\nname = "three"\nversion = "0.3.0"\nsource = "{pinned}"\n'
        'dependencies = [\n "one",\n]\n'
    )
    stale = farm.build("frontend:cpu")
    assert stale.code == 14, stale.said
    assert farm.run("lock", "frontend:cpu").code == 0
    lock = farm.root / "recipes/locks/frontend/1.0/crates/frontend/Cargo.lock.txt"
    assert lock.read_text(encoding="utf-8").endswith(f"\nthree 0.3.0 {pinned}\n")
    done = farm.build("frontend:cpu")
    assert done.code == 0, done.said[-3000:]
    inputs: list[dict[str, Any]] = farm.record("cpu", "frontend-1.0")["inputs"]
    (crate,) = (each for each in inputs if each["name"] == f"crates/{commit}.tar")
    assert crate["digest"] == f"git:{commit}+submodules"
