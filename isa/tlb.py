"""Remembered translations: one set of flat tables for every engine, so that all translate alike.

A table has an entry for each of the 2**20 pages of the linear space, in memory that the host gives only
where it is touched; so there is neither a tag to compare nor a conflict to lose an entry by, and a
translation lives exactly until INVLPG, CR3 or a change of paging drops it, whichever engine runs.

    READ, WRITE    by supervisor and by user: byte offset of the page in RAM | VALID, for WRITE also | CODE
                   where decoded instructions lie in the page: such a store has to look at `Ram.code_bits`
    FETCH          likewise: number of the `CodePage` + 1
    FRAME          physical pages: byte offset in RAM | VALID for loads and for stores; 0 is not known yet

Logs name the entries made since the last flush, so a flush costs what was filled. 0 is no entry.
"""

from __future__ import annotations

import ctypes
from array import array

from isa.memory import reserve

PAGES = 1 << 20
VALID, CODE = 1, 3  # CODE includes VALID
READ, WRITE, FETCH, FRAME_LOAD, FRAME_STORE = 0, 2 * PAGES, 4 * PAGES, 6 * PAGES, 7 * PAGES  # + user * PAGES
LOG, LOG_SIZE = 8 * PAGES, 1 << 16  # filled READ entries: page | user << 20
FETCH_LOG = LOG + LOG_SIZE
FRAME_LOG = FETCH_LOG + LOG_SIZE  # filled FRAME entries: table offset
WORDS = FRAME_LOG + LOG_SIZE
LOGGED, FETCH_LOGGED, FRAME_LOGGED = range(3)  # how full the logs are: `counts`


class Tlb:
    """The tables of one processor."""

    def __init__(self) -> None:
        block = reserve(4 * WORDS)
        self.words = words = memoryview(block).cast("I")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(block))
        self.counts = array("I", bytes(4 * 4))
        self.read = words[READ : READ + PAGES], words[READ + PAGES : READ + 2 * PAGES]
        self.write = words[WRITE : WRITE + PAGES], words[WRITE + PAGES : WRITE + 2 * PAGES]
        self.fetch = words[FETCH : FETCH + PAGES], words[FETCH + PAGES : FETCH + 2 * PAGES]

    def fill(self, page: int, user: int, frame: int) -> None:
        """Remember a page of the linear space for loads."""
        table = self.read[user]
        if not table[page]:
            n = self.counts[LOGGED]
            if n == LOG_SIZE:
                self.flush_data()
                n = 0
            self.words[LOG + n] = page | user << 20
            self.counts[LOGGED] = n + 1
        table[page] = frame | VALID

    def fill_fetch(self, page: int, user: int, number: int) -> None:
        """Remember in which `CodePage` a page of the linear space lies."""
        n = self.counts[FETCH_LOGGED]
        if n == LOG_SIZE:
            self.flush_fetch()
            n = 0
        self.words[FETCH_LOG + n] = page | user << 20
        self.counts[FETCH_LOGGED] = n + 1
        self.fetch[user][page] = number + 1

    def know_frame(self, table: int, page: int, frame: int) -> None:
        """Remember where a physical page lies in RAM, for the engines that cannot ask."""
        if page < PAGES and not self.words[table + page]:
            n = self.counts[FRAME_LOGGED]
            if n == LOG_SIZE:
                self.forget_frames()
                n = 0
            self.words[FRAME_LOG + n] = table + page
            self.counts[FRAME_LOGGED] = n + 1
            self.words[table + page] = frame | VALID

    # -- forgetting -------------------------------------------------------------------------------
    def flush(self) -> None:
        """Forget every translation."""
        self.flush_data()
        self.flush_fetch()

    def flush_data(self) -> None:
        words, count = self.words, self.counts[LOGGED]
        for entry in words[LOG : LOG + count]:
            words[READ + entry] = words[WRITE + entry] = 0
        self.counts[LOGGED] = 0

    def flush_fetch(self) -> None:
        words, count = self.words, self.counts[FETCH_LOGGED]
        for entry in words[FETCH_LOG : FETCH_LOG + count]:
            words[FETCH + entry] = 0
        self.counts[FETCH_LOGGED] = 0

    def flush_page(self, page: int) -> None:
        """Forget one page, for supervisor and user."""
        for tables in (self.read, self.write, self.fetch):
            tables[0][page] = tables[1][page] = 0

    def drop_writable(self) -> None:
        """Stores must be looked at again: a page has become code."""
        words = self.words
        for entry in words[LOG : LOG + self.counts[LOGGED]]:
            words[WRITE + entry] = 0

    def forget_frames(self) -> None:
        """What is RAM has changed."""
        words, count = self.words, self.counts[FRAME_LOGGED]
        for at in words[FRAME_LOG : FRAME_LOG + count]:
            words[at] = 0
        self.counts[FRAME_LOGGED] = 0
