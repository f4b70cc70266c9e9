"""The exit statuses of `vmsim`, as a shell and a script see them."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What `vmsim` returns to the shell."""

    OK = 0
    INTERNAL_ERROR = 1  # a mistake of vmsim's own
    USAGE = 2
    BAD_GUEST = 3  # cannot be read, assembled or loaded
    GUEST_FAILURE = 4  # the guest says so itself
    GUEST_CRASH = 5  # a triple fault, a fault that nobody handled, or something that is not modelled
    BUDGET = 6  # instructions or time used up
    DIVERGENCE = 7  # a mode that promises equivalence broke its promise
    INTERRUPTED = 130

    @classmethod
    def of(cls, outcome: str) -> ExitStatus:
        """The status for the end of a run (`vmm.machine.Outcome`)."""
        return {
            "success": cls.OK,
            "failure": cls.GUEST_FAILURE,
            "triple-fault": cls.GUEST_CRASH,
            "unhandled": cls.GUEST_CRASH,
            "unsupported": cls.GUEST_CRASH,
            "budget": cls.BUDGET,
            "interrupted": cls.INTERRUPTED,
        }.get(outcome, cls.INTERNAL_ERROR)
