"""What of the machine's configuration counts when something is fetched.

The index, certificates and proxies that pip and uv are set up with are taken
over on purpose; nothing else of their settings changes what is found (no
find-links, no extra index, no cut-off dates).
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from farm.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Mapping

_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
"""What names a bundle of certificate authorities, for all that farm fetches: the first counts."""
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
"""In lower case; the same in capitals counts where that is not set."""
_NAMED_INDEX = re.compile(r"[A-Za-z0-9._-]+=(?=[a-z]+://)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """Index and certificates.  ``index_url`` None: the default of pypi-simple, pip and uv.

    ``ca_bundle`` None: the bundle that requests brings.  ``proxies``, by scheme, are those
    that the environment does not name.
    """

    index_url: str | None = None
    ca_bundle: str | None = None
    proxies: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_machine(cls, environ: Mapping[str, str] | None = None) -> NetworkSettings:
        """From the environment, then pip's configuration files.

        Raises:
            FetchError: a named CA bundle does not exist.
        """
        environ = os.environ if environ is None else environ
        pip = _pip_settings(environ)
        index = _first(environ, _INDEX_VARIABLES) or pip.get("index-url")
        bundle = _first(environ, CA_VARIABLES) or pip.get("cert")
        if bundle is not None and not Path(bundle).exists():
            raise FetchError(
                f"the CA bundle {bundle} does not exist",
                hint=f"it is named by one of {', '.join(CA_VARIABLES)}, or pip's cert setting",
            )
        return cls(index_url=_NAMED_INDEX.sub("", index) if index else None, ca_bundle=bundle)

    @property
    def endpoint(self) -> str:
        """The simple index that is asked."""
        if self.index_url:
            return self.index_url
        from pypi_simple import PYPI_SIMPLE_ENDPOINT  # loads requests, as who asks it does anyway

        return PYPI_SIMPLE_ENDPOINT

    def auth_for(self, url: str) -> tuple[str, str] | None:
        """User and password of the index, for URLs on its own host."""
        if self.index_url is None:
            return None
        index, other = urlsplit(self.index_url), urlsplit(url)
        same = (index.scheme, index.hostname, index.port) == (
            other.scheme,
            other.hostname,
            other.port,
        )
        if not same or index.username is None or other.username is not None:
            return None
        return unquote(index.username), unquote(index.password or "")


def proxy_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The proxy variables that are set, each in lower case and in capitals: programs differ."""
    environ = os.environ if environ is None else environ
    found: dict[str, str] = {}
    for name in PROXY_VARIABLES:
        value = environ.get(name) or environ.get(name.upper())
        if value:
            found |= {name: value, name.upper(): value}
    return found


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The ``[global]`` section, as ``pip config list`` merges it."""
    merged: dict[str, str] = {}
    for path in _pip_files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        if parser.has_section("global"):
            items = parser.items("global")
            merged.update((key.lower().replace("_", "-"), value.strip()) for key, value in items)
    return {key: value for key, value in merged.items() if value}


def _pip_files(environ: Mapping[str, str]) -> list[Path]:
    """Least important first (https://pip.pypa.io/en/stable/topics/configuration/)."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = Path(environ.get("HOME") or Path.home())
    shared = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [*(Path(folder) / "pip" / "pip.conf" for folder in shared), Path("/etc/pip.conf")]
    files += [home / ".pip" / "pip.conf", config / "pip" / "pip.conf"]
    files += [Path(sys.prefix) / "pip.conf"]
    return [*files, Path(named)] if named else files
