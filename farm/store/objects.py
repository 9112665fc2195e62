"""Named objects in a folder, on a web server or in a bucket: read, written, never listed.

obstore speaks to each of them.  Buckets take their settings from the variables that their own
tools use (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, …; https://developmentseed.org/obstore);
certificates, and the user and password of a web server, are those of all that farm fetches.
"""

from __future__ import annotations

import base64
import hashlib
import mmap
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from farm.errors import CancelledError, FetchError, IntegrityError, UsageError
from farm.host.files import storage_errors
from farm.host.network import NetworkSettings
from farm.host.urls import check_url, redact, without_credentials

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from obstore.store import ObjectStore

_WEB: Final = frozenset({"http", "https"})
_SCHEMES: Final = _WEB | {"file", "s3", "gs", "az"}
_ONE_PUT_BYTES: Final = 8 << 20
"""Up to this size an object goes to a bucket in one request, above it in parts."""
_QUICK = {"timeout": timedelta(seconds=30)}
_SENDING = {"timeout": timedelta(hours=2)}
# Not while sending: the client would count from the first byte that it sends.
_FETCHING = {**_SENDING, "read_timeout": timedelta(seconds=60)}
_CHUNK_BYTES: Final = 1 << 20
_RETRIES: Final[Any] = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}
_STATUS = re.compile(r"status code: (\d{3}(?: [A-Za-z -]+)?)")
_CAUSE = re.compile(r'(?:message|error): "([^"]+)"|InvalidCertificate\(\s*(\w+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where objects lie.  ``url`` may hold a password; as text it is without."""

    url: str = field(repr=False)

    @classmethod
    def of(cls, text: str) -> Address:
        """The address that a user names: a folder, or a URL.

        Raises:
            UsageError: it is neither.
        """
        if not text.strip() or "\0" in text:
            raise UsageError("--results names no place", hint="name a folder or a URL")
        if "://" not in text:
            return cls(url=Path(text).expanduser().absolute().as_uri())
        try:
            parts = check_url(text, _SCHEMES)
        except FetchError as error:
            raise UsageError(f"--results: {error.message}", hint=error.hint) from error
        if parts.query or parts.fragment:
            raise UsageError(
                f"--results: {redact(text)[:200]} has a query or a fragment",
                hint="credentials of a bucket come from the environment (AWS_ACCESS_KEY_ID, …)",
            )
        return cls(url=text.rstrip("/"))

    @property
    def folder(self) -> Path | None:
        """The folder, if it is one of this machine."""
        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    def __str__(self) -> str:
        return redact(self.url) if self.folder is None else str(self.folder)


class Objects:
    """The objects at an address; any number of threads may use it at once."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def read(self, name: str, limit: int) -> bytes | None:
        """A small object; None where there is none.

        Raises:
            IntegrityError: it is larger than ``limit`` bytes, or no plain file.
            FetchError: it cannot be asked for.
        """
        if not self._may_have(name):
            return None
        content = bytearray()
        with self._explained():
            stream = _stream(self._quick, name, limit)
            for chunk in stream or ():
                content += chunk
                if len(content) > limit:
                    raise IntegrityError(f"{name} has more than {limit:,} bytes")
            return None if stream is None else bytes(content)

    def fetch(  # noqa: PLR0913 - what it must be, and who is told
        self,
        name: str,
        path: Path,
        *,
        sha256: str,
        size: int,
        cancel: threading.Event,
        progress: Callable[[int], None],
    ) -> None:
        """Write an object to a new file; ``progress`` is told of bytes as they come.

        Raises:
            IntegrityError: it is not there, or not what was declared.
            FetchError: it does not come.
            StorageError: the disk is full.
            CancelledError: ``cancel`` was set.
        """
        digest, done = hashlib.sha256(), 0
        if not self._may_have(name):
            raise IntegrityError(f"{name} is missing")
        with storage_errors(path), path.open("xb") as file, self._explained():
            stream = _stream(self._fetching, name, size)
            if stream is None:
                raise IntegrityError(f"{name} is missing")
            for chunk in stream:
                if cancel.is_set():
                    raise CancelledError("cancelled while fetching a shared result")
                done += len(chunk)
                if done > size:
                    raise IntegrityError(f"{name} has more than the declared {size:,} bytes")
                file.write(chunk)
                digest.update(chunk)
                progress(len(chunk))
        if (done, digest.hexdigest()) != (size, sha256):
            raise IntegrityError(
                f"{name}: expected {size:,} bytes with sha256 {sha256}, "
                f"got {done:,} with {digest.hexdigest()}"
            )

    def write(self, name: str, content: bytes, *, new: bool) -> bool:
        """Write a small object in one piece; False if ``new`` and somebody else was first.

        A web server is not asked to see to that: there the last one wins.

        Raises:
            FetchError: it cannot be written.
        """
        from obstore.exceptions import AlreadyExistsError

        mode: Any = "create" if new and self._scheme not in _WEB else "overwrite"
        with self._explained():
            try:
                self._quick.put(name, content, mode=mode, use_multipart=False)
            except AlreadyExistsError:
                if mode == "overwrite":
                    raise
                return False
        return True

    def send(self, name: str, path: Path) -> None:
        """Write an object from a file.

        Raises:
            FetchError: it cannot be written.
        """
        size = path.stat().st_size
        with self._explained(), path.open("rb") as file:
            if self._scheme in _WEB and size:
                # In one request; mapped, so that a large wheel needs no memory.
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    self._sending.put(name, content, use_multipart=False)
            else:
                self._sending.put(name, file, use_multipart=size > _ONE_PUT_BYTES)

    @property
    def _scheme(self) -> str:
        return urlsplit(self.address.url).scheme

    def _may_have(self, name: str) -> bool:
        """False if this is a folder without such an object; others are asked for it at once.

        Raises:
            IntegrityError: it is a link, a pipe or the like, which might lead anywhere.
            FetchError: the folder cannot be read.
        """
        folder = self.address.folder
        try:
            if folder is not None and not stat.S_ISREG((folder / name).lstat().st_mode):
                raise IntegrityError(f"{name} is no plain file")
        except FileNotFoundError:
            return False
        except OSError as error:
            raise FetchError(f"{self.address}: {error.strerror}") from error
        return True

    @cached_property
    def _quick(self) -> ObjectStore:
        """For what is small: a server that drips holds nobody up."""
        return _open(self.address, _QUICK)

    @cached_property
    def _fetching(self) -> ObjectStore:
        return _open(self.address, _FETCHING)

    @cached_property
    def _sending(self) -> ObjectStore:
        return _open(self.address, _SENDING)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what obstore raises into a FetchError without passwords."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError, NotImplementedError, ValueError) as error:
            raise FetchError(
                f"{self.address}: {_reason(error)}",
                hint="check the URL, the credentials, the network and the proxy settings",
            ) from None


def _stream(store: ObjectStore, name: str, limit: int) -> Iterator[Any] | None:
    """The chunks of an object; None where there is none."""
    try:
        found = store.get(name)
    except FileNotFoundError:
        return None
    if found.meta["size"] > limit:
        raise IntegrityError(f"{name} has more than {limit:,} bytes")
    return iter(found.stream(min_chunk_size=_CHUNK_BYTES))


def _open(address: Address, timeouts: dict[str, timedelta]) -> ObjectStore:
    from obstore.store import LocalStore, from_url

    if address.folder is not None:
        return LocalStore(address.folder, mkdir=True)
    settings = NetworkSettings.of_machine()
    options: dict[str, Any] = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=10),
        "user_agent": "farm",
        **timeouts,
    }
    if settings.ca_bundle and Path(settings.ca_bundle).is_file():
        options["root_certificate"] = Path(settings.ca_bundle).read_bytes()
    login = _login(address.url, settings)
    if login:
        options["default_headers"] = {"Authorization": f"Basic {login}"}
    url = without_credentials(address.url)
    store: Any = from_url(url, client_options=options, retry_config=_RETRIES)  # type: ignore[call-overload]
    return store  # type: ignore[no-any-return]


def _login(url: str, settings: NetworkSettings) -> str:
    """User and password of a web server, as a header has them: of the URL, the index or netrc."""
    parts = urlsplit(url)
    if parts.scheme not in _WEB:
        return ""
    if parts.username is not None:
        found: tuple[str, str] | None = (unquote(parts.username), unquote(parts.password or ""))
    else:
        from requests.utils import get_netrc_auth

        found = settings.auth_for(url) or get_netrc_auth(url)
    return base64.b64encode(":".join(found).encode()).decode() if found else ""


def _reason(error: Exception) -> str:
    """The cause in one line; what a server answers besides its status may hold credentials."""
    told, _, inner = str(error).partition("\n\nDebug source:")
    status, cause = _STATUS.search(told), _CAUSE.search(inner)
    if status:
        return f"the server says {status[1].strip()}"
    text = told.rpartition(" - ")[2]
    if cause:
        text = cause[1] or f"its certificate is not trusted ({cause[2]})"
    return redact("".join(c for c in " ".join(text.split()) if c.isprintable()))[:300]
