"""Whether a Dockerfile from elsewhere stays within what farm's own do.

What its steps run is anybody's program, in a container; but none may use the network,
start from another image, read secrets, or reach what other builds keep in the engine.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farm.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator

_INSTRUCTIONS = {"FROM", "RUN", "COPY", "ENV", "ARG", "WORKDIR", "LABEL", "USER"}
_DIRECTIVE = re.compile(r"#\s*[a-z]+\s*=", re.IGNORECASE)
"""Would make the engine read the rest by another program, or by other rules."""
_HEREDOC = re.compile(r"RUN(?: --\S+)* <<([A-Z]+)")
_FROM = re.compile(r"FROM (\S+) AS ([a-z][a-z0-9_-]*)")
_SECRETS = {"jobs", "proxy", "ca"}
_CACHE = re.compile(r"farm-log-[0-9a-f]{24}|farm-(?:pool|programs)-1|farm-compiled-1-[a-z0-9-]+")


def check_dockerfile(text: str, base: str, *, networked: bool) -> None:
    """Hold a Dockerfile that starts from ``base`` against the rules.

    With ``networked`` its steps may use the network, as those of a base that is an image do.

    Raises:
        IntegrityError: it breaks one.
    """
    strange = next((c for c in text if c.isspace() and c not in " \t\n"), None)
    if strange is not None:
        raise _refused("", f"it holds the character {strange!r}")
    stages = {base, "scratch"}
    for line in _instructions(text):
        word, _, rest = line.partition(" ")
        if word not in _INSTRUCTIONS:
            raise _refused(line, "farm's own have no such instruction")
        if word == "FROM":
            found = _FROM.fullmatch(line)
            if found is None or found[1] not in stages:
                raise _refused(line, f"it starts from something else than {base}")
            stages.add(found[2])
        elif word in {"RUN", "COPY"}:
            _check_flags(line, rest.split(), stages, networked=networked)


def _check_flags(line: str, words: list[str], stages: set[str], *, networked: bool) -> None:
    flags = []
    for word in words:
        if not word.startswith("--"):
            break
        flags.append(word)
    is_run = line.startswith("RUN ")
    if is_run and not networked and "--network=none" not in flags:
        raise _refused(line, "the step may use the network")
    for flag in flags:
        name, _, value = flag.partition("=")
        allowed = (
            flag == "--network=none"
            or (name == "--mount" and is_run and _is_own_mount(value, stages))
            or (name == "--from" and not is_run and value in stages)
        )
        if not allowed:
            raise _refused(line, f"farm's own have no {flag[:80]}")


def _is_own_mount(value: str, stages: set[str]) -> bool:
    fields = [field.partition("=")[::2] for field in value.split(",")]
    options = dict(fields)
    if len(options) < len(fields) or '"' in value or "$" in value:
        return False
    if any(name != name.lower() for name in options):  # which BuildKit reads alike
        return False
    match options.get("type"):
        case "bind":
            return options.get("from", "scratch") in stages and "rw" not in options
        case "cache":
            return _CACHE.fullmatch(options.get("id", "")) is not None and "from" not in options
        case "secret":
            return options.get("id") in _SECRETS
    return False


def _instructions(text: str) -> Iterator[str]:
    """Instructions in one line each, without the scripts that follow them (`RUN … <<EOF`)."""
    lines = iter(text.split("\n"))
    for first in lines:
        line = first.strip()
        if _DIRECTIVE.match(line):
            raise _refused(line, "it tells the engine how it is to be read")
        if not line or line.startswith("#"):
            continue
        while line.endswith("\\"):
            if line.endswith("\\\\"):  # the engine reads no continuation there
                raise _refused(line, "a line ends in two backslashes")
            line = f"{line[:-1].rstrip()} {next(lines, '').strip()}"
        yield line
        # Whatever may be taken for a script's beginning, and is not exactly that, is refused.
        script = _HEREDOC.fullmatch(line)
        if script:
            while (following := next(lines, None)) != script[1]:
                if following is None:
                    raise _refused(line, "its script has no end")
        elif "<<" in line and not line.startswith("ENV "):
            raise _refused(line, "farm's own begin no script so")


def _refused(line: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"the Dockerfile of the bundle is not one of farm's: {why}",
        details=[line[:200]],
        hint="do not build it, unless you know who made it",
    )
