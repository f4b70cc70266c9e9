"""Flags in a handler: the record was left by another one, so what it is turns out when the code runs.

ZF, SF and PF need little more than the result; what follows a comparison is a comparison again. For the
rest, functions made from the formulas of `isa.flags` look at the record's kind (`kernel_calls`).
"""

from __future__ import annotations

from typing import Any

from isa import flags
from isa.engine.builder import Native
from isa.engine.ssa import Path
from isa.engine.words import Value, Word, fit, text, truth

AT_ONCE = sum(1 << kind for kind in (flags.SUB, flags.INC, flags.DEC, flags.PACKED))


class DynamicFlags(Native):
    """The flag operations of `isa.language.Builder` on records that are not known."""

    def _packed(self) -> Word:
        known, result = self.memo.get("flags", (None, 0))
        if known is self.record or self.record.kind is not None:
            return super()._packed()
        result = self._ask("flags", 32)
        self.memo["flags"] = (self.record, result)
        return result

    def _ask(self, function: str, w: int) -> Value:
        """Let a function look at a record that is known only now."""
        arguments = ", ".join(f"i32 {text(fit(x, 32))}" for x in self.record.words())
        return self.code.value(f"call preserve_mostcc i{w} @h_{function}({arguments})", w, pure=False)

    def _flag(self, name: str, position: int) -> Word:
        record = self.record
        if record.kind is not None:
            return super()._flag(name, position)
        r: Any = record.r
        op: Any = record.op
        is_packed = (op & 0xFF) == flags.PACKED
        match name:
            case "zf":
                return self._select(is_packed, (r >> 6) & 1, r == 0)
            case "sf":
                return self._select(is_packed, (r >> 7) & 1, (r >> ((op >> 8) - 1)) & 1)
            case "pf":
                return self._select(is_packed, (r >> 2) & 1, flags.parity(flags.LOGIC, 32, r))
            case "cf":
                return self._carry()
            case "of":
                return self._ask(name, 1)
        return super()._flag(name, position)

    def _carry(self) -> Word:
        """CF: of the kinds that mostly come before INC, DEC, ADC and SBB at once, of others by asking."""
        code, record = self.code, self.record
        op: Any = record.op
        x, y, r = (fit(word, 32) for word in (record.x, record.y, record.r))
        kind: Any = op & 0xFF
        origin = code.current()
        quick, state = code.open(), self.save()
        kept = self._select(kind == flags.PACKED, r & 1, y & 1)
        first = Path(code.here, state, self._select(kind == flags.SUB, x < y, kept))
        slow = code.open()
        second = Path(code.here, state, self._ask("cf", 1))
        code.here = origin
        common: Any = (AT_ONCE >> kind & 1) != 0
        origin.end = f"br i1 {common.text}, label %{quick.label}, label %{slow.label}"
        origin.pure = False
        carry: Word = code.meet([first, second])
        return carry

    def _select(self, test: Value, yes: Any, no: Any) -> Value:
        """One of two truth words."""
        return self.code.value(f"select i1 {test.text}, i1 {yes.fit(1).text}, i1 {no.fit(1).text}", 1)

    def condition(self, cc: int) -> Word:
        record = self.record
        if record.kind is not None or cc >> 1 not in (1, 3, 6, 7):
            return super().condition(cc)
        op: Any = record.op
        code = self.code
        subtracted = (op & 0xFF) == flags.SUB
        origin = code.current()
        quick, state = code.open(), self.save()
        x, y = (fit(word, 32) for word in (record.x, record.y))
        if cc >> 1 in (6, 7):
            up: Any = 32 - (op >> 8)
            x, y = x << up, y << up
            holds = self.slt(x, y, 32) if cc >> 1 == 6 else truth(self.slt(y, x, 32)) == 0
        else:
            holds = x < y if cc >> 1 == 1 else x <= y
        quick, first = code.here, Path(code.here, state, truth(holds))
        slow = code.open()
        general = truth(flags.condition(self, cc & ~1))  # type: ignore[arg-type]
        second = Path(code.here, state, general)
        origin.end = f"br i1 {subtracted.text}, label %{quick.label}, label %{slow.label}"
        origin.pure = False
        result: Any = code.meet([first, second])
        return truth(result) == 0 if cc & 1 else result
