"""Wheels with the wrong device code, libraries, instructions or licences are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.inspect.facts import DeviceCode, IsaUse, Module
from farm.inspect.findings import Severity
from farm.inspect.policy import Asked, check, check_alone
from farm.model.unit import Expected
from tests.unit.inspect.test_policy import FACTS

NAMED = Expected(extensions=("vllm/_C.abi3.so",), tag=None)


def code(arch: str, kernels: int = 3, kind: str = "machine code") -> DeviceCode:
    vendor = "amd" if arch.startswith("gfx") else "nvidia"
    return DeviceCode(
        vendor=vendor, arch=arch, kind="ptx" if arch.startswith("compute") else kind,
        compressed="", objects=1, kernels=kernels, counted=True, size_bytes=9,
    )  # fmt: skip


def module(*device_code: DeviceCode, **more: object) -> Module:
    made = Module(path="vllm/_C.abi3.so", size_bytes=9, machine="x86-64", device_code=device_code)
    return replace(made, **more)  # type: ignore[arg-type]


def judged(
    held: Module, expected: Expected = NAMED, *, accelerator: str = "cuda", archs: str = "sm_86"
) -> dict[str, str]:
    facts = replace(FACTS, modules=(held,), shared_objects=(held.path,))
    asked = Asked(
        package="vllm", version="0.22.0", python="3.13", accelerator=accelerator,
        archs=tuple(archs.split()), glibc="2.41",
    )  # fmt: skip
    return {f.code: f.message for f in check(facts, expected, asked) if f.severity == "error"}


def demanding(what: str) -> Expected:
    return replace(NAMED, device_code=(("vllm/_C*.so", what),))


def test_machine_code_of_each_architecture_with_its_ptx_is_right() -> None:
    assert judged(module(code("sm_86"), code("compute_86"))) == {}
    both = module(code("gfx942"), code("gfx1150"))
    assert judged(both, accelerator="rocm", archs="gfx942 gfx1150") == {}


@pytest.mark.parametrize(
    "held",
    [
        (),
        (code("sm_86", kernels=0),),
        (code("sm_80"),),
        (code("compute_86"),),
        (code("sm_86", kind="relocatable"),),
    ],
)
def test_what_is_not_exactly_there_is_missing(held: tuple[DeviceCode, ...]) -> None:
    found = judged(module(*held))
    assert "vllm/_C.abi3.so holds no kernels for sm_86" in found["device-code-missing"]
    assert "asked for sm_86" in found["device-code-missing"]


def test_one_architecture_of_two_that_is_missing_is_named() -> None:
    found = judged(module(code("gfx942")), accelerator="rocm", archs="gfx942 gfx1150")
    assert "no kernels for gfx1150" in found["device-code-missing"]
    assert "it holds gfx942, asked for gfx942, gfx1150" in found["device-code-missing"]


@pytest.mark.parametrize("other", ["sm_90a", "sm_80", "compute_80", "gfx942"])
def test_what_nobody_asked_for_is_foreign(other: str) -> None:
    found = judged(module(code("sm_86"), code(other)))
    assert list(found) == ["device-code-foreign"]
    assert f"device code for {other}" in found["device-code-foreign"]


def test_an_empty_cubin_is_neither_there_nor_foreign() -> None:
    assert judged(module(code("sm_86"), code("sm_75", kernels=0))) == {}


def test_a_recipe_may_ask_a_module_for_less() -> None:
    assert judged(module(code("sm_80"), code("compute_80")), demanding("compatible")) == {}
    assert judged(module(code("compute_80")), demanding("ptx")) == {}
    assert judged(module(code("sm_86", kernels=0)), demanding("none")) == {}
    assert list(judged(module(code("compute_80")), demanding("compatible"))) == [
        "device-code-missing"
    ]
    assert "device-code-foreign" in judged(module(code("sm_90a")), demanding("compatible"))
    assert list(judged(module(code("sm_86")), demanding("none"))) == ["device-code-unexpected"]


def test_a_wheel_without_named_modules_must_hold_it_somewhere() -> None:
    anything = Expected(extensions=None, tag=None)
    assert judged(module(code("sm_86")), anything) == {}
    assert list(judged(module(), anything)) == ["device-code-missing"]


@pytest.mark.parametrize("accelerator", ["cpu", "none"])
def test_any_device_code_where_there_should_be_none_is_unexpected(accelerator: str) -> None:
    for held in (code("sm_86"), code("sm_86", kernels=0), code("compute_80"), code("gfx942")):
        found = judged(module(held), accelerator=accelerator, archs="")
        assert list(found) == ["device-code-unexpected"]


def test_libraries_are_those_that_fit_the_accelerator() -> None:
    cuda = module(code("sm_86"), needed=("libc.so.6", "libcudart.so.13"))
    assert judged(cuda) == {}
    assert (
        "needs libcudart.so.13" in judged(module(needed=cuda.needed), accelerator="cpu")["library"]
    )
    torch = module(needed=("libtorch_cpu.so", "libtorch_cuda.so"))
    assert "libtorch_cpu.so, libtorch_cuda.so" in judged(torch, accelerator="cpu")["library"]
    allowed = replace(NAMED, libraries=("libtorch_c*.so",))
    assert judged(torch, allowed, accelerator="cpu") == {}


def test_torchs_libraries_are_right_where_torch_is_required() -> None:
    held = module(code("sm_86"), needed=("libtorch_cpu.so", "libtorch_cuda.so"))
    facts = replace(FACTS, modules=(held,), requires=("torch==2.11.0",))
    asked = Asked(package="vllm", version="0.22.0", python="3.13", accelerator="cuda",
                  archs=("sm_86",))  # fmt: skip
    assert [f.code for f in check(facts, Expected(extensions=None, tag=None), asked)] == []
    cpu = replace(asked, accelerator="cpu")
    found = [f.message for f in check(facts, Expected(extensions=None, tag=None), cpu)]
    assert any("needs libtorch_cuda.so, which" in message for message in found)


def test_instruction_sets_that_the_recipe_does_not_name_are_refused() -> None:
    held = module(code("sm_86"), isa=(IsaUse(name="avx512f", instructions=90),))
    assert "avx512f (90)" in judged(held)["isa"]
    assert judged(held, replace(NAMED, isa=("avx512*",))) == {}
    few = module(code("sm_86"), isa=(IsaUse(name="sse3", instructions=1),))
    assert judged(few) == {}


def test_symbols_newer_than_the_base_and_than_the_recipe_says_are_refused() -> None:
    held = module(code("sm_86"), symbol_versions=("GLIBC_2.42",))
    assert "glibc 2.42, but its base has 2.41" in judged(held)["glibc"]
    held = module(code("sm_86"), symbol_versions=("GLIBC_2.29",))
    assert (
        "manylinux_2_31" in judged(held, replace(NAMED, manylinux="manylinux_2_28"))["manylinux"]
    )
    assert judged(held, replace(NAMED, manylinux="manylinux_2_34")) == {}


def test_paths_of_the_builder_and_size_are_judged() -> None:
    assert "/build/lib" in judged(module(code("sm_86"), rpath=("/build/lib",)))["rpath"]
    assert judged(module(code("sm_86"), rpath=("$ORIGIN/../lib", "/opt/rocm/lib"))) == {}
    assert "more than the 0" in judged(module(code("sm_86")), replace(NAMED, max_bytes=0))["size"]


def test_a_wheel_of_which_nothing_is_known_is_judged_by_itself() -> None:
    assert check_alone(FACTS) == ()
    held = module(problems=("cut short",), symbol_versions=("GLIBC_2.34",))
    tag = "cp313-cp313-manylinux_2_28_x86_64"
    facts = replace(FACTS, modules=(held,), tags=(tag,), wheel_tags=(tag,),
                    licences_said=("COPYING",))  # fmt: skip
    found = check_alone(facts)
    assert [f.code for f in found] == ["module-damaged", "tag-manylinux", "licence-missing"]
    (warning,) = check_alone(replace(FACTS, licences=()))
    assert (warning.code, warning.severity) == ("licence-none", Severity.WARNING)
