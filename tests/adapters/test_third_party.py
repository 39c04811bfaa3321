"""Databases and brokers that other packages bring: installed, named in the configuration, and used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protean import Domain, current_domain, handle, on
from protean.config import Config
from protean.exceptions import ConfigurationError
from protean.fields import Identifier, String
from protean.testing import drain

ADAPTERS = """
from protean.adapters.memory.broker import MemoryBroker
from protean.adapters.memory.database import MemoryDatabase

openings = []

class MyDatabase(MemoryDatabase):
    pass

class MyBroker(MemoryBroker):
    pass

def database(opening):
    openings.append(opening)
    return MyDatabase()

def broker(opening):
    openings.append(opening)
    return MyBroker()

def half(opening):
    return object()

nothing = None
"""
POINTS = {
    "protean.databases": {
        "mydb": "mydb:database",
        "half": "mydb:half",
        "nothing": "mydb:nothing",
        "gone": "mydb_that_is_not_there:database",
    },
    "protean.brokers": {"mymq": "mydb:broker"},
}
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution as pip would leave it: its module, and its metadata beside it."""

    def install(name: str = "mydb-protean", points: dict[str, dict[str, str]] = POINTS) -> None:
        site = tmp_path / name
        info = site / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (site / "mydb.py").write_text(ADAPTERS)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        sections = (
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in mine.items())
            for group, mine in points.items()
        )
        (info / "entry_points.txt").write_text("\n".join(sections))
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, "mydb", raising=False)

    return install


def seen(config: dict[str, Any], **options: Any) -> Domain:
    """A domain with a projection, of that configuration."""
    domain = Domain("seen", config=config, **options)

    @domain.event(part_of="Guest")
    class Arrived:
        guest_id: Identifier(required=True)

    @domain.aggregate
    class Guest:
        name: String()

    @domain.projection
    class Present:
        guest_id: Identifier(identifier=True)

    @domain.command(part_of=Guest)
    class Arrive:
        guest_id: Identifier(required=True)

    @domain.command_handler(part_of=Guest)
    class Porter:
        @handle(Arrive)
        def arrive(self, command: Any) -> None:
            guest: Any = Guest(id=command.guest_id)
            guest.raise_(Arrived(guest_id=guest.id))
            current_domain.repository_for(Guest).add(guest)

    @domain.projector(projector_for=Present, aggregates=[Guest])
    class List:
        @on(Arrived)
        def arrived(self, event: Any) -> None:
            current_domain.repository_for(Present).add(Present(guest_id=event.guest_id))

    domain.init()
    return domain


def test_a_domain_runs_on_a_database_and_a_broker_of_another_package(install: Install, tmp_path: Path) -> None:
    install()
    config = {
        "databases": {"default": {"provider": "mydb", "database_uri": "anything goes", "options": {"region": "eu"}}},
        "brokers": {"default": {"uri": "mymq://somewhere", "stream_prefix": "app."}},
    }
    domain = seen(config, root_path=tmp_path)
    assert "mydb" not in sys.modules  # named, checked, and not imported
    with domain.domain_context():
        domain.process(domain.registry.message_type("Arrive")(guest_id="1"))
        assert drain(domain).handled == 1
        assert domain.view_for(domain.registry.elements["Present"]).get("1")
    assert type(domain.database()).__name__ == "MyDatabase"
    assert type(domain.broker()).__name__ == "MyBroker"
    database, broker = sys.modules["mydb"].openings
    assert (database.name, database.root, database.config.options) == ("default", tmp_path, {"region": "eu"})
    assert (database.consumer, database.connections) == ("protean.seen", 5)
    assert (broker.name, broker.config.provider, broker.config.stream_prefix) == ("default", "mymq", "app.")
    domain.close()


def problem(config: dict[str, Any], **options: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        Config.from_mapping(config, **options)
    return str(refused.value)


def test_a_provider_that_nobody_brings_is_refused_with_those_there_are(install: Install) -> None:
    install()
    said = problem({"databases": {"default": {"provider": "yourdb"}}})
    assert said.startswith(
        '[databases.default] of the configuration: there is no provider "yourdb"; there are: memory,'
    )
    assert "sqlite, postgresql, gone (mydb-protean 1.2), half (mydb-protean 1.2), mydb (mydb-protean 1.2)" in said
    assert said.endswith("Others come with packages that have an entry point in `protean.databases`")
    said = problem({"brokers": {"default": {"provider": "rediss"}}})
    assert 'there is no provider "rediss", did you mean `redis`?; there are: memory, redis, mymq (mydb-protean' in said


def test_what_is_not_in_force_may_name_what_is_not_installed_here_but_no_misspelt_one() -> None:
    elsewhere = {"production": {"databases": {"default": {"provider": "theirdb"}}}}
    assert Config.from_mapping(elsewhere).databases["default"].provider == "memory"
    assert 'there is no provider "theirdb"' in problem(elsewhere, env="production")
    misspelt = {"production": {"databases": {"default": {"provider": "postgres", "database_uri": "postgresql://h/d"}}}}
    assert "did you mean `postgresql`" in problem(misspelt)


def test_options_are_for_adapters_of_other_packages() -> None:
    said = problem({"databases": {"default": {"provider": "memory", "options": {"region": "eu"}}}})
    assert '`options` are for adapters of other packages; provider "memory" takes none' in said


@pytest.mark.parametrize(
    ("provider", "complaint"),
    [
        (
            "gone",
            'provider "gone" of mydb-protean 1.2 cannot be imported from mydb_that_is_not_there:database: No modu',
        ),
        ("nothing", "mydb:nothing is None, not a function that opens a Database"),
        ("half", "is no Database as this release of protean knows it: <object object at"),
    ],
)
def test_a_package_that_cannot_be_used_is_named_with_what_is_wrong(
    install: Install, provider: str, complaint: str
) -> None:
    install()
    domain = Domain("broken", config={"databases": {"default": {"provider": provider}}})
    with pytest.raises(ConfigurationError) as refused:
        domain.database()
    assert complaint in str(refused.value)
    assert provider != "half" or "lacks close, drop, outbox, ping, " in str(refused.value)


def test_two_packages_of_one_name_are_told_apart_by_uninstalling_one(install: Install) -> None:
    install()
    install("other-mydb", {"protean.databases": {"mydb": "mydb:database"}})
    domain = Domain("torn", config={"databases": {"default": {"provider": "mydb"}}})
    with pytest.raises(ConfigurationError, match=r"several packages \(other-mydb 1.2, mydb-protean 1.2\); uninstall"):
        domain.database()
