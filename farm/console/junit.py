"""A run as JUnit XML, which CI services show as tests: a case for each unit.

Form: https://github.com/testmoapp/junitxml and, as GitLab reads it,
https://docs.gitlab.com/ci/testing/unit_test_reports/
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from farm.events import Outcome

if TYPE_CHECKING:
    from farm.console.gathered import Gathered
    from farm.events import UnitFinished

_NO_XML = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]"
)
"""What XML 1.0 cannot hold, in any spelling, and what it advises against."""
_SKIPPED = {Outcome.BLOCKED, Outcome.CANCELLED}


def junit(gathered: Gathered) -> str:
    """The document; control characters, which XML has no way to hold, become U+FFFD."""
    rows = gathered.ended
    counts = {
        "tests": str(len(rows)),
        "failures": str(sum(row.outcome is Outcome.FAILED for row in rows)),
        "skipped": str(sum(row.outcome in _SKIPPED for row in rows)),
        "errors": "0",
        "time": f"{gathered.seconds:.3f}",
    }
    top = ET.Element("testsuites", counts)
    suite = ET.SubElement(top, "testsuite", {"name": "farm", **counts})
    for row in rows:
        _case(suite, row, gathered.failed_step(row))
    ET.indent(top)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(top, "unicode") + "\n"


def _case(suite: ET.Element, row: UnitFinished, step: str) -> None:
    package, _, variant = row.unit.rpartition(":")
    about = {"classname": package, "name": variant, "time": f"{row.seconds:.3f}"}
    about |= {"file": row.file} if row.file else {}
    case = ET.SubElement(suite, "testcase", {key: _clean(text) for key, text in about.items()})
    if row.outcome is Outcome.FAILED:
        kind = {"type": step or "farm", "message": row.message}
        found = ET.SubElement(case, "failure", {key: _clean(text) for key, text in kind.items()})
        told = (*row.details, f"hint: {row.hint}" * bool(row.hint),
                f"repeat: {row.repeat}" * bool(row.repeat))  # fmt: skip
        found.text = _clean("\n".join((row.message, *filter(None, told))))
    elif row.outcome in _SKIPPED:
        ET.SubElement(case, "skipped", {"message": _clean(row.message or row.outcome.value)})
    said = "\n".join(filter(None, (f"outcome: {row.outcome.value}", row.log, *row.wheels)))
    ET.SubElement(case, "system-out").text = _clean(said)


def _clean(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
