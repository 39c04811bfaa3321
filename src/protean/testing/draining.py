"""Letting everything happen that follows from what was done: outbox, handlers, retries and timeouts, until quiet."""

from __future__ import annotations

import textwrap
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from protean.clock import utc_now
from protean.deliver.gate import SLOTS, LaneGate
from protean.deliver.subscription import Subscription
from protean.domain import Domain
from protean.handle.retrier import Retrier
from protean.ports.broker import Broker
from protean.ports.log import LogFilter
from protean.ports.progress import Failure, FailureFilter, FailureState
from protean.server.assembly import Assembly, Role
from protean.server.consumer import consumer_name
from protean.wording import counted

#: Rows published at a time.
BATCH = 500
#: Rounds of publishing and handling after which a chain of reactions is taken for one without an end.
ROUNDS = 200
#: Seconds for which a drain counts as a living consumer: nobody takes over what it has in hand.
SIGN_OF_LIFE = 600.0
#: Failures of which the drain looks, and tells, at most so many.
TOLD = 100


class StuckError(AssertionError):
    """Raised by `drain` when something is left that time alone will not bring about. `failures` are those it found."""

    def __init__(self, text: str, failures: tuple[Failure, ...] = ()) -> None:
        self.failures = failures
        super().__init__(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What a drain has done: rows of the outbox `published`, messages `handled` (once a handler), failures `retried`,
    `timeouts` told of; and what has failed.

    Where handlers run at commit nothing is left to be published, or handled.
    """

    published: int
    handled: int
    retried: int
    timeouts: int
    failures: tuple[Failure, ...]


def drain(domain: Domain, *, failures: Literal["refuse", "leave"] = "refuse", rounds: int = ROUNDS) -> Drained:
    """Publish, handle, retry and wake what is due, and what follows from it, until nothing is; on this thread.

    The parts of a server do it: relays, both lanes, subscribers, retries, timeouts. Where handlers run at commit there
    are only retries and timeouts left to do. What is due later waits for the clock (`protean.testing.stopped_clock`).

    Raises StuckError, naming what and why: for messages that cannot be handled, for reactions that have not come to an
    end after so many `rounds`, and for failures, unless these may be left.
    """
    work = _InlineWork(domain) if domain.outbox_broker is None else _ServerWork(domain)
    work.begin()
    try:
        done, stuck = Counter[str](), list[str]()
        for _ in range(rounds):
            before = done.total()
            done.update(work.round())
            if done.total() == before:
                stuck = [*work.left()]
                break
        else:
            stuck = [_endless(domain, rounds)]
    finally:
        work.end()
    found = tuple(_failures(domain))
    told = found if failures == "refuse" else ()
    if stuck or told:
        raise StuckError(_text(domain, stuck, told), found)
    counts = {name: done[name] for name in ("published", "handled", "retried", "timeouts")}
    return Drained(**counts, failures=found)


class _InlineWork:
    """What there is to do where handlers run at commit."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def begin(self) -> None:
        """Nothing has to be prepared."""

    def round(self) -> dict[str, int]:
        return {"retried": self._domain.retry_failures(), "timeouts": self._domain.fire_timeouts()}

    def left(self) -> list[str]:
        return []

    def end(self) -> None:
        """Nothing has to be put away."""


class _ServerWork:
    """What a server would do, in one thread: the parts are its own, the turns are taken here."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._consumer = consumer_name()
        self._gate = LaneGate()
        self._assembly = Assembly(domain, Role(), self._gate, self._consumer)
        self._never = threading.Event()
        self._subscriptions: list[tuple[Broker, Subscription]] = []

    def begin(self) -> None:
        domain, assembly = self._domain, self._assembly
        broker, foreign = domain.broker(), assembly.foreign
        broker.beat(self._consumer, SIGN_OF_LIFE)
        for provider in assembly.providers:
            domain.database(provider).recovery.open_lanes(domain.config.outbox.broker, domain.lanes.in_use)
        for stream, group in sorted(assembly.groups):
            broker.ensure_group(stream, group)
        foreign.make_groups()
        deque(assembly.threads(), maxlen=0)  # each part is made when its thread would begin; none does
        self._subscriptions = [(broker, each) for each in assembly.subscriptions.values()]
        for subscriber in foreign.subscribers:
            theirs = domain.broker(foreign.broker_of(subscriber))
            mine = (each for each in foreign.subscriptions.values() if each.route.handler == subscriber.handler.name)
            self._subscriptions += [(theirs, each) for each in mine]

    def round(self) -> dict[str, int]:
        published = sum(self._published())
        handled = sum(self._handled(*each) for each in self._subscriptions)
        timeouts = self._domain.fire_timeouts()
        return {"published": published, "handled": handled, "retried": self._retried(), "timeouts": timeouts}

    def left(self) -> Iterator[str]:
        """What nobody has published or handled, and why."""
        name = self._domain.config.outbox.broker
        for provider in self._assembly.providers:
            for count in self._domain.database(provider).outbox.count():
                if count.broker == name and count.status != "published":
                    yield (
                        f"{counted(count.rows, 'message')} of {count.category} {'is' if count.rows == 1 else 'are'} "
                        f"{count.status} in the outbox of {provider}: the broker refuses them, or a server that runs "
                        "beside this test has them in hand"
                    )
        for broker, each in self._subscriptions:
            stream, group = each.route.stream, each.route.handler
            if backlog := broker.backlog([(stream, group)])[0]:
                held = {who: n for who, n in broker.held(stream, group).items() if n and who != self._consumer}
                why = f"in hand of {', '.join(held)}" if held else each.activity.detail or "nobody knows why"
                yield f"[{group}] has {counted(backlog, 'message')} on {stream}: {why}"

    def end(self) -> None:
        assembly = self._assembly
        self._domain.broker().leave(self._consumer, assembly.groups | assembly.foreign.groups(assembly.foreign.main))
        assembly.foreign.leave(self._consumer)

    def _published(self) -> Iterator[int]:
        for relay in self._assembly.relays.values():
            while settled := relay.publish_batch(BATCH):
                yield settled

    def _handled(self, broker: Broker, subscription: Subscription) -> int:
        """Give the subscription turns until its stream is empty, or three have changed nothing; messages handled."""
        where, handled, idle = [(subscription.route.stream, subscription.route.handler)], 0, 0
        left = broker.backlog(where)[0]
        while left and idle < 3:  # one looks for what is pending in our name, and one may find a trial not due
            subscription.turn(self._never)
            self._gate.clear(range(SLOTS))  # production closes it until its next turn, and is not at work in between
            before, left = left, broker.backlog(where)[0]
            handled += max(before - left, 0)
            idle = 0 if left < before else idle + 1
        return handled

    def _retried(self) -> int:
        retried = 0
        for each in self._assembly.in_rounds.values():
            while isinstance(each, Retrier) and each.retry_next(self._never):
                retried += 1
        return retried


def _failures(domain: Domain) -> Iterator[Failure]:
    """What waits for its retry, and what is dead; not what somebody has discarded."""
    for provider in _providers(domain):
        transaction = domain.database(provider).transaction()
        try:
            for state in (FailureState.WAITING, FailureState.DEAD):
                yield from reversed(transaction.failures.find(FailureFilter(state=state), TOLD))
        finally:
            transaction.rollback()


def _providers(domain: Domain) -> list[str]:
    """The databases in which something can wait."""
    kept = [*domain.registry.aggregates, *domain.registry.processes]
    return sorted(
        {each.__protean__.provider for each in kept} | {each.provider for each in domain.registry.subscribers}
    )


def _endless(domain: Domain, rounds: int) -> str:
    """What the last messages were, for whoever looks for the circle."""
    last = Counter[str]()
    for provider in _providers(domain):
        transaction = domain.database(provider).transaction()
        try:
            after = max(transaction.rebuilding.head() - 20, 0)
            last.update(message.type for message in transaction.log.search(LogFilter(after=after), 20))
        finally:
            transaction.rollback()
    types = ", ".join(f"{type_} ({count})" for type_, count in last.most_common())
    return (
        f"after {rounds} rounds there is still more to do: reactions go round in a circle; the last messages: {types}"
    )


def _text(domain: Domain, stuck: list[str], failures: tuple[Failure, ...]) -> str:
    lines = [f"the domain {domain.name} does not come to rest:", *(f"- {each}" for each in stuck)]
    for failure in failures:
        lines.append(f"- {_told(failure)}")
        lines.append(textwrap.indent(failure.traceback.rstrip(), "    "))
    if any(failure.state is FailureState.WAITING for failure in failures):
        lines.append(
            "What waits is tried again when it is due: let time pass (`clock.advance(…)` of stopped_clock) and drain "
            'again, or leave it, drain(domain, failures="leave")'
        )
    elif failures:
        lines.append('Where the failure is what is tested: drain(domain, failures="leave").failures')
    return "\n".join(lines)


def _told(failure: Failure) -> str:
    what = f"[{failure.handler}] failed at {failure.message_type} {failure.message_id[:8]}… of {failure.stream_name}"
    if failure.state is FailureState.DEAD:
        return f"{what}, for good after {counted(failure.attempts, 'attempt')}: {failure.error_type}: {failure.error}"
    due = (failure.due_at - utc_now()).total_seconds()
    return (
        f"{what}, attempt {failure.attempts}, to be tried again in {due:.1f} s: {failure.error_type}: {failure.error}"
    )
