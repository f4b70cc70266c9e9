"""capstone without its Python package: where it is installed, and its numbers of instructions and registers.

`import capstone` loads the tables of sixteen other architectures, which takes longer than most guests run.
What decoding needs is one file of constants, `X` here, and the shared library (`capstone_c`).
"""

from __future__ import annotations

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

# capstone.h: the kinds of operands, which the file asks its package for.
CS_OP_INVALID, CS_OP_REG, CS_OP_IMM, CS_OP_MEM = range(4)


def folder() -> Path:
    """Where the package is. Raises ImportError."""
    spec = find_spec("capstone")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("capstone is not installed")
    return Path(spec.submodule_search_locations[0])


def _constants() -> ModuleType:
    spec = spec_from_file_location(f"{__name__}.x86_const", folder() / "x86_const.py")
    if spec is None or spec.loader is None:
        raise ImportError("capstone has no constants for x86")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


X = _constants()
