"""Retries and dead letters against a model that knows every attempt, due time and block.

Handlers break and heal, deliveries come in any order and again, time passes, processes die in the middle of a retry,
letters die, are released or discarded. The model says the verdict of every delivery, which failure a retry takes, and
what is left of it; the failures table must say the same after every step.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from tests.models.profiles import Profile, compare
from tests.models.world import Killed, Story, World, told

from protean import codec
from protean.deliver.lanes import Lane
from protean.handle import sequenced
from protean.handle.retrier import LEASE, Retrier
from protean.handle.retry import RetryPolicy
from protean.message import Message
from protean.ports.handling import Delivery, Verdict
from protean.ports.progress import Failure, FailureFilter, FailureState
from protean.server.dead_letters import DeadLetters

ACCOUNTS = ["a", "b"]
SEQUENCED, UNSEQUENCED = "SumsProjector", "Clerk"
POLICY = RetryPolicy(max_retries=2, base_delay=10.0, max_delay=30.0, jitter=0.0)
LONG = 1_000


@dataclass
class Trouble:
    """The model of one row of `failures`."""

    handler: str
    account: str
    number: int
    message_id: str
    lane: Lane
    attempts: int
    due_at: datetime
    first_failed_at: datetime
    state: FailureState = FailureState.WAITING
    discarded: bool = False


@dataclass
class Standing:
    """How far the sequenced handler has come with one account. `passed_over` are the numbers people have discarded."""

    position: int = -1
    blocked: bool = False
    passed_over: set[int] = field(default_factory=set)


class ModelDied(Exception):  # noqa: N818  # the model's side of Killed
    """The process of the model ends here."""


lanes = st.sampled_from(list(Lane))
handlers = st.sampled_from([SEQUENCED, UNSEQUENCED])
accounts = st.sampled_from(ACCOUNTS)
picks = st.lists(st.tuples(accounts, st.integers(0, 12)), min_size=1, max_size=5)


class Troubles(Story):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.logs: dict[str, list[Message]] = {name: [] for name in ACCOUNTS}
        self.standings = {name: Standing() for name in ACCOUNTS}
        self.noted: set[tuple[str, int]] = set()  # what the unsequenced handler will not handle any more
        self.done: set[tuple[str, int]] = set()  # what it has handled
        self.troubles: dict[tuple[str, str], Trouble] = {}
        self.buried: list[str] = []
        self.expected_burials: list[str] = []
        self.calls_left = LONG
        self.executors = {name: world.executor(name, POLICY) for name in (SEQUENCED, UNSEQUENCED)}

    @initialize(
        events=st.integers(1, 6), broken=st.sets(st.tuples(accounts, st.integers(0, 5)), min_size=1, max_size=5)
    )
    @told
    def begin_anew(self, events: int, broken: set[tuple[str, int]]) -> None:
        self.world.clear()
        for name in ACCOUNTS:
            self.write(name, events)
        self.world.broken |= broken

    # What happens

    @rule(account=accounts, events=st.integers(1, 4))
    @told
    def write(self, account: str, events: int) -> None:
        for _ in range(events):
            self.world.change(account, 1)
        self.logs[account] = self.world.log(account)

    @rule(account=accounts, number=st.integers(0, 12), breaks=st.booleans())
    @told
    def handlers_change(self, account: str, number: int, breaks: bool) -> None:
        """From now on an event cannot, or can again, be handled."""
        (self.world.broken.add if breaks else self.world.broken.discard)((account, number))

    @rule(handler=handlers, lane=lanes, picks=picks, grouped=st.booleans())
    @told
    def deliver(self, handler: str, lane: Lane, picks: list[tuple[str, int]], grouped: bool) -> None:
        """Any messages, in any order, one by one or as a group: the verdicts are the model's."""
        chosen = [(account, number % len(self.logs[account])) for account, number in picks]
        deliveries = [self._delivery(self.logs[account][number], lane) for account, number in chosen]
        expected = [self._expected(handler, account, number, lane) for account, number in chosen]
        outcomes = []
        while len(outcomes) < len(deliveries):
            rest = deliveries[len(outcomes) :]
            outcomes += self.executors[handler].execute(rest, grouped=grouped, go_on=lambda: True)
        assert [outcome.verdict for outcome in outcomes] == expected

    @rule(handler=handlers, account=accounts, lane=lanes, grouped=st.booleans())
    @told
    def deliver_everything(self, handler: str, account: str, lane: Lane, grouped: bool) -> None:
        """As a stream would: in order."""
        self.deliver(handler, lane, [(account, number) for number in range(len(self.logs[account]))], grouped)

    @precondition(lambda self: self._waiting())
    @rule(which=st.integers(0, 5), after=st.sampled_from([-1, 0, 0, 31]), dies_at=st.none() | st.integers(0, 6))
    @told
    def retry(self, which: int, after: int, dies_at: int | None) -> None:
        """One retry when some failure is due, or a little before or after, and perhaps its process dies of it."""
        waiting = self._waiting()
        trouble = waiting[which % len(waiting)]
        until = (trouble.due_at - self._now()).total_seconds() + after
        self.world.clock.passes(max(until, 0))
        self._retry(trouble.lane, dies_at)

    @precondition(lambda self: self._waiting())
    @rule(which=st.integers(0, 5), attempts=st.integers(1, 4), heals=st.booleans())
    @told
    def retry_to_the_end(self, which: int, attempts: int, heals: bool) -> None:
        """Several retries in a row, and perhaps the handler is mended before the last."""
        waiting = self._waiting()
        trouble = waiting[which % len(waiting)]
        for attempt in range(attempts):
            if heals and attempt == attempts - 1:
                self.world.broken.discard((trouble.account, trouble.number))
            self.world.clock.passes(31)
            self._retry(trouble.lane, None)

    @rule(handler=st.none() | handlers, account=st.none() | accounts)
    @told
    def release(self, handler: str | None, account: str | None) -> None:
        """A person lets dead letters be tried again: those of one handler or account, or all."""
        chosen = [
            trouble
            for trouble in self.troubles.values()
            if trouble.state is FailureState.DEAD and handler in (None, trouble.handler)
            if account in (None, trouble.account)
        ]
        for trouble in chosen:
            trouble.state, trouble.attempts = FailureState.WAITING, 0
            trouble.due_at = trouble.first_failed_at  # due at once, and in the order in which they came
        which = FailureFilter(
            handlers=(handler,) if handler else None, stream_name=f"account-{account}" if account else None
        )
        with self.world.transaction() as transaction:
            assert transaction.failures.release(which) == len(chosen)

    @rule(handler=handlers, account=accounts)
    @told
    def discard(self, handler: str, account: str) -> None:
        """A person decides that a handler shall never see its dead letters of one account."""
        which = FailureFilter(handlers=(handler,), stream_name=f"account-{account}", state=FailureState.DEAD)
        for trouble in self.troubles.values():
            if (trouble.handler, trouble.account, trouble.state) == (handler, account, FailureState.DEAD):
                trouble.discarded, trouble.due_at = True, self._now()
                if handler == SEQUENCED:  # the engine goes past it, and applies what waits behind it
                    trouble.state = FailureState.WAITING
                else:
                    trouble.state = FailureState.ARCHIVED
                    self.noted.add((account, trouble.number))
        letters = DeadLetters(self.world.domain)
        letters.discard(letters.find(which), by="Ada", reason="was a test", timeout=0.0)

    # What must be true

    @invariant()
    @told
    def the_failures_are_the_models(self) -> None:
        assert {(failure.handler, failure.message_id): _told(failure) for failure in self.world.failures()} == {
            key: (trouble.lane, trouble.attempts, trouble.state, trouble.due_at)
            if trouble.state is FailureState.WAITING
            else (trouble.lane, trouble.attempts, trouble.state, None)
            for key, trouble in self.troubles.items()
        }
        assert self.buried == self.expected_burials

    @invariant()
    @told
    def the_effects_are_the_models(self) -> None:
        assert {row.account_id: row.applied for row in self.world.rows(self.world.Sums)} == {
            name: applied for name, standing in self.standings.items() if (applied := self._applied(standing))
        }
        assert {row.receipt_id: row.times for row in self.world.rows(self.world.Receipt)} == {
            f"{account}:{number}": 1 for account, number in self.done
        }

    def settle(self) -> None:
        """Mended and released, everything is applied; nothing is left in the failures table."""
        self.world.broken.clear()
        for _ in range(LONG):
            if {trouble.state for trouble in self.troubles.values()} <= {FailureState.ARCHIVED}:
                break
            self.release(None, None)
            self.world.clock.passes(LONG)
            for lane in Lane:
                self._retry(lane, None)
        for account in ACCOUNTS:
            everything = [(account, number) for number in range(len(self.logs[account]))]
            for handler in (SEQUENCED, UNSEQUENCED):
                self.deliver(handler, Lane.PRIMARY, everything[::-1], False)
        self.the_failures_are_the_models()
        self.the_effects_are_the_models()
        for account in ACCOUNTS:
            name = f"account-{account}"
            with self.world.transaction() as transaction:
                at = transaction.positions.lock(SEQUENCED, [name])[name]
            assert (at.position, at.blocked) == (len(self.logs[account]) - 1, False)

    # The real steps

    def _delivery(self, message: Message, lane: Lane) -> Delivery:
        stream = self.world.domain.lanes.stream(message.category, lane)
        return Delivery(f"{message.global_position}-0", stream, lane, codec.encode(message))

    def _retry(self, lane: Lane, dies_at: int | None) -> None:
        self.calls_left = LONG if dies_at is None else dies_at
        expected, died = self._expected_retry(lane)
        countdown = iter(range(LONG if dies_at is None else dies_at))

        def inside(_account: str, _number: int) -> None:
            if next(countdown, None) is None:
                raise Killed

        self.world.inside = inside
        retrier = Retrier(self.world.database, lane, self.executors, self._bury)
        try:
            assert retrier.retry_next(threading.Event()) == expected
            assert not died
        except Killed:
            assert died
        finally:
            self.world.inside = lambda account, number: None

    def _bury(self, failure: Failure) -> None:
        self.buried.append(failure.message_id)

    # The model

    def _waiting(self) -> list[Trouble]:
        waiting = [trouble for trouble in self.troubles.values() if trouble.state is FailureState.WAITING]
        return sorted(waiting, key=lambda trouble: (trouble.handler, trouble.account, trouble.number))

    def _now(self) -> datetime:
        return self.world.clock.moment

    def _applied(self, standing: Standing) -> list[int]:
        return [number for number in range(standing.position + 1) if number not in standing.passed_over]

    def _broken(self, account: str, number: int) -> bool:
        return (account, number) in self.world.broken

    def _call(self, account: str, number: int) -> bool:
        """Call the model's handler; whether it is well."""
        if self.calls_left == 0:
            raise ModelDied
        self.calls_left -= 1
        return not self._broken(account, number)

    def _fails_first(self, handler: str, account: str, number: int, lane: Lane) -> None:
        message_id = self.logs[account][number].id
        now = self._now()
        due = now + timedelta(seconds=POLICY.delay(1))
        self.troubles[handler, message_id] = Trouble(handler, account, number, message_id, lane, 1, due, now)

    def _fails_again(self, trouble: Trouble) -> None:
        trouble.due_at = self._now() + timedelta(seconds=POLICY.delay(trouble.attempts))
        if trouble.attempts > POLICY.max_retries:
            self._dies(trouble)

    def _dies(self, trouble: Trouble) -> None:
        trouble.state = FailureState.DEAD
        self.expected_burials.append(trouble.message_id)

    def _expected(self, handler: str, account: str, number: int, lane: Lane) -> Verdict:
        if handler == UNSEQUENCED:
            return self._expected_unsequenced(account, number, lane)
        standing = self.standings[account]
        if number <= standing.position:
            return Verdict.HANDLED
        if standing.blocked:
            return Verdict.BLOCKED
        for each in range(standing.position + 1, number + 1):
            if self._broken(account, each):
                self._fails_first(SEQUENCED, account, each, lane)
                standing.blocked = True
                return Verdict.RETRY if each == number else Verdict.BLOCKED
            standing.position = each
        return Verdict.HANDLED

    def _expected_unsequenced(self, account: str, number: int, lane: Lane) -> Verdict:
        if (account, number) in self.noted:
            return Verdict.HANDLED
        if not self._broken(account, number):
            self._handle((account, number))
            return Verdict.HANDLED
        known = self.troubles.get((UNSEQUENCED, self.logs[account][number].id))
        if known is None:
            self._fails_first(UNSEQUENCED, account, number, lane)
            return Verdict.RETRY
        return Verdict.DEAD if known.state is FailureState.DEAD else Verdict.RETRY

    def _expected_retry(self, lane: Lane) -> tuple[bool, bool]:
        """Retry in the model; whether anything was due, and whether the process dies of it."""
        due = [
            trouble
            for trouble in self.troubles.values()
            if trouble.lane is lane and trouble.state is FailureState.WAITING and trouble.due_at <= self._now()
        ]
        if not due:
            return False, False
        trouble = min(due, key=lambda each: (each.due_at, each.handler, each.message_id))
        if trouble.attempts > POLICY.max_retries and not trouble.discarded:  # somebody died of the last attempt
            self._dies(trouble)
            return True, False
        trouble.attempts += 1
        trouble.due_at = self._now() + timedelta(seconds=LEASE)
        try:
            (self._resume if trouble.handler == SEQUENCED else self._again)(trouble)
        except ModelDied:
            return True, True
        return True, False

    def _again(self, trouble: Trouble) -> None:
        event = (trouble.account, trouble.number)
        if event not in self.noted and not self._call(*event):
            self._fails_again(trouble)
            return
        if event not in self.noted:
            self._handle(event)
        del self.troubles[UNSEQUENCED, trouble.message_id]

    def _handle(self, event: tuple[str, int]) -> None:
        self.noted.add(event)
        self.done.add(event)

    def _resume(self, trouble: Trouble) -> None:
        """Apply page after page up to the end of the log; what fails on the way blocks there."""
        account, standing = trouble.account, self.standings[trouble.account]
        while True:
            page = range(standing.position + 1, len(self.logs[account]))[: sequenced.PAGE]
            over = {number for number in page if self._is_discarded(account, number)}
            failed = next((number for number in page if number not in over and not self._call(account, number)), None)
            if failed is not None:
                self._catch_up(account, failed)
                if failed == trouble.number:
                    self._fails_again(trouble)
                else:
                    self._settle(trouble)
                    self._fails_first(SEQUENCED, account, failed, trouble.lane)
                return
            standing.position += len(page)
            standing.passed_over |= over
            if len(page) < sequenced.PAGE:
                standing.blocked = False
                self._settle(trouble)
                return

    def _settle(self, trouble: Trouble) -> None:
        """The failure goes; of a discarded one the row is kept, without the attempt that carried it out."""
        if trouble.discarded:
            trouble.state, trouble.attempts = FailureState.ARCHIVED, trouble.attempts - 1
        else:
            del self.troubles[SEQUENCED, trouble.message_id]

    def _is_discarded(self, account: str, number: int) -> bool:
        trouble = self.troubles.get((SEQUENCED, self.logs[account][number].id))
        return trouble is not None and trouble.discarded

    def _catch_up(self, account: str, before: int) -> None:
        standing = self.standings[account]
        while page := range(standing.position + 1, before)[: sequenced.PAGE]:
            over = {number for number in page if self._is_discarded(account, number)}
            for number in page:
                if number not in over:
                    self._call(account, number)
            standing.position = page[-1]
            standing.passed_over |= over


def _told(failure: Failure) -> tuple[str, int, FailureState, datetime | None]:
    waiting = failure.state is FailureState.WAITING
    return failure.lane, failure.attempts, failure.state, failure.due_at if waiting else None


def test_attempts_due_times_blocks_and_dead_letters_are_exact(world: World, profile: Profile) -> None:
    examples = 15 if world.concurrent else 50
    compare(Troubles, world, profile.course(examples, 40))
