"""What the guest may ask about its hypervisor: xen_version, vm_assist, CPUID as a guest sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from isa.consts import PAGE_SIZE
from isa.model import DEFAULT, Model
from vmm.xen import abi
from vmm.xen.errors import HypercallError

if TYPE_CHECKING:
    from vmm.xen.domain import Domain

VERSION = 4 << 16 | 17  # the release whose interface this is
EXTRAVERSION = b".0-vmsim"
CAPABILITIES = b"xen-3.0-x86_32 "


@dataclass(frozen=True, slots=True)
class DomainModel(Model):
    """CPUID for those who ask the hypervisor: what a guest can use, and Xen's own leaves."""

    def cpuid(self, leaf: int, subleaf: int) -> tuple[int, int, int, int]:
        if leaf == abi.XEN_CPUID_FIRST_LEAF:
            name = abi.XEN_CPUID_SIGNATURE
            b, c, d = (int.from_bytes(name[n : n + 4], "little") for n in (0, 4, 8))
            return abi.XEN_CPUID_FIRST_LEAF + 2, b, c, d
        if leaf == abi.XEN_CPUID_FIRST_LEAF + 1:
            return VERSION, 0, 0, 0
        if leaf == abi.XEN_CPUID_FIRST_LEAF + 2:
            return 0, 0, 0, 0  # no hypercall page by MSR
        return Model.cpuid(self, leaf, subleaf)


GUEST_MODEL = DomainModel(
    DEFAULT.name, DEFAULT.title, DEFAULT.signature, DEFAULT.features - {"PSE"}, DEFAULT.vendor
)


class Version:
    def __init__(self, domain: Domain) -> None:
        self.domain = domain

    def xen_version(self, command: int, argument: int) -> int:
        memory = self.domain.memory
        if command == abi.XENVER_VERSION:
            return VERSION
        if command == abi.XENVER_EXTRAVERSION:
            memory.write(argument, EXTRAVERSION.ljust(16, b"\0"))
        elif command == abi.XENVER_CAPABILITIES:
            memory.write(argument, CAPABILITIES.ljust(1024, b"\0"))
        elif command == abi.XENVER_PLATFORM_PARAMETERS:
            memory.write_word(argument, abi.HYPERVISOR_VIRT_START)
        elif command == abi.XENVER_GET_FEATURES:
            features = 1 << abi.XENFEAT_MMU_PT_UPDATE_PRESERVE_AD
            memory.write_word(argument + 4, 0 if memory.word(argument) else features)
        elif command == abi.XENVER_PAGESIZE:
            return PAGE_SIZE
        else:
            raise HypercallError(abi.ENOSYS)
        return 0

    def vm_assist(self, command: int, kind: int) -> int:
        """Writes to page tables are always assisted; there is nothing else to switch."""
        if command not in (abi.VMASST_CMD_ENABLE, abi.VMASST_CMD_DISABLE):
            raise HypercallError(abi.ENOSYS)
        if kind != abi.VMASST_TYPE_WRITABLE_PAGETABLES:
            raise HypercallError(abi.EINVAL)
        return 0
