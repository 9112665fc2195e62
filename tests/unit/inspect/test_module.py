"""Host code of modules: libraries, paths, instruction sets; and bytes that nobody meant."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.inspect.module import read_module
from tests.unit.inspect.test_device_code import REAL, real

if TYPE_CHECKING:
    from farm.inspect.facts import Module

LIMIT = 1 << 20
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "40"))
PATIENCE_S = 60.0
"""For one damaged object; a few milliseconds are usual."""
NAMES = [*REAL, "host-haswell.so"]
OBJECTS = {name: real(name) for name in NAMES}


def module(name: str) -> Module:
    return read_module(name, OBJECTS[name], code_limit_bytes=LIMIT)


def test_what_a_module_needs_and_how_it_was_compiled() -> None:
    found = module("host-baseline.so")
    assert (found.machine, found.soname) == ("x86-64", "libdot.so.1")
    linked = module("cuda-86.so")
    assert linked.needed == ("libstdc++.so.6", "libgcc_s.so.1", "libc.so.6")
    assert {"GLIBC_2.2.5", "GLIBC_2.3.4"} & set(linked.symbol_versions)
    assert found.compilers[0].startswith("GCC: (Debian 12.2.0")


def test_march_of_a_newer_processor_is_seen_and_the_baseline_is_silent() -> None:
    assert module("host-baseline.so").isa == ()
    assert {use.name for use in module("host-haswell.so").isa} >= {"avx", "fma"}
    assert module("host-haswell.so").rpath == ("/build/lib",)


def test_paths_into_the_builder_are_found_and_others_are_not() -> None:
    data = OBJECTS["host-baseline.so"]
    longest = data.index(b"GCC: (Debian")
    text = b"\0/build/x/y.conf\0/srv/build/x\0"
    changed = data[:longest] + text + data[longest + len(text) :]
    assert read_module("a.so", changed, code_limit_bytes=0).builder_paths == ("/build/x/y.conf",)


def looked_at(data: bytes) -> Module:
    start = time.monotonic()
    found = read_module("x.so", data, code_limit_bytes=LIMIT)
    assert time.monotonic() - start < PATIENCE_S
    return found


@pytest.mark.parametrize("name", NAMES)
def test_damage_ends_in_words_whatever_is_damaged(name: str) -> None:
    """Cut short, changed, with huge numbers, turned in circles.

    More of it: make fuzz.
    """
    whole, rng = OBJECTS[name], random.Random(name)  # noqa: S311 - only to repeat it
    for _ in range(ROUNDS):
        looked_at(damaged(whole, rng))


def damaged(whole: bytes, rng: random.Random) -> bytes:
    data = bytearray(whole)
    for _ in range(rng.randint(1, 6)):
        if len(data) < 64:  # what was copied onto itself may be short
            break
        at = rng.randrange(len(data) // 8) * 8 if rng.random() < 0.5 else rng.randrange(len(data))
        match rng.randrange(6):
            case 0:
                del data[max(at, 64) :]
            case 1:
                data[at : at + 8] = rng.randbytes(8)[: len(data) - at]
            case 2:
                data[at : at + 8] = b"\xff" * min(8, len(data) - at)
            case 3:
                data[at : at + 4] = bytes(min(4, len(data) - at))
            case 4:
                to = rng.randrange(len(data))
                data[at : at + 64] = data[to : to + 64]
            case _:  # the headers, where a byte changes most
                data[rng.randrange(min(512, len(data)))] = rng.randrange(256)
    return bytes(data)


HEADS = st.sampled_from(
    [b"\x7fELF\x02\x01\x01", b"\x50\xed\x55\xba\x01\x00\x10\x00", b"__CLANG_OFFLOAD_BUNDLE__",
     b"CCOB\x01\x00\x01\x00\x40\x00\x00\x00", b"CCOB\x01\x00\x00\x00\x40\x00\x00\x00",
     b"CCOB\x02\x00\x01\x00", b"CCOB\x03\x00\x01\x00", b"\x7fELF\x02\x01\x01\x33\x07",
     b"\x7fELF\x02\x01\x01\x41\x08", b"\x28\xb5\x2f\xfd\x20\x40", b""]
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(HEADS, st.binary(max_size=200)), max_size=6))
def test_any_bytes_at_all_are_read_without_an_error(parts: list[tuple[bytes, bytes]]) -> None:
    looked_at(b"".join(head + rest for head, rest in parts))
