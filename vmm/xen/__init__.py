"""A Xen-like hypervisor for one paravirtual domain, split by mechanism.

    abi          numbers and layouts of the public interface
    domain       the domain, and the way back into it
    builder      the first state of a domain: memory, tables, start_info
    hypercalls   the table: number -> name, arguments, who answers
    pages, mmu   page types and counts; the hypercalls on page tables
    descriptors  GDT, LDT, TSS: what the guest may have in them
    traps        exceptions, events and returns: frames on the guest's stacks
    emulate      what still traps: privileged instructions, writes to page tables
    events, time, sched, console, memory, version   the small hypercalls

The guest kernel knows that it is a guest. It runs in ring 1 on its own page tables, which hold machine
addresses; the hypervisor makes each change to them, after checking it. Barham et al., SOSP 2003.
"""
