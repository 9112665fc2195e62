"""Read a document, and make a model of it, where anything that is wrong is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from farm.errors import RecipeError
from farm.load.validate import judge
from farm.load.yaml import read_document

if TYPE_CHECKING:
    from pydantic import BaseModel

    from farm.load.yaml import Document

M = TypeVar("M", bound="BaseModel")


def parse(text: bytes | str, file: str) -> Document:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    document = read_document(data, file)
    if document.problems:
        raise RecipeError(document.problems)
    return document


def validate(model: type[M], document: Document) -> M:
    judged = judge(model, document)
    if judged.model is None or judged.problems:
        raise RecipeError(judged.problems)
    return judged.model
