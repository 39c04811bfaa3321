"""Commands beside the event loop: they do not hold it up, they are bounded, and what has begun is finished."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from tests.integrations.conftest import Asking, Hold, Served, application, eventually, served
from tests.support.years import Orders

from protean import UnitOfWork, current_domain, g
from protean.exceptions import ConfigurationError, InvalidOperationError, ProteanError
from protean.integrations.fastapi import DomainContextMiddleware, dispatch, process, run_in_domain
from protean.priority import Priority, current_priority, processing_priority

Work = Callable[[], Coroutine[Any, Any, Any]]


@pytest.fixture
def hold() -> Hold:
    return Hold()


def inside(orders: Orders, work: Work, **options: Any) -> Any:
    """Do it as a request would, on an event loop of its own."""
    results = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        results.append(await work())

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    middleware = DomainContextMiddleware(app, orders.domain, **options)
    asyncio.run(middleware({"type": "http", "headers": []}, nothing, nothing))
    return results[0]


@pytest.mark.proves("protean.integrations.fastapi.process")
def test_a_command_that_takes_its_time_holds_up_nobody_else(orders: Orders, hold: Hold) -> None:
    orders.in_command = hold
    with served(application(orders)) as client:
        slow = Asking(lambda: client.post("/orders/a"))
        hold.wait()
        assert client.get("/ping").json() == "pong"  # from the event loop
        assert client.get("/livez").status_code == 200
        hold.let_go()
        assert slow.answer.status_code == 201
        assert len(orders.log("a")) == 1


def test_there_are_so_many_threads_and_so_many_may_wait(in_memory: Orders, hold: Hold) -> None:
    app = application(in_memory, threads=2, most_waiting=1)
    begun = []

    @app.post("/hold/{number}")
    async def keep(number: int) -> None:
        def at_work() -> None:
            begun.append(number)
            hold(None)

        await run_in_domain(at_work)

    with served(app) as client:
        asking = [Asking(lambda: client.post("/hold/1")) for _ in range(4)]
        hold.wait()
        hold.wait()
        eventually(lambda: any(each.done for each in asking))
        assert len(begun) == 2
        hold.let_go()
        answers = [each.answer for each in asking]

    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 503]
    (refused,) = (answer for answer in answers if answer.status_code == 503)
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["type"].endswith(":overloaded")
    assert len(begun) == 3


@pytest.mark.parametrize("options", [{"threads": 0}, {"most_waiting": -1}])
def test_numbers_that_make_no_sense_are_refused_when_the_application_is_made(
    in_memory: Orders, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        DomainContextMiddleware(FastAPI(), in_memory.domain, **options)


class TestCancelled:
    def test_a_command_that_has_begun_is_finished_before_its_cancellation_goes_on(
        self, orders: Orders, hold: Hold
    ) -> None:
        orders.in_command = hold

        async def work() -> None:
            task = asyncio.create_task(process(orders.Place(order_id="a", amount=1)))
            await asyncio.to_thread(hold.wait)
            for _ in range(3):
                task.cancel()
                await let_others_work()
            assert not task.done()
            hold.let_go()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(orders.log("a")) == 1

        inside(orders, work)

    def test_also_when_a_scope_around_it_is_cancelled(self, in_memory: Orders, hold: Hold) -> None:
        in_memory.in_command = hold

        async def work() -> None:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(process, in_memory.Place(order_id="a", amount=1))
                    await asyncio.to_thread(hold.wait)
                    scope.cancel()
                    hold.let_go()
            assert scope.cancelled_caught
            assert len(in_memory.log("a")) == 1

        inside(in_memory, work)

    def test_a_command_that_waits_for_a_thread_never_begins(self, in_memory: Orders, hold: Hold) -> None:
        in_memory.in_command = hold

        async def work() -> None:
            first = asyncio.create_task(process(in_memory.Place(order_id="a", amount=1)))
            await asyncio.to_thread(hold.wait)
            second = asyncio.create_task(process(in_memory.Place(order_id="b", amount=1)))
            await let_others_work()
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second  # while the first is still at work
            hold.let_go()
            await first
            await process(in_memory.Place(order_id="c", amount=1))
            assert [len(in_memory.log(order)) for order in "abc"] == [1, 0, 1]

        inside(in_memory, work, threads=1)


class TestEnding:
    def test_what_is_in_hand_is_answered_before_the_application_ends(self, in_memory: Orders, hold: Hold) -> None:
        in_memory.in_command = hold
        server = Served(application(in_memory))
        slow = Asking(lambda: server.client.post("/orders/a"))
        hold.wait()
        server.ask_to_end()
        hold.let_go()
        assert slow.answer.status_code == 201
        server.end()

    def test_a_command_given_up_by_the_server_ends_before_the_application_closes_what_it_needs(
        self, orders: Orders, hold: Hold, caplog: pytest.LogCaptureFixture
    ) -> None:
        happened = []

        def slowly(command: Any) -> None:
            hold(command)
            happened.append("written")

        @asynccontextmanager
        async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
            yield
            happened.append(f"{len(orders.log('a'))} in the log")

        app = application(orders)
        app.router.lifespan_context = lifespan
        orders.in_command = slowly
        server = Served(app, timeout_graceful_shutdown=0)
        slow = Asking(lambda: server.client.post("/orders/a"))
        hold.wait()
        server.ask_to_end()
        eventually(lambda: "Cancel 1 running task" in caplog.text)
        hold.let_go()
        server.end()
        assert slow.ended
        assert happened == ["written", "1 in the log"]

    def test_what_the_lifespan_has_begun_has_the_domain_too_and_threads_to_the_end(self, in_memory: Orders) -> None:
        seen: list[Any] = []
        before = set(threading.enumerate())

        @asynccontextmanager
        async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
            seen.append(await asyncio.create_task(run_in_domain(lambda: current_domain.name)))
            yield
            seen.append(await run_in_domain(lambda: current_domain.name))

        app = application(in_memory)
        app.router.lifespan_context = lifespan
        for _ in range(2):  # an application may be started again
            with served(app) as client:
                client.post("/orders/a")
        assert seen == ["orders"] * 4
        eventually(lambda: set(threading.enumerate()) <= before)


class TestContext:
    def test_a_call_has_the_domain_g_and_priority_of_where_it_is_awaited(self, in_memory: Orders) -> None:
        def look() -> list[Any]:
            g.seen = True
            return [current_domain.name, g.tenant_id, current_priority(), threading.current_thread().name]

        async def work() -> list[Any]:
            with processing_priority(Priority.LOW):
                return [*await run_in_domain(look), g.seen]

        *seen, thread, said = inside(in_memory, work, values=lambda _connection: {"tenant_id": "acme"})
        assert (seen, said) == (["orders", "acme", Priority.LOW], True)
        assert thread.startswith("protean")

    def test_a_unit_of_work_does_not_cross_to_a_thread(self, orders: Orders) -> None:
        async def work() -> None:
            with UnitOfWork():
                await process(orders.Place(order_id="a", amount=1))

        with pytest.raises(InvalidOperationError, match="one thread's"):
            inside(orders, work)
        assert orders.log("a") == []

    def test_without_an_application_around_it_says_so(self, in_memory: Orders) -> None:
        with in_memory.domain.domain_context(), pytest.raises(InvalidOperationError, match="DomainContextMiddleware"):
            asyncio.run(process(in_memory.Place(order_id="a", amount=1)))

    def test_coroutines_are_for_awaiting_and_not_for_threads(self, in_memory: Orders) -> None:
        async def look() -> None:
            raise AssertionError

        with pytest.raises(InvalidOperationError, match="look returned a coroutine"):
            inside(in_memory, lambda: run_in_domain(look))

    def test_what_is_no_query_is_refused_as_by_the_domain(self, in_memory: Orders) -> None:
        with pytest.raises(ConfigurationError, match="takes a query"):
            inside(in_memory, lambda: dispatch(object()))


@pytest.mark.parametrize("raised", [SystemExit(3), StopIteration(), asyncio.CancelledError(), KeyboardInterrupt()])
def test_whatever_a_handler_raises_is_a_failed_request_and_nothing_else(
    in_memory: Orders, raised: BaseException
) -> None:
    def fail(_command: Any) -> None:
        raise raised

    in_memory.in_command = fail
    with served(application(in_memory)) as client:
        assert client.post("/orders/a").json()["status"] == 500  # the application's answer, not the server's
        assert client.get("/ping").json() == "pong"
    assert in_memory.log("a") == []


def test_an_error_keeps_the_place_where_it_was_raised(in_memory: Orders) -> None:
    def fail(_command: Any) -> None:
        raise ProteanError("from here")

    in_memory.in_command = fail
    with pytest.raises(ProteanError) as caught:
        inside(in_memory, lambda: process(in_memory.Place(order_id="a", amount=1)))
    assert caught.traceback[-1].name == "fail"


async def let_others_work() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
