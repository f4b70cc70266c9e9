"""The Unicorn child process: started on demand, restarted when a case kills it."""

from __future__ import annotations

import pickle
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("unicorn_child.py")
PATIENCE = 60.0  # seconds for a batch; a hang counts as a crash


class Crashed(Exception):
    """The child died, or hung, on a batch."""


class Oracle:
    """Answers batches of cases; a case that kills the child is answered with None.

    A batch is a head, the same for all its cases, and a list of cases. `send` lets the child work while we do
    something else, and `receive` waits for it; `ask` is both.
    """

    def __init__(self, setup: dict, child: Path = CHILD) -> None:
        self.setup = setup
        self.child = child
        self.process: subprocess.Popen | None = None
        self.crashes = 0
        self.sent: tuple[tuple, list] = ((), [])
        self.lost = False

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def send(self, head: tuple, cases: list) -> None:
        """Give a batch to the child."""
        self.sent, self.lost = (head, cases), False
        try:
            if self.process is None:
                command = [sys.executable, str(self.child)]
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
                self.process = subprocess.Popen(command, **pipes)
                self._write(self.setup)
            self._write((*head, cases))
        except BrokenPipeError:
            self.lost = True

    def receive(self) -> list:
        """The answers to the batch that was sent."""
        head, cases = self.sent
        try:
            return self._read()
        except Crashed:
            self.stop()
        if len(cases) == 1:
            self.crashes += 1
            return [None]
        half = len(cases) // 2
        return self.ask(head, cases[:half]) + self.ask(head, cases[half:])

    def ask(self, head: tuple, cases: list) -> list:
        """The answers to `cases`."""
        self.send(head, cases)
        return self.receive()

    def _write(self, message: Any) -> None:
        assert self.process is not None and self.process.stdin is not None
        pickle.dump(message, self.process.stdin, pickle.HIGHEST_PROTOCOL)
        self.process.stdin.flush()

    def _read(self) -> list:
        assert self.process is not None and self.process.stdout is not None
        if self.lost or not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise Crashed
        try:
            return pickle.load(self.process.stdout)
        except EOFError:
            raise Crashed from None
