"""Crates without cargo: from the store, from a mirror, or told to be lacking."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.errors import FetchError, IntegrityError, StorageError
from farm.host.programs import Finished
from farm.model.crates import Crate
from farm.source.crates import _environment, _failure, lock_text, manifest
from farm.source.job import Job, Places
from farm.source.kinds import CrateFile
from farm.source.mirror import Mirror
from farm.source.stage import stage, stage_each
from tests.support.crates import REGISTRY, crate_bytes, sha256

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.events import Event
    from farm.store.blobs import Store

    Sink = Callable[[Event], None]

NAMES = ("one", "two", "three", "four")
CONTENTS = {name: crate_bytes(name, "1.0.0") for name in NAMES}
CRATES = tuple(Crate(name=n, version="1.0.0", sha256=sha256(c)) for n, c in CONTENTS.items())
WANTS = [
    CrateFile(name=c.name, version="1.0.0", filename=c.filename, sha256=c.sha256, among=CRATES)
    for c in CRATES
]


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    (tmp_path / "mirror/files").mkdir(parents=True)
    return Mirror.at(tmp_path / "mirror")


def test_a_mirror_has_them_as_cargo_calls_them_or_by_hash(
    mirror: Mirror, store: Store, sink: Sink
) -> None:
    for want in WANTS[:2]:
        (mirror.root / "files" / want.filename).write_bytes(CONTENTS[want.name])
    for want in WANTS[2:]:
        (mirror.root / "files" / want.sha256).write_bytes(CONTENTS[want.name])
    found = stage(WANTS, store, sink, places=Places(mirror=mirror, offline=True))
    assert found == {want: want.sha256 for want in WANTS}


def test_a_wrong_one_in_a_mirror_is_told_beside_those_that_are_lacking(
    mirror: Mirror, store: Store, sink: Sink
) -> None:
    (mirror.root / "files/one-1.0.0.crate").write_bytes(CONTENTS["one"][:-1])
    (mirror.root / "files/two-1.0.0.crate").write_bytes(CONTENTS["two"])
    places = Places(mirror=mirror, offline=True)
    brought, failures = stage_each(WANTS, Job(store=store, sink=sink, places=places))
    assert list(brought) == [WANTS[1]]
    assert [want for want, _ in failures] == [WANTS[0], *WANTS[2:]]
    assert isinstance(failures[0][1], IntegrityError)
    with pytest.raises(FetchError) as caught:
        stage(WANTS, store, sink, places=places)
    assert caught.value.message == "3 sources could not be brought"
    assert [line.partition(":")[0] for line in caught.value.details] == [
        "crate one 1.0.0 from cargo's registry",
        "crate three 1.0.0 from cargo's registry",
        "crate four 1.0.0 from cargo's registry",
    ]


def test_many_that_are_lacking_are_told_in_one_line(store: Store, sink: Sink) -> None:
    with pytest.raises(FetchError) as caught:
        stage(WANTS, store, sink, places=Places(offline=True))
    reason = "not in the store, and fetching is switched off"
    assert caught.value.message == f"4 sources could not be brought: {reason}"
    assert caught.value.details == ("4 crates (one 1.0.0, two 1.0.0, three 1.0.0, …)",)
    with pytest.raises(FetchError, match=rf"^crate one 1\.0\.0: {reason}"):
        stage(WANTS[:1], store, sink, places=Places(offline=True))


def test_one_that_two_files_pin_is_one(store: Store, sink: Sink) -> None:
    other = CrateFile(
        name="one", version="1.0.0", filename="one-1.0.0.crate", sha256=WANTS[0].sha256, among=()
    )
    assert {WANTS[0], other} == {WANTS[0]}


def test_what_cargo_is_asked_for_is_exactly_what_is_pinned() -> None:
    crates = (CRATES[0], Crate(name="b-c", version="2.0.0+x.1", sha256=CRATES[1].sha256))
    data = tomllib.loads(manifest(crates))
    assert data["dependencies"] == {
        "c0": {"package": "one", "version": "=1.0.0", "default-features": False},
        "c1": {"package": "b-c", "version": "=2.0.0", "default-features": False},
    }
    lock = tomllib.loads(lock_text(crates, REGISTRY))
    assert lock["version"] == 3
    assert [(p["name"], p["version"], p["checksum"]) for p in lock["package"]] == [
        (crate.name, crate.version, crate.sha256) for crate in crates
    ]


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    said = "error: failed to unpack\nCaused by:\n  No space left on device (os error 28)\n"
    done = Finished(status=101, output=b"", errors=said.encode())
    error = _failure(WANTS, done, tmp_path)
    assert isinstance(error, StorageError)


def test_the_users_way_to_the_registry_reaches_cargo_and_nothing_that_steers_a_build(
    tmp_path: Path,
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    variables = {
        "CARGO_HOME": "/u", "CARGO_BUILD_TARGET": "x", "CARGO_TARGET_DIR": "/t",
        "CARGO_NET_RETRY": "9", "HTTPS_PROXY": "http://p", "SSL_CERT_FILE": str(bundle),
        "PIP_CONFIG_FILE": "/dev/null",
    }  # fmt: skip
    found = _environment(variables, Path("/home/of/ours"))
    assert found["CARGO_HOME"] == "/home/of/ours"
    assert found["CARGO_HTTP_CAINFO"] == str(bundle)
    assert (found["CARGO_NET_RETRY"], found["HTTPS_PROXY"]) == ("9", "http://p")
    assert not {"CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"} & set(found)
    own = _environment({**variables, "CARGO_HTTP_CAINFO": "/own.pem"}, Path("/h"))
    assert own["CARGO_HTTP_CAINFO"] == "/own.pem"
