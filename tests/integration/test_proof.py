"""What is put in the place of a source, between the store and the use, is never built from."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from farm.load.trees import tree_digest
from farm.source.tar import archive_alias
from farm.store.blobs import Store
from tests.support.farming import Farm, copy_project, share_cache
from tests.unit.source.test_git import nested

if TYPE_CHECKING:
    from pathlib import Path

    from farm.engine.endpoint import Endpoint

pytestmark = pytest.mark.engine

TINY = "tiny@1.0:cpu"


@pytest.fixture
def farm(
    farm_cache: Path, private_engine: Endpoint, tmp_path: Path, request: pytest.FixtureRequest
) -> Farm:
    """A project of a folder and a commit with submodules, with a store of its own; fetched."""
    del private_engine
    root = copy_project("faults", tmp_path / "project")
    settings = root / "recipes/sources/tiny/tiny/__init__.py"
    settings.write_text(settings.read_text() + f"# {request.node.name}\n")
    url, commit = nested(tmp_path / "git")
    with (root / "recipes/tiny.yaml").open("a") as recipe:
        source = f"{{git: '{url}', commit: {commit}, submodules: true}}"
        recipe.write(f"sources:\n  extra: {{source: {source}}}\n")
    cache = share_cache(farm_cache, tmp_path / "cache")
    (cache / "store").unlink()
    shutil.copytree(farm_cache / "store", cache / "store", copy_function=os.link)
    made = Farm(root=root, cache=cache)
    locked, fetched = made.run("lock", "tiny:cpu"), made.run("fetch", "tiny:cpu")
    assert (locked.code, fetched.code) == (0, 0), locked.said + fetched.said
    return made


@pytest.fixture
def archives(farm: Farm, tmp_path: Path) -> dict[str, Path]:
    """What the store has of the two sources."""
    store = Store(farm.cache / "store")
    commit = (tmp_path / "git/outer/.git/refs/heads/main").read_text().strip()
    digests = {
        "folder": f"tree:{tree_digest(farm.root / 'recipes/sources/tiny')}",
        "commit": f"git:{commit}+submodules",
    }
    found = {name: store.alias(archive_alias(digest)) for name, digest in digests.items()}
    return {name: store.path_of(sha256) for name, sha256 in found.items() if sha256}


INNER = "third party/middle/deps/inner/inner.txt"
TAMPERED = {
    "folder": (b"FromLong(42)", b"FromLong(43)", "not what its digest says: "),
    "commit": (b"inner\0", b"outer\0", f"'{INNER}' is not what the commit "),
}


@pytest.mark.parametrize("source", TAMPERED)
def test_another_content_under_the_name_of_a_source_is_refused(
    farm: Farm, archives: dict[str, Path], source: str
) -> None:
    path, (old, new, told) = archives[source], TAMPERED[source]
    whole, status = path.read_bytes(), path.stat()
    before, _, after = whole.rpartition(old)
    path.unlink()
    path.write_bytes(before + new + after)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # so that the store trusts it
    done = farm.build("tiny:cpu")
    assert done.code == 6, done.said
    assert told in done.ended(TINY)["message"]
    path.write_bytes(whole)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = farm.build("tiny:cpu")
    assert again.outcomes() == {TINY: "built"}, again.said
