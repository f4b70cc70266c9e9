"""Paging: from a linear address through the page directory and tables to a physical one.

`walk` is what the hardware does on a TLB miss: two levels with 4 KB and 4 MB pages, or PAE's three with
4 KB and 2 MB pages, CR0.WP, accessed and dirty bits, the page fault with its error code. It returns the
physical page with the effective rights in its low bits; an engine keeps that in its TLB until INVLPG or
CR3 (SDM 3A, 4.3, 4.4, 4.6, 4.8). Written in the language of `language`.

    linear        | directory 31:22 | table 21:12 | offset 11:0 |
    linear (PAE)  | pointer 31:30 | directory 29:21 | table 20:12 | offset 11:0 |
    PDE/PTE       | frame 31:12 | … G PS/PAT D A PCD PWT U W P |      (PAE: 64 bits, frame 35:12)
"""

from __future__ import annotations

from isa.consts import (
    CR0_PG, CR0_WP, CR4_PAE, CR4_PSE, LARGE_PAGE_MASK, LARGE_PAGE_RESERVED, PAE_HIGH_RESERVED, PAE_LARGE_PAGE_MASK,
    PAE_LARGE_PAGE_RESERVED, PAGE_MASK, PDE_PS, PDPTE_RESERVED, PF_P, PF_RSVD, PF_U, PF_W, PTE_A, PTE_D, PTE_P,
    PTE_U, PTE_W,
)  # fmt: skip
from isa.faults import GeneralProtection, PageFault
from isa.language import Builder, Word
from isa.state import CR0, CR3, CR4, PDPTE


def walk(b: Builder, linear: Word, write: int, user: int) -> Word:
    """Translate for a read or write (0, 1) by the supervisor or user (0, 1).

    Returns the 4 KB physical page | effective PTE_W and PTE_U | PTE_D. Raises `PageFault`.
    """
    return walk_pae(b, linear, write, user) if b.s[CR4] & CR4_PAE else walk_2level(b, linear, write, user)


def walk_2level(b: Builder, linear: Word, write: int, user: int) -> Word:
    """`walk` without PAE."""
    access = write * PF_W | user * PF_U
    pde_at = (b.s[CR3] & PAGE_MASK) | ((linear >> 20) & 0xFFC)
    pde = b.load_physical(pde_at, 32)
    if not pde & PTE_P:
        raise PageFault(linear, access)
    if (pde & PDE_PS) and (b.s[CR4] & CR4_PSE):
        if pde & LARGE_PAGE_RESERVED:
            raise PageFault(linear, access | PF_P | PF_RSVD)
        check_rights(b, linear, pde, write, user)
        used = pde | PTE_A | (write * PTE_D)
        if used != pde:
            b.store_physical(pde_at, used, 32)
        frame = (pde & LARGE_PAGE_MASK) | (linear & 0x003F_F000)
        return frame | (used & (PTE_W | PTE_U | PTE_D))
    pte_at = (pde & PAGE_MASK) | ((linear >> 10) & 0xFFC)
    pte = b.load_physical(pte_at, 32)
    if not pte & PTE_P:
        raise PageFault(linear, access)
    rights = pde & pte
    check_rights(b, linear, rights, write, user)
    if not pde & PTE_A:
        b.store_physical(pde_at, pde | PTE_A, 32)
    used = pte | PTE_A | (write * PTE_D)
    if used != pte:
        b.store_physical(pte_at, used, 32)
    return (pte & PAGE_MASK) | (rights & (PTE_W | PTE_U)) | (used & PTE_D)


def check_rights(b: Builder, linear: Word, rights: Word, write: int, user: int) -> None:
    """#PF with the P bit where the entries, combined, forbid the access (SDM 4.6)."""
    if user and not rights & PTE_U:
        raise PageFault(linear, PF_P | write * PF_W | user * PF_U)
    if write and not rights & PTE_W and (user or b.s[CR0] & CR0_WP):
        raise PageFault(linear, PF_P | write * PF_W | user * PF_U)


# -- PAE ------------------------------------------------------------------------------------------


def load_pointers(b: Builder, cr3: Word) -> None:
    """Load the four page-directory pointers into their registers, as MOV CR3 does under PAE.

    They stay until the next such load, whatever happens in memory. #GP(0) for reserved bits (SDM 4.4.1).
    """
    table = cr3 & 0xFFFF_FFE0
    for n in range(4):
        low, high = b.load_physical(table + 8 * n, 32), b.load_physical(table + 8 * n + 4, 32)
        if (low & PTE_P) and ((low & PDPTE_RESERVED) or (high & PAE_HIGH_RESERVED)):
            raise GeneralProtection(0)
    for n in range(4):
        b.s[PDPTE + 2 * n] = b.load_physical(table + 8 * n, 32)
        b.s[PDPTE + 2 * n + 1] = b.load_physical(table + 8 * n + 4, 32)


def reload_pointers(b: Builder, cr0: Word, cr3: Word, cr4: Word) -> None:
    """`load_pointers` if paging with PAE will be on with these control registers."""
    if (cr0 & CR0_PG) and (cr4 & CR4_PAE):
        load_pointers(b, cr3)


def wide(b: Builder, low: Word, high: Word) -> Word:
    """A physical address of up to 36 bits from the halves of an entry."""
    return b.zext(low, 32, 64) | (b.zext(high & 0xF, 32, 64) << 32)


def walk_pae(b: Builder, linear: Word, write: int, user: int) -> Word:
    """`walk` with PAE: the pointers are in registers, two levels are in memory."""
    access = write * PF_W | user * PF_U
    n = (linear >> 30) * 2
    pointer, pointer_high = b.s[PDPTE + n], b.s[PDPTE + n + 1]
    if not pointer & PTE_P:
        raise PageFault(linear, access)
    pde_at = wide(b, (pointer & PAGE_MASK) | ((linear >> 18) & 0xFF8), pointer_high)
    pde, pde_high = b.load_physical(pde_at, 32), b.load_physical(pde_at + 4, 32)
    if not pde & PTE_P:
        raise PageFault(linear, access)
    if pde_high & PAE_HIGH_RESERVED:
        raise PageFault(linear, access | PF_P | PF_RSVD)
    if pde & PDE_PS:
        if pde & PAE_LARGE_PAGE_RESERVED:
            raise PageFault(linear, access | PF_P | PF_RSVD)
        check_rights(b, linear, pde, write, user)
        used = pde | PTE_A | (write * PTE_D)
        if used != pde:
            b.store_physical(pde_at, used, 32)
        frame = wide(b, (pde & PAE_LARGE_PAGE_MASK) | (linear & 0x001F_F000), pde_high)
        return frame | (used & (PTE_W | PTE_U | PTE_D))
    pte_at = wide(b, (pde & PAGE_MASK) | ((linear >> 9) & 0xFF8), pde_high)
    pte, pte_high = b.load_physical(pte_at, 32), b.load_physical(pte_at + 4, 32)
    if not pte & PTE_P:
        raise PageFault(linear, access)
    if pte_high & PAE_HIGH_RESERVED:
        raise PageFault(linear, access | PF_P | PF_RSVD)
    rights = pde & pte
    check_rights(b, linear, rights, write, user)
    if not pde & PTE_A:
        b.store_physical(pde_at, pde | PTE_A, 32)
    used = pte | PTE_A | (write * PTE_D)
    if used != pte:
        b.store_physical(pte_at, used, 32)
    return wide(b, (pte & PAGE_MASK) | (rights & (PTE_W | PTE_U)) | (used & PTE_D), pte_high)
