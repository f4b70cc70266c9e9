"""What each directive puts into the image."""

from __future__ import annotations

from pathlib import Path

import pytest

from isa.asm import AsmError, assemble


def image(source: str, **options: object) -> bytes:
    """The bytes of a source."""
    return assemble(source, **options).image  # type: ignore[arg-type]


DATA = {
    ".byte 1, 2, 'A'": "01 02 41",
    'db 1, "ab", 0': "01 61 62 00",
    "db 'hello', 10": "68 65 6c 6c 6f 0a",
    ".word 1, 0x1234": "01 00 34 12",
    ".short -1": "ff ff",
    ".2byte 5": "05 00",
    "dw 'a', 'ab'": "61 00 61 62",
    ".long 1": "01 00 00 00",
    ".int 0xffffffff": "ff ff ff ff",
    ".4byte -2": "fe ff ff ff",
    "dd 'abcd'": "61 62 63 64",
    ".quad 0x1122334455667788": "88 77 66 55 44 33 22 11",
    "dq -1": "ff ff ff ff ff ff ff ff",
    '.ascii "a", "b"': "61 62",
    '.asciz "a", "b"': "61 00 62 00",
    '.string "hi"': "68 69 00",
    '.ascii "\\n\\t\\r\\0\\\\\\"\\x41\\101"': "0a 09 0d 00 5c 22 41 41",
    '.ascii "é"': "c3 a9",
    '.ascii "; # // /* */"': "3b 20 23 20 2f 2f 20 2f 2a 20 2a 2f",
    ".space 3": "00 00 00",
    ".space 3, 0xff": "ff ff ff",
    ".skip 2": "00 00",
    ".zero 2": "00 00",
    ".fill 2, 2, 0x1234": "34 12 34 12",
    ".fill 3": "00 00 00",
    ".fill 2, 1, -1": "ff ff",
    "resb 2": "00 00",
    "resw 1": "00 00",
    "resd 1": "00 00 00 00",
    "times 3 db 1, 2": "01 02 01 02 01 02",
    "times 3 nop": "90 90 90",
    "times 2 mov al, 5": "b0 05 b0 05",
    "times 2 jmp $": "e9 fb ff ff ff e9 fb ff ff ff",
    "times 0 db 1\ndb 2": "02",
    "times 8-($-$$) db 0xcc": "cc " * 8,
    "db 1\ntimes 4-($-$$) db 0": "01 00 00 00",
    "here: times 2 dd $ - here": "00 00 00 00 04 00 00 00",
    ".byte 1\n.align 4\n.byte 2": "01 90 90 90 02",
    ".byte 1\n.balign 4, 0\n.byte 2": "01 00 00 00 02",
    ".byte 1\n.p2align 2, 0xcc\n.byte 2": "01 cc cc cc 02",
    ".byte 1\n.p2align 4,,2\n.byte 2": "01 02",
    "db 1\nalign 4, db 0\ndb 2": "01 00 00 00 02",
    "db 1\n.org $$ + 4\ndb 2": "01 00 00 00 02",
    "db 1\n.org $$ + 4, 0xff\ndb 2": "01 ff ff ff 02",
    ".float 1.5": "00 00 c0 3f",
    ".double -2": "00 00 00 00 00 00 00 c0",
    "msg db 'x'\nlen equ $-msg\ndb len": "78 01",
    "[bits 32]\nnop": "90",
    "bits 32\nsection .text\nglobal start\nextern foo\nnop": "90",
    ".text\n.globl a\n.type a, @function\n.data\n.byte 1\n.section .rodata\n.byte 2\n.bss\n.size a, .-a": "01 02",
    ".code32\nnop": "90",
    ".intel_syntax noprefix\nnop": "90",
    "nop # comment": "90",
    "nop // comment": "90",
    "nop ; comment, with 'quotes": "90",
    "nop /* one\ntwo */ \n hlt": "90 f4",
    'db ";" ; a comment': "3b",
    ".if 1\n.byte 1\n.else\n.byte 2\n.endif": "01",
    ".if 0\n.byte 1\n.elseif 2 > 1\n.byte 2\n.else\n.byte 3\n.endif": "02",
    ".if 0\n.if 1\n.byte 1\n.else\n.byte 2\n.endif\n.else\n.byte 3\n.endif": "03",
    "A = 1\n.ifdef A\n.byte 1\n.endif\n.ifndef B\n.byte 2\n.endif": "01 02",
    ".ifeq 1 - 1\n.byte 1\n.endif\n.ifgt 1\n.byte 2\n.endif": "01 02",
    '.if 0\nthis is no assembly \\ " at all\n.endif\nnop': "90",
    "nop\n.end\nthis is not read": "90",
    'x: .byte 1\n.assert x == $$, "moved"': "01",
    "NOP\nMov AL, 5\n.BYTE 1": "90 b0 05 01",
}


@pytest.mark.parametrize(("source", "expected"), DATA.items())
def test_a_directive_makes_these_bytes(source: str, expected: str) -> None:
    assert image(source).hex(" ") == bytes.fromhex(expected).hex(" ")


def test_the_first_org_is_the_address_of_the_image() -> None:
    program = assemble(".org 0x7c00\nstart: jmp start\n.org 0x7dfe\n.word 0xaa55\n")
    assert (program.origin, program.entry, len(program.image)) == (0x7C00, 0x7C00, 512)
    assert program.image[-2:] == b"\x55\xaa"


def test_nasm_boot_sector_padding_works() -> None:
    program = assemble("org 0x7c00\njmp $\ntimes 510-($-$$) db 0\ndw 0xaa55")
    assert len(program.image) == 512


def test_the_entry_is_start_and_else_the_origin() -> None:
    assert assemble("nop\n_start: nop", origin=0).entry == 1
    assert assemble("nop\nstart: nop", origin=0).entry == 1
    assert assemble("nop\nmain: nop", origin=16).entry == 16


def test_an_assertion_is_checked_when_addresses_are_known() -> None:
    with pytest.raises(AsmError, match="too large"):
        assemble('.space 600\nend:\n.assert end - $$ <= 512, "too large"')


def test_included_files_are_found_beside_the_source_and_in_the_given_folders(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "src" / "near.inc").write_text(".byte 1\n")
    (tmp_path / "lib" / "far.inc").write_text('.include "farther.inc"\n')
    (tmp_path / "lib" / "farther.inc").write_text(".byte 2\n")
    (tmp_path / "src" / "main.asm").write_text('.include "near.inc"\n.include "far.inc"\n.byte 3\n')
    program = assemble(tmp_path / "src" / "main.asm", include_dirs=[tmp_path / "lib"])
    assert program.image == bytes([1, 2, 3])
    assert [Path(line.path).name for line in program.lines] == ["near.inc", "farther.inc", "main.asm"]


def test_incbin_takes_a_file_or_a_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"0123456789")
    main = tmp_path / "main.asm"
    main.write_text('.incbin "data.bin", 2, 3\n.incbin "data.bin", 8\n')
    assert assemble(main).image == b"23489"
    main.write_text('.incbin "data.bin", 8, 3\n')
    with pytest.raises(AsmError, match="only 10 bytes"):
        assemble(main)


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.txt", "link.txt", "sub/../../secret.txt"])
@pytest.mark.parametrize("directive", [".include", ".incbin"])
def test_files_outside_the_folders_are_refused(tmp_path: Path, name: str, directive: str) -> None:
    folder = tmp_path / "work"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("nop\n")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    main = folder / "main.asm"
    main.write_text(f'nop\n{directive} "{name}"\n')
    with pytest.raises(AsmError) as caught:
        assemble(main)
    (diagnostic,) = caught.value.diagnostics
    assert "outside the folders" in diagnostic.message
    assert diagnostic.line == 2


def test_a_text_without_a_folder_includes_nothing() -> None:
    with pytest.raises(AsmError, match="no file"):
        assemble('.include "/etc/passwd"')
