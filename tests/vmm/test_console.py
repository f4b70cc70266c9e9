"""The console both ways and the power switch: what is typed, what ends a run, what a reset keeps."""

from __future__ import annotations

import io
import os
import pty
import threading
from pathlib import Path

import pytest

from isa.asm import assemble
from vmm import Machine, Outcome, load_image
from vmm.machine import NEVER, RESET
from vmm.modes import MODES
from vmm.terminal import PATIENCE, Terminal

RESETS = {
    "keyboard controller": "mov al, 0xfe\n out 0x64, al\n",
    "reset control register": "mov dx, 0xcf9\n mov al, 2\n out dx, al\n mov al, 6\n out dx, al\n",
    "port 92h": "mov al, 1\n out 0x92, al\n",
}
# A byte of CMOS memory, which no reset touches, counts how often the machine has started.
COUNTS = """
org 0x100000
start:
    mov al, 0x50
    out 0x70, al
    in al, 0x71
    inc al
    out 0x71, al
    mov bl, al
    add al, "0"
    out 0xe9, al
    cmp bl, 3
    je done
    {reset}
stop: jmp stop
done:
    mov al, 0
    out 0xf4, al
"""
# The first word of the disk says whether this is the second time; it was written before the reset.
WRITES = """
bits 16
org 0x7c00
start:
    mov ax, 0x0201
    mov bx, 0x8000
    mov cx, 2
    mov dx, 0x80
    int 0x13
    jc bad
    cmp word [0x8000], 0x1234
    je good
    mov word [0x8000], 0x1234
    mov ax, 0x0301
    int 0x13
    jc bad
    mov al, 0xfe
    out 0x64, al
    hlt
good:
    mov al, 0
    out 0xf4, al
bad:
    mov al, 1
    out 0xf4, al
times 510 - ($ - $$) db 0
dw 0xaa55
"""
WAITS = "org 0x7c00\nbits 16\nagain: sti\nhlt\njmp again\ntimes 510 - ($ - $$) db 0\ndw 0xaa55\n"
# Says what comes on COM1, by polling; a dot when it has slept until the timer's next tick.
ECHOES = """
org 0x7c00
bits 16
again:
    mov dx, 0x3fd
    in al, dx
    test al, 1
    jnz got
    sti
    hlt
    jmp again
got:
    mov dx, 0x3f8
    in al, dx
    out 0xe9, al
    cmp al, 13
    jne again
    mov al, 0
    out 0xf4, al
times 510 - ($ - $$) db 0
dw 0xaa55
"""


def machine_of(folder: Path, source: str, mode: str | None = None) -> Machine:
    path = folder / "guest.asm"
    path.write_text(source)
    return Machine(load_image(path), mode)


@pytest.mark.parametrize("mode", [name for name, mode in MODES.items() if not mode.paravirtual])
@pytest.mark.parametrize("how", RESETS)
def test_a_reset_starts_the_machine_again(tmp_path: Path, how: str, mode: str) -> None:
    machine = machine_of(tmp_path, COUNTS.format(reset=RESETS[how]), mode)
    seen: list[Machine] = []
    terminal = Terminal(machine, reboots=True)
    terminal.on_machine = seen.append
    result = terminal.run(100_000)
    assert (result.outcome, result.console) == (Outcome.SUCCESS, "123"), result.text
    assert len(seen) == 3 and terminal.machine is seen[-1]
    assert result.instructions > sum(each.mode.count for each in seen[1:]), "all three starts are counted"


def test_who_wants_no_reset_gets_an_end(tmp_path: Path) -> None:
    result = Terminal(machine_of(tmp_path, COUNTS.format(reset=RESETS["port 92h"]))).run(100_000)
    assert (result.outcome, result.text, result.console) == (Outcome.SUCCESS, RESET, "1")


def test_a_disk_keeps_what_was_written_before_the_reset(tmp_path: Path) -> None:
    result = Terminal(machine_of(tmp_path, WRITES), reboots=True).run(1_000_000)
    assert result.outcome is Outcome.SUCCESS, result.text


def test_resetting_for_ever_uses_up_the_budget(tmp_path: Path) -> None:
    source = "org 0x100000\nstart: mov al, 0xfe\nout 0x64, al\nstop: jmp stop\n"
    result = Terminal(machine_of(tmp_path, source), reboots=True).run(200)
    assert (result.outcome, result.instructions) == (Outcome.BUDGET, 200)
    assert result.text.startswith("200 instructions")


def test_a_guest_that_only_waits_is_given_up(tmp_path: Path) -> None:
    result = Terminal(machine_of(tmp_path, WAITS)).run()
    assert result.outcome is Outcome.BUDGET and "waited for 1,000 seconds" in result.text
    assert PATIENCE <= result.idle < 2 * PATIENCE


def test_at_a_keyboard_each_key_is_passed_on_and_enter_is_carriage_return(tmp_path: Path) -> None:
    ours, guests = pty.openpty()
    terminal = Terminal(machine_of(tmp_path, ECHOES))
    with os.fdopen(guests, "r", buffering=1) as keyboard:
        terminal.feed("-", None, keyboard)
        typing = threading.Timer(0.2, lambda: os.write(ours, b"hi\r"))
        typing.start()
        result = terminal.run(NEVER)
        typing.join()
    os.close(ours)
    assert (result.outcome, result.console) == (Outcome.SUCCESS, "hi\r"), result.text


def test_the_log_of_a_firmware_is_its_console(tmp_path: Path) -> None:
    code = "bits 16\norg 0\nstart: mov dx, 0x402\nmov al, 'L'\nout dx, al\nmov al, 0\nout 0xf4, al\n"
    rom = tmp_path / "rom.bin"
    rom.write_bytes(
        assemble(
            code + "times 0xfff0 - ($ - $$) db 0\njmp 0xf000:start\ntimes 0x10000 - ($ - $$) db 0\n"
        ).image
    )
    out = io.BytesIO()
    assert Terminal(Machine(load_image(rom)), out).run(1000).console == "L"
    assert out.getvalue() == b"L"
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1024))
    log = io.BytesIO()
    assert Terminal(Machine(load_image(disk, bios=rom)), out, log=log).run(1000).console == ""
    assert log.getvalue() == b"L"
