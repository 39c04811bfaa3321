"""What has caused a message and what it has caused: as a tree, command, event, handler, command again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from protean.domain import Domain
from protean.elements.element import ElementKind
from protean.message import Message, MessageKind
from protean.ports.log import LogFilter
from protean.ports.progress import Failure, FailureFilter
from protean.server.asking import providers_of, reading
from protean.server.observatory.message_documents import NodeDocument

#: Steps up from a message to what began it, each one look-up.
GENERATIONS = 20
#: Messages in a tree, and failures of theirs.
MEMBERS = 300
#: Places of the log searched before the beginning, for its siblings, and behind it. The log is not indexed by what
#: belongs together, so this bounds the search: more finds later effects of a slow process, and reads more.
BEFORE, BEHIND = 1_000, 20_000


class Lineage:
    """The family of one message."""

    def __init__(self, domain: Domain, message: Message, provider: str) -> None:
        self._domain = domain
        self._message = message
        self._members = _family(domain, message, provider)
        self.whole = len(self._members) < MEMBERS
        self._failures = _failures_of(domain, self._members)

    def tree(self) -> NodeDocument:
        """From what began it down."""
        known = {each.id for each in self._members}
        caused: dict[str | None, list[Message]] = {}
        for each in self._members:
            caused.setdefault(each.causation_id, []).append(each)
        first = self._first(known)
        if first.causation_id is None:
            return self._node(first, caused)
        return NodeDocument(
            kind="command",
            id=first.causation_id,
            type=None,
            stream_name=None,
            at=None,
            state=None,
            here=False,
            children=[self._node(each, caused) for each in caused.pop(first.causation_id, [])],
        )

    def _first(self, known: set[str]) -> Message:
        """The earliest cause of the message that the log has."""
        by_id, first, seen = {each.id: each for each in self._members}, self._message, set[str]()
        while first.causation_id in known and first.id not in seen:
            seen.add(first.id)
            first = by_id[first.causation_id]
        return first

    def _node(self, message: Message, caused: dict[str | None, list[Message]]) -> NodeDocument:
        """Each member once: `caused` loses what has been placed, so that no circle is followed for ever."""
        effects = [self._node(each, caused) for each in caused.pop(message.id, [])]
        handlers = [
            (spec.name, spec.kind)
            for spec in self._domain.registry.handlers_of(message.category)
            if message.type in spec.methods
        ]
        # A projector causes nothing. Where only one other could have, it was that one; else nobody can say.
        acting = [name for name, kind in handlers if kind is not ElementKind.PROJECTOR]
        sole = acting[0] if len(acting) == 1 else None
        nodes = [
            NodeDocument(
                kind="handler",
                id=None,
                type=name,
                stream_name=None,
                at=None,
                state=None if (failure := self._failures.get((name, message.id))) is None else failure.state.value,
                here=False,
                children=effects if name == sole else [],
            )
            for name, _ in handlers
        ]
        return NodeDocument(
            kind="command" if message.kind is MessageKind.COMMAND else "event",
            id=message.id,
            type=message.type,
            stream_name=message.stream_name,
            at=message.time,
            state=None,
            here=message.id == self._message.id,
            children=nodes if sole is not None else nodes + effects,
        )


def _family(domain: Domain, message: Message, provider: str) -> list[Message]:
    """All with the same correlation near its beginning, in order of writing; bounded."""
    found = {message.id: message}
    # Where each log that has one of them is searched from. Places of one say nothing about another's.
    anchors = {provider: message.global_position}
    oldest = message
    for _ in range(GENERATIONS):
        causes = located(domain, oldest.causation_id)
        if causes is None or causes[0].id in found:
            break
        oldest, where = causes
        found[oldest.id] = oldest
        anchors[where] = min(oldest.global_position, anchors.get(where, oldest.global_position))
    for name, position in anchors.items():
        first = max(0, position - BEFORE)
        which = LogFilter(after=first, upto=first + BEFORE + BEHIND, correlation_id=message.correlation_id)
        if message.correlation_id is not None and len(found) < MEMBERS:
            with reading(domain, name) as transaction:
                for each in transaction.log.search(which, MEMBERS):
                    if len(found) < MEMBERS:
                        found.setdefault(each.id, each)
    return sorted(found.values(), key=lambda each: (each.time, each.global_position))


def located(domain: Domain, message_id: str | None) -> tuple[Message, str] | None:
    """The message of that id and the database whose log has it; None where none has, or it is no id."""
    if not _is_id(message_id):
        return None
    for provider in providers_of(domain):
        with reading(domain, provider) as transaction:
            for message in transaction.log.find([str(message_id)]):
                return message, provider
    return None


def _is_id(text: str | None) -> bool:
    try:
        return text is not None and str(UUID(text)) == text
    except ValueError:
        return False


def _failures_of(domain: Domain, members: Sequence[Message]) -> Mapping[tuple[str, str], Failure]:
    handlers = tuple(spec.name for spec in domain.registry.consumers)
    which = FailureFilter(handlers=handlers, message_ids=tuple(each.id for each in members))
    found: dict[tuple[str, str], Failure] = {}
    for provider in providers_of(domain):
        with reading(domain, provider) as transaction:
            found |= {(each.handler, each.message_id): each for each in transaction.failures.find(which, MEMBERS)}
    return found
