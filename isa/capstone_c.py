"""capstone's C interface without its Python objects: one preallocated `cs_insn`, read as raw words.

`capstone.Cs.disasm` costs 40 µs an instruction, nearly all of it ctypes objects; this costs 4. Where a
field lies is asked of capstone's own ctypes classes. Nothing here knows what x86 means: that is `decode`,
the only user.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import capstone
from capstone import _cs, _cs_detail, _cs_insn, x86

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


_VALUE = _offset(x86.X86Op, "value")
_OPERAND = _layout(
    [
        _field(x86.X86Op, "type"),
        _field(x86.X86OpMem, "segment", _VALUE),  # the union's first word: register and immediate too
        *(_field(x86.X86OpMem, name, _VALUE) for name in ("base", "index", "scale", "disp")),
        _field(x86.X86Op, "size"),
    ],
    ctypes.sizeof(x86.X86Op),
)
_X86 = _offset(_cs_detail, "arch")
_COUNT = _X86 + _offset(x86.CsX86, "op_count")
_OPERANDS = _X86 + _offset(x86.CsX86, "operands")
_head = struct.Struct("<" + _layout([_field(_cs_insn, "id"), _field(_cs_insn, "size")])).unpack_from
_operands = [struct.Struct("<" + _OPERAND * n).unpack_from for n in range(9)]
WORDS = 7  # per operand in what `operands` returns


class RawDecoder:
    """Decodes one instruction at a time into words; not to be shared between threads without a lock."""

    def __init__(self, bits: int) -> None:
        mode = capstone.CS_MODE_32 if bits == 32 else capstone.CS_MODE_16
        self._engine = capstone.Cs(capstone.CS_ARCH_X86, mode)
        self._engine.detail = True
        malloc = _cs.cs_malloc
        malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        self._insn = int(malloc(self._engine.csh))
        detail = ctypes.addressof(_cs_insn.from_address(self._insn).detail.contents)
        self._head = self._view(self._insn, ctypes.sizeof(_cs_insn))
        self._detail = self._view(detail, ctypes.sizeof(_cs_detail))
        self._buffer = ctypes.create_string_buffer(MAX_LENGTH + 1)
        self._bytes = memoryview(self._buffer).cast("B")
        self._start = ctypes.addressof(self._buffer)
        self._code = ctypes.c_void_p(self._start)
        self._size = ctypes.c_size_t()
        self._address = ctypes.c_uint64()
        prototype = ctypes.PYFUNCTYPE(
            ctypes.c_bool, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
        )
        self._iterate = prototype(("cs_disasm_iter", _cs))
        self._arguments = (
            self._engine.csh.value,
            ctypes.addressof(self._code),
            ctypes.addressof(self._size),
            ctypes.addressof(self._address),
            self._insn,
        )

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
        return str(self._engine.insn_name(number))

    def text(self) -> str:
        """capstone's text of the instruction decoded last."""
        insn = _cs_insn.from_address(self._insn)
        return f"{insn.mnemonic.decode()} {insn.op_str.decode()}".rstrip()
