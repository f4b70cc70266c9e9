"""Packages that import what they offer when somebody asks for it, so that a run loads only what it uses.

    __getattr__ = later(__name__, {"assemble": "assembler", "AsmError": "diagnostics"})

is the whole use (PEP 562): the name a package offers, and the module in it that has it. Which technique a
run uses, whether anything is assembled, compared or drawn, is known only when it starts; loading all of it
first would take longer than most guests run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def later(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names live in the modules `homes`."""

    def offered(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return offered
