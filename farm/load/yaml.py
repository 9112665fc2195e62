"""Read one YAML document into plain values, and know where each of them stands.

The scalars follow what people mean rather than YAML 1.1: only ``true``,
``false``, ``null``, ``~`` and plain decimal integers are more than text, so
``3.10``, ``on``, ``12:30``, ``010`` and ``2026-05-16`` stay what was typed.
Whatever could surprise is refused with its place: duplicate keys, tags, merge
keys, invisible characters, and aliases that swell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml.events import ScalarEvent, StreamEndEvent
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from farm.errors import Place, Problem, RecipeError
from farm.load.places import MAX_PROBLEMS, Lines, limited
from farm.load.values import HIDDEN, Reader, hidden_what

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from yaml import SafeLoader as _Parser
    from yaml.nodes import Node

    from farm.load.places import Path
    from farm.load.values import Value
else:
    try:
        from yaml import CSafeLoader as _Parser
    except ImportError:  # a PyYAML built without libyaml: slower, and the same
        from yaml import SafeLoader as _Parser

MAX_BYTES: Final = 2**20
"""Largest file that is read at all, in bytes."""

_HINTS: Final = (
    ("mapping values are not allowed", "a value that holds ': ' wants quotes"),
    ("could not find expected ':'", "a ':' is missing, or the line is indented wrongly"),
    ("did not find expected key", "the line is indented wrongly, or a quote is missing"),
    ("did not find expected '-'", "the line is indented wrongly"),
    ("expected <block end>", "the line is indented wrongly, or a quote is missing"),
    ("',' or ']'", "a ',' or the closing ']' is missing"),
    ("',' or '}'", "a ',' or the closing '}' is missing"),
    ("unexpected end of stream", "a closing quote or bracket is missing"),
    ("cannot start any token", "a value that begins with this character wants quotes"),
    ("alphabetic or numeric", "a value that begins with '*' or '&' wants quotes"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Document:
    """One YAML document: its plain value, and where each part of it stands.

    Positions are found only when they are asked for, which is when something is wrong: a
    thousand good files cost neither their time nor their memory.  (No slots: the cache of the
    nodes needs a ``__dict__``.)
    """

    file: str
    """What the file is called in messages."""
    text: str
    """The whole text, without a byte order mark."""
    value: Value
    """The document as dict, list, str, int, bool and None."""
    spelled: Mapping[Path, str] = field(default_factory=dict)
    """How keys are written in the text that the value has otherwise, by the value's path."""
    problems: tuple[Problem, ...] = ()
    """What is refused in the text, though it is YAML; the value has what can be told of it."""
    lost: frozenset[Path] = frozenset()
    """The mappings that have keys which the value has not."""

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Find where the value at ``path`` begins, or with ``key`` the key that names it.

        A path that the document does not hold gives the place of the deepest part that it does.
        """
        node, named_by = self._root, self._root
        for index, part in enumerate(path):
            found = self._child(node, self.spelled.get(path[: index + 1], part))
            if found is None:
                break
            named_by, node = found
        return self._lines.marked((named_by if key else node).start_mark)

    def _child(self, node: Node, part: str | int) -> tuple[Node, Node] | None:
        """The node that names a part, and the part's own."""
        if isinstance(node, MappingNode):
            if id(node) not in self._by_key:
                self._by_key[id(node)] = {
                    pair[0].value: pair for pair in node.value if isinstance(pair[0], ScalarNode)
                }
            return self._by_key[id(node)].get(part)
        if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            return node.value[part], node.value[part]
        return None

    @cached_property
    def _by_key(self) -> dict[int, dict[str | int, tuple[Node, Node]]]:
        """The pairs of each mapping that was asked for, by the node's id: `_root` keeps those."""
        return {}

    @cached_property
    def _root(self) -> Node:
        root: Node | None = yaml.compose(self.text, Loader=_Parser)
        if root is None:
            raise AssertionError("a document is made only of a text that holds one")
        return root

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self.file, self.text)


def read_document(data: bytes, file: str) -> Document:
    """Read one YAML document, as far as can be told what it says.

    Args:
        data: the file's content, UTF-8.
        file: what to call the file in messages.

    Raises:
        RecipeError: it is too large, empty, not UTF-8, not YAML, or holds hidden characters; all
            problems at once, as far as they can be found.
    """
    text = _decode(data, file)
    lines = Lines(file, text)
    hidden = [
        Problem(what=hidden_what(match[0]), place=lines.at(match.start()))
        for match in islice(HIDDEN.finditer(text), MAX_PROBLEMS)
    ]
    if hidden:
        raise RecipeError(hidden)
    parser = _Parser(text)
    reader = Reader(parser.get_event, lines)
    try:
        value = _value(reader, parser.get_event, lines)
    except yaml.YAMLError as error:
        raise RecipeError([_syntax_problem(error, lines)]) from None
    finally:
        parser.dispose()
    return Document(
        file=file,
        text=text,
        value=value,
        problems=tuple(limited(reader.problems)),
        lost=frozenset(reader.lost),
    )


def _value(reader: Reader, following: Callable[[], Any], lines: Lines) -> Value:
    """The value of the only document of a stream."""
    following()  # where the stream begins
    first = following()  # where a document begins, or the stream ends
    if not isinstance(first, StreamEndEvent):
        first = following()
    is_bare = isinstance(first, ScalarEvent) and first.implicit[0]
    if isinstance(first, StreamEndEvent) or (is_bare and not first.value):
        raise RecipeError([Problem(what="the file is empty", place=lines.place(0, 0))])
    value = reader.value(first)
    following()  # where the document ends
    after = following()
    if isinstance(after, StreamEndEvent):
        return value
    place = lines.marked(after.start_mark)
    hint = "write one document for each file, without a second '---'"
    raise RecipeError([Problem(what="holds more than one document", place=place, hint=hint)])


def _decode(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        what = f"the file is too large: {len(data):,} bytes, and at most {MAX_BYTES:,} are read"
        raise RecipeError([Problem(what=what, place=Place(file=file))])
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        place = Lines(file, before + "\ufffd").at(len(before))
        what = f"byte 0x{data[error.start]:02x} is not UTF-8"
        hint = "save the file as UTF-8"
        raise RecipeError([Problem(what=what, place=place, hint=hint)]) from None


def _syntax_problem(error: yaml.YAMLError, lines: Lines) -> Problem:
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem(what=f"not valid YAML: {error}", place=Place(file=lines.file))
    mark = error.problem_mark or error.context_mark
    place = lines.marked(mark)
    text = f"{error.problem or 'cannot be read'}"
    if "start any token" in text and mark and lines.character(mark.line, mark.column) == "\t":
        what = "not valid YAML: a tab cannot indent or begin a value"
        return Problem(what=what, place=place, hint="use spaces")
    hint = next((hint for part, hint in _HINTS if part in text), "")
    if error.context and error.context_mark:
        text += f" ({error.context} that begins in line {error.context_mark.line + 1})"
    return Problem(what=f"not valid YAML: {text}", place=place, hint=hint)
