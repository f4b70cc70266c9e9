"""The table of instructions: one `Row` each, registered by the decorator beside its definition.

A row says which capstone ids it decodes from, what executes it (`define`), who may execute it
(`privilege`), what Popek and Goldberg would call it (`sensitive`), what it touches, the rule that makes
it so, and where the SDM has it. Whoever wants to know something about an instruction asks here: decoder,
engines, monitors, `vmsim explain`, tests. capstone's own groups are not used: they are wrong for
monitors (they miss RDMSR, CLTS, IN and OUT, and call STR privileged).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from isa.insn import Insn
    from isa.language import Builder

Definition = Callable[["Builder", "Insn"], None]
F = TypeVar("F", bound=Callable[..., None])


class Privilege(Enum):
    """Who may execute an instruction in protected mode."""

    ANYONE = "any privilege level"
    CPL0 = "CPL 0 only, else #GP(0)"
    IOPL = "CPL <= IOPL, else #GP(0)"
    IO = "CPL <= IOPL or a clear bit in the TSS's I/O map, else #GP(0)"
    TSD = "any level unless CR4.TSD, then CPL 0 only"
    PCE = "CPL 0, or any level with CR4.PCE"


class Sensitive(Enum):
    """The class of an instruction after Popek and Goldberg 1974, with R generalised to the descriptor
    tables, the control registers and EFLAGS.IF/IOPL."""

    INNOCUOUS = "innocuous"
    PRIVILEGED = "sensitive and privileged"  # it traps: a monitor gets control
    SILENT = "sensitive but not privileged"  # it does something else without a trap


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One instruction. `undefined` are the EFLAGS bits that the SDM leaves undefined after it, `feature` is
    what a processor must have to know it (`isa.model`)."""

    index: int
    name: str
    ids: tuple[int, ...]
    define: Definition
    sdm: str
    privilege: Privilege
    sensitive: Sensitive
    touches: str
    rule: str
    lockable: bool
    undefined: int
    feature: str

    @property
    def doc(self) -> str:
        """The first paragraph of the definition's docstring, on one line."""
        text = (self.define.__doc__ or "").strip().split("\n\n")[0]
        return " ".join(text.split())


ROWS: list[Row] = []
BY_ID: dict[int, Row] = {}
BY_NAME: dict[str, Row] = {}


def insn(
    name: str,
    *ids: int,
    sdm: str,
    privilege: Privilege = Privilege.ANYONE,
    sensitive: Sensitive = Sensitive.INNOCUOUS,
    touches: str = "",
    rule: str = "",
    lockable: bool = False,
    undefined: int = 0,
    feature: str = "386",
) -> Callable[[F], F]:
    """Register a definition `(b, i) -> None` as the meaning of the capstone ids `ids`."""

    def register(define: F) -> F:
        row = Row(
            len(ROWS), name, ids, define, sdm, privilege, sensitive, touches, rule, lockable, undefined, feature
        )  # fmt: skip
        if name in BY_NAME or any(n in BY_ID for n in ids):
            raise ValueError(f"{name} is defined twice")
        ROWS.append(row)
        BY_NAME[name] = row
        BY_ID.update(dict.fromkeys(ids, row))
        return define

    return register


def rows(sensitive: Iterable[Sensitive]) -> frozenset[int]:
    """Indexes of the rows of the given classes."""
    wanted = frozenset(sensitive)
    return frozenset(row.index for row in ROWS if row.sensitive in wanted)
