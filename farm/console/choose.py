"""Choose how a run is shown, and say errors.  Cheap to import: rich comes when it is needed."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import nullcontext
from typing import TYPE_CHECKING, TextIO

from farm.console.services import is_on, service_of
from farm.errors import ProblemsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from rich.console import Console

    from farm.console.services import Service
    from farm.errors import FarmError
    from farm.events import Sink

PROGRESS = ("auto", "plain", "quiet", "json")
"""What ``--progress`` may be."""
_MOST_ANNOTATIONS = 50
"""GitHub shows no more of a job."""


def make_view(
    progress: str = "auto",
    *,
    console: Console | None = None,
    stdout: TextIO | None = None,
    env: Mapping[str, str] | None = None,
) -> AbstractContextManager[Sink]:
    """Return the view of a name in `PROGRESS`: a sink that shows events while it is entered.

    ``auto`` draws live in a terminal and prints plain lines elsewhere, in CI and where
    ``TERM`` is ``dumb``.  All but ``json`` write to ``console`` (default: stderr, so
    that stdout holds only results); ``json`` writes to ``stdout``.

    Raises:
        UsageError: there is no such view.
    """
    env = os.environ if env is None else env
    if progress == "json":
        from farm.console.json_lines import JsonView

        return nullcontext(JsonView(stdout or sys.stdout))
    if progress not in PROGRESS:
        raise UsageError(
            f"--progress: unknown view '{progress}'", hint=f"one of {', '.join(PROGRESS)}"
        )
    if console is None:
        from rich.console import Console

        console = Console(stderr=True, highlight=False)
    if progress == "quiet":
        from farm.console.quiet import QuietView

        return nullcontext(QuietView(console))
    if progress == "auto" and draws(console.file, env):
        from farm.console.live import LiveView

        return LiveView(console)
    from farm.console.plain import PlainView

    return PlainView(console, service=service_of(env))


def draws(stream: object, env: Mapping[str, str]) -> bool:
    """Tell whether a stream is a terminal that can be drawn on, and watched by a person."""
    return _is_terminal(stream) and env.get("TERM") != "dumb" and not is_on(env, "CI")


def coloured(stream: object, env: Mapping[str, str]) -> bool:
    """Tell whether colour is wanted: ``NO_COLOR`` wins over ``FORCE_COLOR`` over the terminal."""
    if env.get("NO_COLOR"):
        return False
    return bool(env.get("FORCE_COLOR")) or (_is_terminal(stream) and env.get("TERM") != "dumb")


def render_error(
    error: FarmError,
    *,
    debug: bool,
    stream: TextIO | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Print an error as ``error: message``, its details, and ``hint: …``, on stderr.

    With ``debug`` the traceback comes first.  In a CI job it is an annotation besides, or
    each of its problems is, at its place.
    """
    stream = sys.stderr if stream is None else stream
    env = os.environ if env is None else env
    colour, service = coloured(stream, env), service_of(env)
    if service:
        stream.write(service.begin())
    if debug:
        traceback.print_exception(error, file=stream)
    lines = [f"{_paint('error:', '1;31', on=colour)} {error.message}"]
    lines += [f"  {line}" for detail in error.details for line in detail.split("\n")]
    if error.hint:
        lines.append(f"{_paint('hint:', '1;36', on=colour)} {error.hint}")
    stream.write("\n".join(lines) + "\n")
    if service:
        stream.write("".join(_annotations(error, service)) + service.end())
    stream.flush()


def _annotations(error: FarmError, service: Service) -> Iterator[str]:
    if not isinstance(error, ProblemsError):
        yield service.error(error.message, title="farm")
        return
    for each in error.problems[:_MOST_ANNOTATIONS]:
        place = each.place
        message = "; ".join(part for part in (each.what, each.hint) if part)
        yield service.error(
            message,
            title=each.where or "farm",
            file=os.path.join(error.root, place.file) if place else "",  # noqa: PTH118 - as text
            line=place.line if place else None,
        )


def _paint(text: str, code: str, *, on: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if on else text


def _is_terminal(stream: object) -> bool:
    try:
        return bool(getattr(stream, "isatty", bool)())
    except ValueError:  # closed
        return False
