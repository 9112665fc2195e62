"""Answer a build that was asked for before at once, if nothing has changed since."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from farm.cli.reports import STEP_SUMMARY
from farm.errors import FarmError

if TYPE_CHECKING:
    from farm.run.unchanged import Answer, Question

NEVER = {"--force", "--rebuild", "--dry-run", "-n", "--summary", "--junit", "--help", "-h"}
"""Arguments with which a build is never remembered."""


def asked_now(arguments: list[str]) -> Question | None:
    """What ``farm build …`` asks in this folder; None where it must be thought through."""
    named = {argument.partition("=")[0] for argument in arguments}
    elsewhere = any(os.environ.get(name) for name in ("FARM_ROOT", STEP_SUMMARY))
    if arguments[:1] != ["build"] or NEVER & named or elsewhere:
        return None
    from farm.load.folders import cache_folder
    from farm.load.project import find_project
    from farm.run.unchanged import question

    try:
        return question(arguments, find_project(), cache_folder(), os.environ)
    except FarmError:
        return None


def tell_again(asked: Question | None) -> bool:
    """Show that all is built as it was when the same was asked before; False if it may not be."""
    from farm.run.unchanged import recall, report

    answer = recall(asked) if asked else None
    results = answer.results() if answer else None
    if answer is None or results is None:
        return False
    if answer.progress == "quiet":  # speaks of failures alone
        return True
    from farm.console.choose import make_view

    with make_view(answer.progress) as view:
        report(results, answer.out, view)
    return True


def remember_all_built(asked: Question | None, arguments: list[str], answer: Answer) -> None:
    """Remember that there was nothing to do, unless a file was changed meanwhile."""
    from farm.run.unchanged import remember

    if asked is not None and asked_now(arguments) == asked:
        remember(asked, answer)
