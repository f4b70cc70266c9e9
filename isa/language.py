"""The language in which x86 is defined: plain Python over machine words.

A definition is a function `(b, i)`: `i` is the instruction (`insn.Insn`), `b` the builder below. The
reference engine runs it as it stands, on Python ints; a compiled engine runs it on words that emit code,
after its `if`, `and`, `or`, `not`, conditional expressions and `raise` have been turned into branches
(`engine/trace.py`). So a definition keeps these rules:

* A word is an unsigned number below 2**w. After `+ - << ~ *` it may lie outside: mask it (`& c.M32`,
  `& c.MASK[w]`) before it is compared, shifted right, divided, stored, widened or passed on. Words of
  different widths meet at the wider one; `b.zext` and `b.trunc` say so where it matters to compiled code.
  A constant adapts to the word it meets; one that a decision on data chooses is a word itself, so a
  negative one is masked there (`-4 & c.M32 if down else 4`). `//` and `%` take a positive constant.
* A comparison gives a truth word, usable as 0 or 1; so do `and`, `or` and `not` on words, which therefore
  serve for their truth only. Comparisons are not chained.
* Signed things have names: `sext`, `sar`, `slt`, `smul`, `sdivmod`. Shift counts are below the width of
  what they shift: widen first (`b.zext(x, w, 64)`).
* What may fault comes first: loads, stores and checks before the first change of a register, so that a
  fault leaves the state as it was. Several stores: `b.probe` all of them first. A read that will be
  written back is `b.modify`, which checks for writing.
* No loops on data; REP runs one iteration at a time (`b.repeat`). Loops over constants are fine, with
  `continue` and `break` where a constant decides.
* A local that is read after a branch on data has a value of the same kind on all sides that go on; a side
  may also end (`return`, `raise`). State words are named by constants: `b.s[n]` with n a word is none.
* There is no `while`, `try`, `with`, nor a function within a definition; routines in `isa` may be called.

What `i` holds (width, kinds of operands, condition, prefixes) is known when code is compiled: `if` on it
costs nothing. This file is the whole vocabulary; SDM names are used for what they name there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from isa.insn import Operand

Word: TypeAlias = int  # a Python int in the reference engine; anything with its operators elsewhere


class Words(Protocol):
    """The state block, indexed by the names of `isa.state`."""

    def __getitem__(self, n: int, /) -> Word: ...
    def __setitem__(self, n: int, value: Word, /) -> None: ...


class Arithmetic(Protocol):
    """Calculating with words, whatever they belong to."""

    def zext(self, x: Word, w: int, to: int) -> Word:
        """x of w bits as `to` bits, zeros above."""

    def trunc(self, x: Word, to: int) -> Word:
        """The low `to` bits."""

    def sext(self, x: Word, w: int, to: int) -> Word:
        """x of w bits as `to` bits, its sign above."""

    def sar(self, x: Word, n: Word, w: int) -> Word:
        """Shift right by n < w with the sign."""

    def slt(self, x: Word, y: Word, w: int) -> Word:
        """Signed less-than."""

    def umul(self, x: Word, y: Word, w: int) -> tuple[Word, Word]:
        """Low and high half of the unsigned product."""

    def smul(self, x: Word, y: Word, w: int) -> tuple[Word, Word]:
        """Low and high half of the signed product."""

    def udivmod(self, high: Word, low: Word, y: Word, w: int) -> tuple[Word, Word]:
        """Quotient and remainder of high:low by y, unsigned; #DE if y is 0 or the quotient needs more
        than w bits."""

    def sdivmod(self, high: Word, low: Word, y: Word, w: int) -> tuple[Word, Word]:
        """The same, signed, truncated towards zero."""

    def ctz(self, x: Word, w: int) -> Word:
        """Number of the lowest set bit of x, which is not 0."""

    def clz(self, x: Word, w: int) -> Word:
        """Number of zeros above the highest set bit of x, which is not 0."""

    def isqrt(self, x: Word, w: int) -> Word:
        """The square root of x, rounded down, in half as many bits."""


class Builder(Arithmetic, Protocol):
    """What a definition may do."""

    @property
    def s(self) -> Words:
        """The state words of `isa.state`: `b.s[EAX]`, `b.s[CR3]`. EFLAGS is asked of `eflags` instead."""

    next: Word
    """EIP of the following instruction."""

    here: Word
    """EIP of this instruction."""

    @property
    def model_flags(self) -> int:
        """The bits of EFLAGS that this processor can change at all: a constant of the model."""

    @property
    def model_cr4(self) -> int:
        """The bits of CR4 that this processor has: a constant of the model."""

    # -- operands ---------------------------------------------------------------------------------
    def read(self, o: Operand) -> Word:
        """The value of an operand."""

    def modify(self, o: Operand) -> Word:
        """The value of an operand that will be written: memory is checked for writing."""

    def write(self, o: Operand, value: Word) -> None:
        """Store into an operand; a 16- or 8-bit register keeps its other bits."""

    def offset(self, o: Operand) -> Word:
        """The effective address of a memory operand, within its segment."""

    # -- memory -----------------------------------------------------------------------------------
    def load(self, segment: int, offset: Word, w: int) -> Word:
        """Read w bits through a segment and the page tables. #GP, #SS, #PF."""

    def load_rmw(self, segment: int, offset: Word, w: int) -> Word:
        """`load`, checked for writing."""

    def store(self, segment: int, offset: Word, value: Word, w: int) -> None:
        """Write w bits through a segment and the page tables. #GP, #SS, #PF."""

    def probe(self, segment: int, offset: Word, size: int) -> None:
        """Fault now if `size` bytes cannot be written there."""

    def load_system(self, linear: Word, w: int) -> Word:
        """Read a descriptor table or TSS: linear, as the supervisor whatever the CPL."""

    def store_system(self, linear: Word, value: Word, w: int) -> None:
        """Write a descriptor table or TSS."""

    def probe_system(self, linear: Word, size: int) -> None:
        """Fault now if the supervisor cannot write `size` bytes there."""

    def load_physical(self, address: Word, w: int) -> Word:
        """Read a page-table entry."""

    def store_physical(self, address: Word, value: Word, w: int) -> None:
        """Write a page-table entry."""

    # -- x87 --------------------------------------------------------------------------------------
    def r80(self, n: Word) -> Word:
        """Register Rn of the x87, an extended real of 80 bits; n a word below 8."""

    def set_r80(self, n: Word, value: Word) -> None:
        """Replace Rn; tags are the caller's business."""

    def f80(self, operation: str, form: str, control: Word, x: Word, y: Word) -> tuple[Word, Word]:
        """An operation of `isa.fpu` under a control word: its result, and what it adds to the status word.

        add sub subr mul div divr scale rem rem1 ylog2x ylog2x1 atan (x and y give an extended real), compare
        ucompare (condition codes) take y in `form`: extended single double integer16 integer32. sqrt rint
        exp2m1 sin cos tan unit exponent significand take x; load takes x in `form`, store gives it, both also as
        integer64 and decimal; constant is what the instruction `form` loads; examine gives FXAM's codes.
        """

    def fpu_error(self) -> None:
        """Report a pending x87 exception by the FERR# pin, as CR0.NE clear asks for, and wait."""

    # -- flags ------------------------------------------------------------------------------------
    def set_flags(self, kind: int, w: int, x: Word, y: Word, r: Word) -> None:
        """Leave a lazy record (`isa.flags`) of all six arithmetic flags."""

    def change_flags(self, mask: int, bits: Word) -> None:
        """Set the arithmetic flags of `mask` from `bits`, keep the others."""

    def cf(self) -> Word: ...
    def pf(self) -> Word: ...
    def af(self) -> Word: ...
    def zf(self) -> Word: ...
    def sf(self) -> Word: ...
    def of(self) -> Word: ...

    def eflags(self) -> Word:
        """The whole of EFLAGS."""

    def system_flags(self) -> Word:
        """EFLAGS with zeros for the arithmetic flags, which cost something to find."""

    def set_eflags(self, value: Word) -> None:
        """Replace the whole of EFLAGS; the caller has applied the rules."""

    def set_system_flags(self, value: Word) -> None:
        """Replace all but the arithmetic flags, which stay."""

    # -- control ----------------------------------------------------------------------------------
    def jump(self, target: Word) -> None:
        """Go on at CS:target; #GP(0) outside the limit."""

    def go(self, target: Word) -> None:
        """Go on at CS:target, which has been checked against the limit of the new CS."""

    def branch(self, taken: Word, target: Word) -> None:
        """Go on at CS:target if `taken`, else at `next`."""

    def repeat(self) -> None:
        """Run this instruction again (REP has iterations left)."""

    def set_segment(self, segment: int, selector: Word, base: Word, limit: Word, attr: Word) -> None:
        """Replace the visible and hidden parts of a segment register; nothing is checked."""

    def set_cpl(self, cpl: Word) -> None:
        """Change the privilege level."""

    def flush_tlb(self, *, keep_global: bool = False) -> None:
        """Forget translations: paging has changed."""

    def flush_page(self, linear: Word) -> None:
        """Forget one translation."""

    def inhibit_interrupts(self, *, debug: bool = False) -> None:
        """No interrupt before the following instruction has completed; with `debug` no debug trap either."""

    def debug_registers_changed(self) -> None:
        """A breakpoint may have become enabled, or a debug trap may be pending."""

    def commit(self) -> None:
        """From here on the instruction does not begin again: what goes wrong belongs to what comes next."""

    def unblock_nmi(self) -> None:
        """NMIs may come again, once this instruction has completed."""

    def halt(self) -> None:
        """Stop until an interrupt, once this instruction has completed."""

    def intercepts(self, vector: Word, software: bool) -> None:
        """Leave to the monitor if its policy wants this software interrupt."""

    # -- the world --------------------------------------------------------------------------------
    def port_in(self, port: Word, w: int) -> Word:
        """Read w bits from an I/O port; permission was checked."""

    def port_out(self, port: Word, value: Word, w: int) -> None:
        """Write w bits to an I/O port; permission was checked."""

    def cpuid(self, leaf: Word, subleaf: Word) -> tuple[Word, Word, Word, Word]:
        """EAX, EBX, ECX, EDX of a CPUID leaf."""

    def timestamp(self) -> tuple[Word, Word]:
        """Low and high half of the time-stamp counter."""

    def read_msr(self, index: Word) -> tuple[Word, Word]:
        """Low and high half of a model-specific register; #GP(0) if there is none."""

    def write_msr(self, index: Word, low: Word, high: Word) -> None:
        """Write a model-specific register; #GP(0) if there is none."""

    def not_modelled(self, what: str) -> None:
        """Stop honestly: this form is not there yet."""
