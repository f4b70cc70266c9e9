"""Cost profiles: machines as tables of constants, read from the TOML files beside this module.

Each constant says where its value comes from and how it is known:

    measured    printed in the named source as a measurement
    specified   printed in the manufacturer's manual
    derived     computed from other constants of the same profile; `formula` says how, and is checked
    assumed     nobody published it; `source` says why this value

A constant with `rows` prices the instructions of those names where they execute directly on the machine.
Next: `prices`.
"""

from __future__ import annotations

import ast
import operator
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

DEFAULT_PROFILE = "p4-672"
STATUSES = ("measured", "specified", "derived", "assumed")
FOLDER = Path(__file__).resolve().parent

_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


class ProfileError(Exception):
    """A profile that does not say what it must."""


@dataclass(frozen=True, slots=True)
class Constant:
    """One number and the reason to believe it."""

    name: str
    value: int
    unit: str
    source: str
    status: str
    formula: str = ""
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Profile:
    """A machine, as far as it has a price."""

    name: str
    title: str
    notes: str
    constants: Mapping[str, Constant]

    def __getitem__(self, name: str) -> int:
        return self.constants[name].value

    @cached_property
    def by_row(self) -> dict[str, Constant]:
        """Instruction name → what it costs where it executes directly."""
        return {row: constant for constant in self.constants.values() for row in constant.rows}

    @property
    def megahertz(self) -> int:
        """The clock, to turn cycles into time."""
        return self["clock"]


def profile_names() -> list[str]:
    """The profiles there are, the default first."""
    names = sorted(path.stem for path in FOLDER.glob("*.toml"))
    return sorted(names, key=lambda name: name != DEFAULT_PROFILE)


def load_profile(name: str | None = None) -> Profile:
    """The profile of that name, or the default. `KeyError` if there is none, `ProfileError` if it is unsound."""
    name = name or DEFAULT_PROFILE
    if name not in profile_names():
        raise KeyError(name)
    return read_profile((FOLDER / f"{name}.toml").read_text(encoding="utf-8"), name)


def read_profile(text: str, name: str) -> Profile:
    """A profile from the text of its file."""
    try:
        data = tomllib.loads(text)
        constants = {key: _constant(key, entry) for key, entry in data["constants"].items()}
        profile = Profile(name, data["title"], data["notes"], constants)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ProfileError(f"profile {name}: {error!r}") from error
    for constant in constants.values():
        _check(profile, constant)
    return profile


def _constant(name: str, entry: Mapping[str, Any]) -> Constant:
    fields = {**entry, "rows": tuple(entry.get("rows", ()))}
    return Constant(name=name, **fields)


def _check(profile: Profile, constant: Constant) -> None:
    where = f"profile {profile.name}, {constant.name}"
    if constant.status not in STATUSES:
        raise ProfileError(f"{where}: the status `{constant.status}` is none of {', '.join(STATUSES)}")
    if not constant.source or not constant.unit:
        raise ProfileError(f"{where}: a constant needs a source and a unit")
    if not isinstance(constant.value, int) or constant.value < 0:
        raise ProfileError(f"{where}: {constant.value!r} is not a whole number of {constant.unit}")
    if bool(constant.formula) != (constant.status == "derived"):
        raise ProfileError(f"{where}: a formula belongs to what is derived, and to nothing else")
    if constant.formula:
        found = _evaluate(ast.parse(constant.formula, mode="eval").body, profile.constants)
        if found != constant.value:
            raise ProfileError(f"{where}: {constant.formula} is {found}, not {constant.value}")


def _evaluate(node: ast.expr, constants: Mapping[str, Constant]) -> int:
    """A formula of names, numbers, + - and *."""
    if isinstance(node, ast.Name) and node.id in constants:
        return constants[node.id].value
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _evaluate(node.left, constants), _evaluate(node.right, constants)
        return int(_OPERATORS[type(node.op)](left, right))
    raise ProfileError(f"`{ast.unparse(node)}` does not belong into a formula")
