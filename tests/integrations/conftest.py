"""Applications over orders on every database, served by a real server on a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from tests.support.stores import stored
from tests.support.years import Orders, build_orders

from protean.integrations.fastapi import (
    DomainContextMiddleware,
    IdempotencyKey,
    RequiredIdempotencyKey,
    create_health_router,
    process,
    register_exception_handlers,
)

__all__ = ["stored"]

#: Seconds after which something that should happen at once has not.
PATIENCE = 30.0


@pytest.fixture
def orders(stored: dict[str, Any]) -> Iterator[Orders]:
    """With a tenant and a trace that travel."""
    orders = build_orders({**stored, "context": {"propagate": ["tenant_id", "traceparent"]}})
    yield orders
    orders.domain.close()


@pytest.fixture
def in_memory() -> Iterator[Orders]:
    """For what has nothing to do with databases."""
    orders = build_orders({})
    yield orders
    orders.domain.close()


def application(orders: Orders, **options: Any) -> FastAPI:
    """An API over the orders. `options` are the middleware's."""

    app = FastAPI()
    app.add_middleware(DomainContextMiddleware, domain=orders.domain, **options)
    register_exception_handlers(app, names={"id": "order_id"})
    app.include_router(create_health_router(orders.domain))

    @app.post("/orders/{order_id}", status_code=201)
    async def place(order_id: str, key: IdempotencyKey = None, amount: int = 3) -> None:
        await process(orders.Place(order_id=order_id, amount=amount), idempotency_key=key)

    @app.put("/orders/{order_id}", status_code=201)
    async def place_once(order_id: str, key: RequiredIdempotencyKey) -> None:
        await process(orders.Place(order_id=order_id, amount=3), idempotency_key=key)

    @app.post("/plain/{order_id}", status_code=201)
    def place_on_a_thread_of_the_framework(order_id: str) -> None:
        orders.place(order_id)

    @app.post("/orders/{order_id}/ship")
    async def ship(order_id: str) -> None:
        await process(orders.Ship(order_id=order_id))

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    return app


class Served:
    """A server on a thread. `end` asks it to end, and waits until it has."""

    def __init__(self, app: Any, **options: Any) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, **options)
        )
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        eventually(lambda: self._server.started or not self._thread.is_alive())
        (socket,) = self._server.servers[0].sockets
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{socket.getsockname()[1]}",
            timeout=PATIENCE,
            limits=httpx.Limits(max_keepalive_connections=0),  # a server hangs up after what it did not expect
        )

    def ask_to_end(self) -> None:
        self._server.should_exit = True

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def end(self) -> None:
        self.ask_to_end()
        self.client.close()
        self._thread.join(PATIENCE)
        assert self.ended


@contextmanager
def served(app: Any, **options: Any) -> Iterator[httpx.Client]:
    """A client of the application, while it is served."""
    server = Served(app, **options)
    try:
        yield server.client
    finally:
        server.end()


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Asking:
    """A request under way, on a thread of its own."""

    def __init__(self, ask: Callable[[], httpx.Response]) -> None:
        self._answers: list[httpx.Response | BaseException] = []
        self._thread = threading.Thread(target=self._run, args=[ask])
        self._thread.start()

    @property
    def done(self) -> bool:
        return bool(self._answers)

    @property
    def ended(self) -> bool:
        """Whether it is over, with an answer or without one."""
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()

    @property
    def answer(self) -> httpx.Response:
        self._thread.join(PATIENCE)
        (answer,) = self._answers
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _run(self, ask: Callable[[], httpx.Response]) -> None:
        try:
            self._answers.append(ask())
        except BaseException as error:  # noqa: BLE001  # raised again by `answer`
            self._answers.append(error)


class Hold:
    """Keeps whoever enters it until it is let go; to be a handler's `in_command`."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self._let_go = threading.Event()

    def __call__(self, _command: Any) -> None:
        self.entered.release()
        assert self._let_go.wait(PATIENCE)

    def wait(self) -> None:
        """Until somebody more is inside."""
        assert self.entered.acquire(timeout=PATIENCE)

    def let_go(self) -> None:
        self._let_go.set()
