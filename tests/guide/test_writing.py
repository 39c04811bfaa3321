"""Writing the migration script: the script as printed, its four key points, and the query it loops over."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import eventually
from tests.guide import text
from tests.guide.application import BOTH_LANES, MIGRATE_AT, PATIENCE, PRODUCTION, Application

DEMOS_COPY = Path(__file__).parents[1] / "demo" / "migrate_loyalty_tiers.py.txt"

#: Iterates as the guide's script does and changes what it sees; meanwhile customers come and go. Prints what it saw.
ITERATE = """
import json
from my_app.identity.customer import Customer, RegisterCustomer, UpdateCustomerTier
from my_app.identity.domain import identity
identity.init()
with identity.domain_context():
    repo = identity.repository_for(Customer)
    customers = repo._dao.query.all()
    counted, seen, removed = len(customers), [], []
    print("counted", flush=True)
    for number, customer in enumerate(customers):
        seen.append(customer.id)
        identity.process(UpdateCustomerTier(customer_id=customer.id, loyalty_tier="gold"))
        if number % 100 == 0:
            identity.process(RegisterCustomer(name="New", email="a@b.c"))
        if number == 10:
            last = repo._dao.query.order_by("-id").limit(3)
            removed = [customer.id for customer in last]
            repo._dao.query.filter(id__in=removed).delete()
    print(json.dumps({"counted": counted, "len": len(customers), "seen": seen, "removed": removed}))
identity.close()
"""

#: Reads some of many customers and waits; prints the bytes that the loop and a list of all took at their most.
STREAM = """
import sys, time, tracemalloc
from pathlib import Path
from my_app.identity.customer import Customer
from my_app.identity.domain import identity
identity.init()
with identity.domain_context():
    repo = identity.repository_for(Customer)
    list(repo.query.all())  # what is loaded once is not counted
    tracemalloc.start()
    for number, customer in enumerate(repo._dao.query.all()):
        if number == 10:
            print("reading", flush=True)
            while not Path("go").exists():
                time.sleep(0.01)
    streaming = tracemalloc.get_traced_memory()[1]
    everything = list(repo.query.all())
    print(number + 1, len(everything), streaming, tracemalloc.get_traced_memory()[1], flush=True)
identity.close()
"""

#: Registers and changes one customer at each of the priorities given.
AT_PRIORITIES = """
import sys
from my_app.identity.customer import RegisterCustomer
from my_app.identity.domain import identity
from protean.utils.processing import processing_priority
identity.init()
with identity.domain_context():
    for priority in map(int, sys.argv[1:]):
        with processing_priority(priority):
            identity.process(RegisterCustomer(name=str(priority), email="a@b.c"))
identity.close()
"""

#: A line for the projector: 10 ms for each customer whom production registers.
SLOW_FOR_PRODUCTION = "        import time; time.sleep(0.01 * event.name.startswith('Production'))\n"


@pytest.mark.parametrize("original", [path for path in (text.ORIGINAL,) if path.exists()])
def test_the_copy_of_the_guide_is_the_guide(original: Path) -> None:
    assert text.COPY.read_text() == original.read_text()


def test_the_demos_copy_of_the_script_is_the_printed_script() -> None:
    assert DEMOS_COPY.read_text() == text.script()


def test_every_event_of_the_printed_script_is_tagged_and_nothing_outside_its_block(app: Application) -> None:
    """Key point 1."""
    app.register(150)
    app.migrate()
    app.python("-c", PRODUCTION, "1", "0", "After")

    found = app.sql("SELECT type, priority, count(*)::int FROM outbox GROUP BY 1, 2 ORDER BY 1, 2")

    assert found == [("CustomerRegistered", 0, 151), ("CustomerUpdated", -50, 150)]


def test_what_is_below_the_threshold_goes_to_backfill_and_the_rest_to_the_primary_stream(app: Application) -> None:
    """Key point 2: -50 < 0."""
    app.server()
    app.python("-c", AT_PRIORITIES, "-100", "-50", "-1", "0", "1", "50", "100")
    app.drain()

    assert [app.ever_added(stream) for stream in BOTH_LANES] == [4, 3]


def test_another_threshold_draws_the_line_elsewhere(app: Application) -> None:
    app.configure(("threshold = 0 ", "threshold = -50 "))
    app.server()
    app.python("-c", AT_PRIORITIES, "-100", "-50", "-1", "0")
    app.drain()

    assert [app.ever_added(stream) for stream in BOTH_LANES] == [3, 1]


def test_production_is_handled_while_thousands_wait_in_backfill(app: Application) -> None:
    """Key point 3, with everything in one process, where the lanes share one interpreter."""
    app.register(2_000)
    app.server("--in-process", processes=1)
    app.drain()
    with app.held():
        app.python("-c", MIGRATE_AT, "-50", "gold")
        eventually(lambda: app.length("customer:backfill") == 2_000, PATIENCE)
        app.python("-c", PRODUCTION, "20", "0", "Production")
        eventually(
            lambda: app.one("SELECT count(*) FROM customer_view WHERE name LIKE 'Production%'") == 20, 5, app.log
        )
        assert app.length("customer:backfill") == 2_000
        assert app.length("customer") == 0
    app.drain()
    assert app.stale() == []


def test_backfill_is_handled_only_when_the_primary_stream_is_empty(app: Application) -> None:
    """Key point 3 again: production has a backlog of its own, and backfill, slowed down, stands back for it."""
    app.configure(
        (
            "        current_domain.repository_for(CustomerView).add(\n",
            SLOW_FOR_PRODUCTION + "        current_domain.repository_for(CustomerView).add(\n",
        ),
        file="my_app/identity/customer_view.py",
    )
    app.register(400)
    server = app.server()
    app.drain()
    with app.held():
        app.python("-c", MIGRATE_AT, "-50", "gold")
        eventually(lambda: app.length("customer:backfill") == 400, PATIENCE)
        app.python("-c", PRODUCTION, "100", "0", "Production")
        before = len(server.lines)
    app.drain()

    handled = [line for line in server.lines[before:] if "-- acked" in line]
    last_of_production = max((n for n, line in enumerate(handled) if "Registered" in line), default=0)
    assert sum("Updated" in line for line in handled) == 400
    overtaken = sum("Updated" in line for line in handled[last_of_production:])
    assert overtaken >= 200, f"{400 - overtaken} of 400 did not wait for production"


def test_the_projector_cannot_tell_the_lanes_apart(app: Application) -> None:
    """Key point 4: the same events on either lane leave the same rows."""
    app.register(8)
    app.server()
    app.drain()
    views = {}
    for priority, lane in (("0", "customer"), ("-50", "customer:backfill")):
        before = app.ever_added(lane)
        app.python("-c", MIGRATE_AT, priority, "gold")
        app.drain()
        assert app.ever_added(lane) - before == 8
        views[lane] = app.sql("SELECT * FROM customer_view ORDER BY customer_id")
        app.sql("UPDATE customer_view SET loyalty_tier = NULL")

    assert views["customer"] == views["customer:backfill"]
    assert all("gold" in view for view in views["customer"])
    source = (app.folder / "my_app" / "identity" / "customer_view.py").read_text()
    assert "priority" not in source
    assert "backfill" not in source


def test_a_customer_that_cannot_be_migrated_is_logged_and_counted_and_the_others_are_migrated(app: Application) -> None:
    app.register(20)
    bad = app.one("SELECT min(id) FROM customer")
    app.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not this one'; END$$")
    app.sql(
        f"CREATE TRIGGER refuse BEFORE UPDATE ON customer FOR EACH ROW WHEN (OLD.id = '{bad}') "
        "EXECUTE FUNCTION refuse()"
    )

    printed = app.migrate()

    assert f"ERROR Failed to migrate customer {bad}: " in printed
    assert "not this one" in printed
    assert "Migration complete: 19/20 migrated, 1 errors" in printed
    assert app.one("SELECT count(*) FROM outbox WHERE priority = -50") == 19


def test_the_loop_sees_every_customer_once_while_it_and_others_write(app: Application) -> None:
    app.register(1_300)
    before = {identity for (identity,) in app.sql("SELECT id FROM customer")}

    iterating = app.start(sys.executable, "-c", ITERATE)
    iterating.printed("counted", PATIENCE)
    others = app.start(sys.executable, "register_customers.py", "400")
    assert iterating.ended(PATIENCE) == 0, iterating.lines
    assert others.ended(PATIENCE) == 0, others.lines
    iterating.close()

    found = json.loads(iterating.lines[-1])
    assert found["counted"] == found["len"] == 1_300
    assert len(found["seen"]) == len(set(found["seen"]))
    assert before - set(found["removed"]) <= set(found["seen"])
    assert not set(found["removed"]) & set(found["seen"])
    assert app.one("SELECT count(*) FROM customer WHERE loyalty_tier = 'gold'") == len(found["seen"])


def test_the_loop_holds_neither_all_rows_nor_a_transaction(app: Application) -> None:
    app.register(2_000)
    reading = app.start(sys.executable, "-c", STREAM)
    reading.printed("reading", PATIENCE)

    others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    assert app.one(f"SELECT count(*) FROM pg_stat_activity WHERE {others}") > 0
    assert app.one(f"SELECT count(*) FROM pg_stat_activity WHERE {others} AND xact_start IS NOT NULL") == 0
    (app.folder / "go").touch()
    assert reading.ended(PATIENCE) == 0, reading.lines
    reading.close()

    rows, again, streaming, everything = map(int, reading.lines[-1].split())
    assert rows == again == 2_000  # `repo.query` is the same without an underscore
    assert streaming < everything / 2
