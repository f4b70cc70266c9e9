"""Which processor this is: its features, what CPUID says of them, and what follows from them.

CPUID tells the truth: only what the definitions cover is announced (SDM 2A, CPUID). A row of the table
names the feature that it needs; a model without it raises #UD. EFLAGS and CR4 have only the bits of
features that exist, which is how kernels tell a 386 from a 486, and both from what has CPUID.
"""

from __future__ import annotations

from dataclasses import dataclass

from isa.consts import AC, CR4_DE, CR4_OSFXSR, CR4_PAE, CR4_PGE, CR4_PSE, CR4_TSD, ID, M32

# Bits of EDX of CPUID leaf 1, by the name of the feature.
CPUID_BITS = {
    "FPU": 0,
    "DE": 2,
    "PSE": 3,
    "TSC": 4,
    "MSR": 5,
    "PAE": 6,
    "CX8": 8,
    "APIC": 9,
    "SEP": 11,
    "PGE": 13,
    "CMOV": 15,
    "FXSR": 24,
}
CR4_BITS = {
    "TSC": CR4_TSD, "DE": CR4_DE, "PSE": CR4_PSE, "PAE": CR4_PAE, "PGE": CR4_PGE, "FXSR": CR4_OSFXSR
}  # fmt: skip
FLAG_FEATURES = {"486": AC, "CPUID": ID}


@dataclass(frozen=True, slots=True)
class Model:
    """A named processor. `signature` is EAX of CPUID leaf 1, `features` the names of what it has."""

    name: str
    title: str
    signature: int
    features: frozenset[str]
    vendor: bytes = b"GenuineIntel"

    def cpuid(self, leaf: int, subleaf: int) -> tuple[int, int, int, int]:
        """EAX, EBX, ECX, EDX. A leaf above the highest answers like the highest, as Intel's do."""
        if leaf == 0:
            b, d, c = (int.from_bytes(self.vendor[n : n + 4], "little") for n in (0, 4, 8))
            return 1, b, c, d
        return self.signature, 0, 0, sum(1 << CPUID_BITS[name] for name in self.features & CPUID_BITS.keys())

    @property
    def family(self) -> int:
        """5 for the Pentium, 6 for the Pentium Pro and what came of it."""
        return self.signature >> 8 & 15

    @property
    def eflags(self) -> int:
        """The bits of EFLAGS that this processor can change at all."""
        missing = sum(bit for name, bit in FLAG_FEATURES.items() if name not in self.features)
        return M32 & ~missing

    @property
    def cr4(self) -> int:
        """The bits of CR4 that exist; 0 where CR4 itself does not."""
        return sum(bit for name, bit in CR4_BITS.items() if name in self.features)


def _model(name: str, title: str, signature: int, features: str) -> Model:
    return Model(name, title, signature, frozenset(features.split()))


_PENTIUM = "386 FPU 486 CPUID DE PSE TSC MSR CX8"
_PPRO = _PENTIUM + " PAE PGE CMOV P6"
_P2 = _PPRO + " SEP FXSR"

MODELS = {
    model.name: model
    for model in (
        _model("386", "Intel386 DX with an Intel387", 0x303, "386 FPU"),
        _model("486", "Intel486 DX", 0x404, "386 FPU 486"),
        _model("pentium", "Pentium", 0x513, _PENTIUM),
        _model("ppro", "Pentium Pro", 0x619, _PPRO),
        _model("ppro-apic", "Pentium Pro with its APIC", 0x619, _PPRO + " APIC"),
        _model("p2", "Pentium II", 0x652, _P2),
        _model("p2-apic", "Pentium II with its APIC", 0x652, _P2 + " APIC"),
    )
}
DEFAULT = MODELS["ppro"]
