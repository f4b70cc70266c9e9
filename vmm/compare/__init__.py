"""The comparison: one guest under every technique, what each did, what it cost, and whether it is equal.

    builds    the image that a mode wants
    runs      running them all, and equality with bare hardware
    verdict   the result in words: who wins and why, what dominates each mode
    table     the result as a table, counted and modelled figures apart
    document  the result as data

Nothing here prints, and nothing here knows a mode by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa.lazy import later

if TYPE_CHECKING:
    from vmm.compare.builds import applicable_modes, build, fit, has_para
    from vmm.compare.runs import Comparison, Difference, Run, compare

__all__ = ["Comparison", "Difference", "Run", "applicable_modes", "build", "compare", "fit", "has_para"]

__getattr__ = later(
    __name__,
    {
        **dict.fromkeys(("applicable_modes", "build", "fit", "has_para"), "builds"),
        **dict.fromkeys(("Comparison", "Difference", "Run", "compare"), "runs"),
    },
)
