"""The Unicorn child process: started on demand, restarted when a case kills it."""

from __future__ import annotations

import pickle
import select
import subprocess
import sys
from pathlib import Path

CHILD = Path(__file__).with_name("unicorn_child.py")
PATIENCE = 60.0  # seconds for a batch; a hang counts as a crash


class Crashed(Exception):
    """The child died, or hung, on a batch."""


class Oracle:
    """Answers batches of cases; a case that kills the child is answered with None."""

    def __init__(self, setup: dict, child: Path = CHILD) -> None:
        self.setup = setup
        self.child = child
        self.process: subprocess.Popen | None = None
        self.crashes = 0

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def ask(self, selectors: dict[str, int], base: int, cases: list) -> list:
        """The answers to `cases`, which run with these segments; `base` is that of CS."""
        try:
            return self._ask(selectors, base, cases)
        except Crashed:
            self.stop()
        if len(cases) == 1:
            self.crashes += 1
            return [None]
        half = len(cases) // 2
        return self.ask(selectors, base, cases[:half]) + self.ask(selectors, base, cases[half:])

    def _ask(self, selectors: dict[str, int], base: int, cases: list) -> list:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, str(self.child)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._send(self.setup)
        self._send((selectors, base, cases))
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise Crashed
        try:
            return pickle.load(self.process.stdout)
        except EOFError:
            raise Crashed from None

    def _send(self, message: object) -> None:
        assert self.process is not None and self.process.stdin is not None
        try:
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Crashed from None
