"""Rebuilding projections in memory: tables are dictionaries, and whoever writes has the store to himself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from protean import codec
from protean.adapters.memory.session import Session
from protean.adapters.memory.store import Logged, Store
from protean.exceptions import TableMissingError
from protean.message import Message
from protean.ports.progress import Position
from protean.ports.rebuilding import Behind, UnderWay
from protean.ports.recovery import Interest
from protean.ports.rows import Table

_NOWHERE = Position(-1, False)


class MemoryRebuilding:
    """`Rebuilding` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def under_way(self) -> list[UnderWay]:
        return [rebuild for _, rebuild in sorted(self._session.seen().rebuilds.items())]

    def begin(self, rebuild: UnderWay) -> None:
        self._session.changing().rebuilds[rebuild.projection] = rebuild

    def hold(self, projection: str, token: str) -> bool:
        held = self._session.changing().rebuilds.get(projection)
        return held is not None and held.token == token

    def step(self, rebuild: UnderWay) -> None:
        if self.hold(rebuild.projection, rebuild.token):
            self._session.changing().rebuilds[rebuild.projection] = rebuild

    def end(self, projection: str, token: str) -> None:
        if self.hold(projection, token):
            del self._session.changing().rebuilds[projection]

    def count(self, categories: Collection[str]) -> int:
        return len(self._of(categories))

    def head(self) -> int:
        return max((logged.global_position for logged in list(self._session.seen().messages.values())), default=0)

    def read(self, categories: Collection[str], after: int, upto: int, limit: int) -> list[Message]:
        found = [logged for logged in self._of(categories) if after < logged.global_position <= upto]
        found.sort(key=lambda logged: logged.global_position)
        return [
            codec.message(logged.message.data, logged.message.metadata, logged.position, logged.global_position)
            for logged in found[:limit]
        ]

    def incomplete(self, categories: Collection[str], handlers: Collection[str], limit: int) -> list[str]:
        contents, counted, last = self._session.seen(), Counter[str](), dict[str, int]()
        for logged in self._of(categories):
            name = logged.message.stream_name
            counted[name] += 1
            last[name] = max(last.get(name, -1), logged.position)
        gaps = [name for name, count in sorted(counted.items()) if count <= last[name]]
        gone = [
            name
            for (handler, name), at in sorted(contents.positions.items())
            if handler in handlers and at.position > max(contents.heads.get(name, -1), last.get(name, -1))
        ]
        return list(dict.fromkeys(gaps + gone))[:limit]

    def exclude(self, handlers: Collection[str], seconds: float) -> None:
        del handlers, seconds
        self._session.changing()  # the store's one writer

    def unblocked(self, handler: str, stand_in: str) -> list[str]:
        return [
            name
            for name, live, stands in self._both(handler, stand_in)
            if live.blocked and stands.position > live.position
        ]

    def take_over(self, handler: str, stand_in: str) -> int:
        further = [
            (name, stands) for name, live, stands in self._both(handler, stand_in) if stands.position > live.position
        ]
        self._session.changing().positions.update({(handler, name): stands for name, stands in further})
        return len(further)

    def forget(self, stand_in: str) -> None:
        positions = self._session.changing().positions
        for key in [key for key in positions if key[0] == stand_in]:
            del positions[key]

    def exchange(self, table: Table, shadow: Table, seconds: float) -> None:
        del seconds
        contents = self._session.changing(table)
        old, new = contents.rows[table.name], contents.rows[shadow.name]
        rows = dict(new)
        for rows_of in (old, new):
            for key in list(rows_of):
                del rows_of[key]
        old.update(rows)
        taken = {entry: key for entry, key in contents.taken.items() if entry[0] == shadow.name}
        for entry in [entry for entry in contents.taken if entry[0] in (table.name, shadow.name)]:
            del contents.taken[entry]
        contents.taken.update({(table.name, *entry[1:]): key for entry, key in taken.items()})

    def behind(self, interest: Interest) -> Behind:
        contents = self._session.seen()
        mine = {name: at for (handler, name), at in contents.positions.items() if handler == interest.handler}
        due = [
            logged.message.time
            for logged in self._of(interest.categories)
            if logged.message.type in interest.types
            and logged.position > mine.get(logged.message.stream_name, _NOWHERE).position
        ]
        return Behind(len(due), min(due, default=None), sum(at.blocked for at in mine.values()))

    def _of(self, categories: Collection[str]) -> list[Logged]:
        contents = self._session.seen()
        return [logged for logged in list(contents.messages.values()) if logged.message.category in categories]

    def _both(self, handler: str, stand_in: str) -> list[tuple[str, Position, Position]]:
        positions = self._session.seen().positions
        return [
            (name, positions.get((handler, name), _NOWHERE), at)
            for (of, name), at in sorted(positions.items())
            if of == stand_in
        ]


class MemoryShadows:
    """`Shadows` in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def make(self, table: Table, shadow: Table) -> None:
        if table.name not in self._store.tables:
            raise TableMissingError(f"memory: no such table: {table.name}; `protean db setup` creates missing tables")
        self._empty(shadow)
        self._store.tables.add(shadow.name)

    def drop(self, shadow: Table) -> None:
        self._empty(shadow)
        self._store.tables.discard(shadow.name)

    def _empty(self, shadow: Table) -> None:
        session = Session(self._store)
        try:
            contents = session.changing()
            rows = contents.rows[shadow.name]
            for key in list(rows):
                del rows[key]
            for entry in [entry for entry in contents.taken if entry[0] == shadow.name]:
                del contents.taken[entry]
            session.commit()
        finally:
            session.rollback()
