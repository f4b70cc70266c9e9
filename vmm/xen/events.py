"""Event channels: the guest's interrupts.

A channel, named by its port, is bound to a source. An event sets the port's bit in evtchn_pending; if it
is not masked there, also the selector bit of its word and the upcall flag; if the virtual processor has
its upcalls unmasked, its callback is entered on the way back to the guest (`traps.upcall`).

    evtchn_pending[32 words]  ->  pending_sel, a bit per word  ->  upcall_pending  --- unless upcall_mask
         unless evtchn_mask
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from vmm.xen import abi
from vmm.xen.errors import HypercallError

if TYPE_CHECKING:
    from vmm.xen.domain import Domain


class EventChannels:
    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.shared = domain.shared
        self.status = {  # port -> EVTCHNSTAT_*
            abi.STORE_PORT: abi.EVTCHNSTAT_INTERDOMAIN,
            abi.CONSOLE_PORT: abi.EVTCHNSTAT_INTERDOMAIN,
        }
        self.virq_port: dict[int, int] = {}
        self.polled: frozenset[int] = frozenset()

    # -- raising ------------------------------------------------------------------------------------

    def raise_virq(self, virq: int) -> None:
        """A virtual interrupt happens; nobody may be listening."""
        port = self.virq_port.get(virq)
        if port is not None:
            self.set_pending(port)

    def set_pending(self, port: int) -> None:
        shared = self.shared
        if not shared.test_and_set_bit(abi.EVTCHN_PENDING, port) and not shared.bit(abi.EVTCHN_MASK, port):
            self._select(port)
        if port in self.polled:
            self.domain.sched.wake()

    def _select(self, port: int) -> None:
        if not self.shared.test_and_set_bit(abi.PENDING_SEL, port // 32):
            self.shared.write8(abi.UPCALL_PENDING, 1)
            self.domain.entered = True

    @property
    def deliverable(self) -> bool:
        """An upcall is due and the guest lets it in."""
        return bool(self.shared.read8(abi.UPCALL_PENDING)) and not self.shared.read8(abi.UPCALL_MASK)

    def lowest_pending(self) -> int:
        """The port to name when an upcall is reported."""
        pending = self.shared.words(abi.EVTCHN_PENDING, abi.NR_EVENT_CHANNELS // 32)
        masks = self.shared.words(abi.EVTCHN_MASK, abi.NR_EVENT_CHANNELS // 32)
        for n, (word, mask) in enumerate(zip(pending, masks, strict=True)):
            open_bits = word & ~mask
            if open_bits:
                return 32 * n + (open_bits & -open_bits).bit_length() - 1
        return 0

    # -- event_channel_op -----------------------------------------------------------------------------

    def event_channel_op(self, command: int, argument: int) -> int:
        operations = {
            abi.EVTCHNOP_BIND_VIRQ: self._bind_virq,
            abi.EVTCHNOP_CLOSE: self._close,
            abi.EVTCHNOP_SEND: self._send,
            abi.EVTCHNOP_STATUS: self._status,
            abi.EVTCHNOP_UNMASK: self._unmask,
        }
        if command not in operations:
            raise HypercallError(abi.ENOSYS)
        operations[command](argument)
        return 0

    def _bind_virq(self, argument: int) -> None:
        memory = self.domain.memory
        virq, vcpu = memory.words(argument, 2)
        if virq >= abi.NR_VIRQS:
            raise HypercallError(abi.EINVAL)
        if vcpu:
            raise HypercallError(abi.ENOENT)
        if virq in self.virq_port:
            raise HypercallError(abi.EEXIST)
        port = next((n for n in range(1, abi.NR_EVENT_CHANNELS) if n not in self.status), 0)
        if not port:
            raise HypercallError(abi.ENOSPC)
        memory.write_word(argument + 8, port)
        self.status[port] = abi.EVTCHNSTAT_VIRQ
        self.virq_port[virq] = port

    def _close(self, argument: int) -> None:
        port = self._open_port(self.domain.memory.word(argument))
        del self.status[port]
        self.virq_port = {virq: n for virq, n in self.virq_port.items() if n != port}
        self.shared.clear_bit(abi.EVTCHN_PENDING, port)

    def _send(self, argument: int) -> None:
        port = self._open_port(self.domain.memory.word(argument))
        if self.status[port] != abi.EVTCHNSTAT_INTERDOMAIN:
            raise HypercallError(abi.EINVAL)
        if port == abi.CONSOLE_PORT:
            self.domain.console.drain()

    def _status(self, argument: int) -> None:
        memory = self.domain.memory
        record = bytearray(memory.read(argument, abi.EVTCHN_STATUS_SIZE))
        domid, _pad, port = struct.unpack_from("<HHI", record)
        if domid != abi.DOMID_SELF:
            raise HypercallError(abi.ESRCH)
        if not 0 < port < abi.NR_EVENT_CHANNELS:
            raise HypercallError(abi.EINVAL)
        status = self.status.get(port, abi.EVTCHNSTAT_CLOSED)
        virq = next((virq for virq, n in self.virq_port.items() if n == port), 0)
        struct.pack_into("<III", record, 8, status, 0, virq)
        memory.write(argument, bytes(record))

    def _unmask(self, argument: int) -> None:
        port = self._open_port(self.domain.memory.word(argument))
        self.shared.clear_bit(abi.EVTCHN_MASK, port)
        if self.shared.bit(abi.EVTCHN_PENDING, port):
            self._select(port)

    def _open_port(self, port: int) -> int:
        if port not in self.status:
            raise HypercallError(abi.EINVAL)
        return port
