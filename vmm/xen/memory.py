"""memory_op: how much memory the domain has, giving frames back and getting them again.

A frame leaves the domain only when nothing refers to it: no mapping, no table, no pin. What leaves waits
in `spare` and can come back, zeroed. Nothing else is moved, so the domain never has more than at first.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from isa.consts import M32, PAGE_SIZE
from vmm.xen import abi
from vmm.xen.errors import HypercallError

if TYPE_CHECKING:
    from vmm.xen.domain import Domain

MOST = 1024  # extents in one call


class Reservation:
    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.spare: list[int] = []

    def memory_op(self, command: int, argument: int) -> int:
        domain = self.domain
        if command == abi.XENMEM_MAXIMUM_RAM_PAGE:
            return domain.mmu.machine_pages - 1
        if command == abi.XENMEM_MACHPHYS_MAPPING:
            words = (abi.MACH2PHYS_VIRT_START, abi.MACH2PHYS_VIRT_END, domain.mmu.machine_pages - 1)
            domain.memory.write(argument, struct.pack("<III", *words))
            return 0
        if command in (abi.XENMEM_CURRENT_RESERVATION, abi.XENMEM_MAXIMUM_RESERVATION):
            if domain.memory.words(argument, 1)[0] & 0xFFFF != abi.DOMID_SELF:
                raise HypercallError(abi.ESRCH)
            gone = len(self.spare) if command == abi.XENMEM_CURRENT_RESERVATION else 0
            return len(domain.frames) - gone
        if command == abi.XENMEM_DECREASE_RESERVATION:
            return self._each(argument, self._give_back)
        if command == abi.XENMEM_POPULATE_PHYSMAP:
            return self._each(argument, self._populate)
        raise HypercallError(abi.ENOSYS)

    def _each(self, argument: int, one: Callable[[int], bool]) -> int:
        """struct xen_memory_reservation: extents, how many, order, address bits, domain."""
        extents, count, order, _bits, domid = self.domain.memory.words(argument, 5)
        if domid & 0xFFFF != abi.DOMID_SELF:
            raise HypercallError(abi.EPERM)
        if order or count > MOST:
            raise HypercallError(abi.EINVAL)
        done = 0
        while done < count and one(extents + 4 * done):
            done += 1
        return done

    def _give_back(self, slot: int) -> bool:
        domain = self.domain
        mfn = domain.memory.word(slot)
        pages = domain.pages
        if mfn >= pages.frames or not pages.owned[mfn] or pages.refs[mfn] or mfn == domain.shared_mfn:
            return False
        pages.owned[mfn] = 0
        domain.cpu.engine.flush_tlb()
        domain.mmu.set_m2p(mfn, abi.INVALID_MFN)
        self.spare.append(mfn)
        return True

    def _populate(self, slot: int) -> bool:
        """The list holds pseudo-physical frame numbers, and gets machine frames in their place."""
        domain = self.domain
        pfn = domain.memory.word(slot)
        if not self.spare:
            return False
        mfn = self.spare[-1]
        domain.memory.write_word(slot, mfn & M32)
        self.spare.pop()
        domain.host.ram.write(mfn << 12, bytes(PAGE_SIZE))
        domain.pages.owned[mfn] = 1
        domain.mmu.set_m2p(mfn, pfn)
        return True
