"""What builds fetch from: the package index and Debian's mirror, each asked once and briefly."""

from __future__ import annotations

import shutil
import subprocess
import time
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING

from farm.debian import archive, toolbox
from farm.errors import ExitCode, FarmError
from farm.host.network import NetworkSettings
from farm.host.urls import redact
from farm.upkeep.checks import ok, problem, refused, warning
from farm.upkeep.later import later

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from farm.upkeep.checks import Check, Situation

TIMEOUT_S = 3.0
SKEW_S = 300.0
"""Debian's Release files and certificates tolerate little more."""
_PROBED_PROJECT = "setuptools"
"""A project that every complete index has: most packages are built with it."""


def checks(situation: Situation) -> Iterator[Check]:
    """Ask index and mirror at the same time, for at most `TIMEOUT_S` seconds."""
    yield _git()
    if situation.offline:
        yield ok("network", "not asked (--offline)")
        return
    asked: dict[str, Future[list[Check]]] = {
        name: later(partial(list, ask(name))) for name, ask in _ASKED.items()
    }
    deadline = time.monotonic() + TIMEOUT_S + 0.5
    for name, answer in asked.items():
        try:
            yield from answer.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            yield _unreachable(name, f"no answer within {TIMEOUT_S:g} s")
        except FarmError as error:
            yield refused(name, error)
        except (OSError, subprocess.SubprocessError) as error:
            yield _unreachable(name, redact(str(error)))


def _unreachable(name: str, found: str) -> Check:
    """A server that does not answer; builds whose inputs are all here still work."""
    return problem(
        name,
        found,
        "check the network and the proxy settings; what is already here builds with --offline",
        ExitCode.FETCH,
    )


def _index(name: str) -> Iterator[Check]:
    from farm.source.index import PackageIndex  # takes 0.3 s to import

    settings = NetworkSettings.of_machine()
    endpoint = PackageIndex(settings).endpoint
    url = f"{endpoint.rstrip('/')}/{_PROBED_PROJECT}/"
    yield from _asked(name, url, redact(endpoint), verify=settings.ca_bundle)


def _mirror(name: str) -> Iterator[Check]:
    mirror = archive.mirror()
    release = f"{mirror.rstrip('/')}/dists/{toolbox.SUITE}/InRelease"
    yield from _asked(name, release, redact(mirror), proxies=archive.proxies())


_ASKED = {"package index": _index, "Debian mirror": _mirror}


def _asked(
    name: str,
    url: str,
    shown: str,
    *,
    verify: str | None = None,
    proxies: dict[str, str] | None = None,
) -> Iterator[Check]:
    import requests

    from farm.source.fetch import reason_of, session

    started = time.monotonic()
    try:
        with session() as web:
            answer = web.get(
                url,
                stream=True,  # the head of the answer is enough
                timeout=TIMEOUT_S,
                verify=verify or True,
                proxies=proxies or None,
            )
            answer.close()
    except requests.RequestException as error:
        yield _unreachable(name, f"{shown}: {reason_of(error)}")
        return
    if not answer.ok:
        yield _unreachable(name, f"{shown}: {answer.status_code} {answer.reason}")
        return
    yield ok(name, f"{shown} answers after {time.monotonic() - started:.1f} s")
    yield from skew(answer.headers.get("Date"), time.time(), name)


def skew(date: str | None, now_s: float, name: str) -> Iterator[Check]:
    """Compare the clock with the date that a server sent."""
    try:
        theirs_s = parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return
    off_s = now_s - theirs_s
    if abs(off_s) > SKEW_S:
        word = "ahead of" if off_s > 0 else "behind"
        yield warning(
            "clock and network",
            f"this machine's clock is {abs(off_s) / 60:.0f} minutes {word} the {name}'s",
            "set the clock: certificates and package indexes may be refused",
        )


def _git() -> Check:
    git = shutil.which("git")
    if git is None:
        return warning("git", "not found", "install git: sources of the kind 'git:' need it")
    return ok("git", git)
