"""16-bit code through GNU as and NASM: the same bytes, or other bytes with the same meaning."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from isa.asm import AsmError, assemble, encode
from isa.asm.engines import decode
from isa.faults import InvalidOpcode
from isa.table import ROWS

sys.path.insert(0, str(Path(__file__).parent))
from asm_forms16 import ALIKE, NARROW, SPELLED, instruction
from asm_forms_nasm import NASM
from asm_references import gas

needs_gas = pytest.mark.skipif(not (shutil.which("as") and shutil.which("objcopy")), reason="no GNU binutils")
needs_nasm = pytest.mark.skipif(not shutil.which("nasm"), reason="nasm is absent")

FORMS = {**{line: line for line in ALIKE.strip().splitlines()}, **SPELLED}
CODE16 = ".code16\n.intel_syntax noprefix\n"
CODE32 = ".code32\n.intel_syntax noprefix\n"


def same(ours: bytes, theirs: bytes, bits: int = 16) -> bool:
    """Whether both are the same, or differ in the order of prefixes or in the opcode's direction bit."""
    if ours == theirs:
        return True
    if len(ours) != len(theirs) or [0x66 in ours, 0x67 in ours] != [0x66 in theirs, 0x67 in theirs]:
        return False
    one, other = decode(ours, bits), decode(theirs, bits)
    return [(d.mnemonic, sorted(map(str, d.operands))) for d in one] == [
        (d.mnemonic, sorted(map(str, d.operands))) for d in other
    ]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of GNU as for every form."""
    return dict(zip(FORMS, gas(list(FORMS.values()), tmp_path_factory.mktemp("gas"), CODE16), strict=True))


@needs_gas
@pytest.mark.parametrize("form", FORMS)
def test_a_form_of_16_bit_code_is_encoded_as_gnu_as_encodes_it(
    form: str, reference: dict[str, bytes]
) -> None:
    ours = encode(form, bits=16)
    assert same(ours, reference[form]), f"{ours.hex(' ')} | {reference[form].hex(' ')}"


@needs_gas
def test_addresses_of_16_bits_in_32_bit_code_are_encoded_as_gnu_as_encodes_them(tmp_path: Path) -> None:
    theirs = gas(list(NARROW.values()), tmp_path, CODE32)
    for form, code in zip(NARROW, theirs, strict=True):
        assert encode(form).hex(" ") == code.hex(" "), form


@needs_nasm
def test_forms_of_16_bit_code_are_encoded_as_nasm_encodes_them(tmp_path: Path) -> None:
    lines = NASM.strip().splitlines()
    source = tmp_path / "t.asm"
    # Each form starts at a multiple of 16, so that the pieces can be told apart.
    source.write_text("bits 16\n" + "".join(f"{line}\nalign 16, db 0xcc\n" for line in lines))
    subprocess.run(["nasm", "-f", "bin", "-o", tmp_path / "t.bin", source], check=True)
    image = (tmp_path / "t.bin").read_bytes()
    for i, line in enumerate(lines):
        ours = encode(line, bits=16)
        theirs = image[16 * i : 16 * i + len(ours)]
        rest = image[16 * i + len(ours) : 16 * i + 16]
        assert same(ours, theirs), f"{line}: {ours.hex(' ')} | {theirs.hex(' ')}"
        assert not rest.strip(b"\xcc"), line


@needs_gas
@pytest.mark.parametrize("seed", range(3))
def test_random_16_bit_instructions_are_encoded_as_gnu_as_encodes_them(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    lines = [instruction(rng) for _ in range(800)]
    different = []
    for line, theirs in zip(lines, gas(lines, tmp_path, CODE16), strict=True):
        ours = encode(line, bits=16)
        if not same(ours, theirs):
            different.append(f"{line}: {ours.hex(' ')} | {theirs.hex(' ')}")
    assert not different, "\n".join(different)


REST = """
adc ax, 1; sbb ax, 1; ror ax, 1; rcl ax, 1; rcr ax, 1; sar ax, 1; dec ax; neg ax; aaa; aas; das; std; clc; stc
cmc; aad; insd; outsd
"""


def test_every_integer_instruction_of_the_table_has_a_form_in_16_bit_code() -> None:
    from isa.decode import decode as decoded

    seen = set()
    for form in [*FORMS, *REST.strip().replace("\n", "; ").split("; ")]:
        with contextlib.suppress(InvalidOpcode):
            seen.add(ROWS[decoded(encode(form, bits=16), 16).row].name)
    for row in ROWS:
        # Those without operands are written as they are called.
        with contextlib.suppress(AsmError, InvalidOpcode):
            seen.add(ROWS[decoded(encode(row.name, bits=16), 16).row].name)
    missing = {row.name for row in ROWS if not row.name.startswith("f")} - seen
    assert not missing - {"unmodelled"}


# ------------------------------------------------------------------------------ switching and relaxing

BOOT = """
org 0x7c00
bits 16
start:  cli
        xor ax, ax
        mov ds, ax
        mov si, message
.next:  lodsb
        test al, al
        jz .done
        mov ah, 0x0e
        int 0x10
        jmp .next
.done:  lgdt [gdtr]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp 0x08:flat
[bits 32]
flat:   mov ax, 0x10
        mov ds, ax
        mov esp, 0x7c00
        mov byte [0xb8000], 'P'
        jmp $
message: db "hello", 0
align 4
gdt:    dq 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr:   dw gdtr - gdt - 1
        dd gdt
times 510-($-$$) db 0
dw 0xaa55
"""


@needs_nasm
def test_a_boot_sector_is_assembled_as_nasm_assembles_it(tmp_path: Path) -> None:
    (tmp_path / "boot.asm").write_text(BOOT)
    subprocess.run(["nasm", "-f", "bin", "-o", tmp_path / "boot", tmp_path / "boot.asm"], check=True)
    ours = assemble(BOOT)
    assert ours.origin == 0x7C00
    assert ours.image.hex(" ", 16) == (tmp_path / "boot").read_bytes().hex(" ", 16)


ROUND_TRIP = """
org 0x7c00
bits 16
start:  cli
        xor ax, ax
        mov ds, ax
        mov ss, ax
        mov sp, 0x7c00
        mov si, real
        call print
        o32 lgdt [gdtr]
        mov eax, cr0
        inc ax
        mov cr0, eax
        jmp dword 0x08:protected
print:  mov dx, 0xe9
.next:  lodsb
        test al, al
        jz .done
        out dx, al
        jmp .next
.done:  ret
bits 32
protected:
        mov ax, 0x10
        mov ds, ax
        mov ss, ax
        mov esp, 0x7c00
        mov esi, flat
        call print32
        jmp 0x18:narrow
print32:
        mov dx, 0xe9
        mov ecx, 5
        rep outsb
        ret
bits 16
narrow: mov eax, cr0
        and al, 0xfe
        mov cr0, eax
        jmp 0:back
back:   xor ax, ax
        mov ds, ax
        mov ss, ax
        mov si, real
        push dword 0x12345678
        call dword print_far
        pop eax
        cmp eax, 0x12345678
        jne $
        mov dx, 0xf4
        mov al, 0x10
        out dx, al
        hlt
print_far:
        call print
        o32 ret
real:   db "real ", 0
flat:   db "flat "
align 8
gdt:    dq 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00009a000000ffff
gdtr:   dw gdtr - gdt - 1
        dd gdt
times 510-($-$$) db 0
dw 0xaa55
"""


@pytest.mark.skipif(not shutil.which("qemu-system-i386"), reason="QEMU is absent")
def test_a_boot_sector_goes_to_32_bits_and_back_under_qemu(tmp_path: Path) -> None:
    (tmp_path / "boot").write_bytes(assemble(ROUND_TRIP).flat())
    options = "-display none -no-reboot -debugcon stdio -device isa-debug-exit,iobase=0xf4,iosize=4 -drive"
    drive = f"format=raw,if=floppy,file={tmp_path / 'boot'}"
    command = ["qemu-system-i386", *options.split(), drive]
    run = subprocess.run(command, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    assert run.stdout.endswith(b"real flat real ")
    assert run.returncode == 0x21


@pytest.mark.parametrize(
    ("to16", "to32"), [(".code16", ".code32"), ("bits 16", "bits 32"), ("[bits 16]", "[bits 32]")]
)
def test_the_width_of_code_changes_in_the_middle_of_a_file(to16: str, to32: str) -> None:
    source = f"mov eax, ebx\n{to16}\nmov eax, ebx\nret\n{to32}\nmov eax, ebx\nmov ax, bx"
    assert assemble(source).image.hex(" ") == "89 d8 66 89 d8 c3 89 d8 66 89 d8"


def test_use16_and_use32_are_other_names_for_it() -> None:
    assert assemble("use16\npush 5\nmov eax, 1\nuse32\nmov eax, 1").image.hex(" ") == (
        "6a 05 66 b8 01 00 00 00 b8 01 00 00 00"
    )


@pytest.mark.parametrize(
    ("distance", "expected"), [(127, "eb 7f"), (128, "e9 80 00"), (0x7FFF, "e9 ff 7f"), (0xFF00, "e9 00 ff")]
)
def test_a_jump_of_16_bit_code_grows_to_a_displacement_of_16_bits(distance: int, expected: str) -> None:
    image = assemble(f"bits 16\njmp end\n.space {distance}\nend: nop", origin=0).image
    assert image.startswith(bytes.fromhex(expected))


def test_a_conditional_jump_of_16_bit_code_grows_to_four_bytes() -> None:
    image = assemble("bits 16\nje end\n.space 200\nend: nop", origin=0).image
    assert image.startswith(bytes.fromhex("0f 84 c8 00"))


def test_a_jump_wraps_around_in_its_64_kib() -> None:
    assert assemble("bits 16\njmp 0", origin=0xFFF0).image.hex(" ") == "eb 0e"


def test_labels_are_filled_in_with_16_bits_where_the_code_has_16() -> None:
    source = """bits 16
    mov ax, [table + bx]
    mov al, [table]
    mov cx, [table]
    mov word [table], end - table
    push table
    jmp 0x10:end
    jmp dword 0x10:end
    mov eax, [dword table]
    mov eax, [ebx + table]
    lgdt [table]
    movzx eax, byte [table]
    jmp far [table]
    fld dword [es:bx + table]
    lea esi, [table]
    table: dw 1
    end:"""
    program = assemble(source, origin=0x7C00)
    table, end = (program.symbols[name] for name in ("table", "end"))
    t16, e16 = table.to_bytes(2, "little").hex(), end.to_bytes(2, "little").hex()
    expected = (
        f"8b87{t16} a0{t16} 8b0e{t16} c706{t16}0200 68{t16} ea{e16}1000 66ea{e16}00001000"
        f"67 66a1{t16}0000 67668b83{t16}0000 0f0116{t16} 660fb606{t16} ff2e{t16} 26d987{t16} 668d36{t16} 0100"
    )
    assert program.image.hex() == expected.replace(" ", "")


def test_code_of_a_32_bit_compiler_returns_and_pushes_with_32_bits() -> None:
    source = ".code16gcc\npush 5\ncall f\nf: ret\npusha\nmov eax, [esp+4]\nleave\npush ds"
    assert assemble(source, origin=0).image.hex(" ") == (
        "66 6a 05 66 e8 00 00 00 00 66 c3 66 60 67 66 8b 44 24 04 66 c9 66 1e"
    )


def test_a_label_above_64_kib_does_not_fit_an_address_of_16_bits() -> None:
    with pytest.raises(Exception, match="does not fit in 16 bits"):
        assemble("bits 16\nmov ax, [x]\nx: nop", origin=0x20000)
