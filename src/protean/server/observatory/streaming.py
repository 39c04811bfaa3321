"""Server-sent events: every trace as it comes, and the figures each second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from sse_starlette import EventSourceResponse

from protean.exceptions import BrokerError
from protean.server.observatory.access import Refusal
from protean.server.observatory.collector import Collector
from protean.server.observatory.documents import live_of
from protean.server.observatory.feed import Feed
from protean.server.observatory.traces import Portion, Wanted, place_of

#: Seconds between signs of life on a quiet stream, so that proxies keep it open.
BEAT = 15.0
#: Viewers of both streams together. Each holds a connection and a bounded queue.
VIEWERS = 500


Name = Annotated[str | None, Query(max_length=200)]


class Streams:
    """`/stream` and `/live` of one application."""

    def __init__(self, name: str, collector: Collector, feed: Feed) -> None:
        self._domain = name
        self._shared = Shared(collector)
        self._feed = feed
        self._viewers = 0

    def router(self) -> APIRouter:
        router = APIRouter(tags=["streams"])
        router.add_api_route("/stream", self.traces, response_class=EventSourceResponse)
        router.add_api_route("/live", self.figures, response_class=EventSourceResponse)
        return router

    async def traces(
        self,
        request: Request,
        *,
        domain: Name = None,
        stream: Name = None,
        category: Name = None,
        event: Name = None,
        type: Name = None,  # noqa: A002  # the filter's name in the address
    ) -> EventSourceResponse:
        """Traces as server-sent events `trace`, from now on, or from behind `Last-Event-ID`.

        `dropped` tells a reader that was too slow how many it has lost.
        """
        self._take_place()
        last = request.headers.get("last-event-id")
        wanted = Wanted(stream, category, event, type) if domain in (None, self._domain) else Wanted(stream="\0")
        return _response(self._counted(self._traces(wanted, last)))

    async def figures(self) -> EventSourceResponse:
        """Each second an event `snapshot`: what `/api/overview`, `/api/lanes` and `/api/workers` say, of one moment."""
        self._take_place()
        return _response(self._counted(self._figures()))

    def _take_place(self) -> None:
        if self._viewers >= VIEWERS:
            raise Refusal(503, "full", f"there are {VIEWERS} viewers already", "close a page that nobody looks at")

    async def _counted(self, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        if self._viewers >= VIEWERS:  # several were let in at once
            return
        self._viewers += 1
        try:
            async for event in events:
                yield event
        finally:
            self._viewers -= 1

    async def _traces(self, wanted: Wanted, last: str | None) -> AsyncIterator[bytes]:
        with self._feed.viewing(wanted) as viewer:
            missed = await self._missed(wanted, last)
            seen = None
            if missed.traces:
                seen = place_of(missed.traces[-1].id)
                yield missed.text
            async for handed in viewer.handed():
                if handed.dropped:
                    yield _event("dropped", json.dumps({"count": handed.dropped}))
                for each in handed.portions:
                    portion = each if seen is None else each.after(seen)
                    if portion.traces:
                        seen = None  # whatever comes now is new
                        yield portion.text

    async def _missed(self, wanted: Wanted, last: str | None) -> Portion:
        """What has come since a viewer was here last; nothing for one that is new, or says something strange."""
        if last is None:
            return Portion(())
        try:
            found = await asyncio.to_thread(self._feed.since, last)
        except (ValueError, BrokerError):
            return Portion(())
        return Portion(wanted.of(found))

    async def _figures(self) -> AsyncIterator[bytes]:
        shown: datetime | None = None
        while True:
            shown, text = await self._shared.after(shown)
            yield text


class Shared:
    """The figures as one event, written once, for all who look: one thread waits for the next ones, however many look.

    To be used from one event loop.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._told: tuple[datetime, bytes] | None = None
        self._next: asyncio.Task[tuple[datetime, bytes]] | None = None

    async def after(self, shown: datetime | None) -> tuple[datetime, bytes]:
        """Moment and text of the figures that come after those of that moment; of the latest, for None."""
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(asyncio.to_thread(self._wait, shown))
        elif self._told is not None and self._told[0] != shown:
            return self._told
        self._told = await asyncio.shield(self._next)
        return self._told

    def _wait(self, shown: datetime | None) -> tuple[datetime, bytes]:
        snapshot = self._collector.latest(shown)
        return snapshot.at, _event("snapshot", live_of(snapshot).model_dump_json())


def _event(name: str, text: str) -> bytes:
    """A server-sent event; `text` is one line, as JSON is."""
    return f"event: {name}\ndata: {text}\n\n".encode()


def _response(events: AsyncIterator[bytes]) -> EventSourceResponse:
    return EventSourceResponse(events, ping=int(BEAT), headers={"cache-control": "no-store"})
