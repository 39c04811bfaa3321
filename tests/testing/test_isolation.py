"""A domain of one test's own, whatever its configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.fulfillment import Shop, build_shop

from protean import current_domain, g, handle
from protean.adapters.memory.broker import MemoryBroker
from protean.adapters.memory.database import MemoryDatabase
from protean.exceptions import ConfigurationError, ObjectNotFoundError
from protean.testing import drain, in_memory


@pytest.fixture
def real(tmp_path: Path) -> Any:
    """Kept in a file, served over a broker that is not there."""
    shop = build_shop(
        {
            "databases": {"default": {"database_uri": f"sqlite:///{tmp_path / 'real.db'}"}},
            "brokers": {"default": {"uri": "redis://127.0.0.1:1/0"}},
            "server": {"priority_lanes": {"enabled": True}},
        }
    )
    yield shop
    shop.domain.close()


@pytest.mark.proves("protean.testing.in_memory")
def test_nothing_of_what_is_configured_is_touched_and_nothing_is_left(real: Shop, tmp_path: Path) -> None:
    with in_memory(real.domain, tenant="acme") as domain:
        assert isinstance(domain.database(), MemoryDatabase)
        assert isinstance(domain.broker(), MemoryBroker)
        assert (domain.lanes.enabled, domain.outbox_broker, g.tenant) == (True, "default", "acme")
        real.place("1")
        drain(domain)
        assert real.found("1").told == ["placed"]
        assert current_domain.repository_for(real.order).get("1").status == "placed"
    with in_memory(real.domain), pytest.raises(ObjectNotFoundError):
        real.status("1")
    assert not (tmp_path / "real.db").exists()
    assert real.domain.config.databases["default"].provider == "sqlite"


def test_what_is_declared_inside_is_gone_afterwards(real: Shop) -> None:
    with in_memory(real.domain, "sync") as domain:
        seen: list[str] = []

        @domain.event_handler(part_of=real.order)
        class Watch:
            @handle("OrderPlaced")
            def placed(self, event: Any) -> None:
                seen.append(event.order_id)

        real.place("1")
        assert seen == ["1"]
    with in_memory(real.domain, "sync"):
        real.place("2")
        assert seen == ["1"]
        assert "Watch" not in real.domain.registry.elements


def test_handlers_run_at_commit_or_when_drained_as_the_test_says(small_shop: Shop) -> None:
    with in_memory(small_shop.domain, "async") as domain:
        small_shop.place("1")
        assert small_shop.found("1") is None
        assert drain(domain).handled > 0
        assert small_shop.found("1").told == ["placed"]


def test_tables_are_there_in_production_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTEAN_ENV", "production")
    shop = build_shop({"databases": {"default": {"database_uri": f"sqlite:///{tmp_path / 'real.db'}"}}})
    with in_memory(shop.domain):
        shop.place("1")


def test_an_error_inside_leaves_the_domain_as_it_was(real: Shop) -> None:
    config, registry = real.domain.config, real.domain.registry
    with pytest.raises(ConfigurationError, match="on purpose"), in_memory(real.domain):
        raise ConfigurationError("on purpose")
    assert real.domain.config is config
    assert real.domain.registry is registry
