"""Xen's public interface for 32-bit x86 without PAE: numbers and structure offsets, each written once.

Names are those of Xen's public headers (xen.h, arch-x86/xen-x86_32.h, event_channel.h, sched.h, vcpu.h,
memory.h, version.h, callback.h, physdev.h); offsets were laid out by a 32-bit C compiler for interface
version 0x00041300. The non-PAE address space is that of Xen 3.0, the last to have it.
"""

from __future__ import annotations

# -- hypercalls: INT 82h, number in EAX, arguments in these registers (xen-x86_32.h) --------------------
HYPERCALL_VECTOR = 0x82
HYPERVISOR = {
    "set_trap_table": 0, "mmu_update": 1, "set_gdt": 2, "stack_switch": 3, "set_callbacks": 4,
    "fpu_taskswitch": 5, "sched_op_compat": 6, "platform_op": 7, "set_debugreg": 8, "get_debugreg": 9,
    "update_descriptor": 10, "memory_op": 12, "multicall": 13, "update_va_mapping": 14, "set_timer_op": 15,
    "event_channel_op_compat": 16, "xen_version": 17, "console_io": 18, "physdev_op_compat": 19,
    "grant_table_op": 20, "vm_assist": 21, "update_va_mapping_otherdomain": 22, "iret": 23, "vcpu_op": 24,
    "set_segment_base": 25, "mmuext_op": 26, "xsm_op": 27, "nmi_op": 28, "sched_op": 29, "callback_op": 30,
    "xenoprof_op": 31, "event_channel_op": 32, "physdev_op": 33, "hvm_op": 34, "sysctl": 35, "domctl": 36,
    "kexec_op": 37,
}  # fmt: skip
CLOBBERED = 0xDEAD_F00D  # what argument registers hold after a call (a debug build's marker)

# -- errors (errno.h); calls return them negated --------------------------------------------------------
EPERM, ENOENT, ESRCH, E2BIG, EFAULT, EBUSY = 1, 2, 3, 7, 14, 16
EEXIST, EINVAL, ENOSPC, ENOSYS, ETIME = 17, 22, 28, 38, 62

DOMID_SELF = 0x7FF0

# -- the linear address space (config.h of Xen 3.0, x86_32) ----------------------------------------------
HYPERVISOR_VIRT_START = 0xFC00_0000
MACH2PHYS_VIRT_START, MACH2PHYS_VIRT_END = 0xFC00_0000, 0xFC40_0000
GUEST_SEGMENT_END = MACH2PHYS_VIRT_END  # no segment of the guest reaches further
INVALID_MFN = 0xFFFF_FFFF
FIRST_RESERVED_GDT_PAGE = 14
FIRST_RESERVED_GDT_ENTRY = 7168
GDT_PAGES = 16
LDT_ENTRIES = 8192
FLAT_RING1_CS, FLAT_RING1_DS = 0xE019, 0xE021
FLAT_RING3_CS, FLAT_RING3_DS = 0xE02B, 0xE033
GUEST_KERNEL_RPL = 1

# -- start_info -------------------------------------------------------------------------------------------
MAGIC = b"xen-3.0-x86_32"
START_INFO_SIZE = 1112
START_INFO = {
    "nr_pages": 32, "shared_info": 36, "flags": 40, "store_mfn": 44, "store_evtchn": 48,
    "console_mfn": 52, "console_evtchn": 56, "pt_base": 60, "nr_pt_frames": 64, "mfn_list": 68,
    "mod_start": 72, "mod_len": 76, "first_p2m_pfn": 1104, "nr_p2m_frames": 1108,
}  # fmt: skip
BOOT_PADDING = 512 << 10  # at least, behind the bootstrap stack; the region then ends on 4 MiB

# -- shared_info, with vcpu_info[0] at its beginning -----------------------------------------------------
UPCALL_PENDING, UPCALL_MASK, PENDING_SEL, ARCH_CR2, VCPU_TIME = 0, 1, 4, 8, 32
VCPU_INFO_SIZE, LEGACY_MAX_VCPUS = 64, 32
EVTCHN_PENDING, EVTCHN_MASK = 2048, 2176
NR_EVENT_CHANNELS = 1024
ARCH_MAX_PFN = 2316

# -- traps --------------------------------------------------------------------------------------------------
TRAP_INFO_SIZE = 8
TI_DPL, TI_MASK_EVENTS = 3, 4
CALLBACKOP_REGISTER, CALLBACKOP_UNREGISTER = 0, 1
CALLBACKTYPE_EVENT, CALLBACKTYPE_FAILSAFE, CALLBACKTYPE_NMI = 0, 1, 4
CALLBACKF_MASK_EVENTS = 1
FORCED_EMULATION = b"\x0f\x0bxen"  # UD2A; .ascii "xen": the next instruction asks for emulation

# -- page tables --------------------------------------------------------------------------------------------
MMU_NORMAL_PT_UPDATE, MMU_MACHPHYS_UPDATE, MMU_PT_UPDATE_PRESERVE_AD = 0, 1, 2
MMU_UPDATE_SIZE, MMUEXT_OP_SIZE = 16, 12
MMU_UPDATE_PREEMPTED = 0x8000_0000  # in a count: a continuation; *pdone holds what was done before
MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE, MMUEXT_PIN_L3_TABLE, MMUEXT_PIN_L4_TABLE = range(4)
MMUEXT_UNPIN_TABLE, MMUEXT_NEW_BASEPTR, MMUEXT_TLB_FLUSH_LOCAL, MMUEXT_INVLPG_LOCAL = 4, 5, 6, 7
MMUEXT_TLB_FLUSH_MULTI, MMUEXT_INVLPG_MULTI, MMUEXT_TLB_FLUSH_ALL, MMUEXT_INVLPG_ALL = 8, 9, 10, 11
MMUEXT_FLUSH_CACHE, MMUEXT_SET_LDT, MMUEXT_CLEAR_PAGE, MMUEXT_COPY_PAGE = 12, 13, 16, 17
UVMF_FLUSHTYPE_MASK, UVMF_TLB_FLUSH, UVMF_INVLPG = 3, 1, 2
DISALLOWED_PTE_FLAGS = 0x180  # PAT or PSE, and G: not for guests (x86_32/page.h of Xen 3.0)

# -- event channels -----------------------------------------------------------------------------------------
EVTCHNOP_BIND_VIRQ, EVTCHNOP_CLOSE, EVTCHNOP_SEND, EVTCHNOP_STATUS, EVTCHNOP_UNMASK = 1, 3, 4, 5, 9
EVTCHNSTAT_CLOSED, EVTCHNSTAT_UNBOUND, EVTCHNSTAT_INTERDOMAIN, EVTCHNSTAT_VIRQ = 0, 1, 2, 4
EVTCHN_STATUS_SIZE = 24
VIRQ_TIMER, NR_VIRQS = 0, 24

# -- scheduling, virtual processors, time ---------------------------------------------------------------------
SCHEDOP_YIELD, SCHEDOP_BLOCK, SCHEDOP_SHUTDOWN, SCHEDOP_POLL = 0, 1, 2, 3
SHUTDOWN_POWEROFF, SHUTDOWN_REBOOT, SHUTDOWN_SUSPEND, SHUTDOWN_CRASH, SHUTDOWN_WATCHDOG = range(5)
MAX_POLL_PORTS = 128
VCPUOP_INITIALISE, VCPUOP_UP, VCPUOP_DOWN, VCPUOP_IS_UP, VCPUOP_GET_RUNSTATE_INFO = range(5)
VCPUOP_STOP_PERIODIC_TIMER = 7
VCPUOP_SET_SINGLESHOT_TIMER, VCPUOP_STOP_SINGLESHOT_TIMER = 8, 9
VCPU_SSHOTTMR_FUTURE = 1
RUNSTATE_RUNNING = 0

# -- memory, version, console ---------------------------------------------------------------------------------
XENMEM_DECREASE_RESERVATION, XENMEM_MAXIMUM_RAM_PAGE, XENMEM_CURRENT_RESERVATION = 1, 2, 3
XENMEM_MAXIMUM_RESERVATION, XENMEM_POPULATE_PHYSMAP, XENMEM_MACHPHYS_MAPPING = 4, 6, 12
XENVER_VERSION, XENVER_EXTRAVERSION, XENVER_CAPABILITIES = 0, 1, 3
XENVER_PLATFORM_PARAMETERS, XENVER_GET_FEATURES, XENVER_PAGESIZE = 5, 6, 7
XENFEAT_MMU_PT_UPDATE_PRESERVE_AD = 5
VMASST_CMD_ENABLE, VMASST_CMD_DISABLE = 0, 1
VMASST_TYPE_WRITABLE_PAGETABLES = 2
XEN_CPUID_FIRST_LEAF, XEN_CPUID_SIGNATURE = 0x4000_0000, b"XenVMMXenVMM"
CONSOLEIO_WRITE, CONSOLEIO_READ = 0, 1
XENCONS_OUT, XENCONS_OUT_SIZE, XENCONS_OUT_CONS, XENCONS_OUT_PROD = 1024, 2048, 3080, 3084
STORE_PORT, CONSOLE_PORT = 1, 2  # the channels that a domain is built with
