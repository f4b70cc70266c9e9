"""Traces in the manner of CP TRACE: what is traced is chosen by kind, kinds cumulate.

    kinds     the kinds people choose from, and which event belongs to which
    records   one line of a trace as data: from an event, or from an instruction
    sinks     records as text or as JSON lines
    tracer    runs a machine and writes what was chosen

`run_trace(machine, kinds, format, limit, out, budget)` is the way in.
"""

from vmm.trace.kinds import KINDS, parse_kinds
from vmm.trace.sinks import FORMATS
from vmm.trace.tracer import run_trace

__all__ = ["FORMATS", "KINDS", "parse_kinds", "run_trace"]
