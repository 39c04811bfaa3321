"""Server-sent events: every trace as it comes, and the figures each second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from protean.exceptions import BrokerError
from protean.server.observatory.access import Refusal
from protean.server.observatory.collector import Collector
from protean.server.observatory.documents import live_of
from protean.server.observatory.feed import Feed, Trace, Viewer, Wanted, place_of

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

    async def _counted(self, events: AsyncIterator[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
        if self._viewers >= VIEWERS:  # several were let in at once
            return
        self._viewers += 1
        try:
            async for event in events:
                yield event
        finally:
            self._viewers -= 1

    async def _traces(self, wanted: Wanted, last: str | None) -> AsyncIterator[ServerSentEvent]:
        with self._feed.viewing(wanted) as viewer:
            seen = None
            for trace in await self._missed(wanted, last):
                seen = place_of(trace.id)
                yield _event(trace)
            async for traces in viewer.traces(BEAT):
                for event in _told(viewer):
                    yield event
                for trace in traces:
                    if seen is None or place_of(trace.id) > seen:
                        yield _event(trace)

    async def _missed(self, wanted: Wanted, last: str | None) -> list[Trace]:
        """What has come since a viewer was here last; nothing for one that is new, or says something strange."""
        if last is None:
            return []
        try:
            found = await asyncio.to_thread(self._feed.since, last)
        except (ValueError, BrokerError):
            return []
        return [trace for trace in found if wanted.holds(trace)]

    async def _figures(self) -> AsyncIterator[ServerSentEvent]:
        shown: datetime | None = None
        while True:
            shown, text = await self._shared.after(shown)
            yield ServerSentEvent(text, event="snapshot")


class Shared:
    """The figures as one text for all who look: one thread waits for the next ones, however many look.

    To be used from one event loop.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._told: tuple[datetime, str] | None = None
        self._next: asyncio.Task[tuple[datetime, str]] | None = None

    async def after(self, shown: datetime | None) -> tuple[datetime, str]:
        """Moment and text of the figures that come after those of that moment; of the latest, for None."""
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(asyncio.to_thread(self._wait, shown))
        elif self._told is not None and self._told[0] != shown:
            return self._told
        self._told = await asyncio.shield(self._next)
        return self._told

    def _wait(self, shown: datetime | None) -> tuple[datetime, str]:
        snapshot = self._collector.latest(shown)
        return snapshot.at, live_of(snapshot).model_dump_json()


def _event(trace: Trace) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(trace.fields), event="trace", id=trace.id)


def _told(viewer: Viewer) -> list[ServerSentEvent]:
    if not viewer.dropped:
        return []
    dropped, viewer.dropped = viewer.dropped, 0
    return [ServerSentEvent(json.dumps({"count": dropped}), event="dropped")]


def _response(events: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    return EventSourceResponse(events, ping=int(BEAT), headers={"cache-control": "no-store"})
