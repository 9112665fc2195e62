"""Device code in real objects, and in records made byte by byte here."""

from __future__ import annotations

import lzma
import random
import struct
import zlib
from pathlib import Path

import lz4.block
import pytest
import zstandard

from farm.inspect import binary
from farm.inspect.device_code import Scan, scan
from farm.inspect.elf import Section
from farm.inspect.module import read_module

OBJECTS = Path(__file__).with_name("objects")


def real(name: str) -> bytes:
    return lzma.decompress((OBJECTS / f"{name}.xz").read_bytes())


def told(name: str) -> set[tuple[str, str, str, int]]:
    module = read_module(name, real(name), code_limit_bytes=1 << 20)
    assert module.problems == ()
    return {(each.arch, each.kind, each.compressed, each.kernels) for each in module.device_code}


REAL = {
    "cuda-86.so": {("sm_86", "machine code", "", 1), ("compute_86", "ptx", "zstd", 1)},
    "cuda-86-90a.so": {("sm_86", "machine code", "", 1), ("sm_90a", "machine code", "", 1)},
    "cuda-80-100f-lz4.so": {
        ("sm_80", "machine code", "lz4", 1),
        ("compute_80", "ptx", "lz4", 1),
        ("sm_100f", "machine code", "lz4", 1),
    },
    "cuda-host-only.so": {("sm_86", "machine code", "", 0), ("compute_86", "ptx", "zstd", 0)},
    "cuda-rdc.so": {("sm_86", "relocatable", "zstd", 1), ("sm_86", "machine code", "", 1)},
    "cuda-lto.so": {("lto_86", "lto", "zstd", 0)},
    "cuda-86.cubin": {("sm_86", "machine code", "", 1)},
    "ptxas-12.4-90a.cubin": {("sm_90a", "machine code", "", 1)},
    "ptxas-12.8-100a.cubin": {("sm_100a", "machine code", "", 1)},
    "ptxas-13.0-90.cubin": {("sm_90", "machine code", "", 1)},
    "ptxas-13.0-90a.cubin": {("sm_90a", "machine code", "", 1)},
    "ptxas-13.2-100f.cubin": {("sm_100f", "machine code", "", 1)},
    "rocm.so": {("gfx942", "machine code", "", 1), ("gfx1150", "machine code", "", 1)},
    "rocm-ccob.so": {
        ("gfx942", "machine code", "zstd", 1),
        ("gfx1150", "machine code", "zstd", 1),
    },
    "rocm-ccob-v1.hipfb": {("gfx942", "machine code", "zstd", 1)},
    "rocm-xnack.so": {
        ("gfx942:xnack+", "machine code", "", 1),
        ("gfx9-4-generic", "machine code", "", 1),
    },
    "rocm-two.so": {("gfx942", "machine code", "", 1), ("gfx1150", "machine code", "zstd", 1)},
    "rocm.hsaco": {("gfx942", "machine code", "", 1)},
    "host-baseline.so": set(),
}


@pytest.mark.parametrize("name", REAL)
def test_real_objects_hold_what_their_compilers_put_there(name: str) -> None:
    assert told(name) == REAL[name]


def cubin(kernels: int) -> bytes:
    """An ELF file for a device: sections ``.shstrtab`` and ``.text.k<number>``."""
    names = b"\0.shstrtab\0" + b"".join(b".text.k%d\0" % n for n in range(kernels))
    sections = [struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)]
    sections.append(struct.pack("<IIQQQQIIQQ", 1, 3, 0, 0, 64, len(names), 0, 0, 1, 0))
    for n in range(kernels):
        at = names.index(b".text.k%d\0" % n)
        sections.append(struct.pack("<IIQQQQIIQQ", at, 1, 6, 0, 64, 0, 0, 0, 16, 0))
    head = b"\x7fELF\x02\x01\x01\x33\x07" + bytes(7)
    table = 64 + len(names)
    head += struct.pack(
        "<HHIQQQIHHHHHH", 2, 190, 1, 0, 0, table, 80, 64, 0, 0, 64, len(sections), 1
    )
    return head + names + b"".join(sections)


def entry(arch: int, payload: bytes, *, kind: int = 2, flags: int = 0, raw: int = 0) -> bytes:
    padded = payload + bytes(-len(payload) % 8)
    packed = len(payload) if flags & 0xA000 else 0
    head = struct.pack("<HHI", kind, 0x0101, 64) + struct.pack("<Q", len(padded))
    head += (
        struct.pack("<II", packed, 0) + struct.pack("<HH", 0, 1) + struct.pack("<III", arch, 0, 0)
    )
    return head + struct.pack("<QQQ", flags, 0, raw) + padded


def fatbin(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def scanned(data: bytes, name: str = ".nv_fatbin") -> Scan:
    return scan(data, [Section(name=name, start=0, end=len(data))])


def archs(data: bytes) -> list[tuple[str, int]]:
    return [(each.arch, each.kernels) for each in scanned(data).code]


def test_suffixes_and_compression_are_flags_of_an_entry() -> None:
    raw = cubin(2)
    packed = lz4.block.compress(raw, store_size=False)
    zipped = zstandard.ZstdCompressor().compress(raw)
    data = fatbin(
        entry(90, packed, flags=0x102000, raw=len(raw)),
        entry(100, zipped, flags=0x208000, raw=len(raw)),
        entry(80, raw),
    )
    assert archs(data) == [("sm_100f", 2), ("sm_80", 2), ("sm_90a", 2)]
    assert scanned(data).problems == ()


def test_records_follow_each_other_with_anything_between_and_a_size_of_zero() -> None:
    data = (
        fatbin() + bytes(40) + fatbin(entry(75, cubin(1))) + b"PTX" + fatbin(entry(75, cubin(3)))
    )
    (only,) = scanned(data).code
    assert (only.arch, only.objects, only.kernels) == ("sm_75", 2, 4)


def bundle(*entries: tuple[str, bytes]) -> bytes:
    table, body = b"", b""
    start = 32 + sum(24 + len(name) for name, _ in entries)
    for name, data in entries:
        table += struct.pack("<QQQ", start + len(body), len(data), len(name)) + name.encode()
        body += data
    return b"__CLANG_OFFLOAD_BUNDLE__" + struct.pack("<Q", len(entries)) + table + body


BUNDLE = bundle(
    ("host-x86_64-unknown-linux--", b""), ("hip-amdgcn-amd-amdhsa--gfx942:xnack-", b"")
)


LAYOUTS = {1: "<4sHHIQ", 2: "<4sHHIIQ", 3: "<4sHHQQQ"}


def compressed(
    version: int, method: int, data: bytes = BUNDLE, *, checksum: bool = False
) -> bytes:
    zstd = zstandard.ZstdCompressor(write_checksum=checksum)
    packed = zstd.compress(data) if method else zlib.compress(data)
    layout = struct.Struct(LAYOUTS[version])
    totals = [] if version == 1 else [layout.size + len(packed)]
    return layout.pack(b"CCOB", version, method, *totals, len(data), 0) + packed


@pytest.mark.parametrize("version", LAYOUTS)
@pytest.mark.parametrize("method", [0, 1])
@pytest.mark.parametrize("checksum", [False, True])
def test_compressed_bundles_of_all_versions_and_methods(
    version: int, method: int, *, checksum: bool
) -> None:
    record = compressed(version, method, checksum=checksum)
    for between in (b"", bytes(7), bytes(4096)):
        found = scanned(record + between + record, ".hip_fatbin")
        assert [(each.arch, each.objects) for each in found.code] == [("gfx942:xnack-", 2)]
        assert found.problems == ()


@pytest.mark.parametrize("method", [0, 1])
def test_where_a_bundle_of_version_1_ends_is_found_though_it_does_not_say(method: int) -> None:
    """What looks like a record within its compressed data is not taken for one."""
    noise = random.Random(1).randbytes(300_000) + b"CCOB" * 9  # noqa: S311 - only to repeat it
    data = bundle(("host-x86_64-unknown-linux--" + "x" * 9, noise), ("hip-amdgcn--gfx942", b""))
    found = scanned(compressed(1, method, data) * 2, ".hip_fatbin")
    assert [(each.arch, each.objects) for each in found.code] == [("gfx942", 2)]
    assert found.problems == ()


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (compressed(1, 1)[:-5], "zstd data is damaged"),
        (compressed(1, 0)[:-3], "zlib data is cut short"),
        (compressed(1, 0)[:-30], "zlib data holds"),
        (compressed(1, 1)[:22], "zstd data is damaged"),
        (struct.pack("<4sHHIQ", b"CCOB", 1, 1, 9, 0) + b"12345678" * 4, "zstd data is damaged"),
        (struct.pack("<4sHHIQ", b"CCOB", 1, 2, 9, 0) + b"12345678" * 4, "unknown method 2"),
        (struct.pack("<4sHHIQ", b"CCOB", 1, 1, 2**32 - 1, 0), "claims to unpack to"),
        (struct.pack("<4sHHIQ", b"CCOB", 1, 1, 9, 0) + b"\x28\xb5\x2f\xfd\x20\x09" + bytes(999),
         "more blocks than it can need"),
        (struct.pack("<4sHHIQ", b"CCOB", 4, 1, 5, 0) + b"12345678" * 4, "version 4"),
        (struct.pack("<4sHHIQ", b"CCOB", 0, 1, 5, 0) + b"12345678" * 4, "version 0"),
    ],
)  # fmt: skip
def test_a_compressed_bundle_that_cannot_be_read_is_said_and_not_passed_over(
    record: bytes, words: str
) -> None:
    (problem, *_) = scanned(record, ".hip_fatbin").problems
    assert words in problem


def test_the_suffix_is_found_wherever_its_attribute_stands() -> None:
    data = real("ptxas-13.0-90a.cubin")
    table = bytes.fromhex(
        "02090100 02020100 02050500 03070101 02030000 02060100 040b0800"
    ) + bytes(8)
    assert data.count(table) == 1
    for changed, arch in (
        (table[4:] + table[:4], "sm_90a"),
        (table.replace(b"\2\x09\1", b"\2\x09\0"), "sm_90"),
        (table[4:] + b"\2\x0a\1\0", "sm_90"),
        (b"\4\x0b\xff\xff" + table[4:], "sm_90"),
    ):
        assert archs(data.replace(table, changed)) == [(arch, 1)]


def test_what_looks_like_a_record_among_other_data_is_not_damage() -> None:
    data = b"__CLANG_OFFLOAD_BUNDLE__\0CCOB\0\0" + b"\x50\xed\x55\xba" + bytes(30)
    assert scanned(data, ".rodata") == Scan(code=(), problems=())
    assert scanned(data, ".hip_fatbin").problems


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (fatbin(entry(86, cubin(1)))[:-9], "reaches beyond its end"),
        (fatbin(entry(86, b"\0" * 64)), "no ELF file"),
        (fatbin(entry(86, b"x" * 40, flags=0x2000, raw=1 << 40)), "claims to unpack to"),
        (fatbin(entry(86, b"x" * 40, flags=0x2000, raw=1 << 29)), "claim to hold"),
        (fatbin(entry(86, b"x" * 40, flags=0x8000, raw=1 << 20)), "zstd data is damaged"),
        (struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 2**64 - 1) + bytes(64), "beyond its end"),
        (struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 64) + bytes(64), "header of 0 bytes"),
    ],
)
def test_false_lengths_are_problems_in_words(data: bytes, words: str) -> None:
    (problem, *_) = scanned(data).problems
    assert words in problem


def test_overlapping_records_cannot_make_it_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary.Budget.__init__, "__defaults__", (1 << 30, 500))
    head = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 1 << 20)
    found = scanned((head + entry(86, b"", kind=8)) * 20_000)
    assert found.problems == ("not all of its device code was looked at: there is too much",)
