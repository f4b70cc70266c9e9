"""The domain builder: what a guest finds when its first instruction runs (xen.h, "start of day").

    virtual = pseudo-physical address
    0           unused below the image, as it is at 1 MiB here
    origin      the image
                mfn_list: the machine frame of each page, 4 bytes each
                start_info
                xenstore page
                console page
    pt_base     page directory, then page tables: mapped read-only, the directory pinned
                bootstrap stack, one page; ESP at its end
                padding of at least 512 KiB, to a multiple of 4 MiB

All of it is mapped writable but the page tables, and none of it is open to ring 3. ESI holds the address
of start_info, events are masked, CS to GS are the flat ring-1 segments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa import consts as c
from isa.segment import load_data
from isa.state import CR0, CR3
from vmm.image import Image
from vmm.xen import abi
from vmm.xen.pages import ENTRIES, PageType
from vmm.xen.traps import Context

if TYPE_CHECKING:
    from vmm.xen.domain import Domain

L1_PROT = c.PTE_P | c.PTE_W | c.PTE_A
L2_PROT = c.PTE_P | c.PTE_W | c.PTE_U | c.PTE_A | c.PTE_D
SPAN = ENTRIES * c.PAGE_SIZE  # what one page table maps
CR0_INITIAL = c.CR0_PE | c.CR0_MP | c.CR0_ET | c.CR0_NE | c.CR0_WP | c.CR0_PG


def _up(address: int, unit: int) -> int:
    return -(-address // unit) * unit


class Layout:
    """Where the parts lie; addresses are virtual and pseudo-physical at once."""

    def __init__(self, image: Image, nr_pages: int) -> None:
        self.mfn_list = _up(image.origin + len(image.data), c.PAGE_SIZE)
        self.start_info = _up(self.mfn_list + 4 * nr_pages, c.PAGE_SIZE)
        self.store = self.start_info + c.PAGE_SIZE
        self.console = self.store + c.PAGE_SIZE
        self.pt_base = self.console + c.PAGE_SIZE
        tables = 1
        while True:
            self.stack = self.pt_base + (1 + tables) * c.PAGE_SIZE
            self.stack_top = self.stack + c.PAGE_SIZE
            self.end = _up(self.stack_top + abi.BOOT_PADDING, SPAN)
            if self.end <= tables * SPAN:
                break
            tables = self.end // SPAN
        self.nr_pt_frames = 1 + tables
        if self.end > nr_pages * c.PAGE_SIZE:
            have = nr_pages * c.PAGE_SIZE
            raise ValueError(f"the guest needs {self.end:,} bytes of memory at its start and has {have:,}")


def build(domain: Domain, image: Image) -> None:
    """Lay out and start the domain."""
    layout = Layout(image, len(domain.frames))
    _put(domain, image.origin, image.data)
    mfn_list = b"".join(mfn.to_bytes(4, "little") for mfn in domain.frames)
    _put(domain, layout.mfn_list, mfn_list)
    _put(domain, layout.start_info, _start_info(domain, layout))
    domain.console_mfn = _mfn(domain, layout.console)
    _shared_info(domain)
    _page_tables(domain, layout)
    _registers(domain, image, layout)


def _mfn(domain: Domain, address: int) -> int:
    return domain.frames[address >> 12]


def _put(domain: Domain, address: int, data: bytes) -> None:
    """Write at a pseudo-physical address."""
    done = 0
    while done < len(data):
        at = address + done
        take = min(len(data) - done, c.PAGE_SIZE - at % c.PAGE_SIZE)
        domain.host.ram.write((_mfn(domain, at) << 12) + at % c.PAGE_SIZE, data[done : done + take])
        done += take


def _start_info(domain: Domain, layout: Layout) -> bytes:
    page = bytearray(abi.START_INFO_SIZE)
    page[: len(abi.MAGIC)] = abi.MAGIC
    fields = {
        "nr_pages": len(domain.frames),
        "shared_info": domain.shared_mfn << 12,
        "store_mfn": _mfn(domain, layout.store),
        "store_evtchn": abi.STORE_PORT,
        "console_mfn": _mfn(domain, layout.console),
        "console_evtchn": abi.CONSOLE_PORT,
        "pt_base": layout.pt_base,
        "nr_pt_frames": layout.nr_pt_frames,
        "mfn_list": layout.mfn_list,
    }
    for name, value in fields.items():
        offset = abi.START_INFO[name]
        page[offset : offset + 4] = value.to_bytes(4, "little")
    return bytes(page)


def _shared_info(domain: Domain) -> None:
    for vcpu in range(abi.LEGACY_MAX_VCPUS):
        domain.shared.write8(vcpu * abi.VCPU_INFO_SIZE + abi.UPCALL_MASK, 1)
    domain.shared.write32(abi.ARCH_MAX_PFN, len(domain.frames))


def _page_tables(domain: Domain, layout: Layout) -> None:
    """Written as the guest could have, then validated like any other."""
    tables_end = layout.pt_base + layout.nr_pt_frames * c.PAGE_SIZE
    for address in range(0, layout.end, c.PAGE_SIZE):
        entry = _mfn(domain, address) << 12 | L1_PROT
        if layout.pt_base <= address < tables_end:
            entry &= ~c.PTE_W
        table = layout.pt_base + (1 + address // SPAN) * c.PAGE_SIZE
        _put(domain, table + address % SPAN // c.PAGE_SIZE * 4, entry.to_bytes(4, "little"))
    for n in range(layout.nr_pt_frames - 1):
        entry = _mfn(domain, layout.pt_base + (1 + n) * c.PAGE_SIZE) << 12 | L2_PROT
        _put(domain, layout.pt_base + 4 * n, entry.to_bytes(4, "little"))
    directory = _mfn(domain, layout.pt_base)
    domain.pages.pin(directory, PageType.L2)
    domain.pages.get_page_type(directory, PageType.L2)  # CR3
    domain.cpu.s[CR3] = directory << 12
    domain.cpu.s[CR0] = CR0_INITIAL
    domain.cpu.engine.flush_tlb()
    domain.ledger.work.clear()  # the counts are of what the guest asks for


def _registers(domain: Domain, image: Image, layout: Layout) -> None:
    cpu = domain.cpu
    domain.descriptors.install()
    domain.descriptors.stack_switch(abi.FLAT_RING1_DS, layout.stack_top)
    cpu.engine.set_cpl(0)
    for segment in (c.DS, c.ES, c.FS, c.GS):
        load_data(cpu.engine, segment, abi.FLAT_RING1_DS)
    flags = c.IF | c.FLAGS_ONE
    start = Context(image.entry, abi.FLAT_RING1_CS, flags, layout.stack_top, abi.FLAT_RING1_DS)
    domain.traps.load(start)
    cpu.s[c.ESI] = layout.start_info
