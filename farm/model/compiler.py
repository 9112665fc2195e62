"""A compiler that a build really used, as its build system wrote it down."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """One compiler of one build folder.

    ``family`` and ``version`` are CMake's ``CMAKE_<LANGUAGE>_COMPILER_ID`` and ``…_VERSION``
    (https://cmake.org/cmake/help/latest/variable/CMAKE_LANG_COMPILER_ID.html); ``archs`` what
    the folder's cache says of architectures, as CMake writes lists.
    """

    folder: str
    language: str
    path: str
    family: str
    version: str
    archs: str = ""
