"""Making aggregates and commands, and taking an event to its bytes and back: beside plain pydantic doing the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any
from uuid import uuid4

from pydantic_core import from_json

from benchmarks.bench import Bench
from benchmarks.figures import Figure, Result, Target
from benchmarks.model import orders as model
from protean import codec
from protean.clock import utc_now
from protean.elements.payload import decode, encode
from protean.write.messages import event_message
from protean.write.reading import payload_of

AGGREGATE, COMMAND, EVENT = Target("at most", 8.0), Target("at most", 4.0), Target("at most", 15.0)
#: What identities, histories and texts that every database can keep may cost.
TO_PYDANTIC = Target("at most", 2.5)

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Case:
    """`most`: microseconds, where they are promised."""

    name: str
    most: Target | None
    ours: Work
    plain: Work


def measure(bench: Bench) -> list[Result]:
    times, rounds = bench.pick(2_000, 10_000), bench.pick(3, 15)
    model.orders.init()
    figures = [figure for case in _cases() for figure in _beside(case, times, rounds)]
    note = f"{rounds} rounds of {times:,} each; floor: plain pydantic with the same fields and rules, in turn with ours"
    return [Result("creation", figures, [note])]


def _cases() -> Iterator[Case]:
    yield Case("aggregate of 8 fields", AGGREGATE, *_made(model.Order, model.PlainOrder, model.ORDER))
    yield Case("command of 4 fields", COMMAND, *_made(model.PlaceOrder, model.PlainPlaceOrder, model.FOUR))
    yield Case("command of 8 fields", COMMAND, *_made(model.ImportOrder, model.PlainImportOrder, model.EIGHT))
    yield Case("event to JSON and back", EVENT, *_payloads())
    yield Case("event to envelope and back", None, *_envelopes())


def _made(ours: Callable[..., object], plain: Callable[..., object], values: dict[str, Any]) -> tuple[Work, Work]:
    return lambda: ours(**values), lambda: plain(**values)


def _payloads() -> tuple[Work, Work]:
    """The contents alone."""
    cls: Any = model.OrderPlaced
    event, plain = cls(**model.SIX), model.PlainOrderPlaced(**model.SIX)
    return (
        lambda: decode(cls, from_json(encode(event))),
        lambda: model.PlainOrderPlaced.model_validate_json(plain.model_dump_json()),
    )


def _envelopes() -> tuple[Work, Work]:
    """From what was raised to the bytes of a stream, with identity, time and cause, and to what a handler is given."""
    order: Any = model.Order(**model.ORDER)
    event: Any = model.OrderPlaced(**model.SIX)
    plain = model.PlainOrderPlaced(**model.SIX)
    registry = model.orders.registry

    def ours() -> object:
        message = event_message(model.orders, order, event)
        return payload_of(registry, codec.decode(codec.envelope(message.data, message.metadata, 7, 4711)))

    def floor() -> object:
        message_id = uuid4()
        metadata = model.PlainMetadata(
            id=message_id,
            type="OrderPlaced",
            version=1,
            kind="event",
            stream_name=f"order-{order.id}",
            category="order",
            priority=0,
            time=utc_now(),
            correlation_id=str(message_id),
            causation_id=None,
            position=7,
            global_position=4711,
        )
        written = model.PlainEnvelope(data=plain, metadata=metadata).model_dump_json()
        return model.PlainEnvelope.model_validate_json(written).data

    return ours, floor


def _beside(case: Case, times: int, rounds: int) -> list[Figure]:
    """Microseconds of each, in turn; and the median of the rounds' ratios."""
    runs: list[float] = []
    floor: list[float] = []
    for number in range(rounds + 1):
        took = _microseconds(case.plain, times), _microseconds(case.ours, times)
        if number:  # the first one warms up
            floor.append(took[0])
            runs.append(took[1])
    ratios = [one / least for one, least in zip(runs, floor, strict=True)]
    value, least, ratio = median(runs), median(floor), median(ratios)
    return [
        Figure(name=case.name, value=value, unit="us", floor=least, ratio=ratio, runs=runs, target=case.most),
        Figure(name=f"{case.name}, to pydantic", value=ratio, unit="x", runs=ratios, target=TO_PYDANTIC),
    ]


def _microseconds(work: Work, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times * 1e6
