"""Where Debian packages come from: the mirror, its keys, and apt's settings for reaching it."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from farm.errors import EngineError
from farm.host import programs
from farm.host.network import NetworkSettings
from farm.host.urls import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from farm.model.debian import Deb

MIRROR_VARIABLE = "FARM_DEBIAN_MIRROR"
SNAPSHOT_VARIABLE = "FARM_DEBIAN_SNAPSHOT"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT_FOLDER = Path("/etc/apt")
_NOT_MAIN_ARCHIVE = re.compile(r"security|ports|backports|debug")
_MOVING = {"sid", "unstable", "experimental"}
"""Suites that are corrected in place: they have no updates and no security suite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """One line, or one stanza's URI, of the machine's apt configuration."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A suite of an archive that packages are taken from.

    ``archive`` is ``debian`` or ``debian-security``; farm can do without what is
    ``optional``.  ``options`` are those of sources.list(5).
    """

    archive: str
    uri: str
    suite: str
    components: tuple[str, ...] = ("main",)
    optional: bool = False
    options: str = ""

    @property
    def line(self) -> str:
        """What stands in sources.list."""
        options = self.options or f"signed-by={keyring()}"
        return f"deb [{options}] {self.uri} {self.suite} {' '.join(self.components)}"


def sources_of(
    suite: str, components: Iterable[str] = (), further: Iterable[str] = ()
) -> tuple[Source, ...]:
    """A suite with its corrections, and further suites.

    Raises:
        EngineError: No mirror is configured.
    """
    parts = ("main", *components)
    uris = archives()
    named = [("debian", each, False) for each in (suite, *further)]
    if suite not in _MOVING:
        corrections = (("debian", f"{suite}-updates"), ("debian-security", f"{suite}-security"))
        named += [(archive, each, True) for archive, each in corrections]
    return tuple(
        Source(archive=name, uri=uris[name], suite=each, components=parts, optional=optional)
        for name, each, optional in named
    )


def archives() -> dict[str, str]:
    """Where Debian's archives are for this machine: ``debian`` and ``debian-security``.

    The latter is what apt is set up with, or lies beside the former.

    Raises:
        EngineError: No mirror is configured.
    """
    main = mirror().rstrip("/")
    beside, found = re.subn(r"(.*)/debian(?=/|$)", r"\1/debian-security", main)
    security = beside if found else f"{main}-security"
    if not os.environ.get(MIRROR_VARIABLE, "").strip():
        configured = (
            source.uri.rstrip("/")
            for source in configured_sources()
            if "debian" in source.uri and any(s.endswith("-security") for s in source.suites)
        )
        security = next(configured, security)
    return {"debian": main, "debian-security": security}


def urls_of(deb: Deb, date: str, snapshots: str) -> tuple[str, ...]:
    """Where a package may be had: the mirror, then the snapshot archive, if one is known.

    Raises:
        EngineError: No mirror is configured.
    """
    archive, _, path = deb.path.partition("/")
    urls = [f"{archives()[archive]}/{quote(path)}"]
    if snapshots:
        dated = snapshots.replace("@PATH@", archive).replace("@SNAPSHOTID@", date)
        urls.append(f"{dated.rstrip('/')}/{quote(path)}")
    return tuple(urls)


def snapshots(apt_config: Iterable[str] = ("apt-config",)) -> str:
    """The snapshot archive's URI, with ``@PATH@`` and ``@SNAPSHOTID@``; empty where none is known.

    It is what the variable names, else what apt knows (since 2.9).
    """
    named = os.environ.get(SNAPSHOT_VARIABLE, "").strip()
    known = re.search(
        r'^Acquire::Snapshots::URI::Host::\S*debian\S* "([^"]+@PATH@[^"]*)";',
        "" if named else _apt_settings(apt_config),
        flags=re.MULTILINE,
    )
    return named or (known[1] if known else "")


def parse_list(text: str) -> Iterator[AptSource]:
    """Yield the ``deb`` lines of a one-line-style file (sources.list(5))."""
    pattern = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<rest>\S.*)")
    for line in text.splitlines():
        found = pattern.fullmatch(line.partition("#")[0].strip())
        if not found:
            continue
        suite, *components = found["rest"].split()
        signed = re.search(r"signed-by=(\S+)", found["options"] or "")
        yield AptSource(
            uri=found["uri"],
            suites=(suite,),
            components=tuple(components),
            signed_by=signed[1] if signed else "",
        )


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Yield one source for each URI of the ``Types: deb`` stanzas of a ``.sources`` file."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", lines):
        fields = message_from_string(stanza.strip())
        if "deb" not in fields.get("Types", "").split():
            continue
        if fields.get("Enabled", "yes").strip().lower() in {"no", "false", "0"}:
            continue
        for uri in fields.get("URIs", "").split():
            yield AptSource(
                uri=uri,
                suites=tuple(fields.get("Suites", "").split()),
                components=tuple(fields.get("Components", "").split()),
                signed_by=fields.get("Signed-By", ""),
            )


def configured_sources(folder: Path = APT_FOLDER) -> tuple[AptSource, ...]:
    """Return every package source of the machine's apt configuration, in apt's order."""
    parts = folder / "sources.list.d"
    sources: list[AptSource] = []
    for path in [folder / "sources.list", *sorted(parts.glob("*.list"))]:
        if path.is_file():
            sources += parse_list(path.read_text(encoding="utf-8", errors="replace"))
    for path in sorted(parts.glob("*.sources")):
        sources += parse_deb822(path.read_text(encoding="utf-8", errors="replace"))
    return tuple(sources)


def choose_mirror(sources: Iterable[AptSource]) -> str | None:
    """Return the URI that is most likely Debian's main archive, or None.

    Third parties also serve ``…/debian stable main``; what tells Debian apart
    is its own keyring, or that the same URI serves ``<suite>-updates``.
    """

    def likelihood(source: AptSource) -> int:
        by_keyring = "debian-archive" in source.signed_by
        updates = any(
            suite.endswith("-updates")
            for other in candidates
            if other.uri.rstrip("/") == source.uri.rstrip("/")
            for suite in other.suites
        )
        return 2 * by_keyring + updates + (not source.signed_by)

    candidates = [
        source
        for source in sources
        if "main" in source.components
        and "debian" in source.uri
        and not _NOT_MAIN_ARCHIVE.search(source.uri)
    ]
    best = max(candidates, key=likelihood, default=None)
    return best.uri if best and likelihood(best) else None


def mirror(folder: Path = APT_FOLDER) -> str:
    """Return the Debian mirror to use: ``FARM_DEBIAN_MIRROR``, else the machine's own.

    ``folder`` holds apt's configuration.

    Raises:
        EngineError: Neither is there, or the variable holds no URI.
    """
    named = os.environ.get(MIRROR_VARIABLE, "").strip()
    if named:
        if not re.fullmatch(r"https?://[^\s\[\]\"';]+", named):
            raise EngineError(f"{MIRROR_VARIABLE} is no http or https URI: {redact(named)!r}")
        return named
    found = choose_mirror(configured_sources(folder))
    if found is None:
        raise EngineError(
            f"no Debian mirror is configured in {folder}",
            hint=f"set {MIRROR_VARIABLE} to the URI of a Debian archive (the folder with dists/)",
        )
    return found


def keyring() -> Path:
    """Return the file with Debian's archive keys.

    Raises:
        EngineError: The machine has none.
    """
    if KEYRING.is_file():
        return KEYRING
    raise EngineError(
        f"Debian's archive keys are missing: {KEYRING}",
        hint="install the package debian-archive-keyring (Ubuntu has it as well)",
    )


def require_tools(tools: Sequence[tuple[str, str]], *, purpose: str) -> None:
    """Check that programs are there.

    Args:
        tools: Names of programs, each with the package that holds it.
        purpose: What they are needed for, for the message.

    Raises:
        EngineError: Naming everything that is missing.
    """
    path = programs.search_path()
    missing = [pair for pair in tools if shutil.which(pair[0], path=path) is None]
    if missing:
        names = ", ".join(tool for tool, _ in missing)
        packages = " ".join(dict.fromkeys(package for _, package in missing))
        raise EngineError(
            f"{purpose} needs programs that this machine lacks: {names}",
            hint=f"install: {packages}; or use a Docker Engine of your own",
        )


def network_settings() -> tuple[str, ...]:
    """Return the lines of the machine's apt configuration that say how to fetch.

    Proxies, certificates, time-outs and tolerance for old Release files are
    honoured; hooks, sources, pins and everything else of apt.conf are not.
    """
    wanted = re.compile(
        r'Acquire::(https?(::[^ ]+)?|Retries|Check-Valid-Until|Check-Date|ForceIPv4) "[^"]*";'
    )
    return tuple(line for line in _apt_settings().splitlines() if wanted.fullmatch(line))


def proxies() -> dict[str, str]:
    """The proxies that apt's own configuration names, by scheme."""
    text = "\n".join(network_settings())
    found = re.findall(r'^Acquire::(https?)::Proxy "([^"]+)";', text, flags=re.MULTILINE)
    return {scheme: proxy for scheme, proxy in found if proxy != "DIRECT"}


def _apt_settings(apt_config: Iterable[str] = ("apt-config",)) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    environment.pop("APT_CONFIG", None)
    try:
        return programs.run((*apt_config, "dump"), env=environment).text
    except programs.MissingProgramError:
        return ""


def ca_bundle() -> str:
    """The machine's bundle of certificate authorities, the user's choice first; empty without.

    Raises:
        FetchError: The user's choice does not exist.
    """
    named = NetworkSettings.of_machine().ca_bundle
    usual = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
    found = next((path for path in (named, *usual) if path and Path(path).is_file()), "")
    return found and str(Path(found).resolve())
