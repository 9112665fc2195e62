from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from farm.errors import CancelledError, FarmError, FetchError, IntegrityError, StorageError
from farm.events import Event, TaskProgress
from farm.host import process
from farm.host.files import sha256_of
from farm.load.trees import tree_digest
from farm.model.crates import Crate
from farm.model.unit import Pin, Source, UnitKey
from farm.source.fetch import GoneError
from farm.source.inputs import input_of_pin, input_of_source
from farm.source.job import Places
from farm.source.kinds import CrateFile, GitCommit, IndexFile, Input, Sdist, Tree, UrlFile
from farm.source.stage import groups, stage, summary
from farm.source.tar import archive_alias
from farm.store.blobs import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.conftest import Web


def file_want(web: Web, name: str, content: bytes) -> UrlFile:
    url, sha256 = web.put(f"/{name}", content)
    return UrlFile(urls=(url,), sha256=sha256, filename=name)


def tree_want(tmp_path: Path) -> Tree:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a").write_text("a")
    return Tree(path=folder, digest=f"tree:{tree_digest(folder)}")


def test_many_wants_arrive_at_once_each_under_its_hash(
    store: Store, sink: Callable[[Event], None], events: list[Event], web: Web, tmp_path: Path
) -> None:
    wants: list[Input] = [file_want(web, f"f{n}", b"%d" % n * 1000) for n in range(20)]
    wants += [tree_want(tmp_path), *wants[:3]]
    found = stage(wants, store, sink)
    assert set(found) == set(wants)
    assert all(sha256_of(store.path_of(sha256)) == sha256 for sha256 in found.values())
    assert len(web.requests) == 20
    ends = [event for event in events if isinstance(event, TaskProgress) and event.finished]
    assert len(ends) == 20


def test_where_one_was_cancelled_the_whole_was_whatever_else_went_wrong(
    web: Web, tmp_path: Path
) -> None:
    cancelled = CancelledError("cancelled before it began")
    gone = StorageError("the disk is full")
    failures: list[tuple[Input, FarmError]] = [
        (tree_want(tmp_path), gone),
        (file_want(web, "f", b"f"), cancelled),
    ]
    assert summary(failures) is cancelled
    assert summary([*failures[1:], (failures[0][0], CancelledError("another"))]) is cancelled


def test_nothing_wanted_is_nothing_done(store: Store, sink: Callable[[Event], None]) -> None:
    assert stage([], store, sink) == {}
    assert not store.root.exists()


def test_what_is_in_the_store_needs_no_network_and_no_library_for_it(
    store: Store, sink: Callable[[Event], None], tmp_path: Path
) -> None:
    sha256 = store.add_stream([b"content"])
    store.set_alias(archive_alias("git:" + "1" * 40 + "+submodules"), sha256)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_text("a")
    digest = f"tree:{tree_digest(tmp_path / 'tree')}"
    script = f"""
import socket, sys
def refuse(*a, **k):
    raise AssertionError("network")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from pathlib import Path
from farm.source.stage import stage
from farm.store.blobs import Store
from farm.source.kinds import GitCommit, IndexFile, Sdist, Tree, UrlFile
sha = {sha256!r}
wants = [
    Sdist(name="a", version="1", sha256=sha),
    UrlFile(urls=("https://nowhere.invalid/x",), sha256=sha, filename="x"),
    IndexFile(name="a", version="1", filename="a.whl", sha256=sha),
    GitCommit(url="https://nowhere.invalid/x", commit="1" * 40, submodules=True),
    Tree(path=Path({str(tmp_path / "tree")!r}), digest={digest!r}),
]
found = stage(wants, Store(Path({str(store.root)!r})), lambda event: None)
assert len(found) == 5
for name in ("requests", "urllib3", "pypi_simple", "subprocess", "pydantic"):
    assert name not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_want_that_cannot_be_had_is_named_with_its_origin(
    store: Store, sink: Callable[[Event], None], web: Web
) -> None:
    good = file_want(web, "good", b"good")
    wrong = UrlFile(urls=(f"{web.base}/good",), sha256="0" * 64, filename="wrong.tar")
    absent = UrlFile(
        urls=(f"{web.base}/absent?token=hush",), sha256="1" * 64, filename="absent.tar"
    )
    refused = UrlFile(urls=("ftp://host/x",), sha256="2" * 64, filename="refused.tar")
    with pytest.raises(FetchError) as caught:
        stage([wrong, good, absent, refused], store, sink)
    details = "\n".join(caught.value.details)
    assert caught.value.message == "3 sources could not be brought"
    for part in ("wrong.tar", "expected sha256", "absent.tar", "404", web.base, "refused.tar"):
        assert part in details
    assert "hush" not in details
    assert store.get(good.sha256) is not None


def test_a_reason_that_all_share_is_told_once(store: Store, sink: Callable[[Event], None]) -> None:
    git = GitCommit(url="https://me:hush@host/a/b", commit="1" * 40)
    file = UrlFile(urls=("https://host/c.tgz?token=hush",), sha256="2" * 64, filename="c.tgz")
    sdist = Sdist(name="demo", version="1.0", sha256="3" * 64)
    with pytest.raises(FetchError) as caught:
        stage([git, file, sdist], store, sink, places=Places(offline=True))
    error = caught.value
    reason = "not in the store, and fetching is switched off"
    assert error.message == f"3 sources could not be brought: {reason}"
    assert error.details == (
        "git 111111111111 from https://host/a/b",
        "c.tgz from https://host/c.tgz?…",
        "sdist of demo 1.0",
    )
    with pytest.raises(FetchError) as caught:
        stage([git], store, sink, places=Places(offline=True))
    assert caught.value.message == f"git 111111111111 from https://host/a/b: {reason}"


def test_one_failure_keeps_its_own_kind_and_several_of_a_kind_too(
    store: Store, sink: Callable[[Event], None], web: Web
) -> None:
    url, _ = web.put("/x", b"x")
    wrong = [UrlFile(urls=(url,), sha256=str(n) * 64, filename=f"f{n}") for n in range(3)]
    for wants in (wrong[:1], wrong):
        with pytest.raises(IntegrityError):
            stage(wants, store, sink)


def test_a_full_disk_is_what_is_told_whatever_else_failed(
    tmp_path: Path, sink: Callable[[Event], None], web: Web
) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], check=True)
    try:
        wants = [file_want(web, f"f{n}", b"%d" % n * 150_000) for n in range(3)]
        wants.append(UrlFile(urls=(f"{web.base}/absent",), sha256="1" * 64, filename="absent"))
        store = Store(folder / "store")
        with pytest.raises(StorageError) as caught:
            stage(wants, store, sink)
        assert "no space left" in str(caught.value.details or caught.value.message)
        subprocess.run(["mount", "-o", "remount,size=4m", str(folder)], check=True)
        assert len(stage(wants[:3], store, sink)) == 3
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_offline_names_everything_that_is_missing_and_asks_nobody(
    store: Store, sink: Callable[[Event], None], web: Web
) -> None:
    wants: list[Input] = [
        file_want(web, "f", b"f"),
        Sdist(name="a", version="1", sha256="1" * 64),
        GitCommit(url="https://me:hush@host.invalid/x", commit="1" * 40),
    ]
    with pytest.raises(FetchError) as caught:
        stage(wants, store, sink, places=Places(offline=True))
    assert len(caught.value.details) == 3
    assert "hush" not in str(caught.value.details)
    assert web.requests == []


def test_a_corrupted_entry_is_fetched_again(
    store: Store, sink: Callable[[Event], None], web: Web
) -> None:
    want = file_want(web, "f", b"good")
    stage([want], store, sink)
    path = store.path_of(want.sha256)
    path.chmod(0o644)
    path.write_bytes(b"evil")
    stage([want], store, sink)
    assert path.read_bytes() == b"good"


def test_cancelling_ends_a_stalled_download_and_keeps_what_has_come(
    store: Store, sink: Callable[[Event], None], web: Web
) -> None:
    want = file_want(web, "f", b"f" * 900_000)
    web.faults["/f"] = ["stall 700000"]
    cancel = threading.Event()

    def cancel_when_stalled() -> None:
        web.stalled.wait(60)
        cancel.set()

    thread = threading.Thread(target=cancel_when_stalled)
    thread.start()
    with pytest.raises(CancelledError):
        stage([want], store, sink, cancel=cancel)
    thread.join()
    assert not web.over.is_set()
    assert store.get(want.sha256) is None
    web.over.set()


def test_ctrl_c_ends_the_process_and_the_next_run_resumes(
    store: Store, sink: Callable[[Event], None], web: Web
) -> None:
    want = file_want(web, "f", b"f" * 900_000)
    web.faults["/f"] = ["stall 700000"]
    script = f"""
from pathlib import Path
from farm.source.stage import stage
from farm.store.blobs import Store
from farm.source.kinds import UrlFile
want = UrlFile(urls={want.urls!r}, sha256={want.sha256!r}, filename="f")
stage([want], Store(Path({str(store.root)!r})), lambda event: None)
"""
    child = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    assert web.stalled.wait(60)
    partial = store.root / "partial" / want.sha256
    while not (partial.exists() and partial.stat().st_size):
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    # The server keeps the connection open for a minute; the child must not wait for it.
    _, stderr = child.communicate(timeout=30)
    assert not web.over.is_set()
    assert child.returncode != 0
    assert b"KeyboardInterrupt" in stderr
    assert partial.stat().st_size > 0
    assert stage([want], store, sink)[want] == want.sha256
    assert (web.ranges()[-1] or "").startswith("bytes=")


def test_an_sdist_and_a_wheel_come_from_the_real_index(
    store: Store, sink: Callable[[Event], None]
) -> None:
    sdist = Sdist(
        name="flit-core",
        version="3.12.0",
        sha256="18f63100d6f94385c6ed57a72073443e1a71a4acb4339491615d0f16d6ff01b2",
    )
    wheel = IndexFile(
        name="idna",
        version="3.10",
        filename="idna-3.10-py3-none-any.whl",
        sha256="946d195a0d259cbba61165e88e65941f16e9b36ea6ddb97f00452bae8b1287d3",
    )
    found = stage([sdist, wheel], store, sink)
    assert found == {sdist: sdist.sha256, wheel: wheel.sha256}


def test_a_wrong_hash_for_a_real_sdist_is_told_with_the_right_one(
    store: Store, sink: Callable[[Event], None]
) -> None:
    want = Sdist(name="flit-core", version="3.12.0", sha256="0" * 64)
    with pytest.raises(IntegrityError, match="18f63100d6f94385"):
        stage([want], store, sink)


def test_a_folder_with_links_is_refused_before_anything_is_asked(
    store: Store, sink: Callable[[Event], None], web: Web, tmp_path: Path
) -> None:
    want = tree_want(tmp_path)
    (want.path / "link").symlink_to("/")
    with pytest.raises(Exception, match="problem"):
        stage([file_want(web, "f", b"f"), want], store, sink)


def test_sources_and_pins_say_what_to_bring(tmp_path: Path) -> None:
    key = UnitKey(package="a", version="1", variant="cpu")
    sha256 = hashlib.sha256(b"").hexdigest()

    def of(kind: str, digest: str, **more: object) -> Input:
        source = Source(name="s", kind=kind, filename="f", digest=digest, **more)  # type: ignore[arg-type]
        return input_of_source(source, key)

    assert of("sdist", f"sha256:{sha256}") == Sdist(name="a", version="1", sha256=sha256)
    for kind in ("archive", "wheel"):
        found = of(kind, f"sha256:{sha256}", url="https://h/f")
        assert found == UrlFile(urls=("https://h/f",), sha256=sha256, filename="f")
    git = of("git", "git:" + "1" * 40 + "+submodules", url="https://h/r", submodules=True)
    assert git == GitCommit(url="https://h/r", commit="1" * 40, submodules=True)
    assert of("tree", "tree:x", path=tmp_path) == Tree(path=tmp_path, digest="tree:x")
    pin = Pin(name="b", version="2", filename="b.whl", sha256=sha256)
    assert input_of_pin(pin) == IndexFile(name="b", version="2", filename="b.whl", sha256=sha256)


def test_the_next_url_is_tried_where_one_does_not_give_the_file(
    store: Store, sink: Callable[[Event], None], web: Web
) -> None:
    url, sha256 = web.put("/good", b"good")
    wrong, _ = web.put("/wrong", b"evil")
    urls = (f"{web.base}/absent", wrong, url, f"{web.base}/never-asked")
    want = UrlFile(urls=urls, sha256=sha256, filename="f.deb", size=4)
    assert stage([want], store, sink) == {want: sha256}
    assert [path for path, _ in web.requests] == ["/absent", "/wrong", "/good"]


@pytest.mark.parametrize(
    ("urls", "kind"),
    [
        (("/absent", "/also-absent"), GoneError),
        (("/refused", "/absent"), GoneError),
        (("/refused", "ftp://unusable/"), FetchError),
        (("/absent", "/wrong", "/refused"), IntegrityError),
    ],
)
def test_what_no_url_gives_tells_whether_it_is_gone(
    urls: tuple[str, ...],
    kind: type[FarmError],
    store: Store,
    sink: Callable[[Event], None],
    web: Web,
) -> None:
    web.put("/wrong", b"evil")
    web.faults["/refused"] = ["status 403"]
    whole = tuple(url if "://" in url else f"{web.base}{url}" for url in urls)
    want = UrlFile(urls=whole, sha256="0" * 64, filename="f.deb")
    with pytest.raises(kind) as caught:
        stage([want], store, sink)
    assert type(caught.value) is kind
    assert len(caught.value.details) == len(urls) - 1


def test_a_410_is_gone_too(store: Store, sink: Callable[[Event], None], web: Web) -> None:
    web.faults["/f"] = ["status 410"]
    want = UrlFile(urls=(f"{web.base}/f",), sha256="0" * 64, filename="f")
    with pytest.raises(GoneError):
        stage([want], store, sink)


def test_crates_of_one_file_are_one_group_and_all_else_is_one_each() -> None:
    def crate(name: str, lock: str) -> CrateFile:
        among = (Crate(name=lock, version="1"),)
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        return CrateFile(name=name, version="1", filename=name, sha256=sha256, among=among)

    one, two, three = crate("a", "x"), crate("b", "x"), crate("c", "y")
    sdist = Sdist(name="d", version="1", sha256="1" * 64)
    found = groups([one, sdist, three, two, sdist, one])
    assert [group.inputs for group in found] == [(one, two), (sdist,), (three,)]
    assert [group.label for group in found] == ["2 crates (a 1, b 1)", sdist.label, three.label]


@pytest.mark.parametrize("program", ["git", "cargo", "uv"])
def test_a_killed_farm_leaves_no_program_that_it_started(program: str, tmp_path: Path) -> None:
    """SIGKILL, which nobody can handle, while a stand-in waits for ever."""
    stand_in = tmp_path / program
    stand_in.write_text('#!/bin/sh\necho $$ > "$0.part"; mv "$0.part" "$0.pid"; exec sleep 600\n')
    stand_in.chmod(0o755)
    script = f"""
import os, sys
from pathlib import Path
from farm.host.network import NetworkSettings
from farm.model.crates import Crate
from farm.model.unit import LockInputs
from farm.source.kinds import CrateFile, GitCommit
from farm.source.stage import stage
from farm.store.blobs import Store
os.environ["PATH"] = {str(tmp_path)!r} + ":/usr/sbin:/usr/bin:/sbin:/bin"
store = Store(Path({str(tmp_path / "store")!r}))
crate = Crate(name="a", version="1.0.0", sha256="1" * 64)
if {program!r} == "uv":
    import uv
    from farm.resolve.lock import Resolver
    uv.find_uv_bin = lambda: {str(stand_in)!r}
    asked = LockInputs(source="", requires=("a",), provided=(), python="3.13", glibc="2.41")
    Resolver(store=store, settings=NetworkSettings()).lock(asked, [])
stage([
    GitCommit(url="https://nowhere.invalid/a/b", commit="1" * 40)
    if {program!r} == "git"
    else CrateFile(name="a", version="1.0.0", filename="a", sha256="1" * 64, among=(crate,))
], store, lambda event: None)
"""
    pid_file = tmp_path / f"{program}.pid"
    with subprocess.Popen([sys.executable, "-c", script]) as farm:
        deadline = time.monotonic() + 60
        while not pid_file.exists() and farm.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        started = process.identify(int(pid_file.read_text()))
        assert started is not None
        farm.kill()
    assert started.wait_gone(60)
