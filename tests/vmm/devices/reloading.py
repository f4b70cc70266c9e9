"""A machine saved and loaded goes on as the one it was: for the tests of devices that anything is done to."""

import json
import random
from collections.abc import Callable
from typing import Any


def goes_on_alike(
    make: Callable[[], Any], scribble: Callable[[Any, float, int], list[Any]], seed: int, rounds: int
) -> None:
    """`scribble(board, seed, count)` does random things and tells what it saw; boards have a `pc`."""
    rng, board = random.Random(seed), make()
    for _ in range(rounds):
        scribble(board, rng.random(), 100)
        copy = make()
        copy.pc.load(json.loads(json.dumps(board.pc.save())))
        again = rng.random()
        assert scribble(copy, again, 60) == scribble(board, again, 60)
        assert copy.pc.save() == board.pc.save()
