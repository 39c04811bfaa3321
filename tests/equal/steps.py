"""The steps of a history. Each is plain data, carried out in each world, and returns what a caller would see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol

from hypothesis import strategies as st
from tests.equal import values
from tests.equal.values import Question
from tests.equal.world import World, failure, plain

from protean import UnitOfWork
from protean.exceptions import ProteanError


class Step(Protocol):
    def run(self, world: World) -> Any: ...


def answer(step: Step, world: World) -> Any:
    """What the step returns, or how it is refused."""
    try:
        return plain(step.run(world))
    except ProteanError as error:
        return failure(error)


def given(world: World, fields: dict[str, Any]) -> dict[str, Any]:
    """The values of fields, value objects made."""
    made = {}
    for name, value in fields.items():
        made[name] = world.make("Price", **value) if name in ("price", "offer") and value is not None else value
    return made


@dataclass(frozen=True)
class Add:
    id: str
    fields: dict[str, Any]
    parts: tuple[str, ...] = ()

    def run(self, world: World) -> Any:
        parts = [world.make("Part", id=f"{self.id}-{part}", name=part) for part in self.parts]
        return world.repo("Thing").add(world.make("Thing", id=self.id, parts=parts, **given(world, self.fields)))


@dataclass(frozen=True)
class Change:
    """Loads it, sets fields one by one, and saves it; `stale`: after somebody else has saved it meanwhile."""

    id: str
    fields: dict[str, Any]
    stale: bool = False

    def run(self, world: World) -> Any:
        things = world.repo("Thing")
        thing = things.get(self.id)
        if self.stale:
            with UnitOfWork(world.domain):
                world.domain.process(world.make("Rename", id=self.id, name="other"))
        for name, value in given(world, self.fields).items():
            setattr(thing, name, value)
        return things.add(thing)


@dataclass(frozen=True)
class Rearrange:
    """Changes the entities of one thing: what to do, and with which."""

    id: str
    moves: tuple[tuple[str, int, str], ...]

    def run(self, world: World) -> Any:
        things = world.repo("Thing")
        thing = things.get(self.id)
        for what, number, text in self.moves:
            self._move(world, thing, what, number, text)
        things.add(thing)
        return things.get(self.id)

    def _move(self, world: World, thing: Any, what: str, number: int, text: str) -> None:
        part = world.make("Part", id=f"{self.id}-{text}-{number}", name=text, cost=Decimal(number))
        bit = world.make("Bit", id=f"{self.id}:{text}:{number}", serial=text)
        if what == "append":
            thing.parts.append(part)
        elif what == "insert":
            thing.parts.insert(number, part)
        elif what == "label":
            thing.label = world.make("Label", id=f"{self.id}-l{number}", price=world.make("Price", amount=number))
        elif what == "unlabel":
            thing.label = None
        elif what == "reverse":
            thing.parts.reverse()
        elif thing.parts:
            chosen = thing.parts[number % len(thing.parts)]
            if what == "remove":
                thing.parts.remove(chosen)
            elif what == "rename":
                chosen.name, chosen.extras = text, {text: number}
            else:
                chosen.bits.append(bit)


@dataclass(frozen=True)
class Remove:
    id: str

    def run(self, world: World) -> Any:
        things = world.repo("Thing")
        things.remove(things.get(self.id))
        return things.get_or_none(self.id)


@dataclass(frozen=True)
class Ask:
    question: Question
    of: str = "Thing"

    def run(self, world: World) -> Any:
        query = self.question.of(world.repo(self.of).query)
        match self.question.end:
            case "all":
                found = query.all()
                return [len(found), list(found), found.has_next, found.has_prev, found.total]
            case "iterate":
                return list(query.iterator(page=2))
            case "last":
                return query.all().last
            case "len":
                return [len(query.all()), bool(query.all()), len(query.all().items)]
            case "pages":
                return [each.id for start in range(3) for each in query.limit(2).offset(2 * start).all()]
            case end:
                return getattr(query, end)()


@dataclass(frozen=True)
class Update:
    question: Question
    fields: dict[str, Any]

    def run(self, world: World) -> Any:
        return self.question.of(world.repo("Thing").query).update(**given(world, self.fields))


@dataclass(frozen=True)
class Erase:
    question: Question

    def run(self, world: World) -> Any:
        return self.question.of(world.repo("Thing").query).delete()


@dataclass(frozen=True)
class Process:
    command: str
    fields: dict[str, Any]
    key: str | None = None

    def run(self, world: World) -> Any:
        return world.domain.process(world.make(self.command, **self.fields), idempotency_key=self.key)


class StopError(Exception):
    """Ends a unit of work on purpose."""


def _stop(fails: bool) -> None:
    if fails:
        raise StopError


@dataclass(frozen=True)
class Unit:
    """Several steps in one unit of work; what is refused in it is passed over, and `fails` undoes all."""

    steps: tuple[Step, ...]
    fails: bool

    def run(self, world: World) -> Any:
        told: list[Any] = []
        try:
            with UnitOfWork(world.domain):
                told += [answer(step, world) for step in self.steps]
                _stop(self.fails)
        except StopError:
            told.append("undone")
        except ProteanError as error:
            told.append(failure(error))
        return told


@dataclass(frozen=True)
class Open:
    id: str
    owner: str | None

    def run(self, world: World) -> Any:
        account = world.elements["Account"].open(self.id, self.owner)
        return world.repo("Account").add(account)


@dataclass(frozen=True)
class Pay:
    id: str
    payments: tuple[tuple[Decimal, Any, dict[str, Any]], ...]
    stale: bool = False

    def run(self, world: World) -> Any:
        accounts = world.repo("Account")
        account = accounts.get(self.id)
        if self.stale:
            other = accounts.get(self.id)
            other.pay(Decimal(1), None, {})
            accounts.add(other)
        for amount, at, details in self.payments:
            account.pay(amount, at, details)
        accounts.add(account)
        return accounts.get(self.id)


@dataclass(frozen=True)
class Past:
    """An account as it was: behind an event, or at the moment of one, a microsecond before or after."""

    id: str
    version: int
    shift: int | None

    def run(self, world: World) -> Any:
        accounts = world.repo("Account")
        if self.shift is None:
            return accounts.get(self.id, at_version=self.version)
        history = world.domain.event_store.read(f"account-{self.id}", limit=1000)
        if not 0 <= self.version < len(history):
            return "none"
        moment = history[self.version].time + timedelta(microseconds=self.shift)
        # How many of its events are of the same microsecond is chance.
        late = sum(message.time <= moment for message in history)
        found = accounts.get_or_none(self.id, as_of=moment)
        return [(found is None) == (late == 0), found is None or found._version == late - 1]


@dataclass(frozen=True)
class Snapshot:
    id: str

    def run(self, world: World) -> Any:
        return world.domain.create_snapshot(world.elements["Account"], self.id)


@dataclass(frozen=True)
class Read:
    """The log: of one stream, and all of it, as far as it does not name itself at random."""

    stream: str
    kinds: tuple[str, ...] = field(default=("Made", "Renamed", "Opened", "Paid"))

    def run(self, world: World) -> Any:
        store = world.domain.event_store
        read = [(m.type, m.position, m.data) for m in store.read(self.stream)]
        everything = [(m.stream_name, m.type, m.position) for m in store.read_all(types=self.kinds, limit=1000)]
        return [read, everything]


moves = st.tuples(
    st.sampled_from(["append", "insert", "remove", "rename", "reverse", "label", "unlabel", "bit"]),
    st.integers(0, 2),
    st.sampled_from(["x", "y", "ä"]),
)
payments = st.tuples(values.decimals, st.none() | values.moments, values.json_dicts)
updates = values.things(most=2).map(lambda fields: {n: v for n, v in fields.items() if n != "id"})
single: st.SearchStrategy[Step] = st.one_of(
    st.builds(Add, values.ids, values.things(), st.lists(st.sampled_from("xy"), max_size=2, unique=True).map(tuple)),
    st.builds(Add, values.ids, values.things(most=17)),
    st.builds(Change, values.ids, values.things(most=3), st.sampled_from([False, False, True])),
    st.builds(Rearrange, values.ids, st.lists(moves, min_size=1, max_size=4).map(tuple)),
    st.builds(Remove, values.ids),
    st.builds(Ask, values.questions),
    st.builds(Ask, values.questions),
    st.builds(Update, values.narrow, updates),
    st.builds(Erase, values.narrow),
    st.builds(Process, st.just("Make"), st.fixed_dictionaries({"id": values.ids, "name": values.texts})),
    st.builds(
        Process,
        st.just("Rename"),
        st.fixed_dictionaries({"id": values.ids, "name": values.texts, "extras": values.json_dicts}),
        st.sampled_from([None, None, "k1", "k2"]),
    ),
    st.builds(Open, values.accounts, st.none() | values.texts),
    st.builds(
        Pay, values.accounts, st.lists(payments, min_size=1, max_size=4).map(tuple), st.sampled_from([False, True])
    ),
    st.builds(Past, values.accounts, st.integers(-1, 6), st.sampled_from([None, -1, 0, 1])),
    st.builds(Snapshot, values.accounts),
    st.builds(Read, st.sampled_from(["thing-a", "thing-Ä", "account-p"])),
)
steps: st.SearchStrategy[Step] = single | st.builds(
    Unit, st.lists(single, min_size=1, max_size=4).map(tuple), st.sampled_from([False, False, True])
)


#: Something to ask, to change and to remove.
beginnings: st.SearchStrategy[list[Step]] = st.lists(
    st.builds(
        Add, values.ids, values.things(most=9), st.lists(st.sampled_from("xy"), max_size=2, unique=True).map(tuple)
    )
    | st.builds(Process, st.just("Make"), st.fixed_dictionaries({"id": values.ids, "name": values.texts}))
    | st.builds(Open, values.accounts, st.none() | values.texts),
    min_size=2,
    max_size=6,
)


def histories(longest: int) -> st.SearchStrategy[list[Step]]:
    """Up to `longest` steps behind a beginning, and questions about what has come of them."""
    middle = st.lists(steps, min_size=1, max_size=longest)
    end = st.lists(st.builds(Ask, values.questions, st.sampled_from(["Thing", "Thing", "Row"])), min_size=3, max_size=6)
    return st.builds(lambda *parts: [step for part in parts for step in part], beginnings, middle, end)


def everything(world: World) -> Sequence[Any]:
    """All that is there, in the order of keys."""
    return [plain(list(world.repo(name).query.order_by())) for name in ("Thing", "Row")] + [
        plain([world.repo("Account").get_or_none(each) for each in ("p", "q")])
    ]
