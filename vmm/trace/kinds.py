"""What can be traced. A kind is a word that people write; each event of a machine belongs to some.

`STEPPED` kinds are seen only by running one guest instruction at a time (CP, too, turned its assists off
for BRANCH, INSTRUCT and PRIV); for the others the machine runs freely and announces them.
"""

from __future__ import annotations

from collections.abc import Iterable

from vmm.events import (
    Diverged,
    Emulated,
    Event,
    Hypercall,
    Injected,
    Reflected,
    ShadowFilled,
    SoftwareInterrupt,
    Translated,
    Trap,
)
from vmm.report.words import suggestion

KINDS = {
    "insn": "every instruction of the guest",
    "branch": "control transfers that were taken",
    "priv": "sensitive instructions other than I/O",
    "io": "IN, OUT, INS and OUTS with port and value",
    "trap": "traps into the monitor, and why",
    "int": "INT n of the guest",
    "fault": "faults delivered to the guest",
    "inject": "interrupts of devices delivered to the guest",
    "hypercall": "calls of a paravirtual guest",
    "translate": "translations made by the rewriter",
    "shadow": "entries of the shadow page tables filled",
    "diverged": "instructions that did otherwise than on bare hardware, unseen",
    "monitor": "all that a monitor does: traps, emulation, deliveries, shadows, translations, hypercalls",
    "all": "everything",
}
STEPPED = frozenset({"insn", "branch", "priv", "io"})

EVENT_KINDS: dict[type[Event], str] = {
    Trap: "trap",
    Emulated: "monitor",
    Reflected: "fault",
    Injected: "inject",
    SoftwareInterrupt: "int",
    ShadowFilled: "shadow",
    Translated: "translate",
    Hypercall: "hypercall",
    Diverged: "diverged",
}


def parse_kinds(words: Iterable[str] | None) -> frozenset[str]:
    """The kinds named, each word one or several with commas; none means all that need no stepping.

    Raises ValueError for a kind that does not exist.
    """
    found = {word.strip().lower() for text in words or () for word in text.split(",") if word.strip()}
    for word in sorted(found):
        if word not in KINDS:
            raise ValueError(
                f"`{word}` cannot be traced{suggestion(word, KINDS)}; kinds are {', '.join(KINDS)}"
            )
    if not found:
        return frozenset(KINDS) - STEPPED - {"all"}
    return frozenset(KINDS) - {"all"} if "all" in found else frozenset(found)


def wanted(event: Event, kinds: frozenset[str], *, monitored: bool) -> bool:
    """Whether an event belongs to one of the kinds; `monitored` says that there is a monitor to do things."""
    kind = EVENT_KINDS.get(type(event), "monitor")
    return kind in kinds or (monitored and kind != "int" and "monitor" in kinds)
