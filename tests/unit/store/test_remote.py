"""Shared results between two caches: what one put there another takes, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from farm.errors import CancelledError, StorageError
from farm.events import Event, Notice, TaskProgress
from farm.model.key import UnitKey
from farm.store.objects import Address
from farm.store.record import Record, WheelFile, write_record
from farm.store.remote import RemoteResults, Terms
from farm.store.results import ResultStore
from tests.support.objects import ObjectServer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm.store.results import Result

KEY = UnitKey(package="demo", version="1.0", variant="cpu+rust")
MANIFEST = b"all that goes in"
IDENTITY = hashlib.sha256(MANIFEST).hexdigest()
WHEEL = "demo-1.0-py3-none-any.whl"
LISTED = f"{KEY.folder}/{IDENTITY}/result.json"
MINE = Ed25519PrivateKey.from_private_bytes(bytes(32))
THEIRS = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
SIGNED = Terms(fills=True, sign_key=MINE, trusted=(MINE.public_key(),))
SIGNED_BY_THEM = Terms(fills=True, sign_key=THEIRS, trusted=(THEIRS.public_key(),))
TRUSTING = Terms(fills=True, trusted=(MINE.public_key(),))


def record_of(content: bytes, **changes: Any) -> Record:
    wheel = WheelFile(
        filename=WHEEL, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
    )
    made = Record(
        unit=KEY.label, package="demo", version="1.0", variant=KEY.variant, python="3.13",
        accelerator="cpu", archs=(), features=(), toolchain="cpu", host_compiler="gcc-14",
        identity=IDENTITY, outcome="built", wheels=(wheel,),
    )  # fmt: skip
    return replace(made, **changes)


@dataclass
class Machine:
    """A cache folder, and a run there that shares results."""

    root: Path
    place: str
    terms: Terms = field(default_factory=lambda: Terms(fills=True))
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.results = ResultStore(self.root / "kept")
        self.anew()

    def anew(self, terms: Terms | None = None) -> Machine:
        """Another run."""
        self.terms, self.events = terms or self.terms, []
        self.shared = RemoteResults(Address.of(self.place), self.terms, self.events.append)
        return self

    def make(self, content: bytes = b"a wheel", **changes: Any) -> Result:
        """Keep a result as a build does."""
        with self.results.scratch() as scratch:
            made = scratch / "made"
            (made / "logs").mkdir(parents=True)
            (made / WHEEL).write_bytes(content)
            (made / "manifest.json").write_bytes(MANIFEST)
            (made / "logs/build.log").write_text(f"said in {self.root}\n")
            (made / "Dockerfile").write_text("")
            write_record(made, record_of(content, **changes))
            return self.results.keep(made, KEY, IDENTITY)

    def offer(self) -> list[str]:
        self.shared.offer(KEY, IDENTITY, self.results)
        return self.said()

    def bring(self, cancel: threading.Event | None = None) -> bytes | None:
        """The wheel that comes from there."""
        cancel = cancel or threading.Event()
        found = self.shared.bring(KEY, IDENTITY, self.results, cancel)
        return (found.folder / WHEEL).read_bytes() if found else None

    def said(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]

    def leftovers(self) -> list[Path]:
        return list(self.results.root.glob(".new-*"))


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with serving() as made:
        yield made


@pytest.fixture(params=["folder", "web"])
def place(request: pytest.FixtureRequest, tmp_path: Path, server: ObjectServer) -> str:
    return {"folder": str(tmp_path / "shared"), "web": server.url}[str(request.param)]


@pytest.fixture
def first(tmp_path: Path, place: str) -> Machine:
    machine = Machine(tmp_path / "first", place)
    machine.make()
    return machine


@pytest.fixture
def second(tmp_path: Path, place: str) -> Machine:
    return Machine(tmp_path / "second", place)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Shared results in a folder, filled by one machine."""
    machine = Machine(tmp_path / "first", str(tmp_path / "shared"))
    machine.make()
    machine.offer()
    return tmp_path / "shared"


def taker(folder: Path, terms: Terms | None = None) -> Machine:
    return Machine(folder.with_name("second"), str(folder), terms or Terms(fills=True))


def test_what_one_machine_put_there_another_takes(first: Machine, second: Machine) -> None:
    assert second.bring() is None
    assert first.offer() == []
    listing = second.anew().shared.ask(KEY, IDENTITY)
    assert listing is not None
    assert [wheel.name for wheel in listing.wheels] == [WHEEL]
    assert second.bring() == b"a wheel"
    assert "its result comes from" in second.said()[0]
    kept, taken = (m.results.folder(KEY, IDENTITY) for m in (first, second))
    for path in kept.rglob("*"):
        if path.is_file():
            assert (taken / path.relative_to(kept)).read_bytes() == path.read_bytes()
    assert second.results.find(KEY, IDENTITY)
    progress = [event for event in second.events if isinstance(event, TaskProgress)]
    assert progress[-1].finished
    assert progress[-1].done == progress[-1].total


def test_what_is_there_is_asked_for_once_and_not_put_there_again(
    tmp_path: Path, server: ObjectServer
) -> None:
    one, two = (Machine(tmp_path / name, server.url) for name in ("one", "two"))
    one.make()
    one.offer()
    puts = len(server.asked("PUT"))
    assert server.asked("PUT")[-1].endswith("/result.json")
    asked = len(server.asked("GET"))
    two.shared.ask(KEY, IDENTITY)
    two.bring()
    two.offer()
    assert [path.endswith("/result.json") for path in server.asked("GET")[asked:]].count(True) == 1
    assert len(server.asked("PUT")) == puts


def test_read_only_puts_nothing_there(first: Machine, second: Machine) -> None:
    first.anew(Terms(fills=False)).offer()
    assert second.bring() is None


def test_one_identity_with_two_contents_is_told_and_the_first_stays(
    first: Machine, second: Machine, tmp_path: Path
) -> None:
    first.offer()
    second.make(b"another wheel")
    for _ in range(2):
        (said,) = second.anew().offer()
        assert "one identity gave two contents" in said
        assert "stays" in said
    second.shared.ask(KEY, IDENTITY)
    (said,) = second.offer()
    third = Machine(tmp_path / "third", first.place)
    assert third.bring() == b"a wheel"


@pytest.mark.parametrize("terms", [Terms(fills=True), SIGNED])
def test_what_was_held_against_something_else_since_is_shared_anew(
    tmp_path: Path, terms: Terms
) -> None:
    one = Machine(tmp_path / "one", str(tmp_path / "shared"), terms)
    one.make(expected="old")
    one.offer()
    one.make(expected="new")
    assert one.anew().offer() == []
    listing = one.anew(TRUSTING if terms is SIGNED else terms).shared.ask(KEY, IDENTITY)
    assert listing is not None
    assert listing.expected == "new"
    one.make(b"another wheel", expected="newest")
    assert "stays" in one.anew(terms).offer()[0]
    assert one.anew().shared.ask(KEY, IDENTITY) == listing


def test_what_lies_beside_a_result_by_chance_is_not_shared(first: Machine, folder: Path) -> None:
    (first.results.folder(KEY, IDENTITY) / "secrets.txt").write_text("hunter2")
    first.anew().offer()
    assert not any(b"hunter2" in p.read_bytes() for p in folder.rglob("*") if p.is_file())


def _other_wheel(files: dict[str, Path]) -> None:
    files[WHEEL].write_bytes(b"evil!!!")


def _cut(files: dict[str, Path]) -> None:
    files[WHEEL].write_bytes(b"a whe")


def _gone(files: dict[str, Path]) -> None:
    files[WHEEL].unlink()


def _bomb(files: dict[str, Path]) -> None:
    with files["Dockerfile"].open("wb") as file:
        file.truncate(1 << 40)


def _linked(files: dict[str, Path]) -> None:
    wheel = files[WHEEL]
    wheel.rename(wheel.with_name("else"))
    wheel.symlink_to("else")


def _piped(files: dict[str, Path]) -> None:
    files["logs/build.log"].unlink()
    os.mkfifo(files["logs/build.log"])


def _record(files: dict[str, Path], **changes: Any) -> None:
    """Another record, and a listing that vouches for it."""
    listing = json.loads(files["result.json"].read_bytes())
    told = json.loads(files["record.json"].read_bytes()) | changes
    text = json.dumps(told).encode()
    sha256 = hashlib.sha256(text).hexdigest()
    files["record.json"].with_name(sha256).write_bytes(text)
    for each in listing["files"]:
        if each["name"] == "record.json":
            each |= {"sha256": sha256, "size_bytes": len(text)}
    files["result.json"].write_text(json.dumps(listing))


def _of_another_unit(files: dict[str, Path]) -> None:
    _record(files, unit="demo@1.0:cuda")


def _of_another_identity(files: dict[str, Path]) -> None:
    _record(files, identity="cd" * 32)


def _failed(files: dict[str, Path]) -> None:
    _record(files, outcome="failed")


def _climbing(files: dict[str, Path]) -> None:
    wheel = {"filename": f"../{WHEEL}", "sha256": "ab" * 32, "size_bytes": 3}
    _record(files, wheels=[wheel])


def _endless(files: dict[str, Path]) -> None:
    _record(files, wheels=[{"filename": "/dev/zero", "sha256": "ab" * 32, "size_bytes": 0}])


def _endless_beside(files: dict[str, Path]) -> None:
    _record(files, attestations=[{"name": "/dev/zero", "digest": "sha256:ab", "origin": ""}])


def _of_another_expectation(files: dict[str, Path]) -> None:
    _record(files, expected="ab" * 32)


def _of_another_format(files: dict[str, Path]) -> None:
    _record(files, format=99)


def _more_wheels(files: dict[str, Path]) -> None:
    listing = json.loads(files["result.json"].read_bytes())
    (wheel,) = (each for each in listing["files"] if each["name"] == WHEEL)
    listing["files"].append(wheel | {"name": "evil-1.0-py3-none-any.whl"})
    files["result.json"].write_text(json.dumps(listing))


def _large_listing(files: dict[str, Path]) -> None:
    with files["result.json"].open("ab") as file:
        file.truncate(2 << 20)


def _newer(files: dict[str, Path]) -> None:
    files["result.json"].write_text('{"format": 7}')


@pytest.mark.parametrize(
    ("tamper", "word"),
    [
        (_other_wheel, "expected 7 bytes with sha256"),
        (_cut, "expected 7 bytes with sha256"),
        (_gone, "is missing"),
        (_bomb, "has more than 0 bytes"),
        (_linked, "is no plain file"),
        (_piped, "is no plain file"),
        (_of_another_unit, "its record is not of this result"),
        (_of_another_identity, "its record is not of this result"),
        (_failed, "its record is not of this result"),
        (_climbing, "its record is not of this result"),
        (_endless, "its record is not of this result"),
        (_endless_beside, "its record is not of this result"),
        (_of_another_expectation, "its record is not of this result"),
        (_of_another_format, "its record is not of this result"),
        (_more_wheels, "its record is not of this result"),
        (_large_listing, "has more than 1,048,576 bytes"),
        (_newer, "it has format 7, and this farm reads 1"),
    ],
)
def test_what_was_tampered_with_is_told_not_used_and_mended_by_the_next_build(
    folder: Path, tamper: Callable[[dict[str, Path]], None], word: str
) -> None:
    listed = folder / LISTED
    listing = json.loads(listed.read_bytes())
    files = {each["name"]: listed.with_name(each["sha256"]) for each in listing["files"]}
    tamper(files | {"result.json": listed})
    machine = taker(folder)
    assert machine.bring() is None
    (said,) = machine.said()
    assert word in said
    assert f"the result in {folder} is not used" in said
    assert not machine.results.find(KEY, IDENTITY)
    assert not machine.leftovers()
    machine.make()
    machine.offer()
    third = Machine(folder.with_name("third"), str(folder))
    assert third.bring() == (None if tamper is _newer else b"a wheel")


def test_with_a_key_only_what_it_signed_is_used(tmp_path: Path) -> None:
    place = str(tmp_path / "shared")
    one, two = Machine(tmp_path / "one", place, SIGNED), Machine(tmp_path / "two", place, TRUSTING)
    one.make()
    assert one.offer() == []
    assert two.bring() == b"a wheel"
    three = Machine(tmp_path / "three", place, SIGNED_BY_THEM)
    assert three.bring() is None
    (said,) = three.said()
    assert "signed by another key" in said
    assert "trusted is" in said
    three.make()
    three.offer()
    assert Machine(tmp_path / "four", place, TRUSTING).bring() == b"a wheel"
    assert Machine(tmp_path / "five", place).bring() == b"a wheel"


def test_a_signed_result_takes_the_place_of_an_unsigned_one_never_the_other_way_round(
    folder: Path,
) -> None:
    machine = taker(folder, TRUSTING)
    assert machine.bring() is None
    assert any("it is not signed" in said for said in machine.said())
    machine.make()
    machine.offer()  # without a key to sign with
    assert taker(folder).bring() == b"a wheel"
    assert machine.anew(SIGNED).offer() == []
    shutil.rmtree(machine.root)
    assert machine.anew(TRUSTING).bring() == b"a wheel"
    unsigned = Machine(folder.with_name("third"), str(folder))
    unsigned.make(b"another wheel")
    assert "stays" in unsigned.offer()[0]
    shutil.rmtree(machine.root)
    assert machine.anew(TRUSTING).bring() == b"a wheel"


def test_a_damaged_signed_result_is_mended_by_a_signer_alone(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "one", str(tmp_path / "shared"), SIGNED)
    result = machine.make()
    machine.offer()
    blob = (tmp_path / "shared" / LISTED).with_name(result.record.wheels[0].sha256)
    for terms, mended in ((Terms(fills=True), False), (SIGNED, True)):
        blob.write_bytes(b"evil!!!")
        shutil.rmtree(machine.root)
        assert machine.anew(terms).bring() is None
        machine.make()
        machine.offer()
        shutil.rmtree(machine.root)
        assert (machine.anew(TRUSTING).bring() is not None) is mended


def test_an_upload_that_was_killed_before_its_end_is_no_result(
    tmp_path: Path, server: ObjectServer
) -> None:
    """After each request in turn; the next one fills what is missing."""
    machine = Machine(tmp_path / "one", server.url)
    machine.make()
    argv = [sys.executable, "-c", OFFER, server.url, str(machine.results.root)]
    kills = 0
    while not any(path.endswith("result.json") for path in server.objects):
        _offer_killed(server, [*argv, KEY.package, KEY.version, KEY.variant, IDENTITY], kills)
        assert kills < 20
        kills += 1
    assert kills > 2
    assert Machine(tmp_path / "two", server.url).bring() == b"a wheel"


OFFER = """\
import sys
from pathlib import Path
from farm.model.key import UnitKey
from farm.store.objects import Address
from farm.store.remote import RemoteResults, Terms
from farm.store.results import ResultStore
url, kept, package, version, variant, identity = sys.argv[1:]
shared = RemoteResults(Address.of(url), Terms(fills=True), print)
key = UnitKey(package=package, version=version, variant=variant)
shared.offer(key, identity, ResultStore(Path(kept)))
"""


def _offer_killed(server: ObjectServer, argv: list[str], spared: int) -> None:
    """Offer in a process of its own, and kill that when it has put more than ``spared``."""
    pids: queue.Queue[int] = queue.Queue()
    puts = 0

    def strike(method: str, path: str) -> None:
        nonlocal puts
        puts += method == "PUT"
        if puts > spared:
            os.kill(pids.get(timeout=60), signal.SIGKILL)

    server.before = strike
    try:
        with subprocess.Popen(argv) as process:
            pids.put(process.pid)
    finally:
        server.before = None


def test_two_that_fill_at_once_leave_one_whole_result(tmp_path: Path, place: str) -> None:
    machines = [Machine(tmp_path / f"m{n}", place) for n in range(4)]
    for number, machine in enumerate(machines):
        machine.make(b"wheel %d" % number)
    gate = threading.Barrier(len(machines))

    def fill(machine: Machine) -> None:
        gate.wait(60)
        machine.offer()

    threads = [threading.Thread(target=fill, args=(machine,)) for machine in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = Machine(tmp_path / "last", place).bring()
    assert found is not None
    assert found.startswith(b"wheel ")


def test_a_place_that_fails_is_told_once_and_asked_no_more(
    tmp_path: Path, server: ObjectServer
) -> None:
    machine = Machine(tmp_path / "one", server.url.replace("://", "://me:hunter2@"))
    machine.make()
    server.faults["GET"] = "status 403"
    assert machine.shared.ask_all([(KEY, "ab" * 32), (KEY, "cd" * 32)]) == [None, None]
    asked = len(server.requests)
    assert machine.bring() is None
    (said,) = machine.offer()
    assert len(server.requests) == asked
    assert "not asked for (again) in this run" in said
    assert "the server says 403" in said
    assert "hunter2" not in said


def test_a_place_that_cannot_be_filled_is_told_once(tmp_path: Path, server: ObjectServer) -> None:
    machine = Machine(tmp_path / "one", server.url)
    machine.make()
    server.faults["PUT"] = "status 405"
    (said,) = machine.offer()
    assert "are not shared in this run" in said
    asked = len(server.requests)
    assert machine.offer() == [said]
    assert len(server.requests) == asked


def test_a_result_that_breaks_off_is_not_used_and_builds_go_on(
    tmp_path: Path, server: ObjectServer
) -> None:
    one, two = Machine(tmp_path / "one", server.url), Machine(tmp_path / "two", server.url)
    one.make(bytes(300_000))
    one.offer()
    assert two.shared.ask(KEY, IDENTITY)
    server.faults["GET"] = "truncate"
    assert two.bring() is None
    assert not two.leftovers()


def test_a_full_disk_ends_the_unit_and_leaves_nothing(
    tmp_path: Path, server: ObjectServer
) -> None:
    one, two = Machine(tmp_path / "one", server.url), Machine(tmp_path / "two", server.url)
    one.make(bytes(300_000))
    one.offer()
    two.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", two.root], check=True)
    try:
        with pytest.raises(StorageError, match="no space left"):
            two.bring()
        assert not two.leftovers()
        assert not two.results.find(KEY, IDENTITY)
    finally:
        subprocess.run(["umount", two.root], check=True)


def test_a_cancel_leaves_nothing(first: Machine, second: Machine) -> None:
    first.offer()
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        second.bring(cancel)
    assert not second.leftovers()
