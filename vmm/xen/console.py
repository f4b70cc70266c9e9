"""The console: hypercall console_io, and the ring that the console channel announces.

Both end on the machine's console, where the bytes of every other mode end too. Nothing is ever typed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa.consts import M32
from vmm.xen import abi
from vmm.xen.errors import HypercallError
from vmm.xen.pages import PageType

if TYPE_CHECKING:
    from vmm.xen.domain import Domain

MOST = 64 << 10  # bytes in one call


class Console:
    def __init__(self, domain: Domain) -> None:
        self.domain = domain

    def console_io(self, command: int, count: int, buffer: int) -> int:
        """Write so many bytes, all or none (-E2BIG above 64 KiB); a read finds nothing."""
        if command == abi.CONSOLEIO_READ:
            return 0
        if command != abi.CONSOLEIO_WRITE:
            raise HypercallError(abi.ENOSYS)
        if count > MOST:
            raise HypercallError(abi.E2BIG)
        self._put(self.domain.memory.read(buffer, count))
        return 0

    def drain(self) -> None:
        """The guest says that there is something in its ring. If the page is no longer memory, there is not."""
        domain = self.domain
        try:
            domain.pages.get_page_type(domain.console_mfn, PageType.WRITABLE)
        except HypercallError:
            return
        self._drain(domain.console_mfn << 12)
        domain.pages.put_page_type(domain.console_mfn)

    def _drain(self, ring: int) -> None:
        domain = self.domain
        consumed = domain.host.ram.read32(ring + abi.XENCONS_OUT_CONS)
        produced = domain.host.ram.read32(ring + abi.XENCONS_OUT_PROD)
        size = (produced - consumed) & M32
        if size > abi.XENCONS_OUT_SIZE:
            return  # indices that cannot be: what the guest wrote there is its own affair
        first = ring + abi.XENCONS_OUT
        out = domain.host.ram.data
        self._put(bytes(out[first + (consumed + n) % abi.XENCONS_OUT_SIZE] for n in range(size)))
        domain.host.ram.write32(ring + abi.XENCONS_OUT_CONS, produced)

    def _put(self, text: bytes) -> None:
        for byte in text:
            self.domain.machine.devices.put_console(byte)
