"""Downloads that resume, verify while they stream, and arrive whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from farm.errors import CancelledError, FarmError, FetchError, IntegrityError
from farm.events import TaskProgress
from farm.host.files import storage_errors, write_whole
from farm.host.locks import holding
from farm.host.network import NetworkSettings
from farm.host.urls import check_url, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import requests

    from farm.events import Sink
    from farm.store.blobs import Store

ATTEMPTS = 5
MAX_BYTES = 64 << 30
_TIMEOUT_S = (15.0, 60.0)
_CHUNK_BYTES = 1 << 17
_REPORT_EVERY_S = 0.1
_HINT = "check the URL, the network and the proxy settings, then run it again"
_CHANGED_HINT = "the file was changed where it lies, or the pinned hash is wrong"
_CA_HINT = "if your network has a CA of its own, name its bundle in SSL_CERT_FILE"


class GoneError(FetchError):
    """A server answers that it has not, or no longer, what was asked for."""


_TOLD = (IntegrityError, GoneError, FetchError)
"""Which of several reasons is told first: what can be explained by no network that is down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One file to bring: ``size`` in bytes where it is declared, ``task`` for display."""

    url: str
    sha256: str
    task: str
    size: int | None = None


@dataclass(kw_only=True)
class Fetcher:
    """Fetches into one store.  ``backoff_s`` doubles with each attempt that brought nothing."""

    store: Store
    sink: Sink
    settings: NetworkSettings = field(default_factory=NetworkSettings.of_machine)
    cancel: threading.Event = field(default_factory=threading.Event)
    backoff_s: float = 0.5

    def fetch(self, download: Download) -> str:
        """Bring one file into the store, unless it is there; returns its sha256.

        Raises:
            FetchError: the server does not give it; what has come is kept.
            IntegrityError: what came is something else; it is discarded.
            StorageError: the disk is full.
            CancelledError: ``cancel`` was set.
        """
        check_url(download.url)
        with _partial(self.store, download.sha256, self.cancel) as partial:
            # Another process may have brought it while this one waited.
            if self.store.get(download.sha256) is None:
                _Transfer(self, download, partial).run()
        return download.sha256

    def fetch_first(self, downloads: Sequence[Download]) -> str:
        """Bring a file that may lie in several places from the first that gives it.

        Raises:
            IntegrityError: none does, and one gives something else.
            GoneError: none does, and one answers that it does not have it (any more).
            FetchError: none can be asked.
            StorageError, CancelledError: as `fetch`.
        """
        errors: list[FetchError | IntegrityError] = []
        for download in downloads:
            try:
                return self.fetch(download)
            except (FetchError, IntegrityError) as error:
                errors.append(error)
        worst = min(errors, key=lambda error: _TOLD.index(type(error)))
        others = [error.message for error in errors if error is not worst]
        worst.details = (*worst.details, *others)
        raise worst

    def pause(self, seconds: float) -> None:
        """Wait, unless cancelled."""
        if self.cancel.wait(seconds):
            raise CancelledError("cancelled while fetching")


def session() -> requests.Session:
    """A session that says what it is and takes bytes as they are stored."""
    import requests  # takes 35 ms: only where something is not here yet

    made = requests.Session()
    made.headers["Accept-Encoding"] = "identity"
    made.headers["User-Agent"] = f"farm requests/{requests.__version__}"
    return made


def verify_argument(settings: NetworkSettings) -> str | bool:
    """For each request: given to the session it would lose against the environment."""
    return settings.ca_bundle or True


@dataclass(kw_only=True)
class _Partial:
    """A download in progress; the lock on its file is held."""

    path: Path
    fd: int

    @property
    def validator_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def validator(self, url: str) -> str | None:
        """The strong ETag that the bytes so far came with, if from the same URL."""
        try:
            record = json.loads(self.validator_path.read_bytes())
            return str(record["etag"]) if record["url"] == _url_key(url) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, url: str, etag: str | None) -> None:
        if etag is None or etag.startswith("W/"):
            self.validator_path.unlink(missing_ok=True)
            return
        record = json.dumps({"url": _url_key(url), "etag": etag}).encode()
        write_whole(self.validator_path, record)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.validator_path.unlink(missing_ok=True)


def _url_key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


@contextlib.contextmanager
def _partial(store: Store, sha256: str, cancel: threading.Event) -> Iterator[_Partial]:
    """Open and lock the partial file, waiting for whoever else is fetching it."""
    path = store.folder("partial") / sha256
    with holding(path, cancel=cancel) as fd:
        yield _Partial(path=path, fd=fd)
        # Nothing but its lock was wanted: it goes before the lock does.
        if os.fstat(fd).st_size == 0:
            path.unlink(missing_ok=True)


class _Transfer:
    """The attempts at one file."""

    def __init__(self, fetcher: Fetcher, download: Download, partial: _Partial) -> None:
        self._fetcher = fetcher
        self._download = download
        self._partial = partial
        self._done = 0
        self._resumed = False
        self._restarted = False
        self._total = download.size
        self._hash = hashlib.sha256()
        self._reported_s = 0.0

    def run(self) -> None:
        """Attempt until the file is whole, wrong, or refused."""
        try:
            self._load()
            while True:
                self._attempt_until_whole()
                if self._hash.hexdigest() == self._download.sha256:
                    break
                self._wrong()
            fetcher = self._fetcher
            fetcher.store.adopt(self._partial.path, self._download.sha256, fd=self._partial.fd)
            self._partial.validator_path.unlink(missing_ok=True)
        finally:
            self._report(finished=True)

    def _load(self) -> None:
        os.lseek(self._partial.fd, 0, os.SEEK_SET)
        while chunk := os.read(self._partial.fd, _CHUNK_BYTES):
            self._hash.update(chunk)
            self._done += len(chunk)
        self._resumed = self._done > 0

    def _wrong(self) -> None:
        """Discard, and begin anew once if the parts may have come from different files."""
        if self._restarted or not self._resumed:
            got, size = self._hash.hexdigest(), self._done
            self._partial.discard()
            raise IntegrityError(
                f"{self._download.task}: expected sha256 {self._download.sha256}, got {got} "
                f"({size:,} bytes) from {redact(self._download.url)}; discarded",
                hint=_CHANGED_HINT,
            )
        self._restarted = True
        self._restart()

    def _restart(self) -> None:
        with storage_errors(self._partial.path.parent):
            os.ftruncate(self._partial.fd, 0)
            os.lseek(self._partial.fd, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self._done = 0
        self._resumed = False

    def _attempt_until_whole(self) -> None:
        """One request after another; those that bring nothing are counted."""
        fruitless = 0
        while True:
            before = self._done
            try:
                self._attempt()
            except _TransientError as error:
                fruitless = 0 if self._done > before else fruitless + 1
                if fruitless >= ATTEMPTS:
                    raise self._failure(str(error)) from error
                self._fetcher.pause(min(self._fetcher.backoff_s * 2**fruitless, 30.0))
            else:
                return

    def _attempt(self) -> None:
        import requests

        settings = self._fetcher.settings
        headers = {}
        if self._done:
            headers["Range"] = f"bytes={self._done}-"
            if validator := self._partial.validator(self._download.url):
                headers["If-Range"] = validator
        try:
            with session() as web:
                answer = web.get(
                    self._download.url,
                    headers=headers,
                    stream=True,
                    timeout=_TIMEOUT_S,
                    verify=verify_argument(settings),
                    auth=settings.auth_for(self._download.url),
                    proxies=dict(settings.proxies),
                )
                with answer:
                    self._receive(answer)
        except FarmError:
            raise
        except requests.exceptions.SSLError as error:
            raise self._failure(reason_of(error), hint=_CA_HINT) from error
        except _transient() as error:
            raise _TransientError(reason_of(error)) from error
        except (requests.RequestException, UnicodeError) as error:
            raise self._failure(reason_of(error)) from error

    def _receive(self, answer: requests.Response) -> None:
        status = answer.status_code
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self._done:
            # All of it is here already, or it is rubbish; the hash will tell.
            return
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            raise _TransientError(f"the server says {status} {answer.reason}")
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            raise self._failure(f"the server says {status} {answer.reason}", kind=GoneError)
        if status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            raise self._failure(f"the server says {status} {answer.reason}")
        if self._done and not self._continues(answer):
            self._restart()
        self._resumed = self._resumed or self._done > 0
        if not self._done:
            self._partial.remember(self._download.url, answer.headers.get("ETag"))
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal():
            self._total = self._done + int(length)
            self._check_bound(self._total)
        self._read_body(answer)

    def _continues(self, answer: requests.Response) -> bool:
        span = answer.headers.get("Content-Range", "")
        partial = answer.status_code == HTTPStatus.PARTIAL_CONTENT
        return partial and span.startswith(f"bytes {self._done}-")

    def _read_body(self, answer: requests.Response) -> None:
        os.lseek(self._partial.fd, self._done, os.SEEK_SET)
        while chunk := answer.raw.read(_CHUNK_BYTES, decode_content=False):
            if self._fetcher.cancel.is_set():
                raise CancelledError(f"{self._download.task}: cancelled; what has come is kept")
            self._check_bound(self._done + len(chunk))
            with storage_errors(self._partial.path.parent):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(self._partial.fd, view) :]
            self._hash.update(chunk)
            self._done += len(chunk)
            self._report(finished=False)
        declared = self._total
        if declared is not None and self._done < declared:
            raise _TransientError(
                f"the connection ended after {self._done:,} of {declared:,} bytes"
            )

    def _check_bound(self, size: int) -> None:
        declared = self._download.size
        limit = MAX_BYTES if declared is None else declared
        if size > limit:
            self._partial.discard()
            raise IntegrityError(
                f"{self._download.task}: more than the declared {limit:,} bytes "
                f"come from {redact(self._download.url)}; not taken",
                hint=_CHANGED_HINT,
            )

    def _failure(
        self, reason: str, *, hint: str = _HINT, kind: type[FetchError] = FetchError
    ) -> FetchError:
        kept = f"; {self._done:,} bytes are kept for the next try" if self._done else ""
        return kind(
            f"{self._download.task}: cannot fetch {redact(self._download.url)}: {reason}{kept}",
            hint=hint,
        )

    def _report(self, *, finished: bool) -> None:
        now = time.monotonic()
        if finished or now - self._reported_s >= _REPORT_EVERY_S:
            self._reported_s = now
            self._fetcher.sink(
                TaskProgress(
                    task=self._download.task,
                    done=self._done,
                    total=self._total,
                    finished=finished,
                )
            )


class _TransientError(Exception):
    """Worth another attempt."""


def _transient() -> tuple[type[Exception], ...]:
    """What goes wrong once and may not again."""
    import requests
    import urllib3

    return (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
        urllib3.exceptions.HTTPError,
        ConnectionError,
        TimeoutError,
    )


def reason_of(error: BaseException) -> str:
    """The innermost cause in one line: requests wraps it three deep."""
    inner: BaseException = error
    while inner.args and isinstance(inner.args[-1], BaseException):
        inner = inner.args[-1]
    reason = getattr(inner, "reason", None)
    inner = reason if isinstance(reason, BaseException) else inner
    text = re.sub(r"<[^>]*object at 0x[0-9a-f]+>:? ?", "", str(inner))  # urllib3's own objects
    return redact(" ".join(text.split()))[:300] or type(inner).__name__
