"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

APPLICATION = """
from protean import Domain, current_domain, handle
from protean.fields import Identifier

domain = Domain("cafe", config={
    "databases": {"default": {"database_uri": "sqlite:///real.db"}},
    "brokers": {"default": {"uri": "redis://127.0.0.1:1/0"}},
})

@domain.event(part_of="Table")
class Seated:
    table_id: Identifier(required=True)

@domain.aggregate
class Table:
    pass

@domain.command(part_of=Table)
class Seat:
    table_id: Identifier(required=True)

@domain.command_handler(part_of=Table)
class Waiter:
    @handle(Seat)
    def seat(self, command):
        table = Table(id=command.table_id)
        table.raise_(Seated(table_id=table.id))
        current_domain.repository_for(Table).add(table)
"""
TESTS = """
from datetime import timedelta

import pytest
from cafe import Seat, Seated, Table, domain

from protean import current_domain
from protean.clock import utc_now
from protean.testing import given

@pytest.mark.parametrize("time", [1, 2])
def test_each_test_has_an_empty_domain_of_its_own(protean_domain, time):
    assert protean_domain is domain
    assert current_domain.repository_for(Table).query.all().total == 0
    given(domain).when(Seat(table_id="1")).then(Seated(table_id="1"))

def test_time_is_the_test_s(protean_clock):
    before = utc_now()
    protean_clock.advance(hours=1)
    assert utc_now() - before == timedelta(hours=1)
"""
CONTRACT = '''
import pytest
from protean.adapters.memory.broker import MemoryBroker
from protean.testing.contracts.broker import BrokerContract

class Forgetful(MemoryBroker):
    def ack(self, stream, group, ids, *, trim=True):
        """Forgets to."""

class TestForgetful(BrokerContract):
    @pytest.fixture
    def broker(self):
        yield (broker := Forgetful())
        broker.close()

    @pytest.fixture
    def second_broker(self, broker):
        return broker
'''


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """pytest in a process of its own, with the plugin whether it is installed or not."""
    command = [sys.executable, "-m", "pytest", "-p", "pytest_protean", "-p", "no:cacheprovider", *arguments]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return finished.returncode, finished.stdout + finished.stderr


def test_its_fixtures_give_every_test_a_domain_in_memory_and_a_clock(tmp_path: Path) -> None:
    (tmp_path / "cafe.py").write_text(APPLICATION)
    (tmp_path / "test_cafe.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\nprotean_domain = cafe\n")
    code, said = run(tmp_path, "-q")
    assert code == 0, said
    assert "3 passed" in said
    assert not (tmp_path / "real.db").exists()


def test_without_a_domain_it_says_how_to_name_one_and_broken_contracts_tell_values(tmp_path: Path) -> None:
    (tmp_path / "test_lost.py").write_text("def test_lost(protean_domain): pass\n")
    (tmp_path / "test_contract.py").write_text(CONTRACT)
    code, said = run(tmp_path, "-q", "-k", "lost or acknowledging_everything")
    assert code == 1
    assert "no domain to test: set protean_domain in pytest's configuration" in said
    assert "assert (30, " in said  # what the assertion compared: it is rewritten as the suite's own
    assert "1 failed" in said
    assert "1 error" in said


def test_who_does_not_use_it_loads_nothing_of_protean(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\ndef test_other():\n"
        "    heavy = {'protean', 'pydantic', 'sqlalchemy', 'psycopg', 'redis', 'hypothesis'}\n"
        "    assert 'pytest_protean' in sys.modules and not heavy & sys.modules.keys()\n"
    )
    code, said = run(tmp_path, "-q", "-p", "no:hypothesispytest", "-p", "no:logfire", "-p", "no:schemathesis")
    assert code == 0, said
