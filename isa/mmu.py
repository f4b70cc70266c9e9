"""Paging: from a linear address through the page directory and tables to a physical one.

`walk` is what the hardware does on a TLB miss: two levels, 4 KB and 4 MB pages, CR0.WP, accessed and
dirty bits, the page fault with its error code. It returns the physical page with the effective rights in
its low bits; an engine keeps that in its TLB until INVLPG or CR3 (SDM 3A, 4.3, 4.6, 4.8). Written in the
language of `language`.

    linear  | directory 31:22 | table 21:12 | offset 11:0 |
    PDE/PTE | frame 31:12 | … G PS/PAT D A PCD PWT U W P |
"""

from __future__ import annotations

from isa.consts import (
    CR0_WP, CR4_PSE, LARGE_PAGE_MASK, PAGE_MASK, PDE_PS, PF_P, PF_U, PF_W, PTE_A, PTE_D, PTE_P, PTE_U, PTE_W,
)  # fmt: skip
from isa.faults import PageFault
from isa.language import Builder, Word
from isa.state import CR0, CR3, CR4


def walk(b: Builder, linear: Word, write: int, user: int) -> Word:
    """Translate for a read or write (0, 1) by the supervisor or user (0, 1).

    Returns the 4 KB physical page | effective PTE_W and PTE_U | PTE_D. Raises `PageFault`.
    """
    access = write * PF_W | user * PF_U
    pde_at = (b.s[CR3] & PAGE_MASK) | ((linear >> 20) & 0xFFC)
    pde = b.load_physical(pde_at, 32)
    if not pde & PTE_P:
        raise PageFault(linear, access)
    if (pde & PDE_PS) and (b.s[CR4] & CR4_PSE):
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
