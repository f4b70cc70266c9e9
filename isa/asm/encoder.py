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
from functools import cache
from typing import NamedTuple

from isa.asm.branches import BRANCHES, LOOPS, branch, is_branch
from isa.asm.diagnostics import Problem, closest
from isa.asm.engines import keystone_bytes, mnemonics, segment_bytes
from isa.asm.expression import Context
from isa.asm.items import Bytes, Fix, Instruction, Item
from isa.asm.lexer import Token
from isa.asm.names import ALIASES, COMMON_MNEMONICS, PREFIXES, SEGMENT_PREFIX, SIZE_NAMES, words
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
    misplaced_size,
    resolve,
)
from isa.asm.rawforms import FORMS, STRING_OPCODES, STRINGS, Misfit, string_form
from isa.asm.sizes import NEEDS_SIZE, sized, width_of
from isa.asm.verify import check
from isa.asm.widths import (
    CODE32,
    SIZE_PREFIXES,
    SIZED_NAMES,
    Mode,
    adapt,
    displacement_at,
    implied_prefix,
    misread,
    narrow,
    placed,
    spelled,
    with_sizes,
)

_RAW_WIDTHS = {"ret": (16, 0), "retf": (16, 0), "enter": (16, 8)}
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

_Key = tuple[tuple[str, ...], str, tuple[Resolved, ...], Mode, int, int]
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
    written = insn.token.text.lower()
    base = SIZED_NAMES.get(insn.mnemonic, (insn.mnemonic, 0))[0]
    for name in {insn.mnemonic, base, ALIASES.get(base, base)} - {written}:
        problem.message = problem.message.replace(f"`{name}`", f"`{written}`")
    if insn.att and problem.hint:
        # Hints show Intel operands.
        problem.hint = "a suffix says the size: b, w or l, as in movl" if "dword" in problem.hint else None
    return problem.placed(insn.token)


def _prepare(insn: Instruction, ctx: Context) -> Item:
    mode = insn.mode
    requested = dict(SIZE_PREFIXES[p.text.lower()] for p in insn.prefixes if p.text.lower() in SIZE_PREFIXES)
    written, counter = LOOPS.get(insn.mnemonic, (insn.mnemonic, requested.get("address", 0)))
    mnemonic, width, asked = spelled(written, mode, requested.get("operand", 0))
    operands = insn.operands
    if is_branch(mnemonic, operands):
        return branch(insn, mnemonic, width, counter)
    for operand in operands:
        if operand.reach and (mnemonic not in ("jmp", "call") or operand.reach == "short"):
            raise Problem(f"`{operand.reach}` belongs to a jump to a label", operand.token)
        if operand.address == 32 == mode.bits:
            raise misplaced_size(operand.token)
    mnemonic = _far_spelling(mnemonic, operands)
    holes: list[Hole] = []
    resolved = tuple(resolve(operand, ctx, holes) for operand in operands)
    if mnemonic in ("ljmp", "lcall") and len(resolved) == 2:
        resolved = _joined_pointer(resolved)
    prefixes = tuple(p.text.lower() for p in insn.prefixes)
    key = (prefixes, mnemonic, resolved, mode, width, asked)
    code = _cache.get(key)
    if code is None:
        code = _build(mnemonic, resolved, insn.prefixes, Sizes(mode, width, asked, requested))
        if len(_cache) >= _CACHE_LIMIT:
            _cache.clear()
        _cache[key] = code
    if not holes:
        return Bytes(insn.line, code)
    settled = _settled(mnemonic, resolved, Sizes(mode, width, asked, requested))
    fixes = tuple(_fix(code, hole, mnemonic, settled) for hole in holes)
    return Bytes(insn.line, code, fixes)


def _far_spelling(mnemonic: str, operands: list[Parsed]) -> str:
    """`jmp far [m]`, `jmp fword ptr [m]` and `jmp sel:off` are `ljmp`."""
    if mnemonic in ("jmp", "call") and len(operands) == 1:
        operand = operands[0]
        far_memory = operand.kind == "mem" and (operand.reach == "far" or operand.size == 48)
        if operand.kind == "far" or far_memory:
            if operand.kind == "far" and operand.size not in (0, 16, 32):
                raise Problem("a far jump has an offset of 16 or 32 bits", operand.token)
            return "l" + mnemonic
        if operand.reach == "far":
            raise Problem(
                f"`{mnemonic} far` needs a selector and an offset", operand.token, hint="as in jmp 0x08:label"
            )
    return mnemonic


def _joined_pointer(resolved: tuple[Resolved, ...]) -> tuple[Resolved, ...]:
    """`ljmp 8, label` means `ljmp 8:label`."""
    selector, offset = resolved
    if isinstance(selector, Imm) and isinstance(offset, Imm) and 0 <= selector.value <= 0xFFFF:
        return (Far(selector.value, offset.value),)
    return resolved


# ------------------------------------------------------------------------------------- building


class Sizes(NamedTuple):
    """Which sizes apply to one instruction."""

    mode: Mode
    width: int
    """The operand size where no operand shows one."""
    asked: int
    """That size if it was written, else 0."""
    requested: dict[str, int]
    """What prefixes ask for: `operand` and `address`."""


def _settled(mnemonic: str, operands: tuple[Resolved, ...], sizes: Sizes) -> tuple[Resolved, ...]:
    """The operands with the sizes that they have from the code around them."""
    address = sizes.requested.get("address", 0)
    operands = tuple(
        placed(o, i, sizes.mode, address) if isinstance(o, Mem) else o for i, o in enumerate(operands)
    )
    return with_sizes(mnemonic, operands, sizes.width, sizes.asked)


def _build(mnemonic: str, operands: tuple[Resolved, ...], prefixes: Sequence[Token], sizes: Sizes) -> bytes:
    _known(mnemonic)
    mode, requested = sizes.mode, sizes.requested
    operands, prefixes = _overridden(mnemonic, _settled(mnemonic, operands, sizes), prefixes)
    memory = next((o for o in operands if isinstance(o, Mem)), None)
    address = memory.address if memory else requested.get("address", 0)
    segment, base = (memory.segment, memory.base) if memory else ("", "")
    is_string = mnemonic in STRINGS and not any(
        isinstance(o, Reg) and o.kind in ("xmm", "mmx") for o in operands
    )
    if is_string:
        code, segment = string_form(mnemonic, operands)
        stem, _ = STRINGS[mnemonic]
        bits = 8 if not code[-1] & 1 else 16 if code[0] == 0x66 else 32
        mnemonic, operands, base = stem + {8: "b", 16: "w", 32: "d"}[bits], (), ""
    elif memory and address == 16 and mnemonic != "xlatb":
        mnemonic, operands, code = _with_narrow_address(mnemonic, operands, memory)
    else:
        mnemonic, operands, code = _general(mnemonic, operands)
    front = _prefix_bytes(mnemonic, operands, prefixes)
    front += segment_bytes(segment, base)
    instructions = 1
    if mnemonic in _WITH_FWAIT.values() and code[:1] == b"\x9b":
        # The waiting forms are an fwait and the instruction proper.
        front, code, instructions = b"\x9b" + front, code[1:], 2
    plain = implied_prefix(mnemonic, operands, sizes.width) + code
    code = adapt(plain, mode, requested.get("operand", 0), address)
    if "operand" in requested or ("address" in requested and not memory):
        operands = ()
    whole = front + code
    if mnemonic == "ud1":
        # The decoder reads it without the operand byte that processors take with it.
        check(whole[: whole.index(b"\x0f\xb9") + 2], mnemonic, (), instructions, mode.bits)
    elif mode.bits == 16 and misread(code, mnemonic, operands):
        check(front + adapt(plain, CODE32, 0, address), mnemonic, operands, instructions)
    else:
        check(whole, mnemonic, operands, instructions, mode.bits)
    return whole


def _overridden(
    mnemonic: str, operands: tuple[Resolved, ...], prefixes: Sequence[Token]
) -> tuple[tuple[Resolved, ...], Sequence[Token]]:
    """A segment written before the instruction, as in `fs mov eax, [ebx]`, moved to its address."""
    named = [p for p in prefixes if p.text.lower() in SEGMENT_PREFIX]
    memory = next((o for o in operands if isinstance(o, Mem)), None)
    if not named or memory is None or mnemonic in STRINGS:
        return operands, prefixes
    if memory.segment or len(named) > 1:
        raise Problem("an address has one segment", named[-1])
    there = memory._replace(segment=named[0].text.lower())
    return tuple(there if o is memory else o for o in operands), [p for p in prefixes if p not in named]


def _with_narrow_address(
    mnemonic: str, operands: tuple[Resolved, ...], memory: Mem
) -> tuple[str, tuple[Resolved, ...], bytes]:
    """An instruction with an address of 16 bits, encoded by way of `[ebx]`."""
    shown = memory._replace(base="ebx", scaled="", scale=1, disp=0, address=32)
    mnemonic, operands, code = _general(mnemonic, tuple(shown if o is memory else o for o in operands))
    accumulator = any(isinstance(o, Reg) and o.name in ("al", "ax", "eax") for o in operands)
    waiting = code[:1] == b"\x9b"
    code = code[:waiting] + narrow(code[waiting:], memory, mnemonic == "mov" and accumulator)
    real = tuple(
        o._replace(base=memory.base, scaled=memory.scaled, scale=1, disp=memory.disp, address=16)
        if isinstance(o, Mem)
        else o
        for o in operands
    )
    return mnemonic, real, code


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
            widths = _RAW_WIDTHS.get(mnemonic, (0, 0))
            operand = operand._replace(size=widths[operand is not operands[0]])
        elif (
            isinstance(operand, Reg)
            and operand.bits == 16
            and operand.kind == "general"
            and mnemonic in _SELECTORS
        ):
            kept = code[0] == 0x66 or (operand is operands[0] and mnemonic != "mov")
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
    if mnemonic in _WITH_FWAIT or mnemonic in BRANCHES:
        return
    raise Problem(f"unknown instruction `{mnemonic}`", hint=_mnemonic_hint(mnemonic))


@cache
def all_mnemonics() -> frozenset[str]:
    """Every mnemonic that may be written."""
    every = {*FORMS, *STRINGS, *ALIASES, *_WITH_FWAIT, *BRANCHES, *PREFIXES, *SIZED_NAMES, *LOOPS}
    return mnemonics() | every


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
        if name in SIZE_PREFIXES:
            continue
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
    if hole.stand_in == STAND_IN_DISPLACEMENT and any(
        isinstance(o, Mem) and o.address == 16 for o in operands
    ):
        return Fix(displacement_at(code), 2, hole.expr)
    if isinstance(operands[0], Far) and operands[0].size == 16:
        return Fix(len(code) - 4, 2, hole.expr)
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
