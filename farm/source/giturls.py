"""Which git URLs are accepted, and what a submodule's relative URL means."""

from __future__ import annotations

import re

from farm.errors import FetchError
from farm.host.urls import check_url

_SCP_LIKE = re.compile(
    r"(?:[A-Za-z0-9._~-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!/?/)[^\s\x00-\x1f:-][^\s]*"
)
_SCHEMES = frozenset({"https", "ssh", "git", "file"})
_PROTOCOL = re.compile(r"([a-z][a-z0-9+.-]*)://")


def check_git_url(url: str) -> str:
    """The protocol that a URL asks for.

    Raises:
        FetchError: none of https, ssh (also ``user@host:path``), git or file.
    """
    if _SCP_LIKE.fullmatch(url):
        return "ssh"
    return check_url(url, _SCHEMES).scheme


def allowed_protocols(url: str, rewritten: str) -> list[str]:
    """What git may use for a URL, which the user's own insteadOf may have rewritten.

    A local path counts only where the URL says file:// or the user's own
    configuration leads there.
    """
    allowed = {"https", "ssh", "git"}
    if check_git_url(url) == "file":
        allowed.add("file")
    if rewritten != url:
        match = _PROTOCOL.match(rewritten)
        protocol = match[1] if match else "file"
        allowed |= {protocol} & {"http", "file"}
    return sorted(allowed)


def submodule_url(parent: str, url: str) -> str:
    """The URL of a submodule, where ``./`` and ``../`` are relative to the parent's.

    Raises:
        FetchError: it leaves the parent's host, or is of a kind that is not
            accepted; file:// only below a parent that is file:// itself.
    """
    if url.startswith(("./", "../")):
        url = _relative(parent, url)
    elif check_git_url(url) == "file" and check_git_url(parent) != "file":
        raise FetchError(f"the submodule URL {url!r} leads to a local path; not followed")
    check_git_url(url)
    return url


def _relative(parent: str, url: str) -> str:
    """As git does it: each ``../`` removes the last part, ``./`` nothing."""
    base = parent.rstrip("/")
    match = _PROTOCOL.match(base)
    # The host (or what precedes the colon of user@host:path) stays.
    start = base.find("/", match.end()) if match else base.find(":")
    head, path = (base[:start], base[start:]) if start >= 0 else (base, "")
    separator = path[:1] or "/"
    parts = [part for part in path[1:].split("/") if part]
    for part in url.split("/"):
        if part == "..":
            if not parts:
                raise FetchError(f"the submodule URL {url!r} leaves the host of {head}")
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return f"{head}{separator}{'/'.join(parts)}"
