"""Domains to be tested with the kit, on every kind of database, with handlers run at commit or drained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.fulfillment import Shop, build_shop
from tests.support.orders import Orders, build_orders
from tests.support.stores import stored

__all__ = ["stored"]


@pytest.fixture(params=["sync", "async"])
def shop(request: pytest.FixtureRequest, stored: dict[str, Any]) -> Iterator[Shop]:
    shop = build_shop({**stored, "event_processing": request.param})
    yield shop
    shop.domain.close()


@pytest.fixture
def small_shop() -> Iterator[Shop]:
    """In memory, with handlers at commit: for what does not depend on where things are kept."""
    shop = build_shop({})
    yield shop
    shop.domain.close()


@pytest.fixture(params=[True, False], ids=["sourced", "rows"])
def orders(request: pytest.FixtureRequest, stored: dict[str, Any]) -> Iterator[Orders]:
    orders = build_orders(stored, sourced=request.param, facts=True)
    yield orders
    orders.domain.close()
