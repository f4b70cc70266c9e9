"""One parsed instruction to bytes.

The way of an instruction: its prefixes become bytes; jumps and calls to a place become a `Branch`;
everything else is resolved to names and numbers, and then looked up, in this order: in the cache, in
the string forms, in `rawforms.py`, and last at keystone, which is shown a text written here. What
comes out is read back by `verify.py` before anyone sees it.

Here too: which operand may have which size, because "invalid operand" helps nobody. A memory operand
whose size nothing determines is an error, as is a number that does not fit.

Not here: where things lie (`relax.py`). Read next: `engines.py`, `rawforms.py`, `verify.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from isa.asm.diagnostics import Problem, closest
from isa.asm.engines import keystone_bytes, mnemonics, segment_bytes
from isa.asm.expression import Context
from isa.asm.items import Branch, Bytes, Fix, Instruction, Item
from isa.asm.lexer import Token
from isa.asm.names import ALIASES, COMMON_MNEMONICS, CONDITIONS, PREFIXES, SEGMENT_PREFIX, SIZE_NAMES, words
from isa.asm.operands import (
    STAND_IN_DISPLACEMENT,
    STAND_IN_IMMEDIATE,
    STAND_IN_SELECTOR,
    Far,
    Hole,
    Imm,
    Mem,
    Parsed,
    Reg,
    Resolved,
    resolve,
)
from isa.asm.rawforms import FORMS, STRING_OPCODES, STRINGS, Misfit, string_form
from isa.asm.sizes import NEEDS_SIZE, sized, width_of
from isa.asm.verify import check

_BRANCHES: dict[str, tuple[bytes, bytes]] = {
    "jmp": (b"\xeb", b"\xe9"),
    "call": (b"", b"\xe8"),
    "loopne": (b"\xe0", b""),
    "loope": (b"\xe1", b""),
    "loop": (b"\xe2", b""),
    "jecxz": (b"\xe3", b""),
    "jcxz": (b"\x67\xe3", b""),
    **{ALIASES[f"j{cc}"]: (bytes([0x70 + n]), bytes([0x0F, 0x80 + n])) for cc, n in CONDITIONS.items()},
}
_RAW_WIDTH = {"ret": 16, "retf": 16, "enter": 16}
_SELECTORS = words("mov lar lsl")
_LOCKABLE = words(
    """
    add adc and btc btr bts cmpxchg cmpxchg8b dec inc neg not or sbb sub xor xadd xchg
    """
)
_WITH_FWAIT = {f"f{n}": f"fn{n}" for n in ("stsw", "stcw", "stenv", "init", "save", "clex")}
_REPEATED = {
    "rep": ("movs", "stos", "lods", "ins", "outs"),
    "repe": ("cmps", "scas"),
    "repne": ("cmps", "scas"),
}
_PREFIX_NAMES = {"repz": "repe", "repnz": "repne"}

_Key = tuple[tuple[str, ...], str, tuple[Resolved, ...]]
_cache: dict[_Key, bytes] = {}
_CACHE_LIMIT = 50_000


def prepare(insn: Instruction, ctx: Context) -> Item:
    """The instruction as bytes with holes, or as a branch. Raises a `Problem` with a place."""
    try:
        return _prepare(insn, ctx)
    except Misfit as problem:
        if problem.line is None and problem.operand < len(insn.operands):
            problem.at(insn.operands[problem.operand].token)
        raise _as_written(problem, insn) from None
    except Problem as problem:
        raise _as_written(problem, insn) from None


def _as_written(problem: Problem, insn: Instruction) -> Problem:
    """The problem with a place, and with the mnemonic spelled as in the source."""
    canonical = ALIASES.get(insn.mnemonic)
    if canonical is not None:
        problem.message = problem.message.replace(f"`{canonical}`", f"`{insn.mnemonic}`")
    return problem.placed(insn.token)


def _prepare(insn: Instruction, ctx: Context) -> Item:
    mnemonic = ALIASES.get(insn.mnemonic, insn.mnemonic)
    operands = insn.operands
    if (
        mnemonic in _BRANCHES
        and len(operands) == 1
        and operands[0].kind == "imm"
        and operands[0].reach != "far"
    ):
        return _branch(insn, mnemonic, operands[0])
    for operand in operands:
        if operand.reach and (mnemonic not in ("jmp", "call") or operand.reach == "short"):
            raise Problem(f"`{operand.reach}` belongs to a jump to a label", operand.token)
    mnemonic, operands = _far_spelling(mnemonic, operands)
    holes: list[Hole] = []
    resolved = tuple(resolve(operand, ctx, holes) for operand in operands)
    if mnemonic in ("ljmp", "lcall") and len(resolved) == 2:
        resolved = _joined_pointer(resolved)
    prefixes = tuple(p.text.lower() for p in insn.prefixes)
    key = (prefixes, mnemonic, resolved)
    code = _cache.get(key)
    if code is None:
        code = _build(mnemonic, resolved, insn.prefixes)
        if len(_cache) >= _CACHE_LIMIT:
            _cache.clear()
        _cache[key] = code
    fixes = tuple(_fix(code, hole, mnemonic, resolved) for hole in holes)
    return Bytes(insn.line, code, fixes)


def _branch(insn: Instruction, mnemonic: str, operand: Parsed) -> Branch:
    if insn.prefixes:
        raise Problem(f"`{insn.prefixes[0].text}` cannot stand before `{mnemonic}`", insn.prefixes[0])
    if operand.size not in (0, 32):
        raise Problem("a jump within a segment has a 32-bit target", operand.token)
    short, long = _BRANCHES[mnemonic]
    if operand.reach == "short":
        if not short:
            raise Problem(f"`{mnemonic}` has no short form", operand.token)
        long = b""
    if operand.reach == "near":
        if not long:
            raise Problem(f"`{mnemonic}` has only a short form", operand.token)
        short = b""
    for opcode, width in ((short, 1), (long, 4)):
        key: _Key = ((), opcode.hex(), ())
        if opcode and key not in _cache:
            length = len(opcode) + width
            check(opcode + bytes(width), mnemonic, (Imm(length, 32),))
            _cache[key] = opcode
    return Branch(insn.line, operand.token, mnemonic, short, long, operand.expr)


def _far_spelling(mnemonic: str, operands: list[Parsed]) -> tuple[str, list[Parsed]]:
    """`jmp far [m]`, `jmp fword ptr [m]` and `jmp sel:off` are `ljmp`."""
    if mnemonic in ("jmp", "call") and len(operands) == 1:
        operand = operands[0]
        far_memory = operand.kind == "mem" and (operand.reach == "far" or operand.size == 48)
        if operand.kind == "far" or far_memory:
            if operand.kind == "far" and operand.size not in (0, 32):
                raise Problem("a far jump of 32-bit code has a 32-bit offset", operand.token)
            return "l" + ("jmp" if mnemonic == "jmp" else "call"), operands
        if operand.reach == "far":
            raise Problem(
                f"`{mnemonic} far` needs a selector and an offset", operand.token, hint="as in jmp 0x08:label"
            )
    return mnemonic, operands


def _joined_pointer(resolved: tuple[Resolved, ...]) -> tuple[Resolved, ...]:
    """`ljmp 8, label` means `ljmp 8:label`."""
    selector, offset = resolved
    if isinstance(selector, Imm) and isinstance(offset, Imm) and 0 <= selector.value <= 0xFFFF:
        return (Far(selector.value, offset.value),)
    return resolved


# ------------------------------------------------------------------------------------- building


def _build(mnemonic: str, operands: tuple[Resolved, ...], prefixes: Sequence[Token]) -> bytes:
    _known(mnemonic)
    segment = next((o.segment for o in operands if isinstance(o, Mem) and o.segment), "")
    base = next((o.base for o in operands if isinstance(o, Mem)), "")
    is_string = mnemonic in STRINGS and not any(
        isinstance(o, Reg) and o.kind in ("xmm", "mmx") for o in operands
    )
    if is_string:
        code, segment = string_form(mnemonic, operands)
        stem, _ = STRINGS[mnemonic]
        width = 8 if not code[-1] & 1 else 16 if code[0] == 0x66 else 32
        mnemonic, operands, base = stem + {8: "b", 16: "w", 32: "d"}[width], (), ""
    else:
        mnemonic, operands, code = _general(mnemonic, operands)
    front = _prefix_bytes(mnemonic, operands, prefixes)
    front += segment_bytes(segment, base)
    instructions = 1
    if mnemonic in _WITH_FWAIT.values() and code[:1] == b"\x9b":
        # The waiting forms are an fwait and the instruction proper.
        front, code, instructions = b"\x9b" + front, code[1:], 2
    if prefixes and {p.text.lower() for p in prefixes} & {"data16", "o16", "addr16", "a16"}:
        operands = ()
    # The decoder reads ud1 without the operand byte that processors take with it.
    whole = front + code
    check(
        whole[:2] if mnemonic == "ud1" else whole,
        mnemonic,
        operands if mnemonic != "ud1" else (),
        instructions,
    )
    return whole


def _general(mnemonic: str, operands: tuple[Resolved, ...]) -> tuple[str, tuple[Resolved, ...], bytes]:
    """Mnemonic and operands as they will be read back, and the bytes."""
    if mnemonic in _WITH_FWAIT:
        mnemonic, operands, code = _general(_WITH_FWAIT[mnemonic], operands)
        return mnemonic, operands, b"\x9b" + code
    form = FORMS.get(mnemonic)
    raw = form(mnemonic, operands) if form is not None else None
    if raw is not None:
        return *_read_back(mnemonic, operands, raw), raw
    if mnemonic == "imul" and len(operands) == 2 and isinstance(operands[1], Imm):
        operands = (operands[0], *operands)
    if any(isinstance(o, Far) for o in operands):
        raise Problem(f"`{mnemonic}` does not take a far pointer")
    operands = sized(mnemonic, operands)
    words = [o.text() if isinstance(o, Reg | Mem) else _literal(o) for o in operands]
    text = f"{mnemonic} {', '.join(words)}".strip()
    encoded = keystone_bytes(text)
    if encoded is None:
        kinds = ", ".join(_kind(o) for o in operands) or "none"
        hint = None
        if mnemonic == "lea" and any(isinstance(o, Imm) for o in operands):
            hint = "the address is written in brackets: lea eax, [label]"
        elif mnemonic in NEEDS_SIZE and any(isinstance(o, Imm) for o in operands[:1]):
            hint = "[label] is what is stored at a label, label alone is its address"
        elif any(isinstance(o, Reg) and o.kind in ("control", "debug") for o in operands):
            hint = "control and debug registers are moved to and from 32-bit registers"
        if not operands:
            raise Problem(f"`{mnemonic}` needs an operand")
        raise Problem(f"`{mnemonic}` does not take these operands: {kinds}", hint=hint)
    return mnemonic, operands, encoded


def _read_back(
    mnemonic: str, operands: tuple[Resolved, ...], code: bytes
) -> tuple[str, tuple[Resolved, ...]]:
    """How the decoder shows a raw form: sizes are seen to already, and selectors count as 32 bits."""
    if code == b"\xcc":
        return "int3", ()
    if mnemonic == "xlatb":
        return mnemonic, ()
    shown: list[Resolved] = []
    for operand in operands:
        if isinstance(operand, Mem):
            operand = operand._replace(size=0)
        elif isinstance(operand, Imm) and not operand.size:
            operand = operand._replace(size=_RAW_WIDTH.get(mnemonic, 0) if operand is operands[0] else 0)
        elif (
            isinstance(operand, Reg)
            and operand.bits == 16
            and operand.kind == "general"
            and mnemonic in _SELECTORS
        ):
            kept = operand is operands[0] and (code[0] == 0x66 or mnemonic != "mov")
            operand = operand if kept else operand._replace(name=f"e{operand.name}", bits=32)
        shown.append(operand)
    return mnemonic, tuple(shown)


def _literal(operand: Resolved) -> str:
    assert isinstance(operand, Imm)
    return f"0x{operand.value & ((1 << (operand.size or 32)) - 1):x}"


def _kind(operand: Resolved) -> str:
    if isinstance(operand, Reg):
        return f"{operand.bits}-bit register" if operand.kind == "general" else f"{operand.kind} register"
    if isinstance(operand, Mem):
        return f"{SIZE_NAMES.get(operand.size, '')} memory".strip()
    return "far pointer" if isinstance(operand, Far) else "number"


def _known(mnemonic: str) -> None:
    names = mnemonics()
    if mnemonic in names or mnemonic in FORMS or mnemonic in STRINGS or mnemonic in ALIASES:
        return
    if mnemonic in _WITH_FWAIT or mnemonic in _BRANCHES:
        return
    raise Problem(f"unknown instruction `{mnemonic}`", hint=_mnemonic_hint(mnemonic))


def all_mnemonics() -> set[str]:
    """Every mnemonic that may be written."""
    every = {*FORMS, *STRINGS, *ALIASES, *_WITH_FWAIT, *_BRANCHES, *PREFIXES}
    return every | mnemonics()


def _mnemonic_hint(mnemonic: str) -> str | None:
    names = all_mnemonics()
    if mnemonic[-1:] in "bwl" and mnemonic[:-1] in names:
        size = {"b": "byte", "w": "word", "l": "dword"}[mnemonic[-1]]
        return f"the size suffix is AT&T spelling: write `{mnemonic[:-1]}`, with `{size}` before an address"
    if mnemonic in ("movsxd", "movabs", "syscallq", "pushq", "popq", "callq", "retq", "movq"):
        return "this is a 64-bit instruction; the machine is a 32-bit one"
    common = closest(mnemonic, COMMON_MNEMONICS)
    match = common or closest(mnemonic, names)
    return f"did you mean `{match}`?" if match else None


# -------------------------------------------------------------------------------------- prefixes


def _prefix_bytes(mnemonic: str, operands: tuple[Resolved, ...], prefixes: Sequence[Token]) -> bytes:
    front = bytearray()
    for token in prefixes:
        name = token.text.lower()
        name = _PREFIX_NAMES.get(name, name)
        if name == "lock":
            _lockable(mnemonic, operands, token)
        elif name in _REPEATED:
            _repeatable(mnemonic, name, token)
        byte = SEGMENT_PREFIX[name] if name in SEGMENT_PREFIX else PREFIXES[name]
        if byte in front:
            raise Problem(f"`{token.text}` is written twice", token)
        front.append(byte)
    return bytes(front)


def _lockable(mnemonic: str, operands: tuple[Resolved, ...], token: Token) -> None:
    memory = bool(operands) and isinstance(operands[0], Mem)
    if mnemonic == "xchg":
        memory = any(isinstance(o, Mem) for o in operands)
    if mnemonic not in _LOCKABLE:
        raise Problem(f"`lock` before `{mnemonic}` is an invalid instruction", token)
    if not memory:
        raise Problem("`lock` needs a destination in memory", token)


def _repeatable(mnemonic: str, name: str, token: Token) -> None:
    stem = STRINGS[mnemonic][0] if mnemonic in STRINGS else ""
    if stem in _REPEATED[name] or mnemonic in ("ret", "retf"):
        return
    # `rep cmpsb` is what `repe cmpsb` is encoded as, and people write it.
    if name == "rep" and stem in STRING_OPCODES:
        return
    if stem:
        raise Problem(f"`{token.text}` before `{mnemonic}` has no meaning", token, hint="write rep")
    raise Problem(f"`{token.text}` only stands before a string instruction", token)


# ----------------------------------------------------------------------------------------- holes


def _fix(code: bytes, hole: Hole, mnemonic: str, operands: tuple[Resolved, ...]) -> Fix:
    """Where in `code` the value of `hole` belongs."""
    if hole.stand_in == STAND_IN_SELECTOR:
        return Fix(len(code) - 2, 2, hole.expr)
    wide = hole.stand_in.to_bytes(4, "little")
    # The displacement comes before the immediate; a literal may happen to look like a stand-in.
    at = code.find(wide) if hole.stand_in == STAND_IN_DISPLACEMENT else code.rfind(wide)
    if at >= 0:
        return Fix(at, 4, hole.expr)
    if hole.stand_in == STAND_IN_IMMEDIATE:
        if code.endswith(wide[:2]) and any(width_of(o) == 16 for o in operands):
            return Fix(len(code) - 2, 2, hole.expr)
        if code.endswith(wide[:1]):
            return Fix(len(code) - 1, 1, hole.expr)
    what = "displacement" if hole.stand_in == STAND_IN_DISPLACEMENT else "operand"
    raise Problem(f"this {what} of `{mnemonic}` must be a constant; it depends on a label", hole.expr.token)
