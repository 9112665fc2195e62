from __future__ import annotations

import hashlib
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import certifi
import pytest

from farm.errors import CancelledError, FetchError, IntegrityError, StorageError
from farm.events import Event, TaskProgress
from farm.host.files import sha256_of
from farm.host.network import NetworkSettings
from farm.source.fetch import Download, Fetcher, GoneError
from farm.store.blobs import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.conftest import Web

CONTENT = random.Random(3).randbytes(900_000)  # noqa: S311 - the same bytes every time


@pytest.fixture
def fetcher(store: Store, sink: Callable[[Event], None]) -> Fetcher:
    return Fetcher(store=store, sink=sink, settings=NetworkSettings(), backoff_s=0.01)


def wanted(url: str, sha256: str, *, size: int | None = None) -> Download:
    return Download(url=url, sha256=sha256, task="file", size=size)


def partial_of(store: Store, sha256: str) -> Path:
    return store.root / "partial" / sha256


def test_a_file_arrives_whole_and_nothing_else_remains(
    fetcher: Fetcher, web: Web, events: list[Event]
) -> None:
    url, sha256 = web.put("/a", CONTENT)
    assert fetcher.fetch(wanted(url, sha256, size=len(CONTENT))) == sha256
    path = fetcher.store.get(sha256)
    assert path is not None
    assert path.read_bytes() == CONTENT
    assert not list((fetcher.store.root / "partial").iterdir())
    shown = [event for event in events if isinstance(event, TaskProgress)]
    assert [event.finished for event in shown].count(True) == 1
    assert shown[-1].done == shown[-1].total == len(CONTENT)


def test_what_is_there_is_not_asked_for_again(fetcher: Fetcher, web: Web) -> None:
    url, sha256 = web.put("/a", CONTENT)
    for _ in range(2):
        fetcher.fetch(wanted(url, sha256))
    assert len(web.requests) == 1
    assert not list((fetcher.store.root / "partial").iterdir())


def test_an_empty_file_is_a_file(fetcher: Fetcher, web: Web) -> None:
    fetcher.fetch(wanted(*web.put("/empty", b"")))
    assert fetcher.store.get(hashlib.sha256(b"").hexdigest()) is not None


def test_a_truncated_answer_is_resumed_where_it_ended(fetcher: Fetcher, web: Web) -> None:
    url, sha256 = web.put("/a", CONTENT)
    web.etags["/a"] = '"one"'
    web.faults["/a"] = ["truncate 300000", "truncate 200000"]
    fetcher.fetch(wanted(url, sha256))
    assert web.ranges() == [None, "bytes=300000-", "bytes=500000-"]
    assert web.requests[1][1]["If-Range"] == '"one"'


def test_a_server_that_ignores_ranges_begins_anew(fetcher: Fetcher, web: Web) -> None:
    url, sha256 = web.put("/a", CONTENT)
    web.faults["/a"] = ["truncate 300000", "no-range"]
    assert fetcher.fetch(wanted(url, sha256)) == sha256


def test_a_server_that_answers_another_range_begins_anew(fetcher: Fetcher, web: Web) -> None:
    url, sha256 = web.put("/a", CONTENT)
    web.faults["/a"] = ["truncate 300000", "wrong-range"]
    assert fetcher.fetch(wanted(url, sha256)) == sha256


def test_a_file_that_changed_between_two_tries_begins_anew(fetcher: Fetcher, web: Web) -> None:
    old = b"old" * 100_000
    url, _ = web.put("/a", old)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    web.etags["/a"] = '"old"'
    web.faults["/a"] = ["truncate 1000", "status 404"]
    with pytest.raises(FetchError, match="1,000 bytes are kept"):
        fetcher.fetch(wanted(url, sha256))
    web.put("/a", CONTENT)
    web.etags["/a"] = '"new"'
    fetcher.fetch(wanted(url, sha256))
    assert web.ranges()[-1] == "bytes=1000-"


def test_rubbish_left_by_an_earlier_try_is_replaced_once(fetcher: Fetcher, web: Web) -> None:
    url, sha256 = web.put("/a", CONTENT)
    for rubbish in (b"x" * 1000, b"x" * len(CONTENT), b"x" * 2_000_000):
        fetcher.store.folder("partial")
        partial_of(fetcher.store, sha256).write_bytes(rubbish)
        fetcher.fetch(wanted(url, sha256))
        assert sha256_of(fetcher.store.path_of(sha256)) == sha256
        fetcher.store.path_of(sha256).unlink()


def test_wrong_content_is_discarded_and_told_with_hashes_size_and_origin(
    fetcher: Fetcher, web: Web
) -> None:
    url, actual = web.put("/a", CONTENT)
    with pytest.raises(IntegrityError) as caught:
        fetcher.fetch(wanted(url, "0" * 64))
    for part in ("0" * 64, actual, "900,000 bytes", url):
        assert part in caught.value.message
    assert fetcher.store.get(actual) is None
    assert not partial_of(fetcher.store, "0" * 64).exists()
    assert len(web.requests) == 1


def test_truncated_and_wrong_in_the_end_is_an_integrity_error(fetcher: Fetcher, web: Web) -> None:
    url, _ = web.put("/a", CONTENT)
    web.faults["/a"] = ["truncate 300000"]
    with pytest.raises(IntegrityError):
        fetcher.fetch(wanted(url, "0" * 64))
    assert not partial_of(fetcher.store, "0" * 64).exists()
    assert len(web.requests) == 3


def test_a_server_error_is_tried_again(fetcher: Fetcher, web: Web) -> None:
    url, sha256 = web.put("/a", CONTENT)
    web.faults["/a"] = ["status 503", "status 500"]
    fetcher.fetch(wanted(url, sha256))
    assert len(web.requests) == 3


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_told_at_once(fetcher: Fetcher, web: Web, status: int) -> None:
    web.put("/a", CONTENT)
    web.faults["/a"] = [f"status {status}"] * 9
    with pytest.raises(FetchError, match=f"the server says {status}") as caught:
        fetcher.fetch(wanted(f"{web.base}/a", "0" * 64))
    assert isinstance(caught.value, GoneError) == (status in {404, 410})
    assert len(web.requests) == 1


def test_lasting_server_errors_end_after_some_attempts(fetcher: Fetcher, web: Web) -> None:
    web.put("/a", CONTENT)
    web.faults["/a"] = ["status 503"] * 99
    with pytest.raises(FetchError, match="503"):
        fetcher.fetch(wanted(f"{web.base}/a", "0" * 64))
    assert len(web.requests) == 5


def test_nobody_listening_is_told_in_one_line(fetcher: Fetcher) -> None:
    with pytest.raises(FetchError, match="refused") as caught:
        fetcher.fetch(wanted("http://127.0.0.1:9/a", "0" * 64))
    assert "\n" not in caught.value.message
    assert "<" not in caught.value.message


def test_more_than_declared_is_refused_before_it_is_read(fetcher: Fetcher, web: Web) -> None:
    url, sha256 = web.put("/a", CONTENT)
    with pytest.raises(IntegrityError, match="more than the declared 1,000 bytes"):
        fetcher.fetch(wanted(url, sha256, size=1000))
    assert not partial_of(fetcher.store, sha256).exists()


def test_more_than_declared_is_refused_when_no_length_was_given(
    fetcher: Fetcher, web: Web
) -> None:
    url, sha256 = web.put("/a", CONTENT)
    web.faults["/a"] = ["no-length"]
    with pytest.raises(IntegrityError, match="more than the declared"):
        fetcher.fetch(wanted(url, sha256, size=1000))


def test_a_password_in_the_url_reaches_the_server_and_no_message(
    fetcher: Fetcher, web: Web, events: list[Event]
) -> None:
    url, _ = web.put("/a", CONTENT)
    secret = url.replace("http://", "http://me:hush-hush@") + "?token=hush-hush"
    with pytest.raises(IntegrityError) as caught:
        fetcher.fetch(wanted(secret, "0" * 64))
    assert web.requests[0][1]["Authorization"].startswith("Basic ")
    web.faults["/a"] = ["status 404"]
    with pytest.raises(FetchError) as refused:
        fetcher.fetch(wanted(secret, "0" * 64))
    shown = f"{caught.value!r} {refused.value!r} {refused.value.details} {events}"
    assert "hush-hush" not in shown


def test_the_index_password_is_sent_to_its_own_host_only(
    store: Store, sink: Callable[[Event], None], web: Web
) -> None:
    for host, expected in (("127.0.0.1", True), ("localhost", False)):
        settings = NetworkSettings(
            index_url=web.base.replace("127.0.0.1", f"me:a%40b@{host}") + "/simple/"
        )
        url, sha256 = web.put(f"/{host}", host.encode())
        Fetcher(store=store, sink=sink, settings=settings).fetch(wanted(url, sha256))
        assert ("Authorization" in web.requests[-1][1]) is expected


def test_a_full_disk_is_told_and_nothing_counts_as_whole(
    tmp_path: Path, web: Web, sink: Callable[[Event], None]
) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)], check=True)
    try:
        store = Store(folder)
        url, sha256 = web.put("/a", CONTENT)
        with pytest.raises(StorageError, match="no space left"):
            Fetcher(store=store, sink=sink, settings=NetworkSettings()).fetch(wanted(url, sha256))
        assert store.get(sha256) is None
        subprocess.run(["mount", "-o", "remount,size=3m", str(folder)], check=True)
        Fetcher(store=store, sink=sink, settings=NetworkSettings()).fetch(wanted(url, sha256))
        assert sha256_of(store.path_of(sha256)) == sha256
        assert (web.ranges()[-1] or "").startswith("bytes=")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_cancelling_keeps_what_has_come(fetcher: Fetcher, web: Web) -> None:
    url, sha256 = web.put("/a", CONTENT)

    def cancel_once_some_came(event: Event) -> None:
        if isinstance(event, TaskProgress) and event.done:
            fetcher.cancel.set()

    fetcher.sink = cancel_once_some_came
    with pytest.raises(CancelledError):
        fetcher.fetch(wanted(url, sha256))
    kept = partial_of(fetcher.store, sha256).read_bytes()
    assert kept
    assert CONTENT.startswith(kept)


SCRIPT = """
import sys
from pathlib import Path
from farm.source.fetch import Download, Fetcher
from farm.host.network import NetworkSettings
from farm.store.blobs import Store
fetcher = Fetcher(store=Store(Path(sys.argv[1])), sink=lambda e: None, settings=NetworkSettings())
fetcher.fetch(Download(url=sys.argv[2], sha256=sys.argv[3], task="file"))
"""


def test_after_kill_9_the_next_try_resumes(fetcher: Fetcher, web: Web) -> None:
    url, sha256 = web.put("/a", CONTENT)
    web.faults["/a"] = ["stall 700000"]
    partial = partial_of(fetcher.store, sha256)
    child = subprocess.Popen([sys.executable, "-c", SCRIPT, str(fetcher.store.root), url, sha256])
    assert web.stalled.wait(60)
    while not (partial.exists() and partial.stat().st_size >= 262_144):
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    kept = partial.stat().st_size
    assert fetcher.store.get(sha256) is None
    fetcher.fetch(wanted(url, sha256))
    assert web.ranges()[-1] == f"bytes={kept}-"
    assert sha256_of(fetcher.store.path_of(sha256)) == sha256


def test_processes_and_threads_wanting_the_same_file_fetch_it_once(
    fetcher: Fetcher, web: Web
) -> None:
    url, sha256 = web.put("/a", CONTENT)
    argv = [sys.executable, "-c", SCRIPT, str(fetcher.store.root), url, sha256]
    children = [subprocess.Popen(argv) for _ in range(2)]
    threads = [
        threading.Thread(target=fetcher.fetch, args=(wanted(url, sha256),)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [child.wait() for child in children] == [0, 0]
    assert len(web.requests) == 1
    assert not list((fetcher.store.root / "partial").iterdir())


def test_a_proxy_of_the_environment_is_used(
    fetcher: Fetcher, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sha256 = web.put("http://host.invalid/a", CONTENT)
    monkeypatch.setenv("http_proxy", web.base)
    monkeypatch.setenv("no_proxy", "")
    fetcher.fetch(wanted("http://host.invalid/a", sha256))
    assert web.requests[0][0] == "http://host.invalid/a"


def test_a_company_s_ca_is_trusted_even_where_the_environment_names_another(
    fetcher: Fetcher, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sha256 = web.put("/a", CONTENT)
    pem = tmp_path / "ca.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    argv += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    argv += ["-keyout", str(tmp_path / "key.pem"), "-out", str(pem)]
    subprocess.run(argv, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, tmp_path / "key.pem")
    port = web.serve_tls(context)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    download = wanted(f"https://localhost:{port}/a", sha256)
    with pytest.raises(FetchError, match="certificate verify failed") as caught:
        fetcher.fetch(download)
    assert "SSL_CERT_FILE" in caught.value.hint
    fetcher.settings = NetworkSettings(ca_bundle=str(pem))
    assert fetcher.fetch(download) == sha256
