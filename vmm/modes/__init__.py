"""The modes: each technique of virtualization as one class; nothing outside this folder names one.

`MODES` maps the names that users type to the classes, in the order in which they are compared.
"""

from vmm.modes.base import Mode
from vmm.modes.full import Full
from vmm.modes.naive import Naive
from vmm.modes.native import Native
from vmm.modes.para import Para
from vmm.modes.rewrite import Rewrite

MODES: dict[str, type[Mode]] = {mode.name: mode for mode in (Native, Full, Naive, Rewrite, Para)}

BARE = Native.name  # no monitor: what the others are compared with

__all__ = ["BARE", "MODES", "Mode"]
