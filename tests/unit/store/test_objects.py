"""Objects in a folder, on a web server and in a bucket: the same words, the same errors."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import threading
import time
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from farm.errors import CancelledError, FetchError, IntegrityError, StorageError, UsageError
from farm.store import objects
from farm.store.objects import Address, Objects
from tests.support.objects import ObjectServer, refusing, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONTENT = b"content" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "demo-1.0/cpu+rust/file"
SECRET = "hunter2"  # noqa: S105 - nobody's


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with serving() as made:
        yield made


@pytest.fixture(params=["folder", "web", "bucket"])
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    server: ObjectServer,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """Where objects may lie.  The bucket's protocol is checked by hand against a real server."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://localhost:{server.port}")
    places = {"folder": str(tmp_path / "a b/x"), "web": server.url, "bucket": "s3://shared/x"}
    return places[str(request.param)]


def objects_at(place: str) -> Objects:
    return Objects(Address.of(place))


def fetch(there: Objects, path: Path, **given: object) -> None:
    wanted: dict[str, object] = {"sha256": SHA256, "size": len(CONTENT)}
    wanted |= {"cancel": threading.Event(), "progress": lambda _: None}
    there.fetch(NAME, path, **(wanted | given))  # type: ignore[arg-type]


def stored(path: Path, there: Objects) -> Path:
    (path / "given").write_bytes(CONTENT)
    there.send(NAME, path / "given")
    return path / "taken"


def test_what_was_written_is_read(place: str, tmp_path: Path) -> None:
    there = objects_at(place)
    assert there.read(NAME, 10) is None
    assert there.write(NAME, b"text", new=True)
    assert objects_at(place).read(NAME, 10) == b"text"
    assert there.write(NAME, b"", new=False)
    assert there.read(NAME, 10) == b""
    fetch(there, stored(tmp_path, there))
    assert (tmp_path / "taken").read_bytes() == CONTENT


def test_a_new_object_takes_no_others_place(place: str) -> None:
    there = objects_at(place)
    assert there.write(NAME, b"first", new=True)
    if not place.startswith("http"):
        assert not there.write(NAME, b"second", new=True)
        assert there.read(NAME, 10) == b"first"
    assert there.write(NAME, b"third", new=False)
    assert there.read(NAME, 10) == b"third"


def test_nothing_is_made_where_nothing_is_written(tmp_path: Path) -> None:
    there = objects_at(str(tmp_path / "none"))
    assert there.read(NAME, 10) is None
    with pytest.raises(IntegrityError, match="is missing"):
        fetch(there, tmp_path / "taken")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1, 0])
def test_another_size_than_declared_is_refused(place: str, tmp_path: Path, size: int) -> None:
    there = objects_at(place)
    with pytest.raises(IntegrityError, match=r"more than|expected"):
        fetch(there, stored(tmp_path, there), size=size)


def test_another_content_than_declared_is_refused(place: str, tmp_path: Path) -> None:
    there = objects_at(place)
    with pytest.raises(IntegrityError, match=f"expected .* sha256 {'0' * 64}"):
        fetch(there, stored(tmp_path, there), sha256="0" * 64)


def test_a_large_object_is_not_read_into_memory(place: str) -> None:
    there = objects_at(place)
    there.write(NAME, b"12345678901", new=True)
    with pytest.raises(IntegrityError, match="more than 10 bytes"):
        there.read(NAME, 10)


def test_a_cancel_ends_a_transfer(place: str, tmp_path: Path) -> None:
    there, cancel = objects_at(place), threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        fetch(there, stored(tmp_path, there), cancel=cancel)


def test_a_full_disk_is_a_storage_error(place: str, tmp_path: Path) -> None:
    there = objects_at(place)
    given = stored(tmp_path, there).with_name("given")
    given.write_bytes(bytes(300_000))
    there.send(NAME, given)
    folder = tmp_path / "full"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True)
    try:
        with pytest.raises(StorageError, match="no space left"):
            fetch(there, folder / "taken", size=300_000)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "place" / NAME
    path.parent.mkdir(parents=True)
    if kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(IntegrityError, match="no plain file"):
        objects_at(str(tmp_path / "place")).read(NAME, 1000)


def test_a_file_in_the_way_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("")
    with pytest.raises(FetchError, match="Not a directory"):
        objects_at(str(tmp_path / "place")).read(NAME, 10)


@pytest.mark.parametrize("status", [401, 403, 500])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_what_a_server_refuses_is_told_without_what_it_says(
    server: ObjectServer, method: str, status: int
) -> None:
    there = objects_at(server.url)
    server.faults[method] = f"status {status}"
    asked: dict[str, Callable[[], object]] = {
        "GET": lambda: there.read(NAME, 10),
        "PUT": lambda: there.write(NAME, b"text", new=True),
    }
    with pytest.raises(FetchError, match=f"the server says {status}") as caught:
        asked[method]()
    assert SECRET not in caught.value.message


def test_a_connection_that_ends_too_early_is_told(server: ObjectServer, tmp_path: Path) -> None:
    there = objects_at(server.url)
    taken = stored(tmp_path, there)
    server.faults["GET"] = "truncate"
    with pytest.raises((FetchError, IntegrityError)):
        fetch(there, taken, size=len(CONTENT) + 10)


def test_a_server_that_stalls_is_given_up_but_a_slow_upload_is_not(
    server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(objects._FETCHING, "read_timeout", timedelta(seconds=0.5))
    server.before = lambda method, _: time.sleep(1.5 if method == "PUT" else 0)
    there = objects_at(server.url)
    taken = stored(tmp_path, there)
    server.faults["GET"] = "drip"
    with pytest.raises(FetchError):
        fetch(there, taken)


def test_no_server_is_told_with_the_cause() -> None:
    with refusing() as url, pytest.raises(FetchError, match="Connection refused"):
        objects_at(url.replace("://", f"://me:{SECRET}@")).read(NAME, 10)


def test_user_and_password_of_the_url_are_sent_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    with serving(login=f"me:{SECRET}") as server:
        monkeypatch.setenv("NETRC", str(netrc))
        with pytest.raises(FetchError, match="401"):
            objects_at(server.url).read(NAME, 10)
        address = Address.of(server.url.replace("://", f"://me:{SECRET}@"))
        assert Objects(address).write(NAME, b"text", new=True)
        netrc.write_text(f"machine localhost login me password {SECRET}\n")
        assert objects_at(server.url).read(NAME, 10) == b"text"
        server.faults["GET"] = "status 500"
        with pytest.raises(FetchError) as caught:
            Objects(address).read(NAME, 10)
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in f"{address} {address!r} {told}"


def test_a_certificate_of_ones_own_is_trusted_where_its_authority_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {key} -out"
    more = "-days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    plain = "-addext basicConstraints=critical,CA:FALSE"
    argv = ["openssl", *words.split(), str(certificate), *more.split(), *plain.split()]
    subprocess.run(argv, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(tls=context) as server:
        with pytest.raises(FetchError, match="certificate is not trusted"):
            objects_at(server.url).read(NAME, 10)
        monkeypatch.setenv("PIP_CERT", str(certificate))
        assert objects_at(server.url).read(NAME, 10) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no place"),
        ("  ", "no place"),
        ("a\0b", "no place"),
        ("ftp://host/x", "ftp://host/x"),
        ("s3:///x", "s3:///x"),
        ("https://host/x?token=hunter2", "has a query"),
        ("https://me:hunter2@host/x#a", "has a query"),
        ("https://ho st/", "white space"),
        ("https://[::1/x", "not a URL"),
        ("https://me:hunter2@host:port/x", "not a URL"),
    ],
)
def test_what_is_no_place_is_a_usage_error(text: str, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        Address.of(text)
    assert word in caught.value.message
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"


def test_a_folder_is_shown_as_it_is_and_a_url_without_its_password(tmp_path: Path) -> None:
    assert str(Address.of(str(tmp_path / "a b%20c"))) == str(tmp_path / "a b%20c")
    assert str(Address.of("https://me:hunter2@host/x/")) == "https://host/x"
    assert Address.of("file:///a/b").folder == Address.of("/a/b").folder
