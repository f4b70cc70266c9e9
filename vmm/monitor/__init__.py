"""The monitor: a VM/370-style virtual machine monitor, split by mechanism, not by mode.

    vm       the host, its frames, and a virtual machine on it
    world    virtual state into the real processor and back: ring compression
    cpu      privileged instructions, emulated by their own definitions
    memory   shadow page tables, hidden and true faults;  `roots` what they were derived from
    residence  frames claimed back: guest pages in a file of the host
    events   virtual interrupts
    observe  what a sensitive instruction should have done, against what it did

Popek and Goldberg's three parts are here too: the dispatcher is a mode's `on_exit`, the allocator is
`vm.Host`, the interpreters are the definitions of `isa.ops`, run on the virtual state.
"""
