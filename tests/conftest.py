"""What every test can rely on."""

from __future__ import annotations

import signal


def pytest_sessionstart() -> None:
    """Ctrl-C works in what the tests start.

    A shell without job control starts its background jobs with SIGINT ignored, and
    every process below inherits that; some CI services run everything so.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
