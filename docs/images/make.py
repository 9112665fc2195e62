# ruff: noqa: INP001 - a program beside the documents, no part of a package
"""Draw a run of ``farm build`` as an animated SVG, from the events of a real one.

Record one, then draw it, both in the project's folder::

    farm build llama-cpp-python@0.2.44 --progress json > run.jsonl
    python docs/images/make.py run.jsonl docs/images/build.svg

What is drawn is the live view of ``farm.console``, fed with those events and with
their own times: each frame is what the terminal showed at that moment.  Viewers that
do not animate show the end.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from farm import events as words
from farm.console.live import LiveView

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 108
FRAMES = 16
FRAME_S = 0.7
HASTE = 1.6  # moments lie closer together where a run begins, and more happens
LAST_S = 5.0
TITLE = "farm"

# Each moment as rich draws it; what is in braces, rich fills in.
_FRAME = """\
<g class="frame" id="{unique_id}" xml:space="preserve"><style>{styles}</style>
<g transform="translate(24, {terminal_y})">{backgrounds}{matrix}</g></g>
"""
_PICTURE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>A run of farm build: three variants of a package, then their wheels</title>
<style>
.frame {{
  font: 20px ui-monospace, "SF Mono", "Cascadia Code", "DejaVu Sans Mono", monospace;
  visibility: hidden;
  white-space: pre;
}}
#f{last} {{ visibility: visible }}
@media (prefers-reduced-motion: no-preference) {{
{keyframes}
}}
</style>
<rect width="{width}" height="{height}" rx="12" fill="#11161d"/>
<g fill="#3a4554">
<circle cx="26" cy="24" r="7"/><circle cx="50" cy="24" r="7"/><circle cx="74" cy="24" r="7"/>
</g>
{frames}</svg>
"""
_BACK, _FORE = (17, 22, 29), (200, 211, 224)
_COLOURS = (
    *((59, 69, 84), (242, 119, 122), (126, 211, 148), (240, 198, 116)),
    *((104, 170, 245), (200, 150, 240), (94, 205, 214), _FORE),
)
_BRIGHT = ((104, 118, 138), *_COLOURS[1:7], (255, 255, 255))


def read(path: Path) -> list[words.Event]:
    """The events of a recorded run, with paths relative to the folder that holds ``out/``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    started = json.loads(next(line for line in lines if '"RunStarted"' in line))
    above = started["folder"].partition("/out/")[0] + "/"
    return [_event(json.loads(line.replace(above, ""))) for line in lines]


def _event(fields: dict[str, Any]) -> words.Event:
    kind: type[words.Event] = getattr(words, fields.pop("event"))
    values: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()
    }
    if "outcome" in values:
        values["outcome"] = words.Outcome(values["outcome"])
    return kind(**values)


def frame(events: Sequence[words.Event], until_s: float, command: str) -> Console:
    """What the terminal shows at a moment."""
    console = Console(
        width=WIDTH,
        height=40,
        record=True,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    view = LiveView(console, clock=lambda: until_s)
    for event in events:
        if event.time_s <= until_s:
            view(event)
    console.print(view)
    return console


def picture(events: Sequence[words.Event], command: str) -> str:
    """The animated SVG."""
    from rich.terminal_theme import TerminalTheme

    theme = TerminalTheme(_BACK, _FORE, list(_COLOURS), list(_BRIGHT))
    begin, end = events[0].time_s, events[-1].time_s
    parts = [((number + 0.5) / FRAMES) ** HASTE for number in range(FRAMES)]
    moments = [*(begin + (end - begin) * part for part in parts), end]
    consoles = [frame(events, moment, command) for moment in moments]
    rows = max(console.export_text(clear=False).count("\n") for console in consoles)
    drawn = [
        console.export_svg(title=TITLE, theme=theme, code_format=_FRAME, unique_id=f"f{number}")
        for number, console in enumerate(consoles)
    ]
    width, height = round(WIDTH * 12.2) + 48, round(rows * 24.4) + 66
    return _PICTURE.format(
        width=width,
        height=height,
        last=len(drawn) - 1,
        keyframes=_keyframes(len(drawn)),
        frames="".join(drawn),
    )


def _keyframes(count: int) -> str:
    """Each frame is visible in its own slice of one common time; the last for longest."""
    total = (count - 1) * FRAME_S + LAST_S
    rules = []
    for number in range(count):
        start = 100 * number * FRAME_S / total
        stop = 100 if number == count - 1 else 100 * (number + 1) * FRAME_S / total
        hidden = "0% { visibility: hidden } " if number else ""
        after = f" {stop:.2f}% {{ visibility: hidden }}" if number < count - 1 else ""
        rules.append(
            f"@keyframes k{number} {{ {hidden}{start:.2f}% {{ visibility: visible }}{after} "
            f"100% {{ visibility: {'visible' if number == count - 1 else 'hidden'} }} }}\n"
            f"#f{number} {{ animation: k{number} {total:.1f}s step-end infinite }}"
        )
    return "\n".join(rules)


if __name__ == "__main__":
    found = read(Path(sys.argv[1]))
    asked = "farm build llama-cpp-python@0.2.44"
    Path(sys.argv[2]).write_text(picture(found, asked), encoding="utf-8")
