"""Runs one-instruction cases on Unicorn, in a process of its own: some encodings abort it.

Started by `oracle`. Speaks pickles over stdin and stdout: first a `Setup`, then batches, one answer each.
A case is (slot, bytes, eight registers, EFLAGS, until); its answer (registers, EIP, EFLAGS, changed memory,
vector, error), where the memory is what differs from the image, as (address, bytes) in pieces of `PIECE`.
"""

from __future__ import annotations

import pickle
import sys

import unicorn
from unicorn import x86_const as X

PIECE = 64
GENERAL = tuple(
    getattr(X, f"UC_X86_REG_{name}") for name in ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI")
)
FETCH_ERRORS = (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT)


class Child:
    def __init__(self, setup: dict) -> None:
        self.image: bytes = setup["image"]
        self.code_at: int = setup["code_at"]
        self.uc = uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        uc.ctl_set_cpu_model(X.UC_CPU_X86_PENTIUM3)
        uc.mem_map(0, len(self.image))
        uc.mem_map(self.code_at, setup["code_size"])
        uc.mem_map(setup["gdt_at"], 0x1000)
        uc.mem_write(0, self.image)
        uc.mem_write(setup["gdt_at"], setup["gdt"])
        uc.reg_write(X.UC_X86_REG_GDTR, (0, setup["gdt_at"], len(setup["gdt"]) - 1, 0))
        self.vector = -1
        uc.hook_add(unicorn.UC_HOOK_INTR, self.interrupted)

    def interrupted(self, uc: unicorn.Uc, vector: int, _data: object) -> None:
        self.vector = vector
        uc.emu_stop()

    def segments(self, selectors: dict[str, int]) -> None:
        for name, selector in selectors.items():
            self.uc.reg_write(getattr(X, f"UC_X86_REG_{name.upper()}"), selector)

    def batch(self, selectors: dict[str, int], base: int, cases: list) -> list:
        self.uc.ctl_flush_tb()
        self.segments(selectors)
        self.fresh = self.uc.context_save()
        for slot, code, *_ in cases:
            self.uc.mem_write(self.code_at + slot, code + b"\x90" * (16 - len(code)))
        return [self.case(base, *case) for case in cases]

    def case(self, base: int, slot: int, code: bytes, registers: list, eflags: int, repeated: bool) -> tuple:
        uc = self.uc
        linear = self.code_at + slot
        start = linear - base
        uc.reg_write_batch([*zip(GENERAL, registers, strict=True), (X.UC_X86_REG_EFLAGS, eflags)])
        self.vector = -1
        error = 0
        try:
            if repeated:
                uc.emu_start(start, linear + len(code))
            else:
                uc.emu_start(start, 0xFFFF_FFF0, count=1)
        except unicorn.UcError as e:
            error = 0 if e.errno in FETCH_ERRORS else e.errno
        *after, eip, flags = uc.reg_read_batch([*GENERAL, X.UC_X86_REG_EIP, X.UC_X86_REG_EFLAGS])
        if self.vector >= 0 or error:
            uc.context_restore(self.fresh)  # forgets the fault, which would make the next a double fault
        return after, eip, flags, self.changes(), self.vector, error

    def changes(self) -> list[tuple[int, bytes]]:
        memory = bytes(self.uc.mem_read(0, len(self.image)))
        if memory == self.image:
            return []
        self.uc.mem_write(0, self.image)
        return changed(self.image, memory)


def changed(before: bytes, after: bytes) -> list[tuple[int, bytes]]:
    """The pieces of `after` that differ from `before`, with their addresses."""
    pages = (p for p in range(0, len(before), 4096) if before[p : p + 4096] != after[p : p + 4096])
    pieces = (at for page in pages for at in range(page, page + 4096, PIECE))
    return [
        (at, after[at : at + PIECE]) for at in pieces if before[at : at + PIECE] != after[at : at + PIECE]
    ]


def main() -> None:
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    child = Child(pickle.load(questions))
    while True:
        try:
            selectors, base, cases = pickle.load(questions)
        except EOFError:
            return
        pickle.dump(child.batch(selectors, base, cases), answers)
        answers.flush()


if __name__ == "__main__":
    main()
