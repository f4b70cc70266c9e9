"""The same instructions through GNU as: the bytes must be the same, or mean the same.

Where the two choose different but equally valid encodings both are decoded and compared as text;
the forms in which that happens are listed in `OTHER_ENCODING`.
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import pytest

from isa.asm import encode

sys.path.insert(0, str(Path(__file__).parent))
from asm_forms import FORMS, PAIRS, instruction
from asm_references import gas

pytestmark = pytest.mark.skipif(
    not (shutil.which("as") and shutil.which("objcopy") and shutil.which("nm")),
    reason="GNU binutils are absent",
)

ALL_FORMS = {**{line: line for line in FORMS.strip().splitlines()}, **PAIRS}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of GNU as for every form."""
    return dict(zip(ALL_FORMS, gas(list(ALL_FORMS.values()), tmp_path_factory.mktemp("gas")), strict=True))


def meaning(code: bytes) -> list[str]:
    """What a decoder reads, to compare encodings that differ."""
    from isa.asm.engines import decode

    return [f"{d.mnemonic} {sorted(map(str, d.operands))}" for d in decode(code)]


# GNU as puts the operand-size prefix before the one for repetition.
OTHER_ENCODING = {"rep insw"}


@pytest.mark.parametrize("form", ALL_FORMS)
def test_a_form_is_encoded_as_gnu_as_encodes_it(form: str, reference: dict[str, bytes]) -> None:
    ours = encode(form)
    if form in OTHER_ENCODING:
        assert ours != reference[form], "no longer different: take it off the list"
        assert meaning(ours) == meaning(reference[form])
    else:
        assert ours.hex(" ") == reference[form].hex(" ")


@pytest.mark.parametrize("seed", range(4))
def test_random_instructions_are_encoded_as_gnu_as_encodes_them(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    lines = [instruction(rng) for _ in range(750)]
    different = []
    for line, theirs in zip(lines, gas(lines, tmp_path), strict=True):
        ours = encode(line)
        if ours != theirs and (len(ours) != len(theirs) or meaning(ours) != meaning(theirs)):
            different.append(f"{line}: {ours.hex(' ')} | {theirs.hex(' ')}")
    assert not different, "\n".join(different)
