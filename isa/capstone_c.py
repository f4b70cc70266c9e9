"""capstone's C interface without its Python objects: one preallocated `cs_insn`, read as raw words.

`capstone.Cs.disasm` costs 40 µs an instruction, nearly all of it ctypes objects; this costs 4, and spares
the import of the package. Where a field lies is what capstone.h and x86.h of version 5 say; a decoder that
does not find a known instruction's operands there refuses to start. Nothing here knows what x86 means: that
is `decode`, the only user.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from functools import cache
from typing import Any

from isa.capstone_ids import folder

MAX_LENGTH = 15  # of an instruction, in bytes (SDM 2A, 2.3.11)
Fields = tuple[int, int, int, int, int, int, int]
"""One operand: type; register, segment or immediate; base; index; scale; displacement; bytes."""

_LETTER = {1: "B", 2: "H", 4: "I", 8: "I"}  # of an 8-byte field the low half is what 32-bit code needs


def _offset(cls: Any, name: str) -> int:
    return int(getattr(cls, name).offset)


def _layout(fields: list[tuple[int, int]], size: int = 0) -> str:
    """A `struct` format that reads (offset, size) fields in ascending order, padded to `size` bytes."""
    text, at = "", 0
    for offset, width in fields:
        text += f"{offset - at}x{_LETTER[width]}"
        at = offset + min(width, 4)
    return text + (f"{size - at}x" if size else "")


def _field(cls: Any, name: str, base: int = 0) -> tuple[int, int]:
    return base + _offset(cls, name), int(getattr(cls, name).size)


class _Memory(ctypes.Structure):
    """x86_op_mem."""

    _fields_ = [
        *((name, ctypes.c_uint) for name in ("segment", "base", "index")),
        ("scale", ctypes.c_int),
        ("disp", ctypes.c_int64),
    ]


class _Operand(ctypes.Structure):
    """cs_x86_op; `value` is a union of a register, an immediate and this."""

    _fields_ = [
        ("type", ctypes.c_uint),
        ("value", _Memory),
        ("size", ctypes.c_uint8),
        ("access", ctypes.c_uint8),
        ("avx_bcast", ctypes.c_uint),
        ("avx_zero_opmask", ctypes.c_bool),
    ]


class _X86(ctypes.Structure):
    """cs_x86, up to the operands."""

    _fields_ = [
        ("prefix", ctypes.c_uint8 * 4),
        ("opcode", ctypes.c_uint8 * 4),
        *((name, ctypes.c_uint8) for name in ("rex", "addr_size", "modrm", "sib")),
        ("disp", ctypes.c_int64),
        ("sib_index", ctypes.c_uint),
        ("sib_scale", ctypes.c_int8),
        *((name, ctypes.c_uint) for name in ("sib_base", "xop_cc", "sse_cc", "avx_cc")),
        ("avx_sae", ctypes.c_bool),
        ("avx_rm", ctypes.c_uint),
        ("flags", ctypes.c_uint64),
        ("op_count", ctypes.c_uint8),
        ("operands", _Operand * 8),
    ]


class _Detail(ctypes.Structure):
    """cs_detail; `arch` is a union of this and of what other processors have."""

    _fields_ = [
        ("regs_read", ctypes.c_uint16 * 20),
        ("regs_read_count", ctypes.c_uint8),
        ("regs_write", ctypes.c_uint16 * 20),
        ("regs_write_count", ctypes.c_uint8),
        ("groups", ctypes.c_uint8 * 8),
        ("groups_count", ctypes.c_uint8),
        ("writeback", ctypes.c_bool),
        ("arch", _X86),
    ]


class _Insn(ctypes.Structure):
    """cs_insn."""

    _fields_ = [
        ("id", ctypes.c_uint),
        ("address", ctypes.c_uint64),
        ("size", ctypes.c_uint16),
        ("bytes", ctypes.c_uint8 * 24),
        ("mnemonic", ctypes.c_char * 32),
        ("op_str", ctypes.c_char * 160),
        ("detail", ctypes.c_void_p),
    ]


_VALUE = _offset(_Operand, "value")
_OPERAND = _layout(
    [
        _field(_Operand, "type"),
        # the union's first word, a memory operand's segment, is also the register or the immediate
        *(_field(_Memory, name, _VALUE) for name in ("segment", "base", "index", "scale", "disp")),
        _field(_Operand, "size"),
    ],
    ctypes.sizeof(_Operand),
)
_ARCH = _offset(_Detail, "arch")
_COUNT = _ARCH + _offset(_X86, "op_count")
_OPERANDS = _ARCH + _offset(_X86, "operands")
_head = struct.Struct("<" + _layout([_field(_Insn, "id"), _field(_Insn, "size")])).unpack_from
_operands = [struct.Struct("<" + _OPERAND * n).unpack_from for n in range(9)]
WORDS = 7  # per operand in what `operands` returns

# capstone.h: CS_ARCH_X86, CS_MODE_16, CS_MODE_32, CS_OPT_DETAIL, CS_OPT_ON
_ARCH_X86, _MODES, _OPT_DETAIL, _OPT_ON = 3, {16: 1 << 1, 32: 1 << 2}, 2, 3
# add dword ptr es:[ebp + esi*8 + 0x12345678], 0x5a; its operands but for the numbers of registers
_KNOWN = bytes.fromhex("26 83 84 f5 78 56 34 12 5a")
_KNOWN_WORDS = {0: 3, 4: 8, 5: 0x12345678, 6: 4, 7: 2, 8: 0x5A, 13: 4}


@cache
def _library() -> Any:
    """The shared library that the package brings, or the one that the package itself finds."""
    suffix = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
    for path in sorted((folder() / "lib").glob(f"*capstone*.{suffix}*")):
        return ctypes.CDLL(str(path))
    import capstone

    return capstone._cs


class RawDecoder:
    """Decodes one instruction at a time into words; not to be shared between threads without a lock."""

    def __init__(self, bits: int) -> None:
        library = _library()
        handle = ctypes.c_size_t()
        failed = library.cs_open(_ARCH_X86, _MODES[bits], ctypes.byref(handle))
        if failed or library.cs_option(handle, _OPT_DETAIL, ctypes.c_size_t(_OPT_ON)):
            raise ImportError("capstone cannot decode x86")
        library.cs_malloc.restype = ctypes.c_void_p
        library.cs_insn_name.restype = ctypes.c_char_p
        self._library, self._handle = library, handle
        self._insn = int(library.cs_malloc(handle))
        self._head = self._view(self._insn, ctypes.sizeof(_Insn))
        self._detail = self._view(_Insn.from_address(self._insn).detail, ctypes.sizeof(_Detail))
        self._buffer = ctypes.create_string_buffer(MAX_LENGTH + 1)
        self._bytes = memoryview(self._buffer).cast("B")
        self._start = ctypes.addressof(self._buffer)
        self._code = ctypes.c_void_p(self._start)
        self._size = ctypes.c_size_t()
        self._address = ctypes.c_uint64()
        prototype = ctypes.PYFUNCTYPE(
            ctypes.c_bool, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
        )
        self._iterate = prototype(("cs_disasm_iter", library))
        self._arguments = (
            handle.value,
            ctypes.addressof(self._code),
            ctypes.addressof(self._size),
            ctypes.addressof(self._address),
            self._insn,
        )
        if bits == 32:
            self._check()

    def _check(self) -> None:
        """Raise ImportError if the fields are not where we look."""
        _, length = self.decode(_KNOWN)
        words = self.operands() if length == len(_KNOWN) else ()
        if len(words) != 2 * WORDS or any(words[n] != word for n, word in _KNOWN_WORDS.items()):
            raise ImportError("this capstone lays its records out in another way; version 5 is needed")

    @staticmethod
    def _view(address: int, size: int) -> memoryview:
        return memoryview((ctypes.c_char * size).from_address(address)).cast("B")

    def decode(self, window: bytes) -> tuple[int, int]:
        """capstone's id and the length of the instruction at the start of at most 15 bytes, or (0, 0)."""
        n = len(window)
        self._bytes[:n] = window
        self._code.value = self._start
        self._size.value = n
        self._address.value = 0
        if not self._iterate(*self._arguments):
            return 0, 0
        number, length = _head(self._head)
        return number, length

    def operands(self) -> tuple[int, ...]:
        """The operands of the instruction decoded last, `WORDS` words each."""
        return _operands[self._detail[_COUNT]](self._detail, _OPERANDS)

    def name(self, number: int) -> str:
        """capstone's mnemonic of an id."""
        return str(self._library.cs_insn_name(self._handle, ctypes.c_uint(number)).decode())

    def text(self) -> str:
        """capstone's text of the instruction decoded last."""
        insn = _Insn.from_address(self._insn)
        return f"{insn.mnemonic.decode()} {insn.op_str.decode()}".rstrip()
