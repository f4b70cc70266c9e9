"""The native tiers under test: handlers, and regions, which are made on purpose around every form.

Left to itself the engine makes regions where it is hot, and compiles one at a time. Here all forms of a batch
are compiled as one module before the first case, and each case begins in its region, which goes on into the
fence behind it; with a budget for exactly the form it would be left to the handlers.
"""

from __future__ import annotations

from collections.abc import Sequence

from cases import Form, State
from compare import VECTOR
from processor import CODE_AT, Answer, Processor
from unicorn_child import NO_VECTOR, SLOT

from isa.engine.kernel import DECLARATIONS
from isa.engine.regioncode import Region
from isa.engine.regionform import Plan, compilable, form
from isa.engine.regions import Install, _Page
from isa.engine.regionstore import RegionStore, name_of
from isa.engine.shapes import target_offset
from isa.engine.ssa import METADATA
from isa.engine.threaded import Threaded
from isa.engine.words import TraceError
from isa.insn import Insn
from isa.state import EIP
from isa.table import ROWS

BEYOND = 8  # instructions at the fence


class Handlers(Processor):
    """An engine that runs natively; all that a batch needs is compiled at once."""

    def __init__(self, engine: str, bits: int, stack: int) -> None:
        super().__init__(engine, bits, stack)
        self.cpu.run(0)
        assert self.cpu.native is not None
        self.native: Threaded = self.cpu.native

    def load(self, picture: bytes, code: bytes, forms: Sequence[Form]) -> None:
        super().load(picture, code, forms)
        pool, library = self.native.pool, self.native.library
        for slot, chosen in enumerate(forms):
            offset = slot * SLOT & 0xFFF
            for insn in chosen.insns:
                library.look_up(insn, target_offset(insn, offset) is not None)
                offset += insn.length
        library.compile()
        for slot in range(len(forms)):
            pool.resolve(self.start(slot))


class Regions(Handlers):
    """The same with regions."""

    def __init__(self, engine: str, bits: int, stack: int) -> None:
        super().__init__(engine, bits, stack)
        assert self.native.regions is not None
        self.regions = self.native.regions
        self.regions.pace = type(self.regions.pace)(slice=1 << 40, longest=1 << 40)
        self.regions.slice = 1 << 40

    def load(self, picture: bytes, code: bytes, forms: Sequence[Form]) -> None:
        super().load(picture, code, forms)
        self.inside: set[int] = set()
        ready: list[tuple[int, str, Install]] = []
        texts: dict[str, str] = {}
        known = self.regions._known()
        for slot, chosen in enumerate(forms):
            made = self.plan(slot, chosen)
            if made is None:
                continue
            plan, install = made
            name = name_of(plan, known, self.bits)
            if name not in texts:
                try:
                    texts[name] = Region(name, plan, known).trace()
                except TraceError:
                    continue
            ready.append((slot, name, install))
        if not texts:
            return
        self.store = RegionStore(self.native.library.addresses)  # the code of the batch before is given up
        self.store._folder = None
        self.store.compile(next(iter(texts)), DECLARATIONS + "".join(texts.values()) + METADATA)
        for slot, name, install in ready:
            install(self.store._engine.get_function_address(name))
            self.inside.add(slot)

    def plan(self, slot: int, chosen: Form) -> tuple[Plan, Install] | None:
        """The region that begins with a form, if there can be one, and how to put it in place."""
        engine, pool = self.native.engine, self.native.pool
        if not compilable(chosen.insns[0]) or ROWS[chosen.insns[0].row].index in pool.reference_only:
            return None
        linear = CODE_AT + slot * SLOT
        number = engine.tlb.fetch[engine.user][linear >> 12] - 1
        key, place = engine.key, linear & 0xFFF
        insns = engine.ram.code[engine.ram.code_offsets[number]].insns

        def look(at: int) -> Insn | None:
            ours = place <= at < place + SLOT and pool.is_made(number, at | key)
            return insns.get(at | key) if ours else None

        plan = form(place, look, worth=1)
        if plan is None or place not in plan.heads:
            return None
        page = self.regions.pages.setdefault((number, key), _Page())
        page.covered |= {at for piece in plan.pieces.values() for at, _ in piece.insns}
        return plan, self.regions._into((number, key), plan.heads)

    def run(
        self, slot: int, form: Form, state: State, reference: Answer | None = None, beyond: int = 0
    ) -> Answer | None:
        assert reference is not None
        words = reference[0]
        onward = words[EIP] == self.start(slot) + len(form.code) or words[VECTOR] != NO_VECTOR
        if slot in self.inside and onward:
            self.entered += 1
            beyond = BEYOND
        return super().run(slot, form, state, reference, beyond)
