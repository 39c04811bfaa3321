"""A priority is in force inside its block: not before, not after, and not in what merely runs at the same time."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from protean.priority import Priority, current_priority, processing_priority


def at(priority: int) -> Iterator[int]:
    with processing_priority(priority):
        yield current_priority()
        yield current_priority()


def test_blocks_nest_and_are_left_also_by_an_error() -> None:
    assert current_priority() == Priority.NORMAL
    with processing_priority(Priority.LOW):
        with pytest.raises(RuntimeError), processing_priority(Priority.HIGH):
            raise RuntimeError(current_priority())
        assert current_priority() == Priority.LOW
        with processing_priority(Priority.LOW):
            pass
        assert current_priority() == Priority.LOW
    assert current_priority() == Priority.NORMAL


@pytest.mark.parametrize(
    ("wrong", "error"), [(101, ValueError), (-101, ValueError), (True, TypeError), ("1", TypeError)]
)
def test_what_is_no_priority_is_refused_and_changes_nothing(wrong: int, error: type[Exception]) -> None:
    with pytest.raises(error), processing_priority(wrong):
        pass
    assert current_priority() == Priority.NORMAL


def test_leaving_a_block_ends_what_an_unfinished_generator_has_set_inside() -> None:
    with processing_priority(Priority.LOW):
        generator = at(Priority.CRITICAL)
        next(generator)
    assert current_priority() == Priority.NORMAL
    with processing_priority(Priority.HIGH):
        generator.close()
        assert current_priority() == Priority.HIGH
    assert current_priority() == Priority.NORMAL


def test_a_generator_that_is_closed_elsewhere_is_closed_quietly_and_changes_nothing_there() -> None:
    generators = [at(Priority.CRITICAL) for _ in range(2)]
    for generator in generators:
        contextvars.copy_context().run(next, generator)
    with processing_priority(Priority.LOW):
        generators[0].close()
        assert current_priority() == Priority.LOW
    seen: list[int] = []
    thread = threading.Thread(target=lambda: (generators[1].close(), seen.append(current_priority())))
    thread.start()
    thread.join()
    assert seen == [Priority.NORMAL]


def test_a_context_manager_made_of_a_generator_carries_the_priority_to_its_block() -> None:
    @contextmanager
    def migration() -> Iterator[None]:
        with processing_priority(Priority.BULK):
            yield

    with migration():
        assert current_priority() == Priority.BULK
    assert current_priority() == Priority.NORMAL


def test_tasks_that_take_turns_keep_their_own_and_what_they_were_begun_with() -> None:
    async def worker(priority: int, seen: list[int]) -> None:
        seen.append(current_priority())
        with processing_priority(priority):
            for _ in range(5):
                await asyncio.sleep(0)
                seen.append(current_priority())
        seen.append(current_priority())

    async def main() -> list[list[int]]:
        seen: list[list[int]] = [[], [], []]
        with processing_priority(Priority.HIGH):
            begun = [asyncio.create_task(worker(p, s)) for p, s in zip((-100, 100), seen, strict=False)]
            await asyncio.sleep(0)
            assert current_priority() == Priority.HIGH
        assert current_priority() == Priority.NORMAL
        await asyncio.gather(*begun, worker(7, seen[2]))
        assert current_priority() == Priority.NORMAL
        return seen

    assert asyncio.run(main()) == [
        [Priority.HIGH, *[-100] * 5, Priority.HIGH],
        [Priority.HIGH, *[100] * 5, Priority.HIGH],
        [Priority.NORMAL, *[7] * 5, Priority.NORMAL],
    ]


def test_threads_of_a_pool_take_no_priority_over_and_keep_none() -> None:
    def raise_it() -> int:
        with processing_priority(Priority.CRITICAL):
            return current_priority()

    async def in_a_thread() -> int:
        return await asyncio.to_thread(current_priority)

    with ThreadPoolExecutor(max_workers=1) as pool:
        with processing_priority(Priority.LOW):
            assert pool.submit(current_priority).result() == Priority.NORMAL
            assert pool.submit(contextvars.copy_context().run, current_priority).result() == Priority.LOW
            assert asyncio.run(in_a_thread()) == Priority.LOW
        assert pool.submit(raise_it).result() == Priority.CRITICAL
        assert pool.submit(current_priority).result() == Priority.NORMAL
