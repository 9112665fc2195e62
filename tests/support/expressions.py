"""Expressions of GitHub Actions, as far as the workflow file that is shipped has them.

https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_][\w-]*(?:\.[\w-]+)*)|(?P<sign>&&|\|\||[=!<>]=|[!<>(),]))"
)
_WHOLE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_STATUS = re.compile(r"\b(?:success|failure|cancelled|always)\s*\(")


@dataclass(kw_only=True)
class Context:
    """What names mean; ``state`` is success, failure or cancelled, of the job so far."""

    names: Mapping[str, Any]
    state: str = "success"
    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.functions = {
            "fromJSON": json.loads,
            "hashFiles": lambda *globs: hashlib.sha256("".join(globs).encode()).hexdigest(),
            "success": lambda: self.state == "success",
            "failure": lambda: self.state == "failure",
            "cancelled": lambda: self.state == "cancelled",
            "always": lambda: True,
        }

    def evaluate(self, text: str) -> Any:
        """The value of one expression."""
        parser = _Parser(_tokens(text), self)
        found = parser.either()
        assert not parser.tokens, f"{text}: {parser.tokens}"
        return found

    def fill(self, value: Any) -> Any:
        """A value of the file with its expressions filled in."""
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if not isinstance(value, str):
            return value
        whole = _WHOLE.fullmatch(value.strip())
        if whole:
            return self.evaluate(whole[1])
        return _WHOLE.sub(lambda found: _as_text(self.evaluate(found[1])), value)

    def holds(self, condition: str | None) -> bool:
        """Whether what has this condition runs: after success, if it says nothing of the state."""
        if condition is None:
            return self.state == "success"
        whole = _WHOLE.fullmatch(condition.strip())
        text = whole[1] if whole else condition
        found = self.evaluate(text)
        return bool(found) and (bool(_STATUS.search(text)) or self.state == "success")


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        assert match, f"no expression that is known here: {text[at:]}"
        assert match.lastgroup
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


@dataclass
class _Parser:
    tokens: list[tuple[str, str]]
    context: Context

    def _taken(self, *signs: str) -> str:
        if self.tokens and self.tokens[0][0] == "sign" and self.tokens[0][1] in signs:
            return self.tokens.pop(0)[1]
        return ""

    def either(self) -> Any:
        found = self.both()
        while self._taken("||"):
            other = self.both()
            found = found or other
        return found

    def both(self) -> Any:
        found = self.comparison()
        while self._taken("&&"):
            other = self.comparison()
            found = found and other
        return found

    def comparison(self) -> Any:
        found = self.one()
        sign = self._taken("==", "!=", ">", "<")
        if not sign:
            return found
        other = self.one()
        if isinstance(found, str) is not isinstance(other, str):
            found, other = _number(found), _number(other)
        compared = {"==": found == other, "!=": found != other}
        return compared.get(sign) if "=" in sign else (found > other) is (sign == ">")

    def one(self) -> Any:
        if self._taken("!"):
            return not self.one()
        if self._taken("("):
            found = self.either()
            assert self._taken(")")
            return found
        kind, text = self.tokens.pop(0)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text)
        assert kind == "name", text
        return self._call(text) if self._taken("(") else self._named(text)

    def _call(self, name: str) -> Any:
        arguments = []
        while not self._taken(")"):
            arguments.append(self.either())
            self._taken(",")
        return self.context.functions[name](*arguments)

    def _named(self, name: str) -> Any:
        found: Any = self.context.names
        for part in name.split("."):
            found = found.get(part, "") if isinstance(found, dict) else ""
        return found


def _number(value: Any) -> float:
    return float(value or 0)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
