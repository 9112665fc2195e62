"""The entry point: runs the application and turns errors into text and exit codes."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from farm.errors import FarmError

HELP = Path(__file__).with_name("help.txt")
_UNWRITABLE = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT}
COLLECT_AFTER = (50_000, 20, 20)
"""When Python looks for garbage (`gc.set_threshold`).

A plan of thousands of units makes much and drops little of it; looking after
every 700 objects, as is the default, takes a sixth of the time that it takes.
"""


def main() -> NoReturn:
    """Run ``farm``."""
    arguments = sys.argv[1:]
    # The overview is asked for most and must come at once; the file is generated
    # from the application and a test holds it to that.
    if arguments in ([], ["--help"], ["-h"]) and HELP.exists():
        sys.exit(_overview() or (0 if arguments else 2))
    signal.signal(signal.SIGTERM, _terminate)
    gc.set_threshold(*COLLECT_AFTER)
    try:
        sys.exit(_run(arguments))
    finally:
        gc.freeze()  # or Python looks once more for garbage, in all there is, as it ends


def _overview() -> int:
    try:
        sys.stdout.write(HELP.read_text(encoding="utf-8"))
        sys.stdout.flush()
    except OSError as error:
        return _unwritable(error, debug=False)
    return 0


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does: cleanly."""
    raise KeyboardInterrupt


def _run(arguments: list[str]) -> int:
    from farm.errors import ExitCode, FarmError

    debug = "--debug" in arguments or bool(os.environ.get("FARM_DEBUG"))
    try:
        return _call_app([argument for argument in arguments if argument != "--debug"])
    except FarmError as error:
        return _explain(error, debug=debug)
    except KeyboardInterrupt:
        sys.stderr.write("farm: cancelled\n")
        return int(ExitCode.CANCELLED)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _UNWRITABLE:
            return _unwritable(error, debug=debug)
        if debug:
            raise
        sys.stderr.write(
            f"farm: error: unexpected {type(error).__name__}: {error}\n"
            "  this is a bug in farm; run it again with --debug and report what it prints\n"
        )
        return int(ExitCode.INTERNAL)


def _unwritable(error: OSError, *, debug: bool) -> int:
    """What became of output that nobody takes."""
    # Python flushes once more as it ends, and must not complain then.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.EPIPE:
        return 0  # the reader has gone, as in ``farm list | head``
    from farm.errors import StorageError

    return _explain(StorageError(f"cannot write: {error}", hint="make room"), debug=debug)


def _call_app(arguments: list[str]) -> int:
    if arguments[:1] == ["build"]:
        from farm.cli.recall import asked_now, tell_again

        if tell_again(asked_now(arguments)):
            return 0
    from farm.cli.app import application

    try:
        result = application(*arguments[:1])(arguments, standalone_mode=True, prog_name="farm")
    except SystemExit as ended:
        sys.stdout.flush()
        # typer makes an exit status of both, and says nothing.
        cause = ended.__context__
        if isinstance(cause, BrokenPipeError):
            raise cause from None
        if cause is not None and isinstance(cause.__cause__, KeyboardInterrupt):
            raise cause.__cause__ from None
        raise
    return result if isinstance(result, int) else 0


def _explain(error: FarmError, *, debug: bool) -> int:
    from farm.console.choose import render_error

    render_error(error, debug=debug)
    return int(error.code)
