"""URLs from recipes and indexes: which are accepted, and how they may be shown."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from farm.errors import FetchError

_CREDENTIALS = re.compile(r"(?<=://)[^\s/]*@")
_QUERY = re.compile(r"(?<=\?)[^\s#'\"]+")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\\]")
# What may name a file in a folder of ours: no separator, no control character,
# no leading dash or dot.
_FILENAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!~-]{0,250}")


def redact(text: str) -> str:
    """Text with URLs in it, without their users, passwords and queries (which may hold tokens)."""
    return _QUERY.sub("…", without_credentials(text))


def without_credentials(url: str) -> str:
    """The URL without user and password."""
    return _CREDENTIALS.sub("", url)


def public_url(url: str) -> str:
    """The URL as it may stand where anybody reads it: without user, password, query, fragment."""
    return re.split(r"[?#]", without_credentials(url), maxsplit=1)[0]


def check_url(url: str, schemes: frozenset[str] = frozenset({"http", "https"})) -> SplitResult:
    """Split a URL that is fit to be asked for.

    Raises:
        FetchError: another scheme, no host, white space or control characters.
    """
    if _UNSAFE.search(url):
        raise FetchError(
            f"URL with white space or control characters: {_end(_UNSAFE.sub('␣', url))}",
            hint="write it percent-encoded",
        )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        # Only its end is shown: what cannot be split cannot be redacted with certainty.
        raise FetchError(f"not a URL: {_end(url)}") from None
    if parts.scheme not in schemes or (not host and parts.scheme != "file"):
        known = ", ".join(f"{scheme}://" for scheme in sorted(schemes))
        raise FetchError(
            f"cannot fetch from {redact(url)[:200]!r}", hint=f"it must begin: {known}"
        )
    return parts


def _end(url: str) -> str:
    return "…" + redact(url.rpartition("@")[2])[:200]


def check_filename(name: str, *, where: str) -> str:
    """The name itself, if it is fit to name a file in a folder of ours.

    Raises:
        FetchError: it holds a separator, control characters or the like.
    """
    if not _FILENAME.fullmatch(name):
        raise FetchError(f"{where}: unusable file name {name[:100]!r}")
    return name
