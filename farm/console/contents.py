"""What is in a wheel, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.console.tables import print_table
from farm.console.words import size
from farm.inspect import floors
from farm.inspect.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from farm.inspect.facts import DeviceCode, Module, WheelFacts
    from farm.inspect.findings import Finding

_COLUMNS = (
    *("module", ">size", "machine code", "ptx and other", ">kernels", "compressed", "needs"),
    *("glibc", "instructions"),
)
_SYSTEM = ("libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "ld-linux", "libgcc_s",
           "libstdc++", "libutil.so")  # fmt: skip


def print_contents(
    facts: WheelFacts, findings: Iterable[Finding], *, console: Console | None = None
) -> None:
    """Print a wheel's modules, one line each, and what is wrong with it."""
    if console is None:
        from rich.console import Console

        console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(_title(facts), style="bold")
    if facts.modules:
        print_table(_COLUMNS, map(_row, facts.modules), console=console)
    else:
        console.print("no shared object, no device code")
    for finding in findings:
        sign = "✗" if finding.severity is Severity.ERROR else "!"
        console.print(f"{sign} {finding.code}: {finding.message}")


def _title(facts: WheelFacts) -> str:
    parts = [
        facts.path.name,
        f"{size(facts.size_bytes)}, {size(facts.unpacked_bytes)} unpacked",
        f"{facts.file_count:,} files",
    ]
    if facts.modules:
        policy = floors.manylinux(facts.modules)
        parts.append("no manylinux policy" if policy == "linux" else f"symbols of {policy}")
    return "  ".join(parts)


def _row(module: Module) -> tuple[str, ...]:
    code = module.device_code
    machine = [each for each in code if each.kind == "machine code"]
    others = [each for each in code if each.kind != "machine code"]
    return (
        module.path,
        size(module.size_bytes),
        " ".join(_named(machine)),
        " ".join(_named(others)),
        _kernels(machine),
        " ".join(sorted({each.compressed for each in code if each.compressed})),
        " ".join(name for name in module.needed if not name.startswith(_SYSTEM)),
        floors.floor([module], "GLIBC"),
        " ".join(use.name for use in module.isa),
    )


def _named(code: Iterable[DeviceCode]) -> Iterator[str]:
    """Each architecture once; what holds no kernel is marked."""
    kernels: dict[str, int] = {}
    for each in code:
        name = f"{each.arch}({each.kind})" if each.kind in {"relocatable", "other"} else each.arch
        kernels[name] = kernels.get(name, 0) + (each.kernels if each.counted else 1)
    return (name if count else f"{name}(empty)" for name, count in kernels.items())


def _kernels(code: Iterable[DeviceCode]) -> str:
    """Kernels of each architecture: one number where they agree, else from–to."""
    by_arch: dict[str, int] = {}
    for each in code:
        by_arch[each.arch] = by_arch.get(each.arch, 0) + each.kernels
    if not by_arch:
        return ""
    least, most = min(by_arch.values()), max(by_arch.values())
    return f"{least:,}" if least == most else f"{least:,}–{most:,}"
