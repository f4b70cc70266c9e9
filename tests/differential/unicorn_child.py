"""Runs cases on Unicorn, in a process of its own: some encodings abort it. Started by `oracle`.

Speaks pickles over stdin and stdout: first a setup, then batches, one answer each. A batch is memory, code in
slots of `SLOT` bytes, and cases of eleven words: slot, length of code to run to its end (0: one
instruction), eight registers, EFLAGS. The answer to each is `ANSWER` words, registers, EIP, EFLAGS, vector,
error, and what has changed in memory, as (address, bytes) in pieces of `PIECE`.

The C interface is called directly: through the binding's objects a case takes twenty times as long.
"""

from __future__ import annotations

import ctypes
import mmap
import pickle
import sys
from array import array

PIECE = 64
SLOT = 64
ANSWER = 12
NO_VECTOR = 0xFFFF_FFFF
FAR_AWAY = 0xFFFF_FFF0
GENERAL = ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI")


def changed(before: bytes, after: bytes) -> list[tuple[int, bytes]]:
    """The pieces of `after` that differ from `before`, with their addresses."""
    pages = (p for p in range(0, len(before), 4096) if before[p : p + 4096] != after[p : p + 4096])
    pieces = (at for page in pages for at in range(page, page + 4096, PIECE))
    return [
        (at, after[at : at + PIECE]) for at in pieces if before[at : at + PIECE] != after[at : at + PIECE]
    ]


class Registers:
    """Some registers of Unicorn, read and written at once."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p, numbers: list[int]) -> None:
        count = len(numbers)
        self.values = (ctypes.c_uint64 * count)()
        first = ctypes.addressof(self.values)
        pointers = (ctypes.c_void_p * count)(*(first + 8 * n for n in range(count)))
        self._arguments = handle, (ctypes.c_int * count)(*numbers), pointers, count
        self._read, self._write = library.uc_reg_read_batch, library.uc_reg_write_batch

    def write(self, values: array) -> None:
        self.values[:] = values
        self._write(*self._arguments)

    def read(self) -> list[int]:
        self._read(*self._arguments)
        return self.values[:]


class Child:
    def __init__(self, setup: dict) -> None:
        import unicorn
        from unicorn import x86_const as X
        from unicorn.unicorn_py3.unicorn import uclib

        self.code_at: int = setup["code_at"]
        self.base: int = setup["base"]
        self.fetch_errors = (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT)
        self.uc = uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        uc.ctl_set_cpu_model(X.UC_CPU_X86_PENTIUM3)
        block = mmap.mmap(-1, setup["size"])
        self.size: int = setup["size"]
        self.memory = (ctypes.c_char * self.size).from_buffer(block)
        uc.mem_map_ptr(0, self.size, unicorn.UC_PROT_ALL, ctypes.addressof(self.memory))
        uc.mem_map(self.code_at, setup["code_size"], unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        uc.mem_map(setup["gdt_at"], 0x1000)
        uc.mem_write(setup["gdt_at"], setup["gdt"])
        uc.reg_write(X.UC_X86_REG_GDTR, (0, setup["gdt_at"], len(setup["gdt"]) - 1, 0))
        for name, selector in setup["selectors"].items():
            uc.reg_write(getattr(X, f"UC_X86_REG_{name.upper()}"), selector)
        self.fresh = uc.context_save()
        self.vector = NO_VECTOR
        uc.hook_add(unicorn.UC_HOOK_INTR, self.interrupted)
        numbers = [getattr(X, f"UC_X86_REG_{name}") for name in GENERAL]
        flags, eip = X.UC_X86_REG_EFLAGS, X.UC_X86_REG_EIP
        self.before = Registers(uclib, uc._uch, [*numbers, flags])
        self.after = Registers(uclib, uc._uch, [*numbers, eip, flags])
        self.start, self.handle = uclib.uc_emu_start, uc._uch
        self.start.argtypes = [ctypes.c_void_p, *3 * [ctypes.c_uint64], ctypes.c_size_t]

    def interrupted(self, uc: object, vector: int, _data: object) -> None:
        self.vector = vector
        self.uc.emu_stop()

    def batch(self, image: bytes, code: bytes, questions: list[bytes]) -> list[tuple[bytes, list]]:
        self.uc.ctl_flush_tb()
        self.image = image
        ctypes.memmove(self.memory, image, self.size)
        self.uc.mem_write(self.code_at, code)
        return [(self.case(array("I", question)).tobytes(), self.changes()) for question in questions]

    def case(self, question: array) -> array:
        slot, length = question[:2]
        linear = self.code_at + slot * SLOT
        start = linear - self.base
        self.before.write(question[2:])
        self.vector = NO_VECTOR
        if length:
            error = self.start(self.handle, start, linear + length, 0, 0)
        else:
            error = self.start(self.handle, start, FAR_AWAY, 0, 1)
        if error in self.fetch_errors:
            error = 0
        after = self.after.read()
        if self.vector != NO_VECTOR or error:
            self.uc.context_restore(self.fresh)  # forgets the fault, which would make the next a double fault
        return array("I", [*after, self.vector, error])

    def changes(self) -> list[tuple[int, bytes]]:
        if not _memcmp(self.memory, self.image, self.size):
            return []
        found = changed(self.image, self.memory.raw)
        ctypes.memmove(self.memory, self.image, self.size)
        return found


_memcmp = ctypes.CDLL(None).memcmp


def main() -> None:
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    child = Child(pickle.load(questions))
    while True:
        try:
            batch = pickle.load(questions)
        except EOFError:
            return
        pickle.dump(child.batch(*batch), answers)
        answers.flush()


if __name__ == "__main__":
    main()
