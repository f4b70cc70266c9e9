"""Runs a kernel on Unicorn as a Python program would, for `vmsim bench --peers`: in a process of its own.

Arguments: file, origin, entry. The serial port is always ready, and prints to stdout; a byte at the port for
verdicts ends the run. Unicorn delivers no interrupts and no exceptions: a kernel that needs them ends here.
"""

from __future__ import annotations

import sys
from pathlib import Path

MEMORY = 16 << 20
COM1_DATA, COM1_STATUS, COM1_READY, VERDICT = 0x3F8, 0x3FD, 0x60, 0xF4


def main(file: str, origin: int, entry: int) -> int:
    """The exit status: 0 if the kernel came to its verdict."""
    import unicorn
    from unicorn import x86_const

    machine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    machine.mem_map(0, MEMORY)
    machine.mem_write(origin, Path(file).read_bytes())
    printed = bytearray()
    ended = []

    def on_in(_machine: object, port: int, size: int, _data: object) -> int:
        return COM1_READY if port == COM1_STATUS else (1 << 8 * size) - 1

    def on_out(_machine: object, port: int, _size: int, value: int, _data: object) -> None:
        if port == COM1_DATA:
            printed.append(value & 0xFF)
        elif port == VERDICT:
            ended.append(value)
            machine.emu_stop()

    machine.hook_add(unicorn.UC_HOOK_INSN, on_in, None, 1, 0, x86_const.UC_X86_INS_IN)
    machine.hook_add(unicorn.UC_HOOK_INSN, on_out, None, 1, 0, x86_const.UC_X86_INS_OUT)
    try:
        machine.emu_start(entry, 0xFFFF_FFF0)
    except unicorn.UcError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(printed.decode("latin-1"))
    return 0 if ended else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2], 0), int(sys.argv[3], 0)))
