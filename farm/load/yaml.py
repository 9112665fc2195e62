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
from typing import TYPE_CHECKING, Final, NoReturn

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from farm.errors import Place, Problem, RecipeError
from farm.load.places import MAX_PROBLEMS, Lines, dotted, limited, shown
from farm.load.plain import HIDDEN, MAX_DEPTH, MAX_VALUES, UnusualError, bare, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yaml import SafeLoader as _Base

    from farm.load.places import Path
    from farm.load.plain import Value
else:
    try:
        from yaml import CSafeLoader as _Base
    except ImportError:  # a PyYAML built without libyaml: slower, and the same
        from yaml import SafeLoader as _Base

MAX_BYTES: Final = 2**20
"""Largest file that is read at all, in bytes."""

# Tags of the nodes that carry none in the file; no file can spell them.
_PLAIN: Final = "\0plain"
_QUOTED: Final = "\0quoted"
_COLLECTION: Final = "\0collection"
_UNTAGGED: Final = frozenset({_PLAIN, _QUOTED, _COLLECTION})

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
    ("undefined alias", "a value that begins with '*' wants quotes"),
    ("alphabetic or numeric", "a value that begins with '*' or '&' wants quotes"),
)


class _RefusedError(yaml.MarkedYAMLError):
    """Valid YAML that is not accepted here."""


class _Hooks:
    """What PyYAML calls for each node: no guessing of types, and no bottomless nesting."""

    nesting = 0
    count = 0

    def resolve(self, kind: type[Node], _value: object, implicit: tuple[bool, bool]) -> str:
        if kind is not ScalarNode:
            return _COLLECTION
        return _PLAIN if implicit[0] else _QUOTED

    def descend_resolver(self, parent: Node | None, _index: object) -> None:
        self.nesting += 1
        self.count += 1
        if parent is not None and self.nesting > MAX_DEPTH:
            self._refuse(parent, f"nested more than {MAX_DEPTH} levels deep")
        if parent is not None and self.count > 2 * MAX_VALUES:  # keys and values
            self._refuse(parent, f"holds more than {MAX_VALUES:,} values")

    def _refuse(self, node: Node, what: str) -> NoReturn:
        raise _RefusedError(problem=what, problem_mark=node.start_mark)

    def ascend_resolver(self) -> None:
        self.nesting -= 1


class _Loader(_Hooks, _Base):
    """The loader of PyYAML, used only to compose nodes."""


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
        mark = (named_by if key else node).start_mark
        return self._lines.place(mark.line, mark.column)

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
        root = _compose(self.text)
        if root is None:
            raise AssertionError("a document is made only of a text that holds one")
        return root

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self.file, self.text)


def parse(text: bytes | str, file: str) -> Document:
    """Read one YAML document in which nothing is refused.

    Args:
        text: the file's content; bytes are UTF-8.
        file: what to call the file in messages.

    Raises:
        RecipeError: as `read_document`, and what it tells in the document's ``problems``.
    """
    document = read_document(text, file)
    if document.problems:
        raise RecipeError(document.problems)
    return document


def read_document(text: bytes | str, file: str) -> Document:
    """Read one YAML document, as far as can be told what it says.

    Raises:
        RecipeError: it is too large, empty, not UTF-8, not YAML, or holds hidden characters; all
            problems at once, as far as they can be found.
    """
    decoded = _decode(text, file)
    lines = Lines(file, decoded)
    hidden = _hidden_characters(decoded, lines)
    if hidden:
        raise RecipeError(hidden)
    try:
        return Document(file=file, text=decoded, value=read(decoded))
    except UnusualError:
        return _parse_with_care(decoded, file, lines)


def _parse_with_care(decoded: str, file: str, lines: Lines) -> Document:
    """Build the tree of nodes, which tells what is wrong and where, if anything is."""
    try:
        root = _compose(decoded)
    except yaml.YAMLError as error:
        raise RecipeError([_syntax_problem(error, lines)]) from None
    if root is None or (root.tag is _PLAIN and root.value == ""):
        raise RecipeError([Problem(what="the file is empty", place=lines.place(0, 0))])
    builder = _Builder(lines)
    value = builder.build(root)
    return Document(
        file=file,
        text=decoded,
        value=value,
        problems=tuple(limited(builder.problems)),
        lost=frozenset(builder.lost),
    )


class _Builder:
    """Turns nodes into values, and collects what is refused on the way."""

    def __init__(self, lines: Lines) -> None:
        self.problems: list[Problem] = []
        self.lost: set[Path] = set()
        self._lines = lines
        self._path: list[str | int] = []
        self._count = 0
        self._told: set[tuple[int, str]] = set()

    def build(self, node: Node) -> Value:
        """Give the plain value of a node.

        Raises:
            RecipeError: aliases make the document too deep or too large.
        """
        self._count += 1
        if self._count > MAX_VALUES:
            what = f"holds more than {MAX_VALUES:,} values, counting what aliases stand for"
            self._give_up(node, what)
        if node.tag not in _UNTAGGED:
            hint = "leave it out; quotes make text, and bare words the rest"
            self._problem(
                node,
                f"the tag {shown(node.tag.replace('tag:yaml.org,2002:', '!!'))} is not accepted",
                hint,
            )
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if len(self._path) >= MAX_DEPTH:
            self._give_up(node, f"nested more than {MAX_DEPTH} levels deep by its aliases")
        if isinstance(node, MappingNode):
            return self._mapping(node)
        return self._sequence(node)

    def _scalar(self, node: ScalarNode) -> Value:
        text: str = node.value
        if node.tag is _PLAIN:
            return bare(text)
        hidden = HIDDEN.search(text)  # an escape can spell what the file itself does not hold
        if hidden:
            self._problem(node, _hidden_what(hidden[0]))
        return text

    def _sequence(self, node: Node) -> Value:
        items: list[Value] = []
        for index, item in enumerate(node.value):
            self._path.append(index)
            items.append(self.build(item))
            self._path.pop()
        return items

    def _mapping(self, node: Node) -> Value:
        items: dict[str, Value] = {}
        first: dict[str, Node] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key is None:
                self.lost.add(tuple(self._path))
                continue
            if key in first:
                mark = first[key].start_mark
                earlier = self._lines.place(mark.line, mark.column)
                self._problem(key_node, f"duplicate key {shown(key)}, first at {earlier}")
            first.setdefault(key, key_node)
            self._path.append(key)
            items[key] = self.build(value_node)
            self._path.pop()
        return items

    def _key(self, node: Node) -> str | None:
        """The text of a key; None where it has none, or has it from elsewhere."""
        if not isinstance(node, ScalarNode):
            kind = "list" if isinstance(node, SequenceNode) else "mapping"
            self._problem(node, f"a key must be text, and this is a {kind}")
            return None
        text: str = node.value
        if node.tag is _PLAIN and text == "<<":
            self._problem(node, "merge keys ('<<') are not accepted", "write the settings out")
            return None
        if not isinstance(self.build(node), str):
            what = f"a key must be text, and {text or 'nothing'} is not"
            self._problem(node, what, f'put it in quotes: "{text}"')
        return text

    def _problem(self, node: Node, what: str, hint: str = "") -> None:
        if (id(node), what) in self._told:  # once, however many aliases lead here
            return
        self._told.add((id(node), what))
        mark = node.start_mark
        place = self._lines.place(mark.line, mark.column)
        where = dotted(tuple(self._path))
        self.problems.append(Problem(what=what, place=place, where=where, hint=hint))

    def _give_up(self, node: Node, what: str) -> NoReturn:
        place = self._lines.place(node.start_mark.line, node.start_mark.column)
        where = dotted(tuple(self._path[:3]))  # the whole path may be as long as it is deep
        problem = Problem(what=what, place=place, where=where)
        raise RecipeError([*self.problems[: MAX_PROBLEMS - 1], problem])


def _compose(text: str) -> Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _decode(text: bytes | str, file: str) -> str:
    size = len(text)
    if isinstance(text, str) and size <= MAX_BYTES:
        size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        what = f"the file is too large: {size:,} bytes, and at most {MAX_BYTES:,} are read"
        raise RecipeError([Problem(what=what, place=Place(file=file))])
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8")
        place = Lines(file, before + "\ufffd").at(len(before))
        what = f"byte 0x{text[error.start]:02x} is not UTF-8"
        raise RecipeError(
            [Problem(what=what, place=place, hint="save the file as UTF-8")]
        ) from None


def _hidden_characters(text: str, lines: Lines) -> list[Problem]:
    problems = []
    for match in HIDDEN.finditer(text):
        problems.append(Problem(what=_hidden_what(match[0]), place=lines.at(match.start())))
        if len(problems) == MAX_PROBLEMS:
            break
    return problems


def _hidden_what(character: str) -> str:
    return f"holds the control character U+{ord(character):04X}"


def _syntax_problem(error: yaml.YAMLError, lines: Lines) -> Problem:
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem(what=f"not valid YAML: {error}", place=Place(file=lines.file))
    mark = error.problem_mark or error.context_mark
    place = lines.place(mark.line, mark.column) if mark else Place(file=lines.file)
    text = f"{error.problem or 'cannot be read'}"
    if isinstance(error, _RefusedError):
        return Problem(what=text, place=place)
    if "another document" in text:
        hint = "write one document for each file, without a second '---'"
        return Problem(what="holds more than one document", place=place, hint=hint)
    if "duplicate anchor" in str(error.context):
        return Problem(what="an anchor of this name was defined before", place=place)
    if "start any token" in text and mark and lines.character(mark.line, mark.column) == "\t":
        what = "not valid YAML: a tab cannot indent or begin a value"
        return Problem(what=what, place=place, hint="use spaces")
    hint = next((hint for part, hint in _HINTS if part in text), "")
    if error.context and error.context_mark:
        text += f" ({error.context} that begins in line {error.context_mark.line + 1})"
    return Problem(what=f"not valid YAML: {text}", place=place, hint=hint)
