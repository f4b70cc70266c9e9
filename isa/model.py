"""Which processor this is: what CPUID says, and so which features exist.

CPUID tells the truth: only what the definitions cover is announced (SDM 2A, CPUID). An x87 unit, MSRs and
SYSENTER are not there yet, so they are not announced.
"""

from __future__ import annotations

from dataclasses import dataclass

PSE, TSC, MSR, PAE, CX8 = 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 8
SEP, PGE, CMOV = 1 << 11, 1 << 13, 1 << 15


@dataclass(frozen=True, slots=True)
class Model:
    """A named processor. `signature` is EAX of leaf 1, `features` its EDX."""

    name: str
    signature: int
    features: int
    vendor: bytes = b"GenuineIntel"

    def cpuid(self, leaf: int, subleaf: int) -> tuple[int, int, int, int]:
        """EAX, EBX, ECX, EDX. A leaf above the highest answers like the highest, as Intel's do."""
        if leaf == 0:
            b, d, c = (int.from_bytes(self.vendor[n : n + 4], "little") for n in (0, 4, 8))
            return 1, b, c, d
        return self.signature, 0, 0, self.features

    def has_msr(self, index: int) -> bool:
        """Whether RDMSR and WRMSR know the register."""
        return bool(self.features & SEP) and 0x174 <= index <= 0x176


PPRO = Model("ppro", 0x611, PSE | TSC | PAE | CX8 | PGE | CMOV)
