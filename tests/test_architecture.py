"""The house's plan, as tests: who may know whom, and what stands in one place only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from isa.table import ROWS
from vmm.modes import MODES

ROOT = Path(__file__).resolve().parent.parent
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60


def modules(*folders: str) -> list[Path]:
    """Every source file of the packages named, and cli.py as `cli`."""
    found: list[Path] = []
    for folder in folders:
        found += [ROOT / "cli.py"] if folder == "cli" else sorted((ROOT / folder).rglob("*.py"))
    return found


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [("isa", {"vmm", "guests", "cli"}), ("vmm", {"cli"}), ("guests", {"isa", "vmm", "cli"})],
)
def test_knowledge_goes_one_way(folder: str, forbidden: set[str]) -> None:
    wrong = [
        (name(path), module)
        for path in modules(folder)
        for module in imported(path)
        if module.split(".")[0] in forbidden
    ]
    assert wrong == []


ENGINES = ("isa/cpu.py", "isa/engine/measure.py")  # engines have names too, and one of them is a mode's


def test_nothing_outside_the_modes_names_a_mode() -> None:
    names = set(MODES)
    wrong = []
    for path in modules("isa", "vmm", "cli"):
        if path.is_relative_to(ROOT / "vmm" / "modes") or name(path) in ENGINES:
            continue
        tree = ast.parse(path.read_text())
        wrong += [
            (name(path), node.lineno, node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
        ]
        wrong += [
            (name(path), 0, module)
            for module in imported(path)
            if module.startswith("vmm.modes.") and module.split(".")[2] in names
        ]
    assert wrong == []


def test_every_instruction_is_defined_once_and_only_in_isa_ops() -> None:
    elsewhere = [row.name for row in ROWS if not row.define.__module__.startswith("isa.ops.")]
    assert elsewhere == []
    instructions = {row.define.__name__.rstrip("_") for row in ROWS}
    second = [
        (name(path), node.name)
        for path in modules("vmm")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and node.name in instructions
        and [arg.arg for arg in node.args.args] == ["b", "i"]
    ]
    assert second == []
    registering = [name(path) for path in modules("vmm", "cli") if "import insn" in path.read_text()]
    assert registering == []


def test_a_library_never_prints() -> None:
    wrong = [
        (name(path), node.lineno)
        for path in modules("isa", "vmm", "guests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert wrong == []


@pytest.mark.parametrize("path", modules("isa", "vmm", "guests", "cli"), ids=name)
def test_a_module_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the module does not say what is here"
    assert text.count("\n") <= MAX_MODULE_LINES
    long = [
        (node.name, node.end_lineno - node.lineno + 1)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []
