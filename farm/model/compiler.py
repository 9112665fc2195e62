"""A compiler that a build really used, as its build system wrote it down."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """One compiler of one build folder.

    ``family`` and ``version`` are CMake's ``CMAKE_<LANGUAGE>_COMPILER_ID`` and ``…_VERSION``
    (https://cmake.org/cmake/help/latest/variable/CMAKE_LANG_COMPILER_ID.html).
    """

    folder: str
    """The build folder in the container."""
    language: str
    """``C``, ``CXX``, ``CUDA``, ``HIP``, or ``CUDA host`` for what nvcc calls."""
    path: str
    """The program."""
    family: str
    """As CMake calls it: ``GNU``, ``Clang``, ``NVIDIA``."""
    version: str
    """As CMake calls it."""
    archs: str = ""
    """Architectures in the folder's cache, as CMake writes lists."""
