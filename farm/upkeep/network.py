"""What builds fetch from: the package index and Debian's mirror, each asked once and briefly."""

from __future__ import annotations

import queue
import re
import shutil
import subprocess
import threading
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from farm.debian import archive, toolbox
from farm.errors import EngineError, ExitCode, FarmError, FetchError
from farm.host.network import NetworkSettings
from farm.host.urls import redact
from farm.upkeep.checks import ok, problem, warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    asked = (("package index", _index), ("Debian mirror", _mirror))
    answers: queue.SimpleQueue[tuple[str, list[Check]]] = queue.SimpleQueue()
    for name, ask in asked:
        # Daemons: a name server that hangs must not hold up the end of the process.
        threading.Thread(target=_into, args=(answers, name, ask), daemon=True).start()
    yield from _collected(answers, [name for name, _ in asked])


def _into(
    answers: queue.SimpleQueue[tuple[str, list[Check]]],
    name: str,
    ask: Callable[[], Iterator[Check]],
) -> None:
    try:
        answers.put((name, list(ask())))
    except (FarmError, OSError, subprocess.SubprocessError) as error:
        answers.put((name, [unreachable(name, redact(str(error)))]))


def _collected(
    answers: queue.SimpleQueue[tuple[str, list[Check]]], names: list[str]
) -> Iterator[Check]:
    deadline = time.monotonic() + TIMEOUT_S + 0.5
    found: dict[str, list[Check]] = {}
    while len(found) < len(names):
        try:
            name, checked = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[name] = checked
    for name in names:
        yield from found.get(name, [unreachable(name, f"no answer within {TIMEOUT_S:g} s")])


def unreachable(name: str, found: str) -> Check:
    """A server that does not answer; builds whose inputs are all here still work."""
    return problem(
        name,
        found,
        "check the network and the proxy settings; what is already here builds with --offline",
        ExitCode.FETCH,
    )


def _index() -> Iterator[Check]:
    from farm.source.index import PackageIndex  # takes 0.3 s to import

    try:
        settings = NetworkSettings.of_machine()
    except FetchError as error:
        yield problem("package index", error.message, error.hint, error.code)
        return
    endpoint = PackageIndex(settings).endpoint
    url = f"{endpoint.rstrip('/')}/{_PROBED_PROJECT}/"
    yield from _asked("package index", url, redact(endpoint), verify=settings.ca_bundle)


def _mirror() -> Iterator[Check]:
    name = "Debian mirror"
    try:
        mirror = archive.mirror()
    except EngineError as error:
        yield problem(name, error.message, error.hint, error.code)
        return
    release = f"{mirror.rstrip('/')}/dists/{toolbox.SUITE}/InRelease"
    yield from _asked(name, release, redact(mirror), proxies=archive.proxies())


def _asked(
    name: str,
    url: str,
    shown: str,
    *,
    verify: str | None = None,
    proxies: dict[str, str] | None = None,
) -> Iterator[Check]:
    import requests

    from farm.source.fetch import session

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
        yield unreachable(name, f"{shown}: {reason_of(error)}")
        return
    if not answer.ok:
        yield unreachable(name, f"{shown}: {answer.status_code} {answer.reason}")
        return
    yield ok(name, f"{shown} answers after {time.monotonic() - started:.1f} s")
    yield from skew(answer.headers.get("Date"), time.time(), name)


def reason_of(error: Exception) -> str:
    """The innermost cause of a failed request, without memory addresses and passwords."""
    cause: BaseException = error
    while True:
        inner = cause.__cause__ or cause.__context__
        if inner is None:
            break
        cause = inner
    text = re.sub(r"<[^>]*object at 0x[0-9a-f]+>:? ?", "", str(cause)) or type(cause).__name__
    return redact(" ".join(text.split()))[:200]


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
    done = subprocess.run(
        [git, "--version"], capture_output=True, text=True, check=False, timeout=10
    )
    return ok("git", done.stdout.strip().removeprefix("git version "))
