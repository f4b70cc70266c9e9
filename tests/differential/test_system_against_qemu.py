"""Protection, paging and exceptions against QEMU: random kernels whose every fault is logged and compared.

QEMU checks neither segment limits nor null segments in accesses, does not set the accessed bit of code
segments on far jumps, reports the read half of a read-modify-write first, and takes LTR of a null
selector; what would show that is left out, for Bochs and the SDM say otherwise.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from random_kernels import ABSOLUTE, ALL_FORMS, SELECTORS, Vocabulary, random_kernel

from vmm import Machine, Outcome

QEMU = "qemu-system-i386"
BATCHES, PER_BATCH = 4, 12
SEED = int(os.environ.get("VMSIM_SEED", random.SystemRandom().getrandbits(24)))
LEFT_OUT = (
    "lds", "les", "lss", "lfs", "pop ds", "pop es", "mov ds", "mov es", "fs:",  # null segments, then used
    "rep", "lods", "leave", "iretd", "retf", "far",  # far from the frame: firmware's memory, other code
    "xor", "inc", "xchg", "arpl", "lar", "pop {m}", "add", "ltr",  # what QEMU does otherwise, see above
    "rdtsc", "cpuid", "in al", "in eax", "out ", "insb", "outsb", "hlt",  # the machine around it
    "mul", "div", "cr4", "cr0", "smsw", "dr6", "dr7", "wrmsr", "rdmsr",  # other processor models
)  # fmt: skip
WORDS = Vocabulary(
    forms=tuple(form for form in ALL_FORMS if not any(word in form for word in LEFT_OUT)),
    selectors=tuple(selector for selector in SELECTORS if selector != "0x40"),
    memory=ABSOLUTE,
    dump=True,
)

pytestmark = pytest.mark.skipif(shutil.which(QEMU) is None, reason="needs qemu-system-x86")


def on_qemu(data: bytes, folder: Path) -> bytes:
    """What the kernel writes to the debug console."""
    kernel, console = folder / "kernel.bin", folder / "console"
    kernel.write_bytes(data)
    command = [
        QEMU, "-kernel", str(kernel), "-m", "16", "-display", "none", "-no-reboot", "-monitor", "none",
        "-serial", "none", "-debugcon", f"file:{console}", "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
    ]  # fmt: skip
    subprocess.run(command, timeout=30, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    return console.read_bytes()


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_random_kernel_raises_the_same_faults_on_qemu(batch: int, tmp_path: Path) -> None:
    compared = 0
    for n in range(PER_BATCH):
        seed = SEED + batch * PER_BATCH + n
        image, text = random_kernel(seed, WORDS)
        machine = Machine(image)
        if machine.run(20_000).outcome is not Outcome.SUCCESS:
            continue  # ruined beyond its own report
        assert on_qemu(image.data, tmp_path) == bytes(machine.devices.console), f"kernel {seed}: {text}"
        compared += 1
    assert compared
