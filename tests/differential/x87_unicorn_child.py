"""Runs x87 cases on Unicorn between FRSTOR and FNSAVE, in a process of its own. Started by `oracle`.

Speaks pickles as `unicorn_child` does. A case is (code, FRSTOR image, memory, EFLAGS); its answer (image,
memory, EFLAGS, EAX, vector).
"""

from __future__ import annotations

import pickle
import sys

import unicorn
from unicorn import x86_const as X

CODE, DATA, BEFORE, AFTER = 0x1000, 0x2000, 0x3000, 0x4000
FRSTOR = b"\xdd\x25" + BEFORE.to_bytes(4, "little")
FNSAVE = b"\xdd\x35" + AFTER.to_bytes(4, "little")
EAX = 0xAAAA_5555
CR0_NE = 1 << 5


class Child:
    def __init__(self, setup: dict) -> None:
        self.uc = uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        uc.ctl_set_cpu_model(X.UC_CPU_X86_PENTIUM3)
        uc.mem_map(CODE, 0x4000)
        uc.reg_write(X.UC_X86_REG_CR0, uc.reg_read(X.UC_X86_REG_CR0) | CR0_NE)
        self.memory: int = setup["memory"]
        self.vector = -1
        uc.hook_add(unicorn.UC_HOOK_INTR, self.interrupted)
        self.fresh = uc.context_save()

    def interrupted(self, uc: unicorn.Uc, vector: int, _data: object) -> None:
        self.vector = vector
        uc.emu_stop()

    def batch(self, cases: list) -> list:
        return [self.case(*case) for case in cases]

    def case(self, code: bytes, image: bytes, memory: bytes, eflags: int) -> tuple:
        uc = self.uc
        program = FRSTOR + code + FNSAVE
        uc.ctl_flush_tb()
        uc.mem_write(CODE, program)
        uc.mem_write(BEFORE, image)
        uc.mem_write(DATA, memory)
        uc.reg_write_batch([(X.UC_X86_REG_EAX, EAX), (X.UC_X86_REG_ESI, DATA), (X.UC_X86_REG_EFLAGS, eflags)])
        self.vector = -1
        try:
            uc.emu_start(CODE, CODE + len(program))
        except unicorn.UcError as e:
            self.vector = 6 if e.errno == unicorn.UC_ERR_INSN_INVALID else 1000 + e.errno
        eax, flags = uc.reg_read_batch([X.UC_X86_REG_EAX, X.UC_X86_REG_EFLAGS])
        after = bytes(uc.mem_read(AFTER, 108)), bytes(uc.mem_read(DATA, self.memory)), flags, eax, self.vector
        if self.vector >= 0:
            uc.context_restore(self.fresh)
        return after


def main() -> None:
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    child = Child(pickle.load(questions))
    while True:
        try:
            (cases,) = pickle.load(questions)
        except EOFError:
            return
        pickle.dump(child.batch(cases), answers)
        answers.flush()


if __name__ == "__main__":
    main()
