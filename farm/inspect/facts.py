"""What was read from a wheel: plain values, no judgement but on the file's own consistency."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected when printed as JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelProblem:
    """One way in which a wheel contradicts itself, or could harm who unpacks it.

    ``code`` is stable (``record-hash``), ``message`` a sentence, ``members``
    the files that it is about, all of them.
    """

    code: str
    message: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCode:
    """The code objects of one module that are alike.

    ``vendor`` is ``nvidia`` or ``amd``; ``arch`` is named as its compiler does
    (``sm_90a``, ``compute_86``, ``lto_90``, ``gfx942:xnack+``); ``kind`` is
    ``machine code``, ``relocatable``, ``ptx``, ``lto`` or ``other``; ``compressed`` is ``lz4``,
    ``zstd``, ``zlib`` or empty.  ``kernels`` are those of all ``objects``, and
    none where they are not ``counted``.  ``size_bytes`` is what they take in the file.
    """

    vendor: str
    arch: str
    kind: str
    compressed: str
    objects: int
    kernels: int
    counted: bool
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IsaUse:
    """An instruction set beyond x86-64's baseline (``avx2``), and how often it was met."""

    name: str
    instructions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One shared object, program or file of device code in a wheel.

    ``machine`` is what it is for (``x86-64``, ``cuda``, ``amdgpu``, empty if it is
    no ELF file).  ``symbol_versions`` are those that it needs of others
    (``GLIBC_2.34``); ``builder_paths`` strings that lead into a build's own
    folders.  ``isa`` comes from ``code_read_bytes`` of its ``code_bytes`` of host
    code.  ``problems`` say what could not be read.
    """

    path: str
    size_bytes: int
    machine: str
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    symbol_versions: tuple[str, ...] = ()
    compilers: tuple[str, ...] = ()
    builder_paths: tuple[str, ...] = ()
    isa: tuple[IsaUse, ...] = ()
    code_bytes: int = 0
    code_read_bytes: int = 0
    device_code: tuple[DeviceCode, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFacts:
    """What a wheel is and holds.

    ``name``, ``version``, ``build`` and ``tags`` are the file name's, the name
    normalized (PEP 503) and the tags expanded and sorted.  ``metadata_*`` and
    ``requires`` are METADATA's as written there, empty where it says nothing;
    ``wheel_tags`` are WHEEL's.  ``shared_objects`` are the members that are ELF
    by their first bytes, whatever their names; sorted.  ``modules`` say what is
    in each of them, and in files of nothing but device code.  ``licences`` are
    the licence files, ``licences_said`` those that METADATA names.
    """

    path: Path
    name: str
    version: str
    build: str
    tags: tuple[str, ...]
    sha256: str = ""
    size_bytes: int = 0
    metadata_name: str = ""
    metadata_version: str = ""
    requires: tuple[str, ...] = ()
    wheel_tags: tuple[str, ...] = ()
    file_count: int = 0
    unpacked_bytes: int = 0
    shared_objects: tuple[str, ...] = ()
    problems: tuple[WheelProblem, ...] = ()
    modules: tuple[Module, ...] = ()
    licences: tuple[str, ...] = ()
    licences_said: tuple[str, ...] = ()
