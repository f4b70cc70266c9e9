"""Small kernels for the loaders, made here: each prints what it was handed and reports success."""

from __future__ import annotations

from pathlib import Path

from isa.asm import Program, assemble
from vmm import Machine, Result, load_image

PUT = """
put:                            ; the string at ESI
    lodsb
    or al, al
    jz .done
    out 0xe9, al
    jmp put
.done:
    ret
finish:
    mov al, 0
    out 0xf4, al
"""
MULTIBOOT_HEADER = """
align 4
header: dd 0x1badb002, {flags}, -(0x1badb002 + {flags})
"""
SHOW_MULTIBOOT = """
start:
    mov esp, 0x80000
    cmp eax, 0x2badb002
    jne broken
    mov esi, [ebx + 16]         ; the command line
    call put
    mov al, "|"
    out 0xe9, al
    mov ecx, [ebx + 20]         ; modules
    mov edi, [ebx + 24]
.module:
    jecxz .map
    mov esi, [edi + 8]
    call put
    mov al, "="
    out 0xe9, al
    mov esi, [edi]
    call put
    mov al, "|"
    out 0xe9, al
    add edi, 16
    dec ecx
    jmp .module
.map:
    mov esi, [ebx + 64]         ; the loader's name
    call put
    jmp finish
broken:
    mov al, 1
    out 0xf4, al
"""


def program(text: str, origin: int = 0x10_0000) -> Program:
    return assemble(f"org {origin:#x}\n{text}", name="kernel.asm")


def run(path: Path, mode: str | None = None, budget: int = 1_000_000, **loading: object) -> Result:
    image = load_image(path, **loading)  # type: ignore[arg-type]
    return Machine(image, mode, memory=image.memory).run(budget)
