"""``farm build --summary`` and ``--junit``, and the page of a CI service."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode
from tests.support.projects import DEMO, project_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Farm

ARGUMENTS = ("build", "demo", "--progress", "quiet")


@pytest.fixture(autouse=True)
def project(world: Path) -> Path:
    """Its one unit fails, for its requirements are not locked."""
    project_at(world, {"recipes/demo.yaml": DEMO})
    return world


def test_both_are_written_also_of_a_failure(farm: Farm, project: Path) -> None:
    ended = farm(*ARGUMENTS, "--summary", "new/s.md", "--junit", "new/j.xml")
    assert ended.code == ExitCode.LOCK
    text = (project / "new/s.md").read_text()
    assert text.startswith("### farm: 1 failed in ")
    assert "not locked" in text
    assert "farm build demo&#64;1.0.0&#58;cpu" in text
    failed = ET.parse(project / "new/j.xml").find(".//failure")  # noqa: S314 - our own
    assert failed is not None
    assert "not locked" in failed.attrib["message"]


def test_the_page_of_a_service_is_appended_to(
    farm: Farm, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = project / "page.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    assert farm(*ARGUMENTS).code == ExitCode.LOCK
    assert page.read_text().startswith("before\n### farm: 1 failed")
    page.write_text("x" * (1 << 20))
    farm(*ARGUMENTS)
    assert page.stat().st_size == 1 << 20


def test_a_report_that_cannot_be_written_hides_no_failure(farm: Farm, project: Path) -> None:
    (project / "file").write_text("")
    ended = farm(*ARGUMENTS, "--summary", "file/s.md")
    assert ended.code == ExitCode.LOCK
    assert "cannot write file/s.md" in ended.err


def test_a_folder_is_no_report(farm: Farm, project: Path) -> None:
    ended = farm(*ARGUMENTS, "--junit", ".")
    assert ended.code == ExitCode.USAGE
    assert "--junit: . is a folder" in ended.err
    assert not (project / "out").exists()
