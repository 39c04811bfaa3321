"""What is asked about dead letters: by cause, one by one, and everything about one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query

from protean.domain import Domain
from protean.exceptions import InvalidOperationError
from protean.ports.progress import FailureFilter, FailureState
from protean.server.dead_letters import DeadLetters
from protean.server.letters import Group, key_of
from protean.server.observatory.access import Refusal
from protean.server.observatory.action_documents import (
    PRINTABLE,
    EntriesDocument,
    EntryDetailDocument,
    EntryDocument,
    GroupDocument,
    GroupsDocument,
)
from protean.server.observatory.deciding import place

#: Groups in one answer.
GROUPS = 500
#: Entries in one answer, unless asked for fewer, and at most; and those looked at for it, if few are of the group.
ENTRIES, MOST_ENTRIES, LOOKED_AT = 50, 200, 2_000
#: Seconds for which all who ask are given the same groups, or so many times what counting them took: of a hundred
#: thousand letters, each with a text of its own, that is half a second.
KEPT, KEPT_TIMES = 1.0, 9.0

T = TypeVar("T")
Text = Annotated[str | None, Query(max_length=1_000, pattern=PRINTABLE)]


class Dlq:
    """The questions about one domain's dead letters, for the API and the pages. Thread-safe."""

    def __init__(self, domain: Domain) -> None:
        self._letters = DeadLetters(domain)
        self._handlers = {spec.name for spec in domain.registry.consumers}
        self._counting = threading.Lock()
        self._kept_until = 0.0
        self._groups: list[Group] = []

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/dlq", tags=["dead letters"])
        router.add_api_route("/groups", self.groups)
        router.add_api_route("/entries", self.entries)
        router.add_api_route("/entries/{place:path}", self.entry)
        return router

    def groups(self, handler: Text = None, stream: Text = None, error: Text = None) -> GroupsDocument:
        """Dead letters by cause; those whose type of error, or error, contains `error`."""
        found = [group for group in self._all_groups() if _fits(group, handler, stream, error)]
        return GroupsDocument(
            total=sum(group.count for group in found), groups=[GroupDocument.of(group) for group in found[:GROUPS]]
        )

    def entries(
        self,
        *,
        group: Text = None,
        handler: Text = None,
        stream: Text = None,
        state: FailureState = FailureState.DEAD,
        after: Text = None,
        limit: Annotated[int, Query(ge=1, le=MOST_ENTRIES)] = ENTRIES,
    ) -> EntriesDocument:
        """Failures, newest first, page by page. A page of a group may be short, and another follow all the same."""
        if group is not None:
            return self._of_group(group, after, limit)
        which = FailureFilter(handlers=None if handler is None else (handler,), stream=stream, state=state)
        page = _asked(lambda: self._letters.page(which, limit=limit, after=after))
        return EntriesDocument(entries=[EntryDocument.of(letter) for letter in page.letters], next=page.next)

    def entry(self, place: str) -> EntryDetailDocument:
        """Everything about one, but its data. Of one that has failed again since, how it stands now."""
        refuse_unprintable(place)
        key = _asked(lambda: key_of(place))
        for letter in self._letters.find(FailureFilter(handlers=(key.handler,), message_id=key.message_id)):
            inspected = self._letters.inspect(letter)
            return EntryDetailDocument.inspected(inspected, known=letter.failure.handler in self._handlers)
        raise Refusal(
            404, "unknown", "there is no such failure any more", "it has been replayed with success, or was pruned"
        )

    def _of_group(self, group_id: str, after: str | None, limit: int) -> EntriesDocument:
        """Those of a group, out of those that share all but the error's shape, which no database knows."""
        group = next((each for each in self._all_groups() if each.id == group_id), None)
        if group is None:
            return EntriesDocument(entries=[], next=None)
        which = FailureFilter(
            handlers=(group.handler,), stream=group.stream, error_type=group.error_type, state=FailureState.DEAD
        )
        found: list[EntryDocument] = []
        for _ in range(LOOKED_AT // MOST_ENTRIES):
            page = _asked(partial(self._letters.page, which, limit=MOST_ENTRIES, after=after))
            for letter in page.letters:
                after = place(letter)
                found += [EntryDocument.of(letter)] if group.holds(letter.failure) else []
                if len(found) == limit:
                    is_last = page.next is None and letter is page.letters[-1]
                    return EntriesDocument(entries=found, next=None if is_last else after)
            if page.next is None:
                return EntriesDocument(entries=found, next=None)
        return EntriesDocument(entries=found, next=after)

    def _all_groups(self) -> list[Group]:
        with self._counting:
            began = time.monotonic()
            if began > self._kept_until:
                self._groups = self._letters.groups(FailureFilter(state=FailureState.DEAD))
                ended = time.monotonic()
                self._kept_until = ended + max(KEPT, KEPT_TIMES * (ended - began))
            return self._groups


def refuse_unprintable(text: str) -> None:
    """Raise Refusal for what is no name of ours."""
    if not text.isprintable() or len(text) > 1_000:
        raise Refusal(422, "invalid", "the address holds what cannot be a name", "follow a link of `/dlq`")


def _fits(group: Group, handler: str | None, stream: str | None, error: str | None) -> bool:
    return (
        handler in (None, "", group.handler)
        and stream in (None, "", group.stream)
        and (not error or error.lower() in f"{group.error_type}: {group.shape}".lower())
    )


def _asked(question: Callable[[], T]) -> T:
    """The answer, or a refusal that says what is wrong with the question."""
    try:
        return question()
    except InvalidOperationError as error:
        raise Refusal(422, "invalid", str(error), "begin again without it") from None
