"""Which libraries modules may need, by accelerator; patterns as of ``fnmatch``.

Sources: the library lists of the manylinux policies (PEP 600, auditwheel), and
what CUDA 12 and 13, ROCm 5 to 7 and torch 2.11 call their libraries.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from packaging.requirements import InvalidRequirement, Requirement

from farm.inspect.findings import Finding, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.inspect.facts import WheelFacts
    from farm.model.unit import Expected

EVERYWHERE: Final = (
    *("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1"),
    *("libresolv.so.2", "ld-linux-x86-64.so.2", "libgcc_s.so.1", "libstdc++.so.6"),
    *("libgomp.so.1", "libz.so.1"),
)
"""The C and C++ runtime and what every distribution has beside it."""
BY_ACCELERATOR: Final = {
    "cuda": (
        *("libcuda.so.1", "libcudart.so.*", "libnvrtc.so.*", "libcublas.so.*", "libcublasLt.so.*"),
        *("libcufft.so.*", "libcurand.so.*", "libcusolver.so.*", "libcusparse.so.*"),
        *("libcusparseLt.so.*", "libcudnn*.so.*", "libnccl.so.*", "libnvJitLink.so.*"),
        *("libnvToolsExt.so.*", "libcupti.so.*", "libcufile.so.*", "libnvidia-ml.so.1"),
    ),
    "rocm": (
        *("libamdhip64.so.*", "libhiprtc.so.*", "libhsa-runtime64.so.*", "librocblas.so.*"),
        *("libhipblas.so.*", "libhipblaslt.so.*", "libhipfft.so.*", "libhiprand.so.*"),
        *("libhipsolver.so.*", "libhipsparse.so.*", "librccl.so.*", "librocsolver.so.*"),
        *("librocsparse.so.*", "librocfft.so.*", "librocrand.so.*", "libMIOpen.so.*"),
        *("libroctx64.so.*", "librocm_smi64.so.*", "libamd_comgr.so.*"),
    ),
}
BY_REQUIREMENT: Final = {
    "torch": {
        "": ("libc10.so", "libtorch.so", "libtorch_cpu.so", "libtorch_python.so", "libshm.so"),
        "cuda": ("libc10_cuda.so", "libtorch_cuda.so", "libtorch_cuda_linalg.so"),
        "rocm": ("libc10_hip.so", "libtorch_hip.so"),
    }
}
"""Libraries of distributions that the wheel requires: always, and for one accelerator."""


def check_libraries(
    facts: WheelFacts, expected: Expected, *, accelerator: str
) -> Iterator[Finding]:
    """Libraries that a module needs and a wheel for this accelerator may not."""
    allowed = [*EVERYWHERE, *BY_ACCELERATOR.get(accelerator, ()), *expected.libraries]
    for name in _required(facts):
        by_accelerator = BY_REQUIREMENT.get(name, {})
        allowed += [*by_accelerator.get("", ()), *by_accelerator.get(accelerator, ())]
    own = {module.path.rpartition("/")[2] for module in facts.modules}
    own |= {module.soname for module in facts.modules}
    for module in facts.modules:
        wrong = [
            name
            for name in module.needed
            if name not in own and not any(fnmatchcase(name, pattern) for pattern in allowed)
        ]
        if wrong:
            yield Finding(
                code="library",
                message=f"{module.path} needs {listed(wrong)}, which a wheel for {accelerator} "
                "may not need; if it must, say so in expect.libraries",
            )


def _required(facts: WheelFacts) -> Iterator[str]:
    """Names of the distributions that are installed with the wheel."""
    for text in facts.requires:
        try:
            yield Requirement(text).name.lower()
        except InvalidRequirement:
            continue
