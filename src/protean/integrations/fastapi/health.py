"""`/livez`, `/readyz` and `/healthz` of an application, in the words of `protean server`'s.

Told without a thread of the application's and without a wait of more than a moment: whether a server answers is asked
by a thread of its own, now and then, and only one at a time.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import cached_property, partial
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from protean.domain import Domain
from protean.server.probe import ASK_INTERVAL, Probe

logger = logging.getLogger(__name__)

#: Seconds that an answer waits for the servers'. Probes of orchestrators give up after a second or a few.
PATIENCE = 0.8
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Asked:
    """A server, and whether it answers, which is looked into when somebody wants to know.

    Strangers may want to: they are told that it does not answer, and only the log why.
    """

    def __init__(self, name: str, ask: Callable[[], None]) -> None:
        self.name = name
        self._probe = Probe(ask)
        self._lock = threading.Lock()
        self._asking: Future[None] | None = None
        self._answered = False
        self._asked_at: float | None = None
        self._said: str | None = None

    async def complaint(self) -> str | None:
        """What is wrong with it; None if it has answered lately."""
        asking = self._ask()
        if asking is not None:
            told = asyncio.wrap_future(asking)
            done, _ = await asyncio.wait([told], timeout=PATIENCE)
            for each in done:
                each.result()
            told.cancel()  # nobody waits any more; the question itself goes on
        complaint = self._probe.complaint
        if complaint != self._said:
            self._said = complaint
            if complaint is not None:
                logger.warning("The %s is not fit: %s", self.name, complaint)
        if complaint is not None:
            return f"the {self.name} does not answer"
        return None if self._answered else f"the {self.name} has not answered yet"

    def _ask(self) -> Future[None] | None:
        """The question under way, begun now if the last one is too long ago; None if it is not."""
        with self._lock:
            if self._asking is None:
                if self._asked_at is not None and time.monotonic() - self._asked_at < ASK_INTERVAL:
                    return None
                self._asking = Future()
                self._asking.set_running_or_notify_cancel()  # so that nobody can cancel it
                self._asked_at = time.monotonic()
                threading.Thread(
                    target=self._look, args=[self._asking], name=f"question to the {self.name}", daemon=True
                ).start()
            return self._asking

    def _look(self, asking: Future[None]) -> None:
        try:
            self._probe.look()
            self._answered = self._answered or self._probe.complaint is None
        except BaseException as error:  # noqa: BLE001  # raised where the answer is waited for
            asking.set_exception(error)
        else:
            asking.set_result(None)
        finally:
            with self._lock:
                self._asking = None


class Health:
    """The servers that a domain uses, found when they are first asked for: by then it is initialised."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    async def livez(self) -> JSONResponse:
        return _told(True, {"alive": True, "reasons": []})

    async def readyz(self) -> JSONResponse:
        reasons = await _complaints(self._databases)
        return _told(not reasons, {"ready": not reasons, "reasons": reasons})

    async def healthz(self) -> JSONResponse:
        reasons, degraded = await asyncio.gather(_complaints(self._databases), _complaints(self._brokers))
        status = "unready" if reasons else "degraded" if degraded else "ok"
        return _told(not reasons, {"status": status, "reasons": reasons, "degraded": degraded})

    @cached_property
    def _databases(self) -> list[Asked]:
        used = [provider for provider, tables in self._domain.tables.items() if tables]
        return [Asked(f"{name} database", partial(self._ping_database, name)) for name in used]

    @cached_property
    def _brokers(self) -> list[Asked]:
        name = self._domain.outbox_broker
        return [] if name is None else [Asked(f"{name} broker", partial(self._ping_broker, name))]

    def _ping_database(self, name: str) -> None:
        self._domain.database(name).ping()

    def _ping_broker(self, name: str) -> None:
        self._domain.broker(name).ping()


def create_health_router(domain: Domain, *, prefix: str = "") -> APIRouter:
    """A router with the three paths under `prefix`, outside of the documentation.

    Unready is an application whose databases do not answer. A broker that is away degrades it: commands are carried
    out all the same, and what they cause waits in the outbox.
    """
    health = Health(domain)
    router = APIRouter(prefix=prefix, include_in_schema=False)
    for endpoint in (health.livez, health.readyz, health.healthz):
        router.add_api_route(f"/{endpoint.__name__}", endpoint, methods=["GET", "HEAD"], response_model=None)
    return router


async def _complaints(servers: list[Asked]) -> list[str]:
    found = await asyncio.gather(*(server.complaint() for server in servers))
    return [each for each in found if each is not None]


def _told(well: bool, said: dict[str, Any]) -> JSONResponse:
    return JSONResponse(said, 200 if well else 503, _HEADERS)
