"""Bytes to `Insn`: what the instruction fetcher of a processor sees.

capstone says which instruction it is and which operands it has; everything it gets wrong or leaves open is
settled here: prefixes are read again (the last of F2/F3 counts, a segment override may come twice),
immediates and displacements are masked to their size, branch targets become displacements, far pointers
get their true width, MOV and PUSH with system registers get ids of their own (`ids`), and encodings that
capstone takes but processors refuse are #UD. A record does not depend on its address, so equal bytes share
one. What an instruction does is its row in `table`; how it reads is `disasm`. SDM 2A, chapter 2.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Lock

import isa.ops  # noqa: F401  (fills the table)
from isa import consts as c
from isa import ids
from isa.capstone_c import MAX_LENGTH, WORDS, RawDecoder
from isa.capstone_ids import X
from isa.faults import GeneralProtection, InvalidOpcode
from isa.flags import CONDITION_NAMES
from isa.insn import REP, REPNE, Insn, Kind, Operand
from isa.table import BY_ID
from isa.x87_forms import CONDITIONS, NAMES, memory_form, register_form, x87


class TruncatedCode(Exception):
    """The bytes given end inside an instruction: the fetcher needs more."""


_OPERAND_SIZE, _ADDRESS_SIZE, _LOCK, _REPNE, _REP = 0x66, 0x67, 0xF0, 0xF2, 0xF3
_SEGMENT_PREFIX = {0x26: c.ES, 0x2E: c.CS, 0x36: c.SS, 0x3E: c.DS, 0x64: c.FS, 0x65: c.GS}
_PREFIXES = frozenset({_OPERAND_SIZE, _ADDRESS_SIZE, _LOCK, _REPNE, _REP, *_SEGMENT_PREFIX})
_PREFIX_BYTES = bytes(_PREFIXES)


def _id(name: str) -> int:
    return int(getattr(X, "X86_INS_" + name))


def _group(names: str) -> frozenset[int]:
    return frozenset(_id(name) for name in names.split())


def _registers() -> dict[int, Operand]:
    """capstone's register numbers as operands of ours; the same number is always the same object."""
    table: dict[int, Operand] = {}
    for kind, w, names in (
        (Kind.REG32, 32, c.REGISTER_NAMES),
        (Kind.REG16, 16, c.REGISTER16_NAMES),
        (Kind.SEGMENT, 16, c.SEGMENT_NAMES[:6]),
        (Kind.CONTROL, 32, [f"cr{n}" for n in range(16)]),
        (Kind.DEBUG, 32, [f"dr{n}" for n in range(16)]),
    ):
        for n, name in enumerate(names):
            table[int(getattr(X, "X86_REG_" + name.upper()))] = Operand(kind, w, n)
    for n, name in enumerate(c.REGISTER8_NAMES):
        high = 8 if n >= 4 else 0
        table[int(getattr(X, "X86_REG_" + name.upper()))] = Operand(Kind.REG8, 8, n & 3, shift=high)
    return table


_REGISTER = _registers()
_NUMBER = {r: o.n for r, o in _REGISTER.items() if o.kind in (Kind.REG32, Kind.REG16)}
_NO_REGISTER = -1


def _condition_ids() -> dict[int, tuple[int, str]]:
    """id → (condition number, name) of Jcc, SETcc, CMOVcc."""
    found = {}
    for cc, suffix in enumerate(CONDITION_NAMES):
        for stem in ("j", "set", "cmov"):
            found[_id((stem + suffix).upper())] = (cc, stem + suffix)
    found.update((x87("fcmov" + suffix), (cc, "fcmov" + suffix)) for suffix, cc in CONDITIONS.items())
    return found


_CONDITIONAL = _condition_ids()
_MOV_ID = _id("MOV")
_SYSTEM_MOVES = {
    0x8C: ids.MOV_SEG,
    0x8E: ids.MOV_SEG,
    0x0F20: ids.MOV_CR,
    0x0F22: ids.MOV_CR,
    0x0F21: ids.MOV_DR,
    0x0F23: ids.MOV_DR,
}
_SEGMENT_STACK = {_id("PUSH"): ids.PUSH_SEG, _id("POP"): ids.POP_SEG}
_SEGMENT_OPCODES = frozenset({0x06, 0x0E, 0x16, 0x1E, 0x07, 0x17, 0x1F, 0x0FA0, 0x0FA8, 0x0FA1, 0x0FA9})
_RENAMED = {_id("IRET"): ids.IRET, _id("IRETD"): ids.IRET, _id("RETF"): ids.RET_FAR}
_FAR_DIRECT = {0xEA: ids.JMP_FAR, 0x9A: ids.CALL_FAR}
_FAR_MEMORY = {5: ids.JMP_FAR, 3: ids.CALL_FAR}  # by the reg field of FF
_TRANSFERS = _group("JMP CALL LJMP LCALL LOOP LOOPE LOOPNE JCXZ JECXZ") | {
    n for n, (_, name) in _CONDITIONAL.items() if name.startswith("j")
}
_SHORT = frozenset({0xEB, 0xE0, 0xE1, 0xE2, 0xE3, *range(0x70, 0x80)})
_NEAR = frozenset({0xE8, 0xE9, *range(0x0F80, 0x0F90)})
_STRINGS = {
    _id(name + suffix): (name.lower(), w)
    for name in ("MOVS", "CMPS", "SCAS", "LODS", "STOS", "INS", "OUTS")
    for suffix, w in (("B", 8), ("W", 16), ("D", 32))
}
_XLAT = _id("XLATB")
_OUT = _id("OUT")
_NOP = _id("NOP")
_ENTER = _id("ENTER")
_BYTE_IMMEDIATE = _group("SHL SAL SHR SAR ROL ROR RCL RCR SHLD SHRD BT BTS BTR BTC INT IN OUT AAM AAD")
_WORD_IMMEDIATE = _group("RET RETF ENTER")
_FAR_LOADS = _group("LDS LES LFS LGS LSS")
_TABLES = _group("LGDT LIDT SGDT SIDT")
_OPERAND_SIZED = _TABLES | _group("RET INT INVLPG ENTER") | {ids.RET_FAR, ids.PUSH_SEG, ids.POP_SEG}
# Valid somewhere (AMD, SMM, TXT) or reserved to be undefined: #UD on this processor unless a row says else.
_UNDEFINED = _group("UD0 UD1 UD2 FEMMS RSM GETSEC SYSCALL SYSRET VMCALL VMMCALL")
_X87 = range(0xD8, 0xE0)
_X87_IMAGES = _group("FXSAVE FXRSTOR")
_SCANS = frozenset({0x0FBC, 0x0FBD})
_HINTS = frozenset({0x0F0D, *range(0x0F18, 0x0F20)})  # NOP where capstone knows no instruction (SDM 2B NOP)

_NAMES = {
    _id("PUSHAL"): "pusha",
    _id("PUSHAW"): "pusha",
    _id("POPAL"): "popa",
    _id("POPAW"): "popa",
    _id("PUSHFD"): "pushf",
    _id("POPFD"): "popf",
    _id("SAL"): "shl",
    _id("TZCNT"): "bsf",
    _id("LZCNT"): "bsr",
    _id("WBNOINVD"): "wbinvd",
    _XLAT: "xlat",
    ids.IRET: "iret",
    ids.RET_FAR: "retf",
    ids.JMP_FAR: "jmp far",
    ids.CALL_FAR: "call far",
    ids.MOV_SEG: "mov",
    ids.MOV_CR: "mov",
    ids.MOV_DR: "mov",
    ids.PUSH_SEG: "push",
    ids.POP_SEG: "pop",
    **{x87(name): name for name in NAMES},
}

_WITHOUT_REPEAT = bytes.maketrans(bytes([_REPNE, _REP]), bytes([0x3E, 0x3E]))
# Tails that tell "too short" from "undefined": some ModR/M byte after an opcode is good, or none is.
_PADDINGS = tuple(bytes([mod | reg << 3]) + bytes(14) for mod in (0x00, 0xC0) for reg in range(8))

_raw = {16: RawDecoder(16), 32: RawDecoder(32)}
_lock = Lock()
_insns: dict[int, dict[bytes, Insn]] = {16: {}, 32: {}}
_operands: dict[tuple[int, ...], Operand] = {}
_CACHE_LIMIT = 1 << 16


def decode(code: bytes | memoryview, bits: int = 32) -> Insn:
    """The instruction at the start of `code`, for a code segment of `bits` (CS.D).

    Raises `InvalidOpcode`, `GeneralProtection` (longer than 15 bytes) or `TruncatedCode`.
    """
    with _lock:
        return _decode(bytes(code[:MAX_LENGTH]), bits)


def _decode(window: bytes, bits: int) -> Insn:
    raw_decoder = _raw[bits]
    number, length = raw_decoder.decode(window)
    if not length:
        return _refused(window, bits)
    raw = window[:length]
    known = _insns[bits]
    insn = known.get(raw)
    if insn is None:
        decoding = _Decoding(raw, bits)
        if decoding.rep and decoding.w == 16 and decoding.opcode >= 0x0F00:
            decoding.raw = raw = decoding.without_repeat(window, number, length, bits)
        insn = decoding.insn(number, raw_decoder.operands())
        if len(known) >= _CACHE_LIMIT:
            known.clear()
        known[raw] = insn
    return insn


class _Decoding:
    """One instruction on its way from capstone's words to ours: prefixes, opcode, effective sizes."""

    __slots__ = ("aw", "lock", "modrm", "opcode", "raw", "rep", "segment", "w")

    def __init__(self, raw: bytes, bits: int) -> None:
        self.raw = raw
        self.w = self.aw = bits
        self.segment = -1
        self.rep = 0
        self.lock = False
        k = 0
        opcode = raw[0]
        while opcode in _PREFIXES:
            self._prefix(opcode, bits)
            k += 1
            opcode = raw[k]
        if opcode == 0x0F:
            k += 1
            opcode = 0x0F00 | raw[k]
        self.opcode = opcode
        self.modrm = raw[k + 1] if k + 1 < len(raw) else 0  # the byte after the opcode, whatever it is

    def _prefix(self, byte: int, bits: int) -> None:
        if byte == _OPERAND_SIZE:
            self.w = 48 - bits
        elif byte == _ADDRESS_SIZE:
            self.aw = 48 - bits
        elif byte == _LOCK:
            self.lock = True
        elif byte == _REPNE:
            self.rep = REPNE
        elif byte == _REP:
            self.rep = REP
        else:
            self.segment = _SEGMENT_PREFIX[byte]

    def without_repeat(self, window: bytes, number: int, length: int, bits: int) -> bytes:
        """Decode a two-byte opcode of 16 bits again without its F2 or F3; the bytes it has.

        Where F2 and F3 mean nothing, capstone lets them take the place of 66. Where they make another
        instruction, the first reading stands.
        """
        at = window.index(0x0F)
        plain = window[:at].translate(_WITHOUT_REPEAT) + window[at:]
        again, size = _raw[bits].decode(plain)
        if again == number:
            return window[:size]
        _raw[bits].decode(window)
        return window[:length]

    def insn(self, number: int, words: tuple[int, ...]) -> Insn:
        """The record, or the fault that the processor raises."""
        w, cc, name = self.w, 0, ""
        operands: tuple[Operand, ...] = ()
        if self.opcode in _X87:
            number, operands = self._x87(number, words)
        elif number in _STRINGS and self.opcode < 0x0F00:
            name, w = _STRINGS[number]
        elif number in _TRANSFERS:
            number, operands = self._transfer(number, words)
            w = self.w
        else:
            number = self._split(number)
            operands = self._operands(number, words)
            if operands and number not in _OPERAND_SIZED:
                w = operands[number == _OUT].w
        if number in _CONDITIONAL:
            cc, name = _CONDITIONAL[number]
        if number not in BY_ID and self.opcode in _HINTS:
            number, operands = _NOP, ()
        row = BY_ID.get(number if self.opcode not in _HINTS else ids.HINT)
        if row is None or (self.opcode >= 0x0F00 and number in _STRINGS):
            if number in _UNDEFINED:
                raise InvalidOpcode()
            row = BY_ID[ids.UNMODELLED]
        if number in _X87_IMAGES and (self.rep or _OPERAND_SIZE in self.raw[: self.raw.index(0x0F)]):
            raise InvalidOpcode()
        if self.lock and not (row.lockable and operands and operands[0].kind is Kind.MEM):
            raise InvalidOpcode()
        if not name:
            name = _NAMES.get(number) or _name(number, row.name)
        return Insn(
            row.index,
            name,
            len(self.raw),
            w,
            self.raw,
            operands,
            self.aw,
            cc,
            self.rep,
            self.lock,
            self.segment,
        )

    def _split(self, number: int) -> int:
        """The id, with ours in place of capstone's where it has one for several things; #UD filters."""
        if number == _MOV_ID:
            number = _SYSTEM_MOVES.get(self.opcode, number)
            reg = self.modrm >> 3 & 7
            if number == ids.MOV_SEG and (reg > c.GS or (reg == c.CS and self.opcode == 0x8E)):
                raise InvalidOpcode()
            if number == ids.MOV_CR and reg in (1, 5, 6, 7):
                raise InvalidOpcode()
            return number
        if number in _SEGMENT_STACK and self.opcode in _SEGMENT_OPCODES:
            return _SEGMENT_STACK[number]
        return _RENAMED.get(number, number)

    def _x87(self, number: int, words: tuple[int, ...]) -> tuple[int, tuple[Operand, ...]]:
        """An x87 instruction, from our own table of forms."""
        if self.modrm >= 0xC0:
            found = register_form(self.opcode, self.modrm)
            if found is None:
                raise InvalidOpcode()
            return found
        form = memory_form(self.opcode, self.modrm, self.w)
        return (number, ()) if form is None else (form[0], (self._memory(words[:WORDS], form[1]),))

    def _transfer(self, number: int, words: tuple[int, ...]) -> tuple[int, tuple[Operand, ...]]:
        """Jumps and calls: displacements from the bytes themselves, far forms under their own ids."""
        raw, opcode, w = self.raw, self.opcode, self.w
        if opcode in _SHORT:
            value = (raw[-1] ^ 0x80) - 0x80
        elif opcode in _NEAR:
            value = int.from_bytes(raw[-4:] if w == 32 else raw[-2:], "little", signed=True)
        elif opcode in _FAR_DIRECT:
            selector, offset = words[1], words[1 + WORDS]
            operand = Operand(Kind.FAR, w, selector & c.M16, offset & c.MASK[w])
            return _FAR_DIRECT[opcode], (operand,)
        elif opcode == 0xFF and self.modrm >> 3 & 7 in _FAR_MEMORY:
            return _FAR_MEMORY[self.modrm >> 3 & 7], (self._memory(words[:WORDS], w + 16),)
        else:
            return number, self._operands(number, words)
        return number, (_relative(value & c.M32, w),)

    def _operands(self, number: int, words: tuple[int, ...]) -> tuple[Operand, ...]:
        """The operands; none where one is a register of x87, MMX or SSE, which only `unmodelled` has."""
        result = []
        for at in range(0, len(words), WORDS):
            what = words[at]
            if what == X.X86_OP_REG:
                if words[at + 1] not in _REGISTER:
                    return ()
                result.append(_REGISTER[words[at + 1]])
            elif what == X.X86_OP_IMM:
                w = words[at + 6] * 8
                if number in _BYTE_IMMEDIATE or (number == _ENTER and at):
                    w = 8
                elif number in _WORD_IMMEDIATE:
                    w = 16
                result.append(_immediate(words[at + 1], w))
            else:
                result.append(self._memory(words[at : at + WORDS], self._width(number, words[at + 6] * 8)))
        if number == ids.MOV_SEG and self.opcode == 0x8E and result[1].kind is Kind.REG32:
            result[1] = Operand(Kind.REG16, 16, result[1].n)
        return tuple(result)

    def _width(self, number: int, capstone_w: int) -> int:
        """The width of a memory operand."""
        if number in _FAR_LOADS:
            return self.w + 16
        if number in _X87_IMAGES:
            return 512 * 8
        return 48 if number in _TABLES else capstone_w

    def _memory(self, words: tuple[int, ...], w: int) -> Operand:
        key = (*words, w, self.aw, self.segment)
        operand = _operands.get(key)
        if operand is None:
            _, _, base, index, scale, disp, _ = words
            base = _NUMBER.get(base, _NO_REGISTER)
            index = _NUMBER.get(index, _NO_REGISTER)
            segment = self.segment
            if segment < 0:
                segment = c.SS if base in (c.ESP, c.EBP) else c.DS
            shift = scale.bit_length() - 1
            value = disp & c.MASK[self.aw]
            operand = Operand(Kind.MEM, w, segment, value, 0, base, index, shift, self.aw)
            _remember(key, operand)
        return operand


def _remember(key: tuple[int, ...], operand: Operand) -> None:
    if len(_operands) >= _CACHE_LIMIT:
        _operands.clear()
    _operands[key] = operand


def _immediate(value: int, w: int) -> Operand:
    value &= c.MASK.get(w, c.M32)
    key = (value, w)
    operand = _operands.get(key)
    if operand is None:
        operand = Operand(Kind.IMM, w, 0, value)
        _remember(key, operand)
    return operand


def _relative(value: int, w: int) -> Operand:
    key = (value, w, 0)
    operand = _operands.get(key)
    if operand is None:
        operand = Operand(Kind.REL, w, 0, value)
        _remember(key, operand)
    return operand


def _name(number: int, row_name: str) -> str:
    name = _raw[32].name(number) if number < ids.FIRST else row_name
    return _NAMES.setdefault(number, name)


def _refused(window: bytes, bits: int) -> Insn:
    """What to do with bytes that capstone does not take: too long, too short, a hint, or undefined."""
    body = window.lstrip(_PREFIX_BYTES)
    prefixes = window[: len(window) - len(body)]
    full = len(window) == MAX_LENGTH
    if not body:
        raise GeneralProtection(0) if full else TruncatedCode()
    meant = _last_of_each(prefixes)
    if body[0] == 0x0F and len(body) > 1 and 0x0F00 | body[1] in _SCANS:
        meant = meant.replace(bytes([_REPNE]), b"")  # before BSF and BSR, where capstone knows F3 only
    compact = meant + body
    spared = len(window) - len(compact)
    for padding in _PADDINGS if len(compact) < MAX_LENGTH else (b"",):
        number, length = _raw[bits].decode((compact + padding)[:MAX_LENGTH])
        if not length:
            continue
        if length > len(compact):
            raise GeneralProtection(0) if full else TruncatedCode()
        decoding = _Decoding(window[: length + spared], bits)
        return decoding.insn(number, _raw[bits].operands())
    if body[0] in _X87 and len(body) > 1 and body[1] >= 0xC0:
        return _Decoding(window[: len(prefixes) + 2], bits).insn(0, ())
    if body[0] == 0x0F and len(body) > 1 and 0x0F00 | body[1] in _HINTS:
        return _hint(window, bits, len(prefixes) + 1)
    raise InvalidOpcode()


def _hint(window: bytes, bits: int, at: int) -> Insn:
    """A reserved hint executes as the documented NOP of the same length (SDM 2B NOP, 0F 1F)."""
    plain = window[:at].translate(_WITHOUT_REPEAT) + b"\x1f" + window[at + 1 :]
    if plain == window:
        raise InvalidOpcode()
    nop = _decode(plain, bits)
    return replace(nop, raw=window[: nop.length], operands=())


def _last_of_each(prefixes: bytes) -> bytes:
    """The prefixes without those that a later one of the same kind makes void."""
    kept: dict[str, int] = {}
    for byte in prefixes:
        kind = "segment" if byte in _SEGMENT_PREFIX else "repeat" if byte in (_REP, _REPNE) else str(byte)
        kept[kind] = byte
    return bytes(kept.values())


def foreign_text(code: bytes, bits: int = 32) -> str:
    """What capstone calls an instruction that has no row here."""
    with _lock:
        _raw[bits].decode(code)
        return _raw[bits].text()
