"""Where the processes of one server leave their reports for the supervisor: memory that they share.

Writing never waits, not even for a supervisor that is frozen, and nothing piles up: the last word is what counts.
"""

from __future__ import annotations

import struct
import zlib
from mmap import mmap

from protean.deliver.gate import SLOTS
from protean.server.assembly import SLOTS_PER_PROCESS
from protean.server.report import ProcessReport

#: Bytes for one report: some 300 threads. Only what is written takes memory.
PAGE = 64 * 1024
#: Reports are written to two pages in turn: while one is being written, the other is whole, even if its writer is
#: stopped in the middle.
REGION = 2 * PAGE
#: Regions for each index of a process, taken in turn: those that take over from it have others, while it ends.
REGIONS_EACH = 8
SIZE = REGION * REGIONS_EACH * (SLOTS // SLOTS_PER_PROCESS)

#: Length and checksum, by which a page that is being written shows.
_HEAD = struct.Struct("<II")


class Board:
    """The board in `memory`, which must have `SIZE` bytes; without, one that only this process sees."""

    def __init__(self, memory: mmap | None = None) -> None:
        self._memory = memory if memory is not None else mmap(-1, SIZE)
        self._next: dict[int, int] = {}

    def write(self, region: int, report: ProcessReport) -> None:
        """Replace the report of that region. Each region has one writer."""
        text = report.to_json()
        if len(text) > PAGE - _HEAD.size:
            text = report.without_threads().to_json()
        page = self._next.get(region, 0)
        self._next[region] = 1 - page
        at = region * REGION + page * PAGE
        self._memory[at + _HEAD.size : at + _HEAD.size + len(text)] = text
        self._memory[at : at + _HEAD.size] = _HEAD.pack(len(text), zlib.crc32(text))

    def read(self, region: int) -> ProcessReport | None:
        """The last report of that region; None if there is none."""
        reports = [report for page in (0, 1) if (report := self._page(region * REGION + page * PAGE)) is not None]
        return max(reports, key=lambda report: report.at, default=None)

    def clear(self, region: int) -> None:
        """Forget what was written there."""
        for page in (0, 1):
            at = region * REGION + page * PAGE
            self._memory[at : at + _HEAD.size] = _HEAD.pack(0, 0)

    def _page(self, at: int) -> ProcessReport | None:
        length, checksum = _HEAD.unpack(self._memory[at : at + _HEAD.size])
        if not 0 < length <= PAGE - _HEAD.size:
            return None
        text = self._memory[at + _HEAD.size : at + _HEAD.size + length]
        return ProcessReport.from_json(text) if zlib.crc32(text) == checksum else None
