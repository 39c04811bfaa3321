"""What production writes down about each request, and the phases it is looked at by."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

#: Bytes of a sample's line, about.
LINE_LENGTH = 230


class Kind(StrEnum):
    REGISTER = "register"
    RENAME = "rename"
    #: Of a customer whose migration event waits in the backfill lane at that moment.
    RENAME_WAITING = "rename waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request. Times are seconds since the epoch: several processes take them, on one machine.

    `scheduled` is when it was due, whether or not anybody was free to send it then. `visible` is when the read
    model showed `name`. What never happened is None, and `error` says why.
    """

    kind: Kind
    customer_id: str
    name: str
    scheduled: float
    answered: float | None = None
    visible: float | None = None
    error: str | None = None

    def to_line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


@dataclass(frozen=True, slots=True)
class Measured:
    """A request that came through, with the time its event was written to the log."""

    sample: Sample
    committed: float
    visible: float
    answered: float

    @property
    def latency(self) -> float:
        """Milliseconds from the event's commit to the visible projection.

        The log's time is taken just before the commit, which is therefore included.
        """
        return (self.visible - self.committed) * 1000

    @property
    def http(self) -> float:
        """Milliseconds from the scheduled time to the answer: what the client waited, a queue before it included."""
        return (self.answered - self.sample.scheduled) * 1000


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the run; `began` and `ended` are seconds since the epoch."""

    name: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def holds(self, moment: float) -> bool:
        return self.began <= moment < self.ended


class Phases:
    """The phases in order, each ending where the next begins."""

    def __init__(self) -> None:
        self._starts: list[tuple[str, float]] = []
        self._finished: float | None = None

    def begin(self, name: str, now: float) -> None:
        self._starts.append((name, now))

    def finish(self, now: float) -> None:
        self._finished = now

    def all(self) -> tuple[Phase, ...]:
        """Every phase; the last one needs `finish`."""
        ends = [start for _, start in self._starts[1:]]
        if self._finished is not None:
            ends.append(self._finished)
        return tuple(Phase(name, began, ended) for (name, began), ended in zip(self._starts, ends, strict=False))


def read_samples(path: Path, last: int | None = None) -> list[Sample]:
    """All samples in the file, or about the `last` so many; a line that is still being written is left out."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = 0 if last is None else max(size - last * LINE_LENGTH, 0)
        file.seek(start)
        if start:
            file.readline()  # the rest of a line
        lines = [line for line in file if line.endswith(b"\n")]
    fields = [json.loads(line) for line in lines]
    return [Sample(**{**field, "kind": Kind(field["kind"])}) for field in fields]


def of_phase(measured: Iterable[Measured], phases: Sequence[Phase], *names: str) -> list[Measured]:
    """Those that were due in one of the named phases."""
    wanted = [phase for phase in phases if phase.name in names]
    return [one for one in measured if any(phase.holds(one.sample.scheduled) for phase in wanted)]
