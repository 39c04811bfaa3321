"""The bank on every database, with nobody delivering: the tests hand over deliveries themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.bank import Bank, build_bank


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bank]:
    uris = {"memory": "", "sqlite": f"sqlite:///{tmp_path / 'bank.db'}"}
    uri = uris.get(request.param)
    database = {"provider": request.param, "database_uri": uri or ""}
    if uri is None:
        database["database_uri"] = request.getfixturevalue("database_url")
    bank = build_bank(
        {
            "databases": {"default": database},
            "brokers": {"default": {"provider": "memory"}},
            "event_processing": "async",
        }
    )
    with bank.domain.domain_context():
        yield bank
    bank.domain.close()


@pytest.fixture
def together() -> Callable[..., None]:
    """Run functions at the same time, each on a thread; raises the first error."""

    def run(*functions: Callable[[], Any]) -> None:
        errors: list[BaseException] = []

        def guarded(function: Callable[[], Any]) -> None:
            try:
                function()
            except BaseException as error:  # noqa: BLE001  # it is raised again below
                errors.append(error)

        threads = [threading.Thread(target=guarded, args=[function]) for function in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        if errors:
            raise errors[0]

    return run
