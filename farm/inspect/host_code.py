"""Which instruction sets the host code of a module uses, found by disassembling it.

A linear sweep over the executable sections: what compilers make has no data
between functions that could not be stepped over, and where a sweep goes astray
in hand-written code it finds its way back within a few instructions.

What this can see: a module compiled with ``-march=native`` or ``-mavx2``, since
then nearly every function holds such instructions.  What it cannot: whether a
function is only called after the processor was asked for what it can do.  So
what a module may use beyond the baseline is for its recipe to say.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from farm.inspect.facts import IsaUse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.inspect.binary import Buffer

WINDOW_BYTES: Final = 64 << 10
FEW_CODE_BYTES: Final = 1 << 20
"""What is read of a module where time counts; evenly spread windows of it."""
ALL_CODE_BYTES: Final = 256 << 20
"""What is read of a module at the end of a build: all, unless it is enormous."""

# Everything that x86-64 of 2003 lacks and compilers emit.  Instructions that older
# processors run as something harmless (endbr64, prefetchw, rep bsf for tzcnt) are not here.
_BEYOND: Final = re.compile(
    r"AVX.*|FMA4?|F16C|BMI[12]|SSE3|SSSE3|SSE4.*|POPCNT|LZCNT|MOVBE|ADX|AES|VAES"
    r"|PCLMULQDQ|VPCLMULQDQ|SHA|SHA512|GFNI|AMX.*|XOP|CMPXCHG16B"
)


def read_isa(
    buffer: Buffer, regions: Sequence[tuple[int, int]], limit_bytes: int
) -> tuple[tuple[IsaUse, ...], int]:
    """The instruction sets used in ``regions`` (start, end), and how many bytes were read."""
    import iced_x86

    codes: Counter[int] = Counter()
    count = 0
    decoded = iced_x86.Instruction()
    for start, end in _windows(regions, limit_bytes):
        decoder = iced_x86.Decoder(64, buffer[start:end])
        decode, more = decoder.decode_out, decoder
        while more.can_decode:
            decode(decoded)
            codes[decoded.code] += 1
        count += end - start
    return _uses(codes), count


def _windows(regions: Sequence[tuple[int, int]], limit_bytes: int) -> Iterable[tuple[int, int]]:
    """Parts of the regions of at most ``limit_bytes`` together, spread evenly."""
    total = sum(end - start for start, end in regions)
    if total <= limit_bytes:
        yield from regions
        return
    step = max(WINDOW_BYTES, total * WINDOW_BYTES // max(limit_bytes, 1))
    for start, end in regions:
        for position in range(start, end, step):
            yield position, min(position + WINDOW_BYTES, end)


def _uses(codes: Counter[int]) -> tuple[IsaUse, ...]:
    import iced_x86

    names = _names()
    found: Counter[str] = Counter()
    instruction = iced_x86.Instruction()
    for code, times in codes.items():
        instruction.code = code  # type: ignore[assignment]  # numbers of the enumeration
        if instruction.mnemonic in {iced_x86.Mnemonic.TZCNT, iced_x86.Mnemonic.INVALID}:
            continue
        features = [names[feature] for feature in instruction.cpuid_features()]
        found.update({name: times for name in features if _BEYOND.fullmatch(name)})
    return tuple(
        IsaUse(name=name.lower(), instructions=times) for name, times in sorted(found.items())
    )


def _names() -> dict[int, str]:
    import iced_x86

    known = vars(iced_x86.CpuidFeature)
    return {int(value): name for name, value in known.items() if isinstance(value, int)}
