"""Stopping a machine from outside: after some seconds, or when the user presses Ctrl-C.

Wall-clock time is read here and nowhere near a guest: it decides when a run is given up, never what a
run does. A request to stop may come at an awkward moment and be overlooked by the processor, so it is
repeated until the machine has stopped.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from vmm.machine import Machine, Outcome, Result

REPEAT_SECONDS = 0.02


class Watch:
    """While it is entered, Ctrl-C and the time limit stop whatever `machine` is then."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self.machine: Machine | None = None
        self.interrupted = False
        self.timed_out = False
        self._over = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._guard, daemon=True)
        self._previous: Any = None

    def watch(self, machine: Machine) -> None:
        """From now on this machine is the one to stop."""
        self.machine = machine
        if self.interrupted or self.timed_out:
            machine.request_stop()

    def judge(self, result: Result) -> Result:
        """A run that was stopped for its time has used up a budget, too."""
        if self.timed_out and not self.interrupted and result.outcome is Outcome.INTERRUPTED:
            result.outcome = Outcome.BUDGET
            result.text = f"{self.seconds:g} seconds were not enough; {result.text}"
        return result

    def __enter__(self) -> Watch:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._interrupt)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._hurry.set()
        self._thread.join()
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:  # a second time: the user means it
            raise KeyboardInterrupt
        self.interrupted = True
        self._hurry.set()

    def _guard(self) -> None:
        if not self._hurry.wait(self.seconds):
            self.timed_out = True
        while not self._over.is_set():
            if self.machine is not None:
                self.machine.request_stop()
            self._over.wait(REPEAT_SECONDS)
