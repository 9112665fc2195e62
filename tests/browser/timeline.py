"""The timeline's page in a real browser: ``make browser``, which needs Chromium.

Not among the tests that every machine runs: a browser is no part of what farm is built with.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from farm.timeline.page import page
from farm.timeline.spans import laid_out
from tests.support.calls import call

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = (
    "</script><script>document.title='run'</script>",
    "</title></style><img src=x onerror=alert(1)>",
    "--><!-- <!--<script>",
)


@pytest.mark.parametrize("name", ["plain.cpp", *HOSTILE])
def test_a_browser_draws_a_page_and_runs_nothing_else(tmp_path: Path, name: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "there is no Chromium: apt install chromium"
    path = tmp_path / "timeline.html"
    path.write_text(page(laid_out(name, {name: [call(name)]}, budget_bytes=1000)))
    argv = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    argv += ["--virtual-time-budget=5000", f"--user-data-dir={tmp_path / 'chromium'}"]
    shown = subprocess.run([*argv, path.as_uri()], capture_output=True, text=True, check=True)
    assert 'data-ready="1"' in shown.stdout  # the last thing that its script does
    assert "<title>run</title>" not in shown.stdout
    assert '<button type="button" aria-pressed="true">' in shown.stdout
