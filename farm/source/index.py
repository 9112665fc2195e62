"""Files of a package on the package index, by name, version and hash."""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import pypi_simple
import requests
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from farm.errors import FetchError, IntegrityError
from farm.host.network import NetworkSettings
from farm.host.urls import check_filename, check_url, redact, without_credentials
from farm.source.fetch import session, verify_argument

if TYPE_CHECKING:
    from collections.abc import Iterable

_TIMEOUT_S = (15.0, 60.0)
_RETRY = Retry(
    total=4,
    backoff_factor=0.3,
    status_forcelist=(429, 500, 502, 503, 504),
    raise_on_status=False,
)
# Pages, unlike files, may come compressed.
_HEADERS = {"Accept": pypi_simple.ACCEPT_JSON_PREFERRED, "Accept-Encoding": "gzip, deflate"}
_NEAREST = 3
_LISTED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One file on the index.  ``size`` in bytes where the index says it."""

    filename: str
    url: str
    sha256: str
    size: int | None


class PackageIndex:
    """The index that the settings name; each project's page is asked for once."""

    def __init__(self, settings: NetworkSettings | None = None) -> None:
        self.settings = NetworkSettings.of_machine() if settings is None else settings
        self._pages: dict[str, tuple[pypi_simple.DistributionPackage, ...]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """The simple index that is asked."""
        return self.settings.endpoint

    def find_sdist(self, name: str, version: str) -> Listed:
        """The source distribution of a version.

        Raises:
            FetchError: no such project or version, or none with an sdist; the
                message names what there is instead.
        """
        files = self._files(name, version)
        sdists = [file for file in files if file.package_type == "sdist"]
        if not sdists:
            raise FetchError(
                f"{name} {version} has no sdist on the index, only {_listing(files)}",
                hint="name another version, or build from 'git:' or 'archive:'",
            )
        tars = [file for file in sdists if file.filename.endswith(".tar.gz")]
        return self._listed(name, (tars or sdists)[0])

    def newest_version(self, name: str) -> str:
        """The newest version with an sdist that was not withdrawn; a final one if there is any.

        Raises:
            FetchError: no such project, or no sdist of it.
        """
        page = self._page(name)
        sdists = [file for file in page if file.package_type == "sdist" and not file.is_yanked]
        versions = sorted(filter(None, (_version(file.version) for file in sdists)))
        finals = [version for version in versions if not version.is_prerelease]
        if not versions:
            raise FetchError(
                f"{name} has no sdist on the index",
                hint="write a recipe whose source is 'git:' or 'archive:'",
            )
        return str((finals or versions)[-1])

    def find_file(
        self, name: str, version: str, *, filename: str | None = None, sha256: str | None = None
    ) -> Listed:
        """The file of that name, or of that hash, or of both.

        Raises:
            FetchError: there is none; the message names what there is instead.
            IntegrityError: a file of that name has another hash.
        """
        files = self._files(name, version)
        named = [file for file in files if filename in {None, file.filename}]
        if not named:
            raise FetchError(f"{name} {version} has no {filename}, but {_listing(files)}")
        if sha256 is None:
            return self._listed(name, named[0])
        for file in named:
            if file.digests.get("sha256") == sha256:
                return self._listed(name, file)
        known = ", ".join(f"{f.filename} {f.digests.get('sha256', 'without one')}" for f in named)
        raise IntegrityError(
            f"{name} {version}: no {filename or 'file'} with sha256 {sha256}; "
            f"the index has {known}",
            hint="correct the pinned hash, if this is what you mean to build",
        )

    def _files(self, name: str, version: str) -> list[pypi_simple.DistributionPackage]:
        page = self._page(name)
        wanted = _version(version)
        found = [file for file in page if wanted and _version(file.version) == wanted]
        if found:
            return found
        near = _nearest(version, {file.version for file in page if file.version})
        instead = f"the nearest are {', '.join(near)}" if near else "it has no files at all"
        raise FetchError(f"{name} has no version {version} on the index; {instead}")

    def _page(self, name: str) -> tuple[pypi_simple.DistributionPackage, ...]:
        key = canonicalize_name(check_filename(name, where="package name"))
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._pages:
                self._pages[key] = self._ask(key)
        return self._pages[key]

    def _ask(self, name: str) -> tuple[pypi_simple.DistributionPackage, ...]:
        shown = redact(self.endpoint)
        check_url(self.endpoint)
        try:
            page = self._get(name)
        except (
            requests.RequestException,
            pypi_simple.UnsupportedContentTypeError,
            pypi_simple.UnsupportedRepoVersionError,
            ValueError,
            KeyError,
        ) as error:
            reason = redact(" ".join(str(error).split()))[:300]
            raise FetchError(
                f"cannot ask the index {shown} for {name}: {reason}",
                hint="check the network, the proxy settings and the index setting of pip or uv",
            ) from error
        if page is None:
            raise FetchError(f"no project {name!r} on the index {shown}")
        return tuple(page.packages)

    def _get(self, name: str) -> pypi_simple.ProjectPage | None:
        """A project's page, None if there is none.

        `pypi_simple.PyPISimple` would take the environment's CA bundle before the settings'.
        """
        with session() as web:
            for scheme in ("http://", "https://"):
                web.mount(scheme, HTTPAdapter(max_retries=_RETRY))
            answer = web.get(
                f"{self.endpoint.rstrip('/')}/{name}/",
                headers=_HEADERS,
                timeout=_TIMEOUT_S,
                verify=verify_argument(self.settings),
            )
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        answer.raise_for_status()
        return pypi_simple.ProjectPage.from_response(answer, name)

    def _listed(self, name: str, file: pypi_simple.DistributionPackage) -> Listed:
        check_filename(file.filename, where=f"the index, for {name}")
        sha256 = file.digests.get("sha256")
        if sha256 is None:
            raise FetchError(
                f"the index gives no sha256 for {file.filename}",
                hint="use an index that does, or name the file by 'archive:' and sha256",
            )
        # Without user and password: `NetworkSettings.auth_for` supplies them.
        url = without_credentials(file.url)
        return Listed(filename=file.filename, url=url, sha256=sha256, size=file.size)


def _version(text: str | None) -> Version | None:
    try:
        return Version(text or "")
    except InvalidVersion:
        return None


def _nearest(version: str, known: Iterable[str]) -> list[str]:
    """The versions around one that does not exist, oldest first."""
    versions = sorted(filter(None, map(_version, known)))
    wanted = _version(version)
    at = bisect_left(versions, wanted) if wanted else len(versions)
    start = max(0, min(at - _NEAREST, len(versions) - 2 * _NEAREST))
    return [str(near) for near in versions[start : start + 2 * _NEAREST]]


def _listing(files: list[pypi_simple.DistributionPackage]) -> str:
    shown = ", ".join(file.filename for file in files[:_LISTED])
    more = len(files) - _LISTED
    return f"{shown} and {more} more" if more > 0 else shown
