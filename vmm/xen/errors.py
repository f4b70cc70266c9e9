"""How a hypercall ends when it does not simply succeed.

`HypercallError` is a negative result for the guest; `Preempted` makes the guest repeat the call with new
arguments, as Xen splits long ones; `DomainCrash` ends the domain, because there is no way back into it.
"""

from __future__ import annotations


class HypercallError(Exception):
    """The call is refused; the guest gets -errno."""

    def __init__(self, errno: int) -> None:
        super().__init__(errno)
        self.errno = errno


class Preempted(Exception):
    """The call has done a part of its work; `arguments` ask for the rest."""

    def __init__(self, *arguments: int) -> None:
        super().__init__(arguments)
        self.arguments = arguments


class DomainCrash(Exception):
    """The guest cannot go on: what a triple fault is to a bare machine."""
