"""The field types that everything from a file passes through: matched whole, or refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from farm.model import strict
from farm.model.recipe import Recipe, Variant
from farm.model.strict import Reasoned, parse_size
from farm.model.toolchain import Base, Toolchain
from farm.model.unit import UnitKey
from tests.support.projects import SHA

TEXTS = {
    name: kind
    for name, kind in vars(strict).items()
    if name[0].isupper() and getattr(kind, "__metadata__", None)
}
GOOD = {
    "PackageName": ["a", "llama-cpp-python", "0x", "a" * 100],
    "VersionText": ["1", "0.22.0", "2.11.0+rocm7.2", "1!2.0", "1.0rc1", "3.10"],
    "VariantName": ["cpu", "empty", "a_1"],
    "FeatureName": ["rust"],
    "FeatureChoice": ["rust", "~rust"],
    "PartName": ["torch"],
    "RunnerLabel": ["self-hosted", "ubuntu-24.04", "GPU 4x", "runs-on=1/cpu=8+64", "a"],
    "ToolchainName": ["cuda-13.0", "none"],
    "SourceName": ["triton", "flash-attention"],
    "IsaPattern": ["avx2", "fma", "avx512*", "sse4_2"],
    "LibraryPattern": ["libnuma.so.1", "libcublas.so.*", "libstdc++.so.6"],
    "LibraryName": ["libcuda.so.1", "libstdc++.so.6"],
    "ModuleName": ["llama_cpp", "torch.utils.cpp_extension", "_x"],
    "Script": ["", "import a\n\tprint('ü')\n"],
    "ArchName": ["sm_86", "sm_90a", "gfx942", "gfx9-4-generic"],
    "EnvName": ["PATH", "_x1"],
    "EnvText": ["", "$(id); rm -rf / `x` \\ \" '", "ü ${archs}"],
    "CMakeArg": ["-DA=B", "-G;Ninja", "-DX=${archs}"],
    "DebianPackage": ["g++-14", "libstdc++6", "zlib1g-dev"],
    "PackagePattern": ["hipcc*", "libhip*-dev", "*", "gcc"],
    "SuiteName": ["trixie", "sid"],
    "MajorVersion": ["9", "14"],
    "Word": ["v4.4.2", "release/3.10", "${TAG}"],
    "GlibcVersion": ["2.41"],
    "DpkgPath": ["/usr/lib/x86_64-linux-gnu/rocblas/*", "/usr/lib/libc++*.so.1"],
    "Words": ["hipBLAS or HIP not found", "  CUDA (nvcc) is missing; CPU only"],
    "Sha256": ["0" * 64],
    "Commit": ["f" * 40],
    "PythonVersion": ["3.13", "3.9"],
    "Url": ["https://example.org/x?a=b#c", "git://h/x", "file:///x"],
    "FileName": ["0001-x.patch", "a-1+b-py3-none-any.whl"],
    "RelativePath": ["setup.py", "a/b c/d@e.txt", "a..b/c"],
    "PathPattern": ["vllm/_C.*.so"],
    "Size": ["1 GiB", "1.5GiB", "600 MiB"],
}
NOWHERE = ["", "\n", "a\n", "\na", "a\0", "\x1b[31m", "a\r"]
NAMES_NEVER = [
    *NOWHERE,
    "../x",
    "a/b",
    "a b",
    "a;b",
    "$(id)",
    "`id`",
    "-x",
    "A" * 5000,
    "ä",
    "a'b",
]
NO_TEXT: list[object] = [None, 1, 1.5, True, [], {}]
NAMED = [
    "PackageName",
    "VersionText",
    "VariantName",
    "FeatureName",
    "FeatureChoice",
    "PartName",
    "ToolchainName",
    "SourceName",
    "ArchName",
    "IsaPattern",
    "LibraryName",
    "LibraryPattern",
    "ModuleName",
    "EnvName",
    "DebianPackage",
    "PackagePattern",
    "SuiteName",
    "MajorVersion",
    "GlibcVersion",
    "Sha256",
    "Commit",
    "PythonVersion",
    "FileName",
    "Size",
]
BAD = dict.fromkeys(NAMED, NAMES_NEVER) | {
    "EnvText": ["a\nb", "\0", "\x7f", "a" * 8193],
    "CMakeArg": [*NOWHERE, "DA=1", "-DA=1 -DB", '-DA="x"', "-DA=\\", "-"],
    "Script": ["a\0", "\x1b[31m", "\r\n", "\x7f", "a" * 16385],
    "Url": [*NOWHERE, "x", "ftp://x/y", "https://", "https://a b", "javascript:x", "https://x'y"],
    "RelativePath": [*NOWHERE, "/etc", "..", "../a", "a/..", "a/../b", "a;b", "$(x)", "a*"],
    "PathPattern": [*NOWHERE, "/etc/*", "../*", "a/../*"],
    "RunnerLabel": [*NOWHERE, "-x", "x ", " x", "$(id)", "`id`", "a;b", "a'b", "${{ x }}"],
    "DpkgPath": [*NOWHERE, "/", "usr/lib/*", "/a b", "/a'b", '/a"', "/$(id)", "/a\\b", "//a"],
    "Word": [*NOWHERE, "a b", '"v1"', "v1)", "a,b", "a" * 201],
    "Words": [*NOWHERE, "short", "it's missing", "$(id) is not found", "back\\slash", "a" * 201],
}  # fmt: skip
MORE_BAD = {
    "RunnerLabel": ["a" * 101, "ä", "a#b"],
    "PackageName": ["-a", "a-", "A", "a.b", "a_b"],
    "VersionText": ["v1", ".1", "1-1", "1:2"],
    "VariantName": ["1a", "a-b", "Cpu"],
    "IsaPattern": ["AVX2", "*", "avx 2", "avx**", ""],
    "LibraryPattern": ["a/b.so", "lib a.so", "", "$ORIGIN"],
    "LibraryName": ["lib*.so", "a/b.so", "lib a.so", "-lcuda"],
    "ModuleName": ["a.", ".a", "a..b", "1a", "a-b", "a;b", "a.b c", "a" * 201],
    "ArchName": ["py313", "gfx-py3", "a", "gfx-", "gfx--x", "SM_86"],
    "MajorVersion": ["14.2", "1000", "-1"],
    "GlibcVersion": ["2", "2.", "3.1", "2.100", "2.41.1"],
    "PythonVersion": ["3", "3.", "2.7", "3.100", "3.13.1", "4.1"],
    "Sha256": ["0" * 63, "0" * 65, "F" * 64, "g" * 64],
    "FileName": [".hidden", "..", ".."],
    "PackagePattern": ["?essential", "lib x", "a\nPin: b", "-a", "/x/"],
    "SuiteName": ["trixie-updates", "Sid", "s", "*"],
    "Size": ["0 GiB", "0.0 B", "-1 GiB", "1 GB", "1e3 B", "1,5 GiB", "1  GiB", "9999999 B", "1"],
    "EnvName": ["1A", "A-B", "A=B"],
}


def accepts(name: str, text: object) -> bool:
    try:
        TypeAdapter[Any](TEXTS[name]).validate_python(text)
    except ValidationError:
        return False
    return True


def test_every_type_is_tried_here() -> None:
    assert set(TEXTS) == set(GOOD) == set(BAD)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_is_right_is_taken_and_fits_the_schema(name: str) -> None:
    pattern = TypeAdapter[Any](TEXTS[name]).json_schema()["pattern"]
    for text in GOOD[name]:
        assert accepts(name, text), text
        assert re.search(pattern, text), text


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_is_hostile_or_wrong_is_refused(name: str) -> None:
    taken = [text for text in (*BAD[name], *MORE_BAD.get(name, [])) if accepts(name, text)]
    assert taken == []
    assert not any(accepts(name, value) for value in NO_TEXT)


# A script has lines: it becomes a file of its own, and never stands in another text.
@given(st.sampled_from(sorted(set(TEXTS) - {"EnvText", "Script"})), st.text(max_size=12))
def test_nothing_that_is_taken_leaves_its_line(name: str, text: str) -> None:
    if accepts(name, text):
        assert not any(ord(character) < 32 or ord(character) == 127 for character in text)


def test_the_folder_of_a_unit_is_inside_and_no_other_units() -> None:
    keys = [
        UnitKey(package=package, version=version, variant=variant)
        for package in GOOD["PackageName"]
        for version in GOOD["VersionText"]
        for variant in ("cpu", "rocm-gfx942", "empty+rust", "cpu-py312")
    ]
    assert len({key.folder for key in keys}) == len({key.label for key in keys}) == len(keys)
    assert all(key.folder.count("/") == 1 and ".." not in key.folder for key in keys)


UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


@given(st.integers(0, 999_999), st.integers(0, 999), st.sampled_from(sorted(UNITS)))
def test_a_size_is_its_number_times_its_unit(whole: int, thousandths: int, unit: str) -> None:
    exact = (whole * 1000 + thousandths) * UNITS[unit] / 1000
    found = parse_size(f"{whole}.{thousandths:03} {unit}")
    assert abs(found - exact) <= max(1, exact * 1e-15)
    assert parse_size(f"{whole}{unit}") == whole * UNITS[unit]


@pytest.mark.parametrize("size", [None, True, 5, "5", "", "GiB", "5 gib", "\u0665 GiB", "5 GiB\n"])
def test_what_is_no_size_is_told(size: object) -> None:
    with pytest.raises(ValueError, match="is not a size such as"):
        parse_size(size)


def test_a_setting_may_be_bare_or_carry_its_reason() -> None:
    bare = Reasoned[str].model_validate("x")
    assert (bare.value, bare.reason, bare.verified) == ("x", "", "")
    full = Reasoned[str].model_validate({"value": "x", "reason": "r", "verified": "v"})
    assert (full.value, full.reason, full.verified) == ("x", "r", "v")
    with pytest.raises(ValidationError):
        Reasoned[str].model_validate({"reason": "r"})
    with pytest.raises(ValidationError):
        full.value = "y"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("model", "data", "told"),
    [
        (Variant, {"toolchain": "x", "archs": ["sm_86", "sm_86"]}, "listed twice"),
        (Recipe, {"package": "x", "versions": {}, "variants": {}}, "versions"),
        (Recipe,
         {"package": "x", "versions": {"1": {"source": {"sdist": SHA}, "variants": {"b": {}}}},
          "variants": {"a": {"toolchain": "x"}}},
         "unknown variant 'b'"),
        (Base, {"base": "b", "python": "3.13", "glibc": "2.41"}, "either a suite or an image"),
        (Base, {"base": "b", "python": "3.13", "glibc": "2.41", "suite": "sid",
                "image": f"x@sha256:{SHA}"}, "either a suite or an image"),
        (Base, {"base": "b", "python": "3.13", "glibc": "2.41", "image": f"x@sha256:{SHA}",
                "further_suites": [{"suite": "sid", "packages": ["x"], "reason": "r"}]},
         "further_suites belong to a suite"),
        (Base, {"base": "b", "python": "3.13", "glibc": "2.41", "image": "debian:13"}, "image"),
        (Toolchain, {"toolchain": "t", "base": "b", "accelerator": "cuda",
                     "host_compiler": {"family": "gcc", "version": "14"}}, "archs must be listed"),
        (Toolchain, {"toolchain": "t", "base": "b", "accelerator": "cpu", "archs": ["sm_86"],
                     "host_compiler": {"family": "gcc", "version": "14"}}, "archs must be listed"),
        (Toolchain, {"toolchain": "t", "base": "b", "accelerator": "cpu",
                     "host_compiler": {"family": "gcc", "version": "14; id"}}, "version"),
        (Toolchain, {"toolchain": "t", "base": "b", "accelerator": "tpu",
                     "host_compiler": {"family": "gcc", "version": "14"}}, "accelerator"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_refused(
    model: type[Recipe | Base | Toolchain | Variant], data: dict[str, object], told: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    assert told in str(caught.value)
