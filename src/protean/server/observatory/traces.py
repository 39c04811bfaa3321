"""Single steps as viewers are told them: written once, however many there are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

#: A batch's id, in its two numbers, and the place in it.
Place = tuple[tuple[int, int], int]


@dataclass(frozen=True)  # no slots: the text is kept once it is made
class Trace:
    """One step. `id` is its batch's id and its place in it: what `Last-Event-ID` carries."""

    id: str
    fields: dict[str, Any]

    @cached_property
    def text(self) -> bytes:
        """As a server-sent event."""
        return f"id: {self.id}\nevent: trace\ndata: {json.dumps(self.fields)}\n\n".encode()


@dataclass(frozen=True)  # as above
class Portion:
    """Some traces in a row. Whoever wants the same is given the same one, and so its text is made once for all."""

    traces: Sequence[Trace]

    @cached_property
    def text(self) -> bytes:
        """As server-sent events."""
        return b"".join(trace.text for trace in self.traces)

    def without_first(self, count: int) -> Portion:
        return Portion(self.traces[count:])

    def after(self, seen: Place) -> Portion:
        """What of it comes behind that place; itself, if that is all of it."""
        if not self.traces or place_of(self.traces[0].id) > seen:
            return self
        return Portion([trace for trace in self.traces if place_of(trace.id) > seen])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which traces a viewer wants; None: all. `stream` is a lane's own name, `category` either lane's."""

    stream: str | None = None
    category: str | None = None
    event: str | None = None
    message_type: str | None = None

    def of(self, traces: Iterable[Trace]) -> list[Trace]:
        """Those of them that are wanted."""
        return [trace for trace in traces if self._holds(trace)]

    def _holds(self, trace: Trace) -> bool:
        fields = trace.fields
        stream = str(fields.get("stream"))
        return (
            self.stream in (None, stream)
            and (self.category is None or stream == self.category or stream.startswith(f"{self.category}:"))
            and self.event in (None, fields.get("event"))
            and self.message_type in (None, fields.get("message_type"))
        )


def portions_of(traces: Sequence[Trace], size: int) -> Iterator[Portion]:
    """The same, at most so many at a time."""
    for begin in range(0, len(traces), size):
        yield Portion(traces[begin : begin + size])


def traces_of(batches: Iterable[tuple[str, bytes]]) -> list[Trace]:
    """The traces of batches, oldest first."""
    found: list[Trace] = []
    for entry, text in batches:
        told = _json(text)
        if isinstance(told, list):
            found += [Trace(f"{entry}-{number}", each) for number, each in enumerate(told) if isinstance(each, dict)]
    return found


def left_out_of(batches: Iterable[tuple[str, bytes]]) -> int:
    """How many steps engines have said and not told, because they were more than anybody could read."""
    told = [_json(text) for _, text in batches]
    return sum(int(each.get("left_out", 0)) for each in told if isinstance(each, dict))


def _json(text: bytes) -> Any:
    """What a batch holds; None for what is no batch, from another release perhaps."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def place_of(trace_id: str) -> Place:
    """Of `1700000000000-0-17` ((1700000000000, 0), 17). Raises ValueError for anything else."""
    milliseconds, number, place = trace_id.split("-")
    return (int(milliseconds), int(number)), int(place)
