"""Where a guest's pages lie: in frames of the host, or, claimed back, in a file of the host.

A host may want frames back from a guest that does not know of it. `take` writes the pages that came
longest ago to a file and gives their frames to `Host.spare`; whoever looks a page up next brings it back
into a spare frame, not always the same. Between a look-up and the use of its result no frame may go, so
`take` is for moments when nobody is in the middle of an access: a mode makes room (`is_short`) between
two instructions, and a reserve lasts for whatever an instruction can touch.

Translations made before a `take` are wrong: `PhysicalMemory.remapped` tells everybody.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, overload

from isa.consts import PAGE_SIZE
from vmm.events import Ledger

if TYPE_CHECKING:
    from vmm.monitor.vm import Host

AWAY = -1
RESERVE = 64  # spare frames; a task switch, the most that an instruction can do, touches fewer pages


class OutOfMemory(Exception):
    """A guest's page is wanted and the host has no frame for it: somebody took the reserve."""


class Frames(Sequence[int]):
    """The frames of a guest's pages, as a sequence of byte offsets in the host's RAM. The first `movable` can
    be taken away; those behind (a ROM) stay."""

    def __init__(self, host: Host, places: Sequence[int], movable: int, ledger: Ledger) -> None:
        self.host = host
        self.places = list(places)
        self.ledger = ledger
        self.order = deque(range(movable))  # resident pages, the one that came longest ago first
        self.slots: dict[int, int] = {}  # page -> its place in the file; a page of zeros has none
        self.unused: list[int] = []
        self.used = 0
        self.file = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the machine)
        self.on_pressure: Callable[[], None] = lambda: None  # the reserve is going down

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, page: int, /) -> int: ...
    @overload
    def __getitem__(self, page: slice, /) -> Sequence[int]: ...
    def __getitem__(self, page: int | slice, /) -> int | Sequence[int]:
        if isinstance(page, slice):
            return [self[n] for n in range(len(self))[page]]
        at = self.places[page]
        return at if at != AWAY else self._bring(page)

    @property
    def resident(self) -> int:
        """Movable pages that are in frames."""
        return len(self.order)

    @property
    def is_short(self) -> bool:
        """Whether room should be made at the next occasion."""
        return len(self.host.spare) < RESERVE and self.resident > RESERVE

    def take(self, count: int) -> int:
        """Write `count` pages to the file, or as many as there are beside a reserve; how many. The caller
        announces it (`remapped`)."""
        count = max(0, min(count, self.resident - RESERVE))
        for _ in range(count):
            page = self.order.popleft()
            frame, self.places[page] = self.places[page], AWAY
            data = self.host.ram.read(frame, PAGE_SIZE)
            if any(data):
                self.slots[page] = slot = self.unused.pop() if self.unused else self.used
                self.used = max(self.used, slot + 1)
                self.file.seek(slot * PAGE_SIZE)
                self.file.write(data)
            self.host.spare.append(frame)
        self.ledger.work["pages written out"] += count
        return count

    def _bring(self, page: int) -> int:
        if not self.host.spare:
            raise OutOfMemory(f"page {page} has no frame to come back to")
        slot = self.slots.pop(page, None)
        data = bytes(PAGE_SIZE)
        if slot is not None:
            self.file.seek(slot * PAGE_SIZE)
            data = self.file.read(PAGE_SIZE)
            self.unused.append(slot)
        frame = self.places[page] = self.host.spare.pop()
        self.host.ram.write(frame, data)
        self.order.append(page)
        self.ledger.work["pages read in"] += 1
        if len(self.host.spare) < RESERVE // 2:
            self.on_pressure()
        return frame
